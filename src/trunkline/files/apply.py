"""Applies deltas to a tree: from left to right through the changes, copying what lies between.

Cost: the ranges that the changes fall in are read and written, all others are taken over by name.
Rows are copied as slices of columns; only changed rows are looked at one by one. Segments are read
side by side, one block of each at a time.

A path that is a file can't be a directory too. Only rows that are new to the tree can break that,
so only they are checked: against the changed files before them, and against the tree around them.
"""

from bisect import bisect_left
from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace

from trunkline.errors import PathConflict
from trunkline.files.basis import Basis, NewFiles, holes_of
from trunkline.files.columns import Columns, FileRow
from trunkline.files.content import join_rows
from trunkline.files.index import Loader
from trunkline.files.manifest import RangeWriter, RootId
from trunkline.files.segments import (
    APPEND,
    PUT,
    REMOVE,
    DeltaId,
    SegmentCursor,
    read_segment,
)
from trunkline.files.view import View
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import Digest

_LOOSE_BYTES_MAX = 256 * 1024

_Place = tuple[Columns, int]  # a row, where it is


class _Gathered:
    """Small chunks that are stored together, which takes one look-up for all of them."""

    def __init__(self, chunks: ChunkStore) -> None:
        self._chunks = chunks
        self._pieces: dict[bytes, bytes] = {}
        self._size_bytes = 0
        self._soon: list[bytes] = []

    def add(self, digest: bytes, piece: bytes, *, read_soon: bool = False) -> None:
        self._pieces[digest] = piece
        self._size_bytes += len(piece)
        if read_soon:
            self._soon.append(digest)
        if self._size_bytes > _LOOSE_BYTES_MAX:
            self.store()

    def store(self, more: "_Gathered | None" = None) -> None:
        """Durable after the next flush of the store; `more` is stored with it.

        If that fails all are kept: who tries again may name them.
        """
        pieces = self._pieces if more is None else {**self._pieces, **more._pieces}
        if pieces:
            self._chunks.put_hashed(list(pieces), list(pieces.values()))
        for digest in self._soon:
            self._chunks.remember(ChunkId(digest.hex()), pieces[digest])
        for stored in (self, more):
            if stored is not None:
                stored._pieces, stored._soon, stored._size_bytes = {}, [], 0


class LooseParts:
    """Parts of deltas that are kept in memory as long as they are small, instead of being stored.

    For changes that are applied at once: only what others are to find needs a place in the store.
    Small contents wait here too, to be stored together with the tree. For one thread.
    """

    def __init__(self, chunks: ChunkStore) -> None:
        self._chunks = chunks
        self._parts: dict[ChunkId, bytes] = {}
        self._room_bytes = _LOOSE_BYTES_MAX
        self.contents = _Gathered(chunks)

    def put(self, data: bytes) -> ChunkId:
        if len(data) > self._room_bytes:
            return self._chunks.put(data)
        self._room_bytes -= len(data)
        part = ChunkId(Digest(data).hexdigest())
        self._parts[part] = data
        return part

    def get(self, part: ChunkId) -> bytes:
        """A part, wherever it is."""
        loose = self._parts.get(part)
        return self._chunks.get(part) if loose is None else loose

    def store(self) -> None:
        """Put into the store what is not there; durable after its next flush."""
        self.contents.store()
        for data in self._parts.values():
            self._chunks.put(data)
        self._parts.clear()


def apply_deltas(
    loader: Loader, root: RootId, deltas: Sequence[DeltaId], *, loose: LooseParts | None = None
) -> RootId:
    """The root of the tree with all changes made, in order; see `Trees.apply`."""
    if not deltas:
        return root
    return _Application(loader, root, deltas, loose).run()


