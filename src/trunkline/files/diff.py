"""What differs between two trees, or between two places in them.

Nodes and ranges that both trees share are skipped by their names; in others, equal stretches are
found by comparing slices of columns. Cost: the ranges that differ, and the nodes above them.
"""

from bisect import bisect_left
from collections.abc import Iterator

from trunkline.files.columns import Columns, FileRow
from trunkline.files.glance import Glance
from trunkline.files.manifest import Unit
from trunkline.files.view import View, below
from trunkline.model.versions import Side
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import DIGEST_BYTES

_STRIDE = 64  # rows compared at once to begin with


def diff_trees(
    *, new: View, new_prefix: str, old: View, old_prefix: str
) -> Iterator[tuple[Side, FileRow]]:
    """The rows whose path relative to the prefix is only on one side, or whose content differs.

    By relative path; of a changed one first the new row, then the old one. A prefix may name a
    file: then its relative path is empty.
    """
    a = _Cursor(new, new_prefix)
    b = _Cursor(old, old_prefix)
    same_place = new_prefix == old_prefix
    while not (a.done or b.done):
        if same_place:
            if _skip_shared(a, b):
                continue
            pair = _alike(a, b)
            if pair:
                yield from _changed(a, b, *pair)
                continue
        a.open()
        b.open()
        equal = _equal_rows(a, b)
        if equal:
            a.forward(equal)
            b.forward(equal)
            continue
        first, second = a.path, b.path
        if first <= second:
            yield Side.NEW, a.take()
        if second <= first:
            yield Side.OLD, b.take()
    while not a.done:
        a.open()
        yield Side.NEW, a.take()
    while not b.done:
        b.open()
        yield Side.OLD, b.take()


class _Cursor:
    """A position in the part of a tree that is compared."""

    def __init__(self, view: View, prefix: str) -> None:
        self._view = view
        file = bool(prefix) and view.place(prefix) is not None
        self._low, self._high = (prefix, prefix + "\0") if file else below(prefix)
        self._skip = len(prefix) if file else len(self._low)
        self._cursor = view.cursor(self._low)
        self._rows: Columns | None = None  # of the range at the position, once it is opened
        self._at = 0
        self._end = 0
        self._settle()

    @property
    def done(self) -> bool:
        return self._cursor.done

    @property
    def level(self) -> int:
        """Of the unit that is ahead as a whole, inside; -1 if there is none."""
        cursor = self._cursor
        if self._rows is not None or cursor.first < self._low:
            return -1
        return -1 if self._high is not None and cursor.last >= self._high else cursor.level

    @property
    def blob(self) -> ChunkId:
        """The name of the unit at the position."""
        return self._cursor.blob

    @property
    def unit(self) -> Unit:
        """What the index says about the unit at the position."""
        return self._cursor.unit

    def glance(self, unit: Unit) -> Glance:
        """A range as it is stored."""
        return self._view.loader.glance(unit)

    def row(self, place: tuple[Columns, int]) -> FileRow:
        rows, i = place
        return rows.row(i, self._view.loader.chunks.get)

    def descend(self) -> None:
        """Look into the node at the position."""
        self._cursor.descend()

    @property
    def ahead(self) -> tuple[list[ChunkId], int, int]:
        """Names of units of a node, and which of them are ahead as wholes, inside."""
        entries, at, end = self._cursor.siblings(self._high)
        return entries.ids, at, end

    def skip(self, count: int = 1) -> None:
        """Go behind the unit at the position, or several of its node."""
        self._cursor.step(count)
        self._settle()

    def open(self) -> None:
        """Read the rows at the position."""
        if self._rows is None:
            self._rows = self._cursor.rows()
            self._at = bisect_left(self._rows.paths, self._low)
            high = self._high
            self._end = len(self._rows) if high is None else bisect_left(self._rows.paths, high)

    @property
    def path(self) -> str:
        """The relative path at the position."""
        assert self._rows is not None
        return self._rows.paths[self._at][self._skip :]

    @property
    def left(self) -> int:
        return self._end - self._at

    def paths(self, start: int, count: int) -> list[str]:
        """Relative paths, counted from the position."""
        assert self._rows is not None
        paths = self._rows.paths[self._at + start : self._at + start + count]
        return [path[self._skip :] for path in paths] if self._skip else paths

    def digests(self, start: int, count: int) -> bytearray:
        """Digests of contents, counted from the position."""
        assert self._rows is not None
        first = (self._at + start) * DIGEST_BYTES
        return self._rows.digests[first : first + count * DIGEST_BYTES]

    def take(self) -> FileRow:
        """The row at the position, which moves on."""
        assert self._rows is not None
        row = self.row((self._rows, self._at))
        self.forward(1)
        return row

    def forward(self, count: int) -> None:
        self._at += count
        if self._at >= self._end:
            self._rows = None
            self._cursor.step()
            self._settle()

    def _settle(self) -> None:
        """Go to the end if no row at the position is inside."""
        cursor = self._cursor
        if cursor.done:
            return
        if cursor.first < self._low:
            self.open()
            if self.left > 0:
                return
        elif self._high is None or cursor.first < self._high:
            return
        self._rows = None
        cursor.end()


