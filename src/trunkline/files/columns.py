"""Rows of files as columns: what manifests and deltas are made of.

Bulk work copies slices of columns and never makes an object per row; `FileRow` is for the rows that
somebody looks at. The encoding of equal rows is always the same bytes.

Format page: docs/formats/manifest.md.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from trunkline.errors import Corrupt
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import DIGEST_BYTES

SPANS_INLINE = 32  # a file of more chunks names lists of them instead
SPANS_PER_LIST = 16 * 1024

_HEAD = struct.Struct("<4sBBHIII")  # magic, version, flags, 0, rows, refs, bytes of the paths
HEAD_BYTES = _HEAD.size
_VERSION = 1
_DATUMS, _REFS, _KINDS = 1, 2, 4  # flags: which of the optional columns are there
_LISTED = 1 << 31  # in a count of refs: they are lists of chunks

_LIST_MAGIC = b"TLSL"
_LIST_HEAD = struct.Struct("<4sB3xI")

_NO_DATUM = bytes(DIGEST_BYTES)
Digests = bytes | bytearray  # 32 bytes each
_SWAP = sys.byteorder == "big"  # stored numbers are little-endian


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """One file of a tree.

    Invariants: the sizes of the chunks add up to `size_bytes`; the chunks are those that
    `store.chunker` cuts the content into, so equal contents have equal rows; an empty file has
    none.
    """

    path: str
    size_bytes: int
    digest: str  # BLAKE3 of the whole content, 64 hex digits
    chunks: tuple[tuple[ChunkId, int], ...]  # (chunk, its size) in order
    datum: str = ""  # key of the datum that wrote it, 64 hex digits, or ""


@dataclass(slots=True, kw_only=True)
class Columns:
    """Some rows, sorted by path, by column. Shared ones must not be changed.

    A row whose count of refs is zero has no chunk (if it is empty) or exactly one, which has the
    file's own digest and size.
    """

    paths: list[str] = field(default_factory=list)
    sizes: "array[int]" = field(default_factory=lambda: array("Q"))
    digests: bytearray = field(default_factory=bytearray)  # 32 a row
    datums: bytearray = field(default_factory=bytearray)  # 32 a row, zeros for none
    counts: "array[int]" = field(default_factory=lambda: array("I"))  # refs of each row
    ref_ids: bytearray = field(default_factory=bytearray)  # 32 a ref
    ref_sizes: "array[int]" = field(default_factory=lambda: array("Q"))
    kinds: bytearray = field(default_factory=bytearray)  # 1 a row; only in deltas
    _starts: list[int] | None = field(default=None, repr=False)  # of the refs of each row

    def __len__(self) -> int:
        return len(self.paths)

    def digest(self, i: int) -> bytes:
        return bytes(self.digests[i * DIGEST_BYTES : (i + 1) * DIGEST_BYTES])

    def datum(self, i: int) -> bytes:
        return bytes(self.datums[i * DIGEST_BYTES : (i + 1) * DIGEST_BYTES])

    def datum_key(self, i: int) -> str:
        """The key of the datum as rows have it: hex digits, or nothing."""
        datum = self.datum(i)
        return "" if datum == _NO_DATUM else datum.hex()

    def copy_rows(self, source: "Columns", start: int, end: int) -> None:
        """Append rows of other columns."""
        self.paths += source.paths[start:end]
        self.sizes += source.sizes[start:end]
        self.digests += source.digests[start * DIGEST_BYTES : end * DIGEST_BYTES]
        self.datums += source.datums[start * DIGEST_BYTES : end * DIGEST_BYTES]
        self.counts += source.counts[start:end]
        self.kinds += source.kinds[start:end]
        self._starts = None
        if source.ref_sizes:
            starts = source._ref_starts()
            first, last = starts[start], starts[end]
            self.ref_ids += source.ref_ids[first * DIGEST_BYTES : last * DIGEST_BYTES]
            self.ref_sizes += source.ref_sizes[first:last]

    def add(self, row: FileRow, save: Callable[[bytes], ChunkId], *, kind: int = 0) -> None:
        """Append one row; `save` stores the lists of a file with very many chunks."""
        digest = bytes.fromhex(row.digest)
        assert len(digest) == DIGEST_BYTES
        self.paths.append(row.path)
        self.sizes.append(row.size_bytes)
        self.digests += digest
        self.datums += bytes.fromhex(row.datum) if row.datum else _NO_DATUM
        self.kinds.append(kind)
        self._starts = None
        if len(row.chunks) <= 1:
            assert row.chunks in (((row.digest, row.size_bytes),), ())
            self.counts.append(0)
            return
        assert sum(size for _, size in row.chunks) == row.size_bytes
        refs, flag = row.chunks, 0
        if len(refs) > SPANS_INLINE:
            refs, flag = _listed(refs, save), _LISTED
        self.counts.append(len(refs) | flag)
        for chunk, size in refs:
            self.ref_ids += bytes.fromhex(chunk)
            self.ref_sizes.append(size)

    def add_small(self, path: str, size: int, digest: bytes) -> None:
        """Append the row of a file of at most one chunk that no datum wrote."""
        self.paths.append(path)
        self.sizes.append(size)
        self.digests += digest
        self.datums += _NO_DATUM
        self.kinds.append(0)
        self.counts.append(0)
        self._starts = None

    def row(self, i: int, load: Callable[[ChunkId], bytes]) -> FileRow:
        """One row as a value; `load` reads the lists of a file with very many chunks."""
        size = self.sizes[i]
        digest = self.digest(i).hex()
        count = self.counts[i]
        chunks: tuple[tuple[ChunkId, int], ...]
        if count == 0:
            chunks = ((ChunkId(digest), size),) if size else ()
        else:
            chunks = tuple(self.refs(i))
            if count & _LISTED:
                chunks = tuple(span for part, _ in chunks for span in read_list(load(part)))
        return FileRow(
            path=self.paths[i],
            size_bytes=size,
            digest=digest,
            chunks=chunks,
            datum=self.datum_key(i),
        )

    def refs(self, i: int) -> list[tuple[ChunkId, int]]:
        """What a row names besides its digest: chunks, or lists of chunks."""
        if self.counts[i] == 0:
            return []
        starts = self._ref_starts()
        return [
            (
                ChunkId(self.ref_ids[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES].hex()),
                self.ref_sizes[n],
            )
            for n in range(starts[i], starts[i + 1])
        ]

    def has_lists(self, i: int) -> bool:
        """Whether the refs of a row are lists of chunks."""
        return bool(self.counts[i] & _LISTED)

    def _ref_starts(self) -> list[int]:
        if self._starts is None:
            self._starts = list(accumulate((count & ~_LISTED for count in self.counts), initial=0))
        return self._starts


def encode_columns(magic: bytes, rows: Columns) -> bytes:
    """The canonical bytes of some rows."""
    paths = "\0".join(rows.paths).encode("utf-8")
    flags = 0
    parts: list[bytes | bytearray] = [paths, _stored(rows.sizes), rows.digests]
    # A column of nothing but zeros is left out.
    if rows.datums.count(0) != len(rows.datums):
        flags |= _DATUMS
        parts.append(rows.datums)
    if rows.ref_sizes:
        flags |= _REFS
        parts += [_stored(rows.counts), rows.ref_ids, _stored(rows.ref_sizes)]
    if rows.kinds.count(0) != len(rows.kinds):
        flags |= _KINDS
        parts.append(rows.kinds)
    head = _HEAD.pack(magic, _VERSION, flags, 0, len(rows), len(rows.ref_sizes), len(paths))
    return b"".join([head, *parts])


def decode_columns(magic: bytes, data: bytes) -> Columns:
    """The rows in a blob; raises Corrupt for anything that `encode_columns` doesn't write."""
    flags, count, refs, path_bytes = read_head(magic, data)
    reader = Reader(data, magic)
    reader.skip(HEAD_BYTES)
    text = reader.text(path_bytes)
    paths = text.split("\0") if count else []
    reader.check(len(paths) == count, f"{count} paths", str(len(paths)))
    width = count * DIGEST_BYTES
    rows = Columns(
        paths=paths,
        sizes=reader.numbers("Q", count),
        digests=bytearray(reader.take(width)),
        datums=bytearray(reader.take(width) if flags & _DATUMS else width),
    )
    if flags & _REFS:
        rows.counts = reader.numbers("I", count)
        rows.ref_ids = bytearray(reader.take(refs * DIGEST_BYTES))
        rows.ref_sizes = reader.numbers("Q", refs)
        total = sum(number & ~_LISTED for number in rows.counts)
        reader.check(total == refs, f"{refs} refs", str(total))
    else:
        rows.counts = array("I", bytes(4 * count))
    rows.kinds = bytearray(reader.take(count) if flags & _KINDS else count)
    reader.done()
    return rows


