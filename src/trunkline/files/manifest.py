"""Manifests: a tree as ranges of rows, named by the digest of their index.

Which rows share a range depends on their paths alone, never on how the tree came about: going
through the sorted paths, a range ends where the hash of a path is small enough, but not before
`Cuts.least` rows and not after `Cuts.most`. Whether it ends at a row depends only on the rows since
its start. So after an edit the cuts fall back into step with the old ones at the next cut that both
have, and all later ranges stay as they are. The index is cut into nodes by the same rule.

Trees are written in version 2, whose ranges have an eighth of the rows of version 1. A tree of
version 1 is read as it is, and written anew, all of it, the first time that it is changed.

Format page: docs/formats/manifest.md (version 2).
"""

import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NewType
from zlib import crc32

from trunkline.files.columns import (
    Columns,
    FileRow,
    Reader,
    encode_columns,
    stored_numbers,
)
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import DIGEST_BYTES, Digest, raw

__all__ = ["EMPTY", "FileRow", "Ranges", "RangeWriter", "RootId", "Unit", "read_node"]

RootId = NewType("RootId", str)  # digest of the root blob, 64 hex digits

RANGE_MAGIC = b"TLRN"
NODE_MIN = 16
NODE_AVG = 128
NODE_MAX = 512

_NODE_MAGIC = b"TLMI"
_NODE_HEAD = struct.Struct("<4sBB2xIIQQ")  # magic, version, level, entries, text bytes, rows, bytes
_EMPTY_VERSION = 1  # so that the empty tree has one name in all versions

_MADE_RANGES_MAX = 8  # of one tree, that stay at hand
_MADE_NODES_MAX = 64

_HASH_MASK = 0xFFFFFFFF
_SPREAD = 0x9E3779B1  # odd; makes the checksum of similar paths dissimilar
_NODE_CUT = (1 << 32) // NODE_AVG


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """How many rows a range has, and how small the hash of the path must be that it ends with."""

    least: int
    easy: int  # from so many rows on a cut is eight times as likely, so that `most` is hardly met
    most: int
    limit: int
    limit_easy: int


def _cuts(*, least: int, average: int, easy: int, most: int) -> Cuts:
    limit = (1 << 32) // average
    return Cuts(least=least, easy=easy, most=most, limit=limit, limit_easy=limit * 8)


VERSION = 2  # of the trees that are written
CUTS = {
    1: _cuts(least=256, average=2048, easy=4096, most=8192),
    2: _cuts(least=32, average=256, easy=512, most=1024),
}


class Ranges:
    """The ranges of a tree (or the nodes over them), in order, by column.

    Those of a stored node keep its paths as one text until somebody asks for one of them.
    """

    __slots__ = ("_firsts", "_lasts", "_text", "names", "rows", "sizes")

    def __init__(self) -> None:
        self._text = ""  # as it is stored; of what is being made, nothing
        self._firsts: list[str] = []
        self._lasts: list[str] = []
        self.names = bytearray()  # 32 bytes each: digests of the blobs
        self.rows = array("Q")
        self.sizes = array("Q")  # bytes of content

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def firsts(self) -> list[str]:
        """The first path of each entry."""
        if not self._firsts:
            self._cut()
        return self._firsts

    @property
    def lasts(self) -> list[str]:
        """The last path of each entry."""
        if not self._lasts:
            self._cut()
        return self._lasts

    def _cut(self) -> None:
        # Other threads may be about it too: each assigns the same, and a whole list.
        if self._text:
            paths = self._text.split("\0")
            self._firsts = paths[: len(self)]
            self._lasts = paths[len(self) :]

    @property
    def ends(self) -> tuple[str, str]:
        """The first and the last path of all; there are entries."""
        if self._lasts:
            return self.firsts[0], self._lasts[-1]
        return self._text[: self._text.index("\0")], self._text[self._text.rindex("\0") + 1 :]

    def begin_and_end_as(self, other: "Ranges") -> bool:
        """Whether the entries of another node have the same first and last paths."""
        if self._text and other._text:
            return self._text == other._text
        return self.firsts == other.firsts and self.lasts == other.lasts

    @classmethod
    def stored(cls, reader: Reader, count: int, text_bytes: int) -> "Ranges":
        """So many entries that come next in a stored node."""
        entries = cls()
        entries._text = reader.text(text_bytes)
        paths = entries._text.count("\0") + 1 if count else 0
        if paths != 2 * count:
            reader.check(False, f"{2 * count} paths", str(paths))
        entries.names += reader.take(count * DIGEST_BYTES)
        entries.rows = reader.numbers("Q", count)
        entries.sizes = reader.numbers("Q", count)
        return entries

    def id(self, n: int) -> ChunkId:
        """The blob of an entry."""
        return ChunkId(self.names[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES].hex())

    @property
    def ids(self) -> list[ChunkId]:
        """The blobs of all entries."""
        return [self.id(n) for n in range(len(self))]

    def add(self, *, first: str, last: str, blob: ChunkId, rows: int, size: int) -> None:
        self._firsts.append(first)
        self._lasts.append(last)
        self.names += raw(blob)
        self.rows.append(rows)
        self.sizes.append(size)

    def copy(self, source: "Ranges", start: int, end: int) -> None:
        """Append entries of another node."""
        self._firsts += source.firsts[start:end]
        self._lasts += source.lasts[start:end]
        self.names += source.names[start * DIGEST_BYTES : end * DIGEST_BYTES]
        self.rows += source.rows[start:end]
        self.sizes += source.sizes[start:end]

    def unit(self, level: int, n: int) -> "Unit":
        """One entry as a value."""
        return Unit(level, self.firsts[n], self.lasts[n], self.id(n), self.rows[n], self.sizes[n])


