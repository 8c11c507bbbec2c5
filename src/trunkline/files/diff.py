"""What differs between two trees, or between two places in them.

Nodes and ranges that both trees share are skipped by their names; in others, equal stretches are
found by comparing slices of columns. Cost: the ranges that differ, and the nodes above them.

Most changes leave the paths of a tree as they are, or nearly so: then the nodes and ranges of both
trees are in step, and are compared in pairs, as they are stored.
"""

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from trunkline.files.columns import Columns, FileRow, differing
from trunkline.files.index import Loader
from trunkline.files.manifest import Ranges
from trunkline.files.view import View, below
from trunkline.model.versions import Side
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import DIGEST_BYTES

_STRIDE = 64  # rows compared at once to begin with
_TOGETHER = 16  # ranges of a tree that are read with one look-up

Result = TypeVar("Result")
Found = Generator[tuple[Side, FileRow], None, Result]
Ahead = tuple[Ranges, int, int]  # a node, and which of its units
Load = Callable[[ChunkId], bytes]  # what reads the lists of a file with very many chunks


def diff_trees(
    *, new: View, new_prefix: str, old: View, old_prefix: str, after: str = ""
) -> Iterator[tuple[Side, FileRow]]:
    """The rows whose path relative to the prefix is only on one side, or whose content differs.

    By relative path; of a changed one first the new row, then the old one. A prefix may name a
    file: then its relative path is empty. What is up to the relative path `after` is left out, and
    not read.
    """
    a = _Cursor(new, new_prefix, after)
    b = _Cursor(old, old_prefix, after)
    same_place = new_prefix == old_prefix
    while not (a.done or b.done):
        if same_place and (yield from _in_step(a, b)):
            continue
        yield from _merged(a.rows(), b.rows(), new.loader.chunks.get)
        a.settle()
        b.settle()
    for side, cursor, view in ((Side.NEW, a, new), (Side.OLD, b, old)):
        while not cursor.done:
            yield from _rest(side, cursor.rows(), view.loader.chunks.get)
            cursor.settle()


class _Rows:
    """A position among neighbouring rows of a range."""

    def __init__(self, columns: Columns, at: int, end: int, skip: int) -> None:
        self._columns = columns
        self._at = at
        self._end = end
        self._skip = skip  # how many characters of a path come before its relative path

    @property
    def left(self) -> int:
        return self._end - self._at

    @property
    def path(self) -> str:
        """The relative path at the position."""
        return self._columns.paths[self._at][self._skip :]

    def paths(self, start: int, count: int) -> list[str]:
        """Relative paths, counted from the position."""
        paths = self._columns.paths[self._at + start : self._at + start + count]
        return [path[self._skip :] for path in paths] if self._skip else paths

    def digests(self, start: int, count: int) -> bytearray:
        """Digests of contents, counted from the position."""
        first = (self._at + start) * DIGEST_BYTES
        return self._columns.digests[first : first + count * DIGEST_BYTES]

    def take(self, load: Load) -> FileRow:
        """The row at the position, which moves on."""
        row = self._columns.row(self._at, load)
        self._at += 1
        return row

    def forward(self, count: int) -> None:
        self._at += count


class _Cursor:
    """A position in the part of a tree that is compared."""

    def __init__(self, view: View, prefix: str, after: str) -> None:
        file = bool(prefix) and view.place(prefix) is not None
        self._low, self._high = (prefix, prefix + "\0") if file else below(prefix)
        self._skip = len(prefix) if file else len(self._low)
        if after:
            self._low += after + "\0"
        self._cursor = view.cursor(self._low)
        self._rows: _Rows | None = None  # of the range at the position, once it is opened
        self.loader = view.loader
        self.settle()

    @property
    def done(self) -> bool:
        return self._cursor.done

    @property
    def level(self) -> int:
        """Of the unit that is ahead as a whole, inside; -1 if there is none."""
        cursor = self._cursor
        if cursor.done or self._rows is not None or cursor.first < self._low:
            return -1
        return -1 if self._high is not None and cursor.last >= self._high else cursor.level

    def descend(self) -> None:
        """Look into the node at the position."""
        self._cursor.descend()

    @property
    def ahead(self) -> Ahead:
        """The units that are ahead as wholes, inside."""
        return self._cursor.siblings(self._high)

    def skip(self, steps: list[int]) -> None:
        """Pass so many units of the node; then so many in the node that comes next, and so on."""
        self._cursor.step(steps[0])
        for count in steps[1:]:
            self._cursor.descend()
            self._cursor.step(count)
        self.settle()

    def rows(self) -> _Rows:
        """The rows at the position."""
        if self._rows is None:
            columns = self._cursor.rows()
            end = len(columns) if self._high is None else bisect_left(columns.paths, self._high)
            self._rows = _Rows(columns, bisect_left(columns.paths, self._low), end, self._skip)
        return self._rows

    def settle(self) -> None:
        """Go behind rows of which none is left; to the end if no row at the position is inside."""
        cursor = self._cursor
        if self._rows is not None and self._rows.left <= 0:
            self._rows = None
            cursor.step()
        if cursor.done or self._rows is not None:
            return
        if cursor.first < self._low:
            if self.rows().left > 0:
                return
        elif self._high is None or cursor.first < self._high:
            return
        self._rows = None
        cursor.end()


