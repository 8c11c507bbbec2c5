"""Pack files: many compressed chunks behind one another in one append-only file.

A pack is written by one process, which holds an flock on it, and is sealed with a footer that lists
its records. Every record carries a header with its own checksum, so that a pack that was never
sealed can be read too, and a torn tail is told from data.

Format page: docs/formats/pack.md (version 1).
"""

import errno
import fcntl
import os
import struct
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from trunkline.errors import Corrupt, StorageFull, Unavailable
from trunkline.store.digests import Digest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SUFFIX = ".pack"
PACK_BYTES = 32 * 1024 * 1024  # a pack is sealed when it has grown to this
PACK_RECORDS = 128 * 1024  # or has so many records: whoever reads a pack has all of them in memory
CHUNK_BYTES_MAX = 64 * 1024 * 1024  # a larger length in a header is damage

_MAGIC = b"TLPACK\r\n"
_VERSION = 1
_HEADER = struct.Struct("<8sB3x16s16sI")  # magic, version, id, writer, CRC of what is before it
_RECORD_MAGIC = b"TLRC"
_RECORD = struct.Struct("<4sB3xII32sI")  # magic, codec, stored, size, digest, CRC of those
_RECORD_START = struct.Struct("<4sB3xII32s")  # the same without the CRC
_ENTRY = struct.Struct("<32sQII")  # digest, offset, stored, size
_FOOTER_MAGIC = b"TLFOOTER"
_TRAILER = struct.Struct("<IQ32s8s")  # entries, offset of the footer, BLAKE3 of it, magic
_TRAILER_MAGIC = b"TLSEALED"

HEADER_BYTES = _HEADER.size
RECORD_BYTES = _RECORD.size
ENTRY_BYTES = _ENTRY.size  # of a record in the footer

_PLAIN, _ZSTD = 0, 1
_LEVEL = 1
_WORTH_IT = 0.97  # a compressed form that is not below this share is not kept
_SAMPLE_FROM_BYTES = 256 * 1024
_SAMPLE_BYTES = 32 * 1024
_COMPRESS_FROM_BYTES = 64
_MANY = 64  # chunks that a sample of small ones is taken of
_SMALL_BYTES = 16 * 1024  # on average, for that

_SECTOR_BYTES = 4096  # read at a time where the disk can't read all

Piece = bytes | memoryview

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DRAIN_BYTES = 1024 * 1024
_DIRECT_BYTES = 128 * 1024  # a payload of this size is written from where it is

_local = threading.local()  # a compressor per thread: making one costs more than a small chunk


class Location(NamedTuple):
    """Where a chunk is. A tuple, because there is one per chunk of every put."""

    digest: bytes
    pack: str  # name of the pack, without suffix
    offset: int  # of the record header
    stored: int  # bytes of the payload
    size: int  # bytes of the chunk


class Encoded(NamedTuple):
    """A chunk as it will be stored."""

    digest: bytes
    codec: int
    payload: Piece
    size: int


def encode(digest: bytes, data: Piece) -> Encoded:
    """The chunk compressed, or as it is where that does not help."""
    size = len(data)
    if size >= _COMPRESS_FROM_BYTES and (size < _SAMPLE_FROM_BYTES or _compressible(data)):
        payload = _compressor().compress(data, zstd.ZstdCompressor.FLUSH_FRAME)
        if len(payload) < size * _WORTH_IT:
            return Encoded(digest, _ZSTD, payload, size)
    return Encoded(digest, _PLAIN, data, size)


def _compressible(data: Piece) -> bool:
    """Whether samples of a large chunk get smaller; small ones are simply tried."""
    middle = len(data) // 2
    parts = data[:_SAMPLE_BYTES], data[middle : middle + _SAMPLE_BYTES], data[-_SAMPLE_BYTES:]
    return _gets_smaller(b"".join(parts))


def _gets_smaller(sample: bytes) -> bool:
    frame = _compressor().compress(sample, zstd.ZstdCompressor.FLUSH_FRAME)
    return len(frame) < len(sample) * _WORTH_IT