class Unit(NamedTuple):
    """What an entry of the index says: a range (level 0), or a node of a level and all below it."""

    level: int
    first: str
    last: str
    blob: ChunkId
    rows: int
    size: int  # bytes of content


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A blob of the index: entries that are ranges (level 1) or nodes of the level below."""

    version: int
    level: int
    rows: int
    size_bytes: int
    entries: Ranges


def encode_node(level: int, entries: Ranges) -> bytes:
    """The canonical bytes of a node."""
    text = "\0".join([*entries.firsts, *entries.lasts]).encode("utf-8")
    head = _NODE_HEAD.pack(
        _NODE_MAGIC,
        VERSION if entries else _EMPTY_VERSION,
        level,
        len(entries),
        len(text),
        sum(entries.rows),
        sum(entries.sizes),
    )
    return b"".join(
        [
            head,
            text,
            entries.names,
            stored_numbers("Q", entries.rows),
            stored_numbers("Q", entries.sizes),
        ]
    )


def read_node(data: bytes) -> Node:
    """The node in a blob; raises Corrupt for anything that `encode_node` doesn't write."""
    reader = Reader(data, _NODE_MAGIC)
    version, level, count, text_bytes, rows, size = reader.versioned_head(_NODE_HEAD, CUTS)
    entries = Ranges.stored(reader, count, text_bytes)
    reader.done()
    found = sum(entries.rows), sum(entries.sizes)
    if found != (rows, size):
        reader.check(False, f"{rows} rows and {size} bytes", f"{found[0]} and {found[1]}")
    return Node(version=version, level=level, rows=rows, size_bytes=size, entries=entries)


EMPTY_BLOB = encode_node(1, Ranges())
EMPTY = RootId(Digest(EMPTY_BLOB).hexdigest())  # root of the empty tree; readable without storing


def is_cut(path: str, rows: int, cuts: Cuts) -> bool:
    """Whether a range of so many rows ends with this path."""
    if rows < cuts.least:
        return False
    if rows >= cuts.most:
        return True
    spread = (crc32(path.encode("utf-8")) * _SPREAD) & _HASH_MASK
    return spread < (cuts.limit if rows < cuts.easy else cuts.limit_easy)


def next_cut(paths: Sequence[str], start: int, end: int, rows: int, cuts: Cuts) -> int:
    """Where, in start…end, a range that has `rows` rows before `start` ends; 0 if it doesn't.

    The result is the number of the first row of the next range.
    """
    at = start + max(0, cuts.least - 1 - rows)
    while at < end:
        # The rule of `is_cut`, written out: this runs once for every row that is written.
        easy = rows + at - start + 1 >= cuts.easy
        limit = cuts.limit_easy if easy else cuts.limit
        stop = min(end, start + (cuts.most if easy else cuts.easy) - 1 - rows)
        for i in range(at, stop):
            if (crc32(paths[i].encode("utf-8")) * _SPREAD) & _HASH_MASK < limit:
                return i + 1
        if easy and stop < end:
            return stop + 1
        at = stop
    return 0


def _next_cut_of_range(paths: Sequence[str], start: int, end: int, rows: int, cuts: Cuts) -> int:
    """As `next_cut`, where `paths` are those of a whole range that was cut by the same rule.

    It was not cut before its last row, so the hashes of all others that were asked are known to be
    large; they count for the new range as far as that is not in its easy part.
    """
    asked = min(end, max(start, cuts.least - 1))
    known = max(asked, min(end, len(paths) - 1, start + cuts.easy - 1 - rows))
    return next_cut(paths, start, asked, rows, cuts) or next_cut(
        paths, known, end, rows + known - start, cuts
    )


def _next_node_cut(source: Ranges, start: int, end: int, entries: int) -> int:
    """Where, in entries start…end of a node, one ends that has `entries` before; 0 if it doesn't.

    What its own node was asked about and not cut at, but for the last one, is known to be no cut.
    """
    for i in range(start, end):
        count = entries + i - start + 1
        known = NODE_MIN - 1 <= i < len(source) - 1 and count < NODE_MAX
        if not known and is_node_cut(source.lasts[i], count):
            return i + 1
    return 0