def differing(ours: Digests, at: int, theirs: Digests, there: int, count: int) -> Iterator[int]:
    """Which of `count` digests differ in two columns, from a byte of each on."""
    other = memoryview(theirs)[there : there + count * DIGEST_BYTES]
    start = 0
    while not ours.startswith(other[start * DIGEST_BYTES :], at + start * DIGEST_BYTES):
        # Some digest from `start` on differs: the first of them is between it and `end`.
        end = count
        while end - start > 1:
            middle = (start + end) // 2
            low, high = start * DIGEST_BYTES, middle * DIGEST_BYTES
            if ours.startswith(other[low:high], at + low):
                start = middle
            else:
                end = middle
        yield start
        start += 1


def read_head(magic: bytes, data: bytes) -> tuple[int, int, int, int]:
    """What stored rows begin with: flags, number of rows, of refs, bytes of the paths.

    The paths follow, then sizes, then digests.
    """
    if len(data) < HEAD_BYTES or not data.startswith(magic) or data[4] != _VERSION:
        Reader(data, magic).head(_HEAD, _VERSION)  # says what is wrong
    _, _, flags, _, count, refs, path_bytes = _HEAD.unpack_from(data)
    return flags, count, refs, path_bytes


class Reader:
    """Takes the parts of a stored blob one after the other; all lengths are checked."""

    def __init__(self, data: bytes, magic: bytes) -> None:
        self._data = data
        self._at = 0
        self._magic = magic
        if not data.startswith(magic):
            raise Corrupt(self._name, f"it to begin with {magic!r}", repr(data[:4]))

    @property
    def _name(self) -> str:
        return f"a stored '{self._magic.decode('ascii')}' object"

    def check(self, holds: bool, expected: str, actual: str) -> None:
        if not holds:
            raise Corrupt(self._name, expected, actual)

    def head(self, form: struct.Struct, version: int) -> tuple[int, ...]:
        """The numbers of a head that begins with magic and version, which is checked."""
        return self.versioned_head(form, (version,))[1:]

    def versioned_head(self, form: struct.Struct, versions: Collection[int]) -> tuple[int, ...]:
        """As `head`, where there are several versions; the one that was found comes first."""
        _, *numbers = form.unpack(self.take(form.size))
        if numbers[0] not in versions:
            known = " or ".join(map(str, versions))
            raise Corrupt(self._name, f"version {known}", f"version {numbers[0]}")
        return tuple(numbers)

    def skip(self, size: int) -> int:
        """Pass a part by; returns where it begins."""
        at, left = self._at, len(self._data) - self._at
        if size > left:
            raise Corrupt(self._name, f"{size} more bytes", f"{left}")
        self._at = at + size
        return at

    def take(self, size: int) -> bytes:
        at = self.skip(size)
        return self._data[at : at + size]

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Corrupt(self._name, "UTF-8", "other bytes") from error

    def numbers(self, kind: str, count: int) -> "array[int]":
        numbers = array(kind)
        numbers.frombytes(self.take(numbers.itemsize * count))
        if _SWAP:
            numbers.byteswap()
        return numbers

    def done(self) -> None:
        left = len(self._data) - self._at
        self.check(left == 0, "its end", f"{left} more bytes")