def _skip_shared(a: _Cursor, b: _Cursor) -> bool:
    """Skip what both trees have at their positions, or look closer; false if rows must be read."""
    while True:
        ours, theirs = a.level, b.level
        if ours < 0 or theirs < 0:
            return False
        if a.blob == b.blob:
            count = common_run(a.ahead, b.ahead)
            a.skip(count)
            b.skip(count)
            return True
        if ours == theirs == 0:
            return False
        if ours >= theirs:
            a.descend()
        if theirs >= ours:
            b.descend()


def common_run(ours: tuple[list[ChunkId], int, int], theirs: tuple[list[ChunkId], int, int]) -> int:
    """How many names are equal from two places on; at least the first is."""
    (a, at, a_end), (b, bt, b_end) = ours, theirs
    most, equal, stride = min(a_end - at, b_end - bt), 1, 1
    while stride and equal < most:
        count = min(stride, most - equal)
        if a[at + equal : at + equal + count] == b[bt + equal : bt + equal + count]:
            equal += count
            stride *= 2
        else:
            stride = count // 2
    return equal


def _alike(a: _Cursor, b: _Cursor) -> tuple[Unit, Unit] | None:
    """The ranges that are ahead on both sides, as wholes, if they may well have the same paths."""
    if (a.level, b.level) != (0, 0):
        return None
    one, other = a.unit, b.unit
    alike = (one.rows, one.first, one.last) == (other.rows, other.first, other.last)
    return (one, other) if alike else None


def _changed(a: _Cursor, b: _Cursor, one: Unit, other: Unit) -> Iterator[tuple[Side, FileRow]]:
    """What differs in two such ranges, by their stored bytes; goes behind them.

    If their paths differ after all, nothing is said, and their rows are opened.
    """
    ours, theirs = a.glance(one), b.glance(other)
    if not ours.has_paths_of(theirs):
        a.open()
        b.open()
        return
    for i in ours.differing(theirs):
        path = ours.path(i)
        yield Side.NEW, a.row(ours.row(i, path))
        yield Side.OLD, b.row(theirs.row(i, path))
    a.skip()
    b.skip()


def _equal_rows(a: _Cursor, b: _Cursor) -> int:
    """How many rows from the two positions on are equal on both sides, within one range."""
    most = min(a.left, b.left)
    equal, stride = 0, _STRIDE
    while stride and equal < most:
        count = min(stride, most - equal)
        if a.digests(equal, count) == b.digests(equal, count) and a.paths(equal, count) == b.paths(
            equal, count
        ):
            equal += count
            stride *= 2
        else:
            stride = count // 2
    return equal
