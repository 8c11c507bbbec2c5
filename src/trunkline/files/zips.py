"""Reads zip archives strictly, from a seekable file.

A parser of our own, as for tar: what the lenient readers guess at is refused here with a reason.
The central directory decides, and each local header must agree with it; entries must not overlap
(which is how small bombs are built), names must be different, and sizes and checksums right. What
can't be read is refused: encryption, several volumes, compression other than deflate, bzip2, LZMA.
"""

import bz2
import lzma
import stat
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from trunkline.errors import InvalidArchive
from trunkline.files.archived import ArchiveEntry, Kind, Meter, entry_path, refused
from trunkline.files.bytesource import PIECE_BYTES

_END = struct.Struct("<4s4H2IH")
_END_64_PLACE = struct.Struct("<4sIQI")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s4B4H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_ABSENT_32, _ABSENT_16 = 0xFFFFFFFF, 0xFFFF
_COMMENT_BYTES_MAX = 65535
_TARGET_BYTES_MAX = 4096
_SIZES_BEHIND, _UTF8 = 0x0008, 0x0800
_PATCH, _CODED = 0x0020, 0x2041  # encrypted, strongly or with a masked header
_UNIX = 3
_METHODS = {0: "stored", 8: "deflate", 12: "bzip2", 14: "LZMA"}

START = b"PK\x03\x04"
EMPTY = b"PK\x05\x06"
_PLACE_MAGIC = b"PK\x06\x07"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Directory:
    start: int  # of the central directory in the file
    end: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """An entry as the central directory has it."""

    number: int
    raw_name: bytes
    name: str
    kind: Kind
    flags: int
    method: int
    crc: int
    packed: int  # bytes in the archive
    size: int
    offset: int  # of its local header


def read_zip(file: BinaryIO, meter: Meter) -> Iterator[ArchiveEntry]:
    """The entries in the order of the central directory; raises InvalidArchive."""
    size = file.seek(0, 2)
    meter.receive(size)
    directory = _find_directory(file, size)
    if directory.entries > meter.entries_max:
        raise meter.too_many()
    starts, ends, names = array("Q"), array("Q"), array("q")
    for record in _records(file, directory):
        meter.enter()
        path = _path_of(record)
        start = _content_start(file, record, directory)
        starts.append(record.offset)
        ends.append(start + record.packed)
        names.append(hash(path))
    _check_apart(starts, ends, directory)
    _check_different(names)
    for record in _records(file, directory):
        yield _entry(file, record, directory, meter)


# --- the directory --------------------------------------------------------------------------------


def _find_directory(file: BinaryIO, size: int) -> _Directory:
    tail_bytes = min(size, _END.size + _COMMENT_BYTES_MAX + _END_64_PLACE.size)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    at = tail.rfind(EMPTY)
    if at < 0 or at + _END.size > len(tail):
        raise InvalidArchive("it is not a zip archive, or it broke off before its end")
    _, disk, first_disk, here, entries, length, start, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise InvalidArchive("there is more behind the end of the zip archive")
    end = size - tail_bytes + at
    place = tail[max(0, at - _END_64_PLACE.size) : at]
    if (
        place.startswith(_PLACE_MAGIC)
        or _ABSENT_16 in (here, entries, disk)
        or _ABSENT_32 in (length, start)
    ):
        return _directory_64(file, tail, at, end)
    if disk or first_disk or here != entries:
        raise InvalidArchive("the zip archive has several volumes, which can't be read")
    return _checked(_Directory(start=start, end=start + length, entries=entries), end)


def _directory_64(file: BinaryIO, tail: bytes, at: int, end: int) -> _Directory:
    broken = InvalidArchive("the end of the zip archive can't be read")
    if at < _END_64_PLACE.size:
        raise broken
    magic, disk, place, disks = _END_64_PLACE.unpack_from(tail, at - _END_64_PLACE.size)
    if magic != _PLACE_MAGIC or disk or disks > 1 or place + _END_64.size > end:
        raise broken
    file.seek(place)
    magic, length, _, _, disk, first_disk, here, entries, directory_bytes, start = _END_64.unpack(
        file.read(_END_64.size)
    )
    if magic != b"PK\x06\x06" or disk or first_disk or here != entries:
        raise broken
    if place + 12 + length + _END_64_PLACE.size != end:
        raise broken
    return _checked(_Directory(start=start, end=start + directory_bytes, entries=entries), place)


def _checked(directory: _Directory, end: int) -> _Directory:
    if directory.end != end:
        raise InvalidArchive("the directory of the zip archive is not where it should be")
    if directory.end - directory.start < directory.entries * _CENTRAL.size:
        raise InvalidArchive("the directory of the zip archive is too short for its entries")
    return directory


