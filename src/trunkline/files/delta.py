"""Collects changes to a tree, in the order they are asked for, without knowing the tree.

Small contents are hashed one by one and stored in batches. Changes are kept in memory up to a
limit, then brought into order and stored as a segment; so memory is bounded, and a million puts
make a few hundred objects. Nothing is durable before `ChunkStore.flush`.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from trunkline.api.changes import StreamedContent
from trunkline.files.apply import LooseParts
from trunkline.files.columns import Columns, FileRow
from trunkline.files.content import (
    Spans,
    filled_from,
    from_open,
    join_rows,
    store_content,
    store_filled,
)
from trunkline.files.renaming import renamed_segments
from trunkline.files.segments import (
    APPEND,
    PUT,
    REMOVE,
    REMOVE_WRITTEN,
    Change,
    DeltaId,
    SegmentCursor,
    empty_row,
    read_segment,
    write_blocks,
    write_puts,
    write_segment,
)
from trunkline.files.tree import Trees
from trunkline.files.view import Slice
from trunkline.store.chunker import CHUNK_MIN_BYTES
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import Digest

__all__ = ["DeltaId", "DeltaWriter", "delta_rows"]

_SEGMENT_CHANGES_MAX = 32 * 1024
_SEGMENT_SPANS_MAX = 128 * 1024
_BATCH_FILES_MAX = 512
_BATCH_BYTES_MAX = 4 * 1024 * 1024
_LOOSE_CONTENTS_MAX = 16  # small contents that wait for the tree, which is a batch of its own


_Noted = tuple[str, int, int, FileRow]  # (path, when, kind, row): it sorts by path, then by time


class DeltaWriter:
    """Changes to one tree. Later changes win over earlier ones; for one thread."""

    def __init__(
        self, trees: Trees, *, loose: LooseParts | None = None, by_datum: bool = False
    ) -> None:
        """`loose` takes the parts of segments that nobody may have to find in the store.

        With `by_datum`, what different datums put at one path is all kept, in order: such segments
        are for readers of rows, and never applied.
        """
        self._chunks = trees.chunks
        self._save = trees.chunks.put if loose is None else loose.put
        self._loose = loose
        self._by_datum = by_datum
        self._done: list[DeltaId] = []
        self._changes: list[_Noted] = []
        self._deletes: dict[str, int] = {}  # path: when
        self._clock = 0
        self._spans = 0
        self._sorted = Columns()  # puts that came in order
        self._dropped: list[str] = []  # deletes that came with them
        self._small_digests: list[bytes] = []
        self._small: list[bytes] = []
        self._small_bytes = 0
        self.rows = 0  # puts, copies included
        self.bytes = 0  # their content

    def put(
        self, path: str, content: Iterable[bytes], *, append: bool = False, datum: str = ""
    ) -> FileRow:
        """Write a file, or add to its end; returns the row of the content given here."""
        row = self.store(path, content, datum=datum)
        self.put_row(row, append=append)
        return row

    def store(self, path: str, content: Iterable[bytes], *, datum: str = "") -> FileRow:
        """Store the content of a file without changing the tree: `put_row` may do that later."""
        size, digest, spans = self._store(content)
        return FileRow(path=path, size_bytes=size, digest=digest, chunks=spans, datum=datum)

    def put_row(self, row: FileRow, *, append: bool = False) -> None:
        """Write a file whose chunks are stored already, as the rows of any tree are."""
        self.rows += 1
        self.bytes += row.size_bytes
        self._spans += len(row.chunks)
        self._note(APPEND if append else PUT, row)

    def copy(
        self, slices: Iterable[Slice], *, source: str, target: str, append: bool = False
    ) -> int:
        """Write the rows below directory (or of file) `source` at `target`; returns their number.

        Columns become columns: no row is looked at. Raises InvalidPath for paths that get too long.
        """
        self._spill()
        self._spill_sorted()
        rows = 0
        for part in renamed_segments(slices, source=source, target=target, append=append):
            rows += sum(len(block) for block in part)
            self.bytes += sum(sum(block.sizes) for block in part)
            self._done.append(write_blocks(part, (), self._chunks.put))
        self.rows += rows
        return rows

    def put_open(self, path: str, fd: int, *, append: bool = False) -> None:
        """Write a file, or add to its end, from an open one."""
        begin = os.read(fd, CHUNK_MIN_BYTES + 1)
        if len(begin) <= CHUNK_MIN_BYTES:
            pieces = chain([begin], iter(lambda: os.read(fd, CHUNK_MIN_BYTES), b""))
            self.put(path, pieces, append=append)
            return
        size, digest, spans = store_filled(self._chunks, filled_from(begin, from_open(fd)))
        row = FileRow(path=path, size_bytes=size, digest=digest, chunks=spans)
        self.put_row(row, append=append)

    def put_sorted(self, paths: list[str], rows: Columns) -> None:
        """Write files whose chunks are stored already, in bulk: `rows`, but for their paths.

        Quick as long as the paths come sorted, over several calls.
        """
        if not paths:
            return
        if self._changes or self._deletes:
            self._spill()
        if self._sorted.paths and paths[0] <= self._sorted.paths[-1]:
            self._spill_sorted()
        start = len(self._sorted)
        self._sorted.copy_rows(rows, 0, len(rows))
        self._sorted.paths[start:] = paths
        self.rows += len(rows)
        self.bytes += sum(rows.sizes)
        if len(self._sorted) >= _SEGMENT_CHANGES_MAX or (
            len(self._sorted.ref_sizes) >= _SEGMENT_SPANS_MAX
        ):
            self._spill_sorted()

    def drop_sorted(self, path: str) -> None:
        """Remove a file that no `put_sorted` writes, beside those."""
        if self._changes or self._deletes:
            self._spill()
        self._dropped.append(path)
        if len(self._dropped) >= _SEGMENT_CHANGES_MAX:
            self._spill_sorted()

    def delete(self, path: str) -> None:
        """Remove a file, or a directory with all below; "" is everything."""
        self._spill_sorted()
        self._clock += 1
        self._deletes[path] = self._clock
        if len(self._deletes) >= _SEGMENT_CHANGES_MAX:
            self._spill()

    def delete_written(self, path: str, datum: str) -> None:
        """Remove a file if the datum wrote what is there at this moment."""
        self._note(REMOVE_WRITTEN, empty_row(path, datum=datum))

    def finish(self) -> list[DeltaId]:
        """Store what is left; returns the segments in order. Flush the chunk store afterwards."""
        self._spill()
        self._spill_sorted()
        return list(self._done)

    def _note(self, kind: int, row: FileRow) -> None:
        self._spill_sorted()
        self._clock += 1
        self._changes.append((row.path, self._clock, kind, row))
        if len(self._changes) >= _SEGMENT_CHANGES_MAX or self._spans >= _SEGMENT_SPANS_MAX:
            self._spill()

    # --- contents ---------------------------------------------------------------------------------

    def _store(self, content: Iterable[bytes]) -> tuple[int, str, Spans]:
        pieces: list[bytes] = []
        size = 0
        rest = iter(content)
        for piece in rest:
            pieces.append(piece)
            size += len(piece)
            if size > CHUNK_MIN_BYTES:
                if isinstance(content, StreamedContent):  # the rest of it needs no pieces
                    fill = filled_from(b"".join(pieces), content.readinto)
                    return store_filled(self._chunks, fill)
                return store_content(self._chunks, chain(pieces, rest))
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        digest = Digest(data).digest()
        if not size:
            return 0, digest.hex(), ()
        self._small_digests.append(digest)
        self._small.append(data)
        self._small_bytes += size
        if len(self._small) >= _BATCH_FILES_MAX or self._small_bytes >= _BATCH_BYTES_MAX:
            self._store_small()
        name = digest.hex()
        return size, name, ((ChunkId(name), size),)

    def _store_small(self) -> None:
        if self._loose is None or len(self._small) > _LOOSE_CONTENTS_MAX:
            self._chunks.put_hashed(self._small_digests, self._small)
        else:
            for digest, data in zip(self._small_digests, self._small, strict=True):
                self._loose.contents.add(digest, data)
        self._small_digests, self._small, self._small_bytes = [], [], 0

    # --- segments ---------------------------------------------------------------------------------

    def _spill(self) -> None:
        self._store_small()
        if not self._changes and not self._deletes:
            return
        self._changes.sort()
        changes: list[Change] = []
        start = 0
        for end in range(1, len(self._changes) + 1):
            path, _, kind, row = self._changes[start]
            if end < len(self._changes) and self._changes[end][0] == path:
                continue
            if end == start + 1 and not self._deletes:
                changes.append(Change(kind=kind, row=row))
            else:
                changes += self._of_one_path(path, self._changes[start:end])
            start = end
        segment = write_segment(
            changes, sorted(self._deletes), self._save, save_list=self._chunks.put
        )
        self._done.append(segment)
        self._changes, self._deletes, self._spans = [], {}, 0

    def _spill_sorted(self) -> None:
        if not self._sorted.paths and not self._dropped:
            return
        self._done.append(write_puts(self._sorted, sorted(self._dropped), self._chunks.put))
        self._sorted, self._dropped = Columns(), []

    def _of_one_path(self, path: str, changes: Sequence[_Noted]) -> Sequence[Change]:
        """The changes to a path that still matter, as few as possible.

        What came before the path was deleted doesn't count; what comes after it meets nothing.
        """
        if self._by_datum:
            of_datum = {row.datum: Change(kind=kind, row=row) for _, _, kind, row in changes}
            return tuple(of_datum.values())
        deleted = self._deleted(path) if self._deletes else 0
        gone = Change(kind=REMOVE, row=empty_row(path))
        start = gone if deleted else None  # what is there for certain; None: not known here
        conditions: list[Change] = []
        appended: list[FileRow] = []
        for _, when, kind, row in changes:
            if when < deleted:
                continue
            if kind == PUT:
                start, conditions, appended = Change(kind=kind, row=row), [], []
            elif kind == APPEND:
                appended.append(row)
            elif start is None and not appended:
                conditions.append(Change(kind=kind, row=row))
            elif appended or start is not gone:
                latest = appended[-1] if appended or start is None else start.row
                if latest.datum == row.datum:
                    start, conditions, appended = gone, [], []
        if appended:
            if self._loose is not None:
                self._loose.contents.store()  # they are read again
            return self._appended(start, conditions, appended)
        if start is None:
            return conditions
        return () if start is gone and deleted else (start,)

    def _appended(
        self, start: Change | None, conditions: Sequence[Change], appended: Sequence[FileRow]
    ) -> Sequence[Change]:
        if start is None:
            row = join_rows(self._chunks, appended)
            return [*conditions, Change(kind=APPEND, row=row)]
        before = [start.row] if start.kind == PUT else []
        return [Change(kind=PUT, row=join_rows(self._chunks, [*before, *appended]))]

    def _deleted(self, path: str) -> int:
        """When the path, or a directory above it, was deleted last; 0 for never."""
        latest = max(self._deletes.get(path, 0), self._deletes.get("", 0))
        slash = path.find("/")
        while slash >= 0:
            latest = max(latest, self._deletes.get(path[:slash], 0))
            slash = path.find("/", slash + 1)
        return latest


def delta_rows(trees: Trees, delta: DeltaId) -> Iterator[FileRow]:
    """The files that a stored delta puts, by path; appends and removals are left out."""
    load = trees.chunks.get
    cursor = SegmentCursor(read_segment(load(ChunkId(delta))), load)
    while cursor.head is not None:
        if cursor.rows.kinds[cursor.at] == PUT:
            yield cursor.rows.row(cursor.at, load)
        cursor.advance(cursor.at + 1)


def delta_places(
    trees: Trees, delta: DeltaId, low: str, high: str | None
) -> Iterator[tuple[str, str]]:
    """(path, key of the datum) of the files that a stored delta puts in an interval of paths."""
    load = trees.chunks.get
    for rows in SegmentCursor(read_segment(load(ChunkId(delta))), load).blocks():
        start = bisect_left(rows.paths, low)
        end = len(rows) if high is None else bisect_left(rows.paths, high)
        yield from ((rows.paths[i], rows.datum_key(i)) for i in range(start, end))