def encode_many(digests: Sequence[bytes], chunks: Sequence[Piece]) -> list[Encoded]:
    """As `encode` for each; where many small ones don't get smaller together, none is tried."""
    if len(chunks) >= _MANY and sum(map(len, chunks)) < len(chunks) * _SMALL_BYTES:
        # What does not even shrink beside its like won't alone; a frame costs 3 us each.
        sample = b"".join(chunks[:: len(chunks) // _MANY])
        if not _gets_smaller(sample):
            return [
                Encoded(digest, _PLAIN, data, len(data))
                for digest, data in zip(digests, chunks, strict=True)
            ]
    return [encode(digest, data) for digest, data in zip(digests, chunks, strict=True)]


def _compressor() -> zstd.ZstdCompressor:
    try:
        return _local.compressor  # type: ignore[no-any-return]
    except AttributeError:
        _local.compressor = zstd.ZstdCompressor(level=_LEVEL)
        return _local.compressor  # type: ignore[no-any-return]


def check_header(record: bytes, location: Location) -> int:
    """The codec of a record, if its header is the one that belongs there; else raises Corrupt."""
    header = _read_header(record, 0)
    if header is None:
        raise Corrupt(_named(location), "a record header", "other bytes")
    codec, stored, size, digest = header
    if (digest, stored, size) != (location.digest, location.stored, location.size):
        raise Corrupt(_named(location), "its own header", f"that of chunk {digest.hex()}")
    return codec


def as_stored(record: bytes, location: Location) -> Encoded:
    """The record as it can be appended to another pack; raises Corrupt as `decode` does."""
    decode(record, location)
    payload = record[RECORD_BYTES : RECORD_BYTES + location.stored]
    return Encoded(location.digest, check_header(record, location), payload, location.size)


def content_of(chunk: Encoded) -> bytes:
    """The plain bytes of a chunk that `as_stored` gave."""
    data = _decompress(chunk.codec, bytes(chunk.payload), chunk.size)
    assert data is not None
    return data


def decode(record: bytes, location: Location) -> bytes:
    """The chunk in a record; raises Corrupt unless every byte of it is as it was written."""
    codec = check_header(record, location)
    payload = record[RECORD_BYTES : RECORD_BYTES + location.stored]
    if len(payload) != location.stored:
        raise Corrupt(
            _named(location), f"{location.stored} bytes", f"the end of the file: {len(payload)}"
        )
    data = _decompress(codec, payload, location.size)
    if data is None:
        raise Corrupt(_named(location), "a zstd frame", "other bytes")
    actual = Digest(data).digest()
    if actual != location.digest:
        raise Corrupt(_named(location), f"BLAKE3 {location.digest.hex()}", actual.hex())
    return data


def decode_large(head: bytes, payload: bytes, location: Location) -> bytes:
    """As `decode`, of a record that was read in two parts, so that the larger needs no copy."""
    codec = check_header(head, location)
    if len(payload) == location.stored:
        data = _decompress(codec, payload, location.size)
        if data is not None and Digest(data).digest() == location.digest:
            return data
    return decode(head + payload, location)


def decode_part(data: bytes, start: int, location: Location) -> bytes:
    """As `decode`, of a record in the midst of others."""
    if start + RECORD_BYTES + location.stored > len(data):
        return decode(data[start:], location)  # which says what is missing
    magic, codec, stored, size, digest, _ = _RECORD.unpack_from(data, start)
    # The hash below stands for the checksum of the header too.
    if (magic, digest, stored, size) != (_RECORD_MAGIC, *_facts(location)):
        return decode(data[start:], location)
    begin = start + RECORD_BYTES
    payload = data[begin : begin + stored]
    plain = payload if codec == _PLAIN else _decompress(codec, payload, size)
    if plain is None or Digest(plain).digest() != digest:
        return decode(data[start:], location)
    return plain


def _facts(location: Location) -> tuple[bytes, int, int]:
    return location.digest, location.stored, location.size


def is_plain(record: memoryview, location: Location) -> bool:
    """Whether a record has the header that belongs there, and its payload is the chunk itself."""
    magic, codec, stored, size, digest, _ = _RECORD.unpack_from(record, 0)
    known: bool = (magic, digest, stored, size) == (_RECORD_MAGIC, *_facts(location))
    return known and codec == _PLAIN and stored == size


def _named(location: Location) -> str:
    return f"chunk {location.digest.hex()} (pack {location.pack} at {location.offset})"


def _decompress(codec: int, payload: bytes, size: int) -> bytes | None:
    if codec == _PLAIN:
        return payload
    try:
        decompressor = zstd.ZstdDecompressor()
        # The bound keeps a forged frame from growing beyond what its header admits.
        data: bytes = decompressor.decompress(payload, size + 1)
    except zstd.ZstdError:
        return None
    return data if decompressor.eof and len(data) == size else None


def _read_header(data: bytes, offset: int) -> tuple[int, int, int, bytes] | None:
    """Codec, stored bytes, size and digest of the record at an offset, or None."""
    if offset + RECORD_BYTES > len(data):
        return None
    magic, codec, stored, size, digest, crc = _RECORD.unpack_from(data, offset)
    if magic != _RECORD_MAGIC or crc != crc32(data[offset : offset + RECORD_BYTES - 4]):
        return None
    if codec not in (_PLAIN, _ZSTD) or max(stored, size) > CHUNK_BYTES_MAX:
        return None
    return codec, stored, size, digest


class PackWriter:
    """The active pack of one process. Not thread-safe; its owner locks.

    Bytes reach the file by `drain` and the disk by `sync`. After an OSError of `drain` the same
    bytes are written again, at the same place, by the next one; after one of `sync` the pack must
    be abandoned, because the system may have dropped what it could not write.
    """

    def __init__(self, directory: Path, *, name: str, writer: str) -> None:
        self.name = name
        self._directory = directory
        path = directory / (name + SUFFIX)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o644)
        self._path = path
        self._synced = 0
        self._written = 0
        self._directory_synced = False
        self._footed = False
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self._buffer = bytearray(header(name, writer))
        self._entries = bytearray()  # as in the footer: `Location`s take five times that

    @property
    def lost(self) -> bool:
        """Whether a recovery removed the file between its creation and its lock."""
        return os.fstat(self._fd).st_nlink == 0

    @property
    def end(self) -> int:
        """Where the next record will begin."""
        return self._written + len(self._buffer)

    @property
    def full(self) -> bool:
        """Whether the pack takes no more records, and must be sealed."""
        return (
            self._footed
            or self.end >= PACK_BYTES
            or len(self._entries) >= PACK_RECORDS * ENTRY_BYTES
        )

    def append(self, chunk: Encoded) -> Location:
        """Add a record; it is in the buffer until the next `drain`, unless it is a large one.

        A large one is written at once; after an OSError of that, it is not part of the pack.
        """
        digest, codec, payload, size = chunk
        buffer = self._buffer
        place = Location(digest, self.name, self._written + len(buffer), len(payload), size)
        start = _RECORD_START.pack(_RECORD_MAGIC, codec, len(payload), size, digest)
        checksum = crc32(start).to_bytes(4, "little")
        if len(payload) >= _DIRECT_BYTES:
            self._write_through(start + checksum, payload)
        else:
            buffer += start
            buffer += checksum
            buffer += payload
        self._entries += _ENTRY.pack(digest, place.offset, place.stored, size)
        return place

    def _write_through(self, head: bytes, payload: Piece) -> None:
        """Write a record from where it is, behind all that is buffered."""
        self.drain()
        rest = [memoryview(head), memoryview(payload)]
        at = self._written
        while rest:
            count = os.pwritev(self._fd, rest, at)
            at += count
            while rest and count >= len(rest[0]):
                count -= len(rest.pop(0))
            if rest:
                rest[0] = rest[0][count:]
        self._written = at

    @property
    def wants_drain(self) -> bool:
        return len(self._buffer) >= _DRAIN_BYTES

    def drain(self) -> None:
        """Hand the buffer to the operating system."""
        while self._buffer:
            count = os.pwrite(self._fd, self._buffer, self._written)
            self._written += count
            del self._buffer[:count]

    def peek(self, place: Location) -> bytes | None:
        """The record of a chunk that is, at least partly, still in the buffer; or None."""
        start = place.offset - self._written
        end = start + RECORD_BYTES + place.stored
        if end <= 0:
            return None
        if start >= 0:
            return bytes(self._buffer[start:end])
        return os.pread(self._fd, -start, place.offset) + bytes(self._buffer[:end])

    def sync(self) -> None:
        """Make all that was drained durable. May run beside `append` and `drain`."""
        written = self._written
        if not self._directory_synced:
            # The name of the file must be as durable as its bytes.
            sync_directory(self._directory)
            self._directory_synced = True
        os.fdatasync(self._fd)
        self._synced = written

    @property
    def empty(self) -> bool:
        return not self._entries

    def write_footer(self) -> None:
        """Close the list of records; may be tried again after a failed write. `sync` completes."""
        if not self._footed:
            self._buffer += _sealing(self._entries, self.end)
            self._footed = True
        self.drain()

    def abandon(self) -> None:
        """Give up what is not durable, so that nobody takes it for data later."""
        try:
            if self._synced <= HEADER_BYTES:
                os.unlink(self._path)
            else:
                os.ftruncate(self._fd, self._synced)
        except OSError:
            pass  # what stays behind is unacknowledged, and never indexed while this process lives
        self.close()

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def header(name: str, writer: str) -> bytes:
    """The bytes that a pack begins with."""
    head = _HEADER.pack(_MAGIC, _VERSION, bytes.fromhex(name), writer.encode("utf-8")[:16], 0)[:-4]
    return head + struct.pack("<I", crc32(head))


def footer(entries: Sequence[Location], start: int) -> bytes:
    """The bytes that seal a pack whose records end at `start`."""
    return _sealing(
        b"".join(
            _ENTRY.pack(place.digest, place.offset, place.stored, place.size) for place in entries
        ),
        start,
    )


def _sealing(entries: bytes | bytearray, start: int) -> bytes:
    head = struct.pack("<IQ", len(entries) // ENTRY_BYTES, start)
    listed = b"".join([_FOOTER_MAGIC, entries, head])
    return listed + Digest(listed).digest() + _TRAILER_MAGIC


@contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Turn errors of the disk of a store into ours, for work that can be begun again."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StorageFull(str(directory)) from error
        raise Unavailable(
            f"the store {directory} can't be worked on now ({error.strerror or error}); "
            "look at the disk, then try again"
        ) from error


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class PackReader:
    """An open pack. Closed when the last one who uses it lets go, so reads need no lock."""

    def __init__(self, path: Path) -> None:
        self._fd = -1
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    @property
    def removed(self) -> bool:
        """Whether the file has no name any more; what is open can still be read."""
        return os.fstat(self._fd).st_nlink == 0

    def record(self, place: Location) -> bytes:
        """The bytes where the record of a chunk should be; shorter at the end of the file."""
        return self.part(place.offset, RECORD_BYTES + place.stored)

    def part(self, offset: int, size: int) -> bytes:
        """Bytes of the file; fewer at its end."""
        return os.pread(self._fd, size, offset)

    def part_into(self, offset: int, buffer: memoryview) -> int:
        """Read into a buffer; returns how many bytes there were."""
        return os.preadv(self._fd, [buffer], offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackContent:
    """What a pack file holds, read without any index."""

    name: str
    sealed: bool  # it has a whole footer
    header_whole: bool
    places: tuple[Location, ...]
    end: int  # where the footer begins or should be written; what is behind it is a torn tail


def read_content(data: bytes, name: str) -> PackContent:
    """List the records in the bytes of a pack: from its footer, or else from the records.

    Without a footer each record is checked in full, and damaged bytes between whole records are
    stepped over; what comes after the last whole record is a torn tail.
    """
    listed = read_footer(data, name)
    if listed is not None:
        places, start = listed
        return PackContent(
            name=name, sealed=True, header_whole=_header_whole(data, name), places=places, end=start
        )
    return read_records(data, name)


def read_damaged(path: Path) -> tuple[bytes, int]:
    """The bytes of a pack, zeros where the disk can't read them; and how many those are."""
    try:
        return path.read_bytes(), 0
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    reader = PackReader(path)
    parts: list[bytes] = []
    unreadable = 0
    for start in range(0, path.stat().st_size, _SECTOR_BYTES):
        try:
            parts.append(reader.part(start, _SECTOR_BYTES))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            parts.append(bytes(min(_SECTOR_BYTES, path.stat().st_size - start)))
            unreadable += len(parts[-1])
    return b"".join(parts), unreadable


def whole_records(data: bytes, places: Iterable[Location]) -> list[Location]:
    """Those of the places whose records are as they were written, down to the last byte."""
    found = []
    for place in places:
        try:
            decode(data[place.offset : place.offset + RECORD_BYTES + place.stored], place)
        except Corrupt:
            continue
        found.append(place)
    return found


def read_records(data: bytes, name: str) -> PackContent:
    """List the whole records in the bytes of a pack, as if it had no footer."""
    found: list[Location] = []
    offset, end = HEADER_BYTES, HEADER_BYTES
    while True:
        header = _read_header(data, offset)
        if header is not None:
            codec, stored, size, digest = header
            place = Location(digest, name, offset, stored, size)
            payload = data[offset + RECORD_BYTES : offset + RECORD_BYTES + stored]
            plain = _decompress(codec, payload, size) if len(payload) == stored else None
            if plain is not None and Digest(plain).digest() == digest:
                found.append(place)
                offset += RECORD_BYTES + stored
                end = offset
                continue
        offset = data.find(_RECORD_MAGIC, offset + 1)
        if offset < 0:
            break
    return PackContent(
        name=name,
        sealed=False,
        header_whole=_header_whole(data, name),
        places=tuple(found),
        end=end,
    )


def _header_whole(data: bytes, name: str) -> bool:
    if len(data) < HEADER_BYTES:
        return False
    magic, version, id_bytes, _, crc = _HEADER.unpack_from(data, 0)
    return (
        magic == _MAGIC
        and version == _VERSION
        and bytes(id_bytes).hex() == name
        and crc == crc32(data[: HEADER_BYTES - 4])
    )


def footer_start(data: bytes) -> int | None:
    """Where the footer begins of a pack that ends with these bytes; None if it has none."""
    if len(data) < len(_FOOTER_MAGIC) + _TRAILER.size:
        return None
    _, start, _, magic = _TRAILER.unpack_from(data, len(data) - _TRAILER.size)
    return int(start) if magic == _TRAILER_MAGIC else None


def read_footer(
    data: bytes, name: str, *, before: int = 0
) -> tuple[tuple[Location, ...], int] | None:
    """The records of a pack and where its footer begins; `before` the data there are more bytes."""
    end = footer_start(data)
    if end is None or not before <= end:
        return None
    start, body_end = end - before, len(data) - _TRAILER.size
    count, _, digest, _ = _TRAILER.unpack_from(data, body_end)
    if start + len(_FOOTER_MAGIC) + count * _ENTRY.size != body_end:
        return None
    if Digest(data[start : body_end + 12]).digest() != digest:
        return None
    entries = data[start + len(_FOOTER_MAGIC) : body_end]
    return tuple(
        Location(chunk, name, offset, stored, size)
        for chunk, offset, stored, size in _ENTRY.iter_unpack(entries)
    ), end


def remove(path: Path) -> None:
    """Unlink a pack that nothing points to."""
    os.unlink(path)


def rename(path: Path, target: Path) -> None:
    """Give a pack that nothing points to another name."""
    os.rename(path, target)


def take_over(path: Path) -> int | None:
    """Lock a pack that nobody owns, and return its descriptor; None while its writer is alive."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def pack_paths(directory: Path) -> Iterable[Path]:
    """All pack files, in a fixed order."""
    return sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX))