def stored_numbers(kind: str, numbers: Iterable[int]) -> bytes:
    """Numbers as they are stored: little-endian, fixed width."""
    return _stored(array(kind, numbers))


def _stored(numbers: "array[int]") -> bytes:
    if not _SWAP:
        return numbers.tobytes()
    swapped = array(numbers.typecode, numbers)
    swapped.byteswap()
    return swapped.tobytes()


def _listed(
    spans: Sequence[tuple[ChunkId, int]], save: Callable[[bytes], ChunkId]
) -> tuple[tuple[ChunkId, int], ...]:
    """The same spans as a few lists: (list, bytes in it)."""
    lists: list[tuple[ChunkId, int]] = []
    for start in range(0, len(spans), SPANS_PER_LIST):
        part = spans[start : start + SPANS_PER_LIST]
        blob = b"".join(
            [
                _LIST_HEAD.pack(_LIST_MAGIC, _VERSION, len(part)),
                bytes.fromhex("".join(chunk for chunk, _ in part)),
                stored_numbers("Q", (size for _, size in part)),
            ]
        )
        lists.append((save(blob), sum(size for _, size in part)))
    return tuple(lists)


def read_list(data: bytes) -> list[tuple[ChunkId, int]]:
    """The spans in a stored list of chunks."""
    reader = Reader(data, _LIST_MAGIC)
    (count,) = reader.head(_LIST_HEAD, _VERSION)
    ids = reader.take(count * DIGEST_BYTES).hex()
    sizes = reader.numbers("Q", count)
    reader.done()
    return [(ChunkId(ids[n * 64 : n * 64 + 64]), sizes[n]) for n in range(count)]