class RangeWriter:
    """Writes a tree from left to right: rows, or ranges and nodes of another tree where they fit.

    Memory: the rows of one range and the entries of one node of each level.
    """

    def __init__(self, save: Callable[[bytes], ChunkId]) -> None:
        self._save = save
        self.version = VERSION
        self._cuts = CUTS[VERSION]
        self._rows = Columns()
        self._open: list[Ranges] = []  # entries of the next node of level 1, of level 2, …
        self._ranges: list[tuple[ChunkId, Columns]] = []  # that were made, while they are few
        self._nodes: list[tuple[ChunkId, Node]] = []

    @property
    def at_boundary(self) -> bool:
        """Whether the next row begins a range."""
        return not self._rows.paths

    def fits(self, level: int) -> bool:
        """Whether a range (level 0) or node that comes now would begin where one begins here."""
        return self.at_boundary and not any(self._open[:level])

    def reaches(self, level: int) -> bool:
        """Whether a node of that level, or of a higher one, has been written."""
        return any(self._open[level:])

    def take(self, unit: Unit) -> None:
        """Reuse a range or node; only where it `fits` and the same cuts would fall.

        The last node of a level ends with its tree, not by the rule: it must be the last thing
        that is taken, and not the only one of its level.
        """
        assert self.fits(unit.level)
        self._add(unit)

    def take_run(self, level: int, source: Ranges, start: int, end: int) -> None:
        """As `take`, of several entries of one node (none the last of its tree)."""
        assert self.fits(level)
        while len(self._open) <= level:
            self._open.append(Ranges())
        while start < end:
            cut = _next_node_cut(source, start, end, len(self._open[level]))
            self._open[level].copy(source, start, cut or end)
            if cut:
                self._end_node(level + 1)
            start = cut or end

    def copy_rows(self, source: Columns, start: int, end: int, *, of_range: bool = False) -> None:
        """Append rows, which follow all earlier ones in order.

        `of_range`: the source is a whole range of a tree of this version, whose own cuts tell most
        of the new ones.
        """
        cut_after = _next_cut_of_range if of_range else next_cut
        while start < end:
            cut = cut_after(source.paths, start, end, len(self._rows), self._cuts)
            self._rows.copy_rows(source, start, cut or end)
            if cut:
                self._end_range()
            start = cut or end

    def finish(self) -> RootId:
        """Store what is left and the index; returns the root of the tree."""
        if not self.at_boundary:
            self._end_range()
        level = 1
        while level <= len(self._open):
            if self._open[level - 1]:
                self._end_node(level)
            if level + 1 == len(self._open) and len(self._open[level]) == 1:
                return RootId(self._open[level].id(0))
            level += 1
        return EMPTY

    @property
    def made(self) -> list[tuple[ChunkId, Columns | Node]]:
        """What was written, as reading it would give it; not what is much. Not to be changed.

        So that the next small change to the tree, and whoever asks what this one has changed, need
        not read what was written.
        """
        ranges = self._ranges if len(self._ranges) <= _MADE_RANGES_MAX else []
        nodes = self._nodes if len(self._nodes) <= _MADE_NODES_MAX else []
        return [*ranges, *nodes]

    def _end_range(self) -> None:
        rows, self._rows = self._rows, Columns()
        rows.kinds = bytearray(len(rows))
        blob = self._save(encode_columns(RANGE_MAGIC, rows))
        if len(self._ranges) <= _MADE_RANGES_MAX:
            self._ranges.append((blob, rows))
        self._add(
            Unit(
                level=0,
                first=rows.paths[0],
                last=rows.paths[-1],
                blob=blob,
                rows=len(rows),
                size=sum(rows.sizes),
            )
        )

    def _add(self, unit: Unit) -> None:
        """Append an entry to the node above it, which may end with it."""
        level = unit.level + 1
        while len(self._open) < level:
            self._open.append(Ranges())
        entries = self._open[level - 1]
        entries.add(
            first=unit.first, last=unit.last, blob=unit.blob, rows=unit.rows, size=unit.size
        )
        if is_node_cut(unit.last, len(entries)):
            self._end_node(level)

    def _end_node(self, level: int) -> None:
        entries, self._open[level - 1] = self._open[level - 1], Ranges()
        rows, size = sum(entries.rows), sum(entries.sizes)
        node = Node(version=VERSION, level=level, rows=rows, size_bytes=size, entries=entries)
        blob = self._save(encode_node(level, entries))
        if len(self._nodes) <= _MADE_NODES_MAX:
            self._nodes.append((blob, node))
        self._add(
            Unit(
                level=level,
                first=entries.firsts[0],
                last=entries.lasts[-1],
                blob=blob,
                rows=rows,
                size=size,
            )
        )


def is_node_cut(last: str, entries: int) -> bool:
    """Whether a node of so many entries ends with the one that ends with this path."""
    if entries < NODE_MIN:
        return False
    if entries >= NODE_MAX:
        return True
    # Not the hash of the rows: the last path of a range is one that this hash has chosen.
    chosen = int.from_bytes(Digest(last.encode("utf-8")).digest()[:4], "little")
    return chosen < _NODE_CUT
