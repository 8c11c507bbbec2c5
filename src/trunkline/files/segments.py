"""Deltas as they are stored: sorted changes to a tree that is not known yet.

A segment first deletes paths (with all below them) from what was before, then changes files. Its
changes are sorted by path and lie in blocks, so that many segments can be read side by side in
little memory. A path may have several changes; their order counts.

Format page: docs/formats/delta.md (version 1).
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NewType

from trunkline.errors import Corrupt
from trunkline.files.columns import (
    Columns,
    FileRow,
    Reader,
    decode_columns,
    encode_columns,
    stored_numbers,
)
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import DIGEST_BYTES

DeltaId = NewType("DeltaId", str)  # digest of a segment, 64 hex digits

PUT = 0  # the file becomes this row
APPEND = 1  # the content of this row goes behind what is there
REMOVE = 2  # the file (not a directory) goes
REMOVE_WRITTEN = 3  # the file goes if the datum of this row wrote it

BLOCK_ROWS = 1024

BLOCK_MAGIC = b"TLDB"
_MAGIC = b"TLDS"
_HEAD = struct.Struct("<4sB3xIII")  # magic, version, blocks, deletes, bytes of their text
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The table of contents of one delta."""

    blocks: tuple[ChunkId, ...]
    rows: tuple[int, ...]  # of each block
    deletes: tuple[str, ...]  # sorted


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change to one file."""

    kind: int
    row: FileRow


def write_segment(
    changes: Sequence[Change],
    deletes: Sequence[str],
    save: Callable[[bytes], ChunkId],
    *,
    save_list: Callable[[bytes], ChunkId] | None = None,
) -> DeltaId:
    """Store sorted changes and deletes; returns the name of the segment.

    `save_list` stores what the rows of trees will name too: lists of very many chunks.
    """

    def blocks() -> Iterator[Columns]:
        for start in range(0, len(changes), BLOCK_ROWS):
            rows = Columns()
            for change in changes[start : start + BLOCK_ROWS]:
                rows.add(change.row, save_list or save, kind=change.kind)
            yield rows

    return write_blocks(blocks(), deletes, save)


def write_blocks(
    rows_of_blocks: Iterable[Columns], deletes: Sequence[str], save: Callable[[bytes], ChunkId]
) -> DeltaId:
    """Store a segment of blocks that are there as columns, sorted and at most `BLOCK_ROWS` each."""
    blocks: list[ChunkId] = []
    counts: list[int] = []
    for rows in rows_of_blocks:
        blocks.append(save(encode_columns(BLOCK_MAGIC, rows)))
        counts.append(len(rows))
    text = "\0".join(deletes).encode("utf-8")
    blob = b"".join(
        [
            _HEAD.pack(_MAGIC, _VERSION, len(blocks), len(deletes), len(text)),
            text,
            bytes.fromhex("".join(blocks)),
            stored_numbers("I", counts),
        ]
    )
    return DeltaId(save(blob))


def write_puts(rows: Columns, deletes: Sequence[str], save: Callable[[bytes], ChunkId]) -> DeltaId:
    """Store sorted rows as changes that put them; otherwise as `write_segment`."""
    return write_blocks(_parts(rows), deletes, save)


def _parts(rows: Columns) -> Iterator[Columns]:
    for start in range(0, len(rows), BLOCK_ROWS):
        part = Columns()
        part.copy_rows(rows, start, min(start + BLOCK_ROWS, len(rows)))
        yield part


def read_segment(data: bytes) -> Segment:
    """The segment in a blob; raises Corrupt for anything that `write_segment` doesn't write."""
    reader = Reader(data, _MAGIC)
    count, delete_count, text_bytes = reader.head(_HEAD, _VERSION)
    text = reader.text(text_bytes)
    deletes = text.split("\0") if delete_count else []
    reader.check(len(deletes) == delete_count, f"{delete_count} paths", str(len(deletes)))
    ids = reader.take(count * DIGEST_BYTES).hex()
    rows = reader.numbers("I", count)
    reader.done()
    return Segment(
        blocks=tuple(ChunkId(ids[n * 64 : n * 64 + 64]) for n in range(count)),
        rows=tuple(rows),
        deletes=tuple(deletes),
    )


class SegmentCursor:
    """Goes through the changes of a segment by path; holds one block at a time."""

    def __init__(self, segment: Segment, load: Callable[[ChunkId], bytes]) -> None:
        self._segment = segment
        self._load = load
        self._next_block = 0
        self.rows = Columns()
        self.at = 0
        self.only_puts = False  # whether the block at hand has nothing but PUT
        self._fill()

    def blocks(self) -> Iterator[Columns]:
        """The blocks from the one at hand on, whole."""
        while len(self.rows):
            yield self.rows
            self.advance(len(self.rows))

    @property
    def head(self) -> str | None:
        """The path of the change at hand; None at the end."""
        return self.rows.paths[self.at] if self.at < len(self.rows) else None

    def advance(self, to: int) -> None:
        """Go on to a row of the block at hand, or (at its end) to the next block."""
        self.at = to
        if to >= len(self.rows):
            self._fill()

    def _fill(self) -> None:
        self.rows, self.at = Columns(), 0
        if self._next_block < len(self._segment.blocks):
            data = self._load(self._segment.blocks[self._next_block])
            self.rows = decode_columns(BLOCK_MAGIC, data)
            self._next_block += 1
            kind = max(self.rows.kinds, default=PUT)
            if kind > REMOVE_WRITTEN:
                raise Corrupt("a delta", f"kinds up to {REMOVE_WRITTEN}", str(kind))
            self.only_puts = self.rows.kinds.count(PUT) == len(self.rows)


def empty_row(path: str, *, datum: str = "") -> FileRow:
    """The row of a change that needs no content."""
    return FileRow(path=path, size_bytes=0, digest="0" * 64, chunks=(), datum=datum)