def _in_step(a: _Cursor, b: _Cursor) -> Found[bool]:
    """What differs in the units ahead, as far as both trees are in step; goes behind them.

    False if they are not, and rows are to be read.
    """
    while min(a.level, b.level) >= 0:
        if a.level == b.level:
            steps = yield from _pairs(a.ahead, b.ahead, a.level, a.loader)
            if any(steps):
                a.skip(steps)
                b.skip(steps)
                return True
        level = max(a.level, b.level)
        if level == 0:
            break
        for cursor in (a, b):
            if cursor.level == level:
                cursor.descend()
    return False


def _pairs(a: Ahead, b: Ahead, level: int, loader: Loader) -> Found[list[int]]:
    """What differs in units of one level, taken in pairs, as far as they are in step.

    Returns how many pairs are told as wholes; then, if something is told of the next pair of nodes,
    how many in these, and so on.
    """
    (ours, at, end), (theirs, there, other_end) = a, b
    count = min(end - at, other_end - there)
    numbers = differing(ours.names, at * DIGEST_BYTES, theirs.names, there * DIGEST_BYTES, count)
    if level == 0:
        alike, count = _alike(a, b, numbers, count)
        yield from _ranges(a, b, alike, loader)
    else:
        for n in numbers:
            one = loader.below(ours.unit(level, at + n))
            two = loader.below(theirs.unit(level, there + n))
            steps = yield from _pairs((one, 0, len(one)), (two, 0, len(two)), level - 1, loader)
            if not [len(one)] == [len(two)] == steps:
                return [n, *steps] if any(steps) else [n]
    return [count]


def _alike(a: Ahead, b: Ahead, numbers: Iterator[int], count: int) -> tuple[list[int], int]:
    """Which pairs differ, and how many are in step: before the first one with other ends."""
    (ours, at, _), (theirs, there, _) = a, b
    if at == there == 0 and ours.begin_and_end_as(theirs):
        return list(numbers), count
    alike: list[int] = []
    for n in numbers:
        ends = ours.firsts[at + n], ours.lasts[at + n]
        if ends != (theirs.firsts[there + n], theirs.lasts[there + n]):
            return alike, n
        alike.append(n)
    return alike, count


def _ranges(a: Ahead, b: Ahead, numbers: list[int], loader: Loader) -> Found[None]:
    """What differs in pairs of ranges, whose entries have the same first and last paths."""
    (ours, at, _), (theirs, there, _) = a, b
    load = loader.chunks.get
    for start in range(0, len(numbers), _TOGETHER):
        together = numbers[start : start + _TOGETHER]
        new = loader.stored([ours.id(at + n) for n in together])
        old = loader.glances([theirs.unit(0, there + n) for n in together])
        for n, one, two in zip(together, new, old, strict=True):
            # So the new one too is what its entry says.
            if ours.rows[at + n] == two.count and one.has_paths_of(two):
                for i in one.differing(two):
                    path = one.path(i)
                    yield Side.NEW, one.row(i, path, load)
                    yield Side.OLD, two.row(i, path, load)
            else:
                rows = _whole(loader.rows(ours.unit(0, at + n)))
                others = _whole(loader.rows(theirs.unit(0, there + n)))
                yield from _merged(rows, others, load)
                yield from _rest(Side.NEW, rows, load)
                yield from _rest(Side.OLD, others, load)


def _whole(rows: Columns) -> _Rows:
    return _Rows(rows, 0, len(rows), 0)


def _merged(a: _Rows, b: _Rows, load: Load) -> Found[None]:
    """What differs from two positions on, until one side has no rows left."""
    while a.left > 0 and b.left > 0:
        equal = _equal_rows(a, b)
        if equal:
            a.forward(equal)
            b.forward(equal)
            continue
        first, second = a.path, b.path
        if first <= second:
            yield Side.NEW, a.take(load)
        if second <= first:
            yield Side.OLD, b.take(load)


def _rest(side: Side, rows: _Rows, load: Load) -> Found[None]:
    while rows.left > 0:
        yield side, rows.take(load)


def _equal_rows(a: _Rows, b: _Rows) -> int:
    """How many rows from the two positions on are equal on both sides."""
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