class _Application:
    def __init__(
        self,
        loader: Loader,
        root: RootId,
        deltas: Sequence[DeltaId],
        loose: LooseParts | None,
    ) -> None:
        self._loader = loader
        self._chunks = loader.chunks
        self._loose = loose
        self._nodes = _Gathered(loader.chunks)
        load = loader.chunks.get if loose is None else loose.get
        segments = [read_segment(load(ChunkId(delta))) for delta in deltas]
        self._cursors = [SegmentCursor(segment, load) for segment in segments]
        # Path: the latest segment that deletes it. A segment deletes before it changes.
        self._deleted = {path: n for n, segment in enumerate(segments) for path in segment.deletes}
        self._latest_delete = max(self._deleted.values(), default=-1)
        self._removed: set[str] = set()  # files of the old tree that went one by one
        self._new_files = NewFiles()
        self._writer = RangeWriter(self._save)
        self._basis = Basis(
            View(loader, root), holes_of(self._deleted), self._writer, self._new_files
        )
        self._checked: tuple[str, str | None] = ("", None)

    def run(self) -> RootId:
        heap = [(c.head, n) for n, c in enumerate(self._cursors) if c.head is not None]
        heapify(heap)
        while heap:
            path, n = heap[0]
            self._basis.copy_until(path)
            if not self._copy_run(n, min(heap[1:3], default=(None, 0))[0]):
                self._change(path, self._changes_of(path, heap))
                continue
            head = self._cursors[n].head
            if head is None:
                heappop(heap)
            else:
                heapreplace(heap, (head, n))
        self._basis.copy_until(None)
        root = self._writer.finish()
        self._nodes.store(None if self._loose is None else self._loose.contents)
        self._loader.keep(self._writer.made)
        return root

    def _save(self, data: bytes) -> ChunkId:
        """A part of the new tree."""
        digest = Digest(data).digest()
        self._nodes.add(digest, data, read_soon=True)
        return ChunkId(digest.hex())

    # --- many new files at once -------------------------------------------------------------------

    def _copy_run(self, n: int, other: str | None) -> bool:
        """Write the new files of one segment up to the next path of anybody else; false if none."""
        cursor = self._cursors[n]
        if not cursor.only_puts or n < self._latest_delete:
            return False
        paths = cursor.rows.paths
        surviving = self._basis.next_surviving()
        bounds = [bound for bound in (other, surviving) if bound is not None]
        end = bisect_left(paths, min(bounds), cursor.at) if bounds else len(paths)
        if end == cursor.at:
            return False
        for i in range(cursor.at, end):
            self._check_new(paths[i])
        self._writer.copy_rows(cursor.rows, cursor.at, end)
        cursor.advance(end)
        return True

    # --- one path ---------------------------------------------------------------------------------

    def _changes_of(self, path: str, heap: list[tuple[str, int]]) -> list[_Place]:
        """All changes to the path that still matter, in order; their cursors move on."""
        changes: list[_Place] = []
        deleted = self._deleted_in(path)
        while heap and heap[0][0] == path:
            _, n = heappop(heap)
            cursor = self._cursors[n]
            while cursor.head == path:
                if n >= deleted:
                    changes.append((cursor.rows, cursor.at))
                cursor.advance(cursor.at + 1)
            if cursor.head is not None:
                heappush(heap, (cursor.head, n))
        return changes

    def _change(self, path: str, changes: Sequence[_Place]) -> None:
        old = self._basis.row_at(path)
        now = old
        appended: list[_Place] = []
        for rows, i in changes:
            kind = rows.kinds[i]
            if kind == PUT:
                now, appended = (rows, i), []
            elif kind == APPEND:
                appended.append((rows, i))
            elif kind == REMOVE:
                now, appended = None, []
            else:
                latest = appended[-1] if appended else now
                if latest is not None and latest[0].datum(latest[1]) == rows.datum(i):
                    now, appended = None, []
        if appended:
            now = self._joined(now, appended)
        if now is old:
            return
        if old is not None:
            self._basis.drop_row()
        if now is None:
            self._removed.add(path)
            return
        if old is None:
            self._check_new(path)
        else:
            self._new_files.add(path)
        self._writer.copy_rows(now[0], now[1], now[1] + 1)

    def _joined(self, now: _Place | None, appended: Sequence[_Place]) -> _Place:
        places = [now, *appended] if now else list(appended)
        if len(places) == 1:
            return places[0]
        if self._loose is not None:
            self._loose.contents.store()  # they are read again
        rows: list[FileRow] = [place.row(i, self._chunks.get) for place, i in places]
        joined = Columns()
        joined.add(join_rows(self._chunks, rows), self._chunks.put)
        return joined, 0

    # --- files against directories ----------------------------------------------------------------

    def _check_new(self, path: str) -> None:
        """Raise PathConflict if a file that is new to the tree lies below another file."""
        self._new_files.add(path)
        before = self._basis.before
        directory = path.rpartition("/")[0]
        if before is None or self._checked == (directory, before):
            return
        self._checked = (directory, before)
        while directory:
            # All that sorts between a path and what lies below it begins with that path.
            if before.startswith(directory):
                following = before[len(directory) : len(directory) + 1]
                if following == "/":
                    return  # a directory in the old tree, as all above it then are
                if not following or self._basis.view.place(directory):
                    self._check_gone(directory, path)
            directory = directory.rpartition("/")[0]

    def _check_gone(self, file: str, path: str) -> None:
        if file not in self._removed and self._deleted_in(file) < 0:
            raise PathConflict(file, path)

    def _deleted_in(self, path: str) -> int:
        """The latest segment that deletes the path or a directory above it; -1 for none."""
        if not self._deleted:
            return -1
        latest = max(self._deleted.get("", -1), self._deleted.get(path, -1))
        slash = path.find("/")
        while slash >= 0:
            latest = max(latest, self._deleted.get(path[:slash], -1))
            slash = path.find("/", slash + 1)
        return latest