def _records(file: BinaryIO, directory: _Directory) -> Iterator[_Record]:
    """What the directory says of each entry; it may have been read from elsewhere meanwhile."""
    at = directory.start
    for number in range(1, directory.entries + 1):
        if at + _CENTRAL.size > directory.end:
            raise InvalidArchive("the directory of the zip archive broke off")
        file.seek(at)
        head = _CENTRAL.unpack(file.read(_CENTRAL.size))
        magic, system, flags, method = head[0], head[2], head[5], head[6]
        crc, packed, size, name_bytes, extra_bytes, comment_bytes, disk = head[9:16]
        attributes, offset = head[17], head[18]
        at += _CENTRAL.size + name_bytes + extra_bytes + comment_bytes
        if magic != b"PK\x01\x02" or at > directory.end:
            raise InvalidArchive(f"entry {number} of the zip archive has no proper header")
        raw_name = file.read(name_bytes)
        name = _name(number, raw_name, flags)
        size, packed, offset = _sizes_64(
            number, name, file.read(extra_bytes), size=size, packed=packed, offset=offset
        )
        if disk not in (0, _ABSENT_16):
            raise refused(number, name, "it lies in another volume")
        if flags & _CODED:
            raise refused(number, name, "it is encrypted")
        if method not in _METHODS or flags & _PATCH:
            raise refused(number, name, f"its compression (method {method}) can't be read")
        yield _Record(
            number=number,
            raw_name=raw_name,
            name=name,
            kind=_kind(name, system, attributes),
            flags=flags,
            method=method,
            crc=crc,
            packed=packed,
            size=size,
            offset=offset,
        )
    if at != directory.end:
        raise InvalidArchive("the directory of the zip archive has more than its entries")


def _name(number: int, raw: bytes, flags: int) -> str:
    try:
        # Without the flag the old code page of DOS is meant, of which most writers use ASCII only.
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError as error:
        shown = raw.decode("utf-8", "backslashreplace")
        raise refused(number, shown, "its name is not valid UTF-8") from error
    if "\\" in name:
        raise refused(number, name, "its name has a backslash, which some would read as a slash")
    return name


def _kind(name: str, system: int, attributes: int) -> Kind:
    mode = attributes >> 16 if system == _UNIX else 0
    if name.endswith("/"):
        return Kind.DIRECTORY
    if stat.S_ISLNK(mode):
        return Kind.SYMLINK
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Kind.SPECIAL
    return Kind.FILE


def _sizes_64(
    number: int, name: str, extra: bytes, *, size: int, packed: int, offset: int
) -> tuple[int, int, int]:
    """(size, packed, offset) with those that have no room in the header taken from behind it."""
    if _ABSENT_32 not in (size, packed, offset):
        return size, packed, offset
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        field = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if tag != 1:
            continue
        found = [size, packed, offset]
        for n, value in enumerate(found):
            if value == _ABSENT_32 and len(field) >= 8:
                found[n], field = int.from_bytes(field[:8], "little"), field[8:]
        return found[0], found[1], found[2]
    raise refused(number, name, "its size can't be read")


def _path_of(record: _Record) -> str:
    path = entry_path(record.number, record.name)
    if not path and record.kind is not Kind.DIRECTORY:
        raise refused(record.number, record.name, "its name is empty")
    return path


def _check_apart(starts: "array[int]", ends: "array[int]", directory: _Directory) -> None:
    """No two entries share a byte, nor one with the directory."""
    order = sorted(range(len(starts)), key=starts.__getitem__)
    for before, after in pairwise(order):
        if ends[before] > starts[after]:
            raise InvalidArchive(
                f"entries {min(before, after) + 1} and {max(before, after) + 1} of the zip archive "
                "overlap"
            )
    if order and ends[order[-1]] > directory.start:
        raise InvalidArchive(f"entry {order[-1] + 1} of the zip archive runs past its end")


def _check_different(names: "array[int]") -> None:
    order = sorted(range(len(names)), key=names.__getitem__)
    for first, second in pairwise(order):
        if names[first] == names[second]:
            raise InvalidArchive(
                f"entries {min(first, second) + 1} and {max(first, second) + 1} of the zip archive "
                "have the same name"
            )


# --- entries --------------------------------------------------------------------------------------


