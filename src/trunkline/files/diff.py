"""What differs between two trees, or between two places in them.

Ranges that both trees share are skipped by their names; in others, equal stretches are found by
comparing slices of columns. Cost: the ranges that differ, plus one comparison per shared range.
"""

from bisect import bisect_left
from collections.abc import Iterator

from trunkline.files.columns import Columns, FileRow
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
        if same_place and a.whole is not None and a.whole == b.whole:
            a.skip_range()
            b.skip_range()
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
        self._ranges = view.ranges
        file = bool(prefix) and view.place(prefix) is not None
        self._low, self._high = (prefix, prefix + "\0") if file else below(prefix)
        self._skip = len(prefix) if file else len(self._low)
        self._number = self._ranges.covering(self._low)
        self._rows: Columns | None = None
        self._at = 0
        self._end = 0
        self._settle()

    @property
    def done(self) -> bool:
        return self._number >= len(self._ranges)

    @property
    def whole(self) -> ChunkId | None:
        """The range at the position, if all of it is still ahead and inside."""
        n = self._number
        inside = self._rows is None and self._ranges.firsts[n] >= self._low
        if not inside or (self._high is not None and self._ranges.lasts[n] >= self._high):
            return None
        return self._ranges.ids[n]

    def skip_range(self) -> None:
        self._number += 1
        self._settle()

    def open(self) -> None:
        """Read the rows at the position."""
        if self._rows is None:
            self._rows = self._view.rows(self._number)
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
        row = self._rows.row(self._at, self._view.loader.chunks.get)
        self.forward(1)
        return row

    def forward(self, count: int) -> None:
        self._at += count
        if self._at >= self._end:
            self._number, self._rows = self._number + 1, None
            self._settle()

    def _settle(self) -> None:
        """Go to the end if no row of the range at the position is inside."""
        if self.done:
            return
        first = self._ranges.firsts[self._number]
        if first < self._low:
            self.open()
            if self.left > 0:
                return
        elif self._high is None or first < self._high:
            return
        self._number, self._rows = len(self._ranges), None


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