def _content_start(file: BinaryIO, record: _Record, directory: _Directory) -> int:
    """Where the content begins; checks that the local header agrees with the directory."""
    wrong = refused(record.number, record.name, "its own header says something else")
    if record.offset + _LOCAL.size > directory.start:
        raise wrong
    file.seek(record.offset)
    magic, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = _LOCAL.unpack(
        file.read(_LOCAL.size)
    )
    if magic != START or name_bytes != len(record.raw_name) or method != record.method:
        raise wrong
    if not flags & _SIZES_BEHIND and (
        crc != record.crc
        or packed not in (record.packed, _ABSENT_32)
        or size not in (record.size, _ABSENT_32)
    ):
        raise wrong
    if file.read(name_bytes) != record.raw_name or (flags ^ record.flags) & (_CODED | _UTF8):
        raise wrong
    start: int = record.offset + _LOCAL.size + name_bytes + extra_bytes
    return start


def _entry(file: BinaryIO, record: _Record, directory: _Directory, meter: Meter) -> ArchiveEntry:
    path = _path_of(record)
    start = _content_start(file, record, directory)
    content = _content(file, record, start, meter)
    if record.kind is Kind.FILE:
        return ArchiveEntry(path, record.kind, record.size, content)
    if record.kind is Kind.DIRECTORY:
        if record.size:
            raise refused(record.number, record.name, "it is a directory, but it has a content")
        return ArchiveEntry(path, record.kind, 0, ())
    if record.kind is Kind.SPECIAL:
        return ArchiveEntry(path, record.kind, 0, (), "a special file")
    if record.size > _TARGET_BYTES_MAX:
        raise refused(record.number, record.name, "the target of its link is too long")
    target = b"".join(content).decode("utf-8", "backslashreplace")
    return ArchiveEntry(path, record.kind, 0, (), target)


def _content(file: BinaryIO, record: _Record, start: int, meter: Meter) -> Iterator[bytes]:
    """The content, checked against size and checksum at its end."""
    crc = size = 0
    for piece in _unpacked(record, _stored(file, start, record.packed)):
        size += len(piece)
        if size > record.size:
            break
        meter.unpack(len(piece))
        crc = zlib.crc32(piece, crc)
        yield piece
    if size != record.size:
        raise refused(record.number, record.name, "it does not have the size that it promises")
    if crc != record.crc:
        raise refused(record.number, record.name, "its checksum is wrong")


def _stored(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    while size > 0:
        file.seek(start)
        piece = file.read(min(size, PIECE_BYTES))
        if not piece:
            return
        start += len(piece)
        size -= len(piece)
        yield piece


def _unpacked(record: _Record, pieces: Iterator[bytes]) -> Iterator[bytes]:
    if record.method == 0:
        yield from pieces
        return
    try:
        if record.method == 8:
            yield from _deflated(pieces)
        elif record.method == 12:
            yield from _through(bz2.BZ2Decompressor(), pieces)
        else:
            yield from _lzma(pieces)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, struct.error) as error:
        raise refused(record.number, record.name, f"it is damaged ({error})") from error


def _deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inner = zlib.decompressobj(-15)
    for piece in pieces:
        data = piece
        while data or inner.unconsumed_tail:
            yield inner.decompress(inner.unconsumed_tail + data, PIECE_BYTES)
            data = b""
        if inner.eof:
            return
    # What one call had no room for
    while more := inner.decompress(inner.unconsumed_tail, PIECE_BYTES):
        yield more
    if not inner.eof:
        raise EOFError("it broke off")


def _lzma(pieces: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= 4 and len(head) >= 4 + int.from_bytes(head[2:4], "little"):
            break
    length = int.from_bytes(head[2:4], "little")
    if length != 5 or len(head) < 9 or head[4] >= 225:
        raise ValueError("bad properties of LZMA")
    properties, dictionary = head[4], int.from_bytes(head[5:9], "little")
    if dictionary > 128 * 1024 * 1024:
        raise ValueError("it needs too much memory")
    filters = [
        {
            "id": lzma.FILTER_LZMA1,
            "dict_size": max(dictionary, 4096),
            "lc": properties % 9,
            "lp": properties // 9 % 5,
            "pb": properties // 45,
        }
    ]
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)

    def rest() -> Iterator[bytes]:
        yield head[9:]
        yield from pieces

    yield from _through(decompressor, rest(), ends=False)


def _through(
    decompressor: bz2.BZ2Decompressor | lzma.LZMADecompressor,
    pieces: Iterator[bytes],
    *,
    ends: bool = True,
) -> Iterator[bytes]:
    for piece in pieces:
        data = piece
        while not decompressor.eof and (data or not decompressor.needs_input):
            yield decompressor.decompress(data, PIECE_BYTES)
            data = b""
        if decompressor.eof:
            return
    if ends and not decompressor.eof:
        raise EOFError("it broke off")
