"""The tree that deltas are applied to, read once from left to right.

It writes what stays to the new tree: whole ranges by name where it can, slices of rows elsewhere.
What is deleted are holes in it: intervals of paths that are stepped over without being read.
"""

from bisect import bisect_left
from collections.abc import Iterable

from trunkline.errors import PathConflict
from trunkline.files.columns import Columns
from trunkline.files.manifest import CUTS, RangeWriter, is_cut
from trunkline.files.view import View, below

Hole = tuple[str, str | None]  # low <= path < high; None: to the end


def holes_of(deletes: Iterable[str]) -> list[Hole]:
    """The intervals that deleting these paths, with all below them, leaves empty; sorted, apart."""
    intervals: list[Hole] = []
    for path in deletes:
        if path:
            intervals.append((path, path + "\0"))
        intervals.append(below(path))
    merged: list[Hole] = []
    for low, high in sorted(intervals, key=lambda hole: hole[0]):
        if merged and (merged[-1][1] is None or low <= merged[-1][1]):
            before = merged[-1][1]
            farther = None if before is None or high is None else max(before, high)
            merged[-1] = (merged[-1][0], farther)
        else:
            merged.append((low, high))
    return merged


class NewFiles:
    """The changed files that rows to come could still lie below.

    Rows come sorted, and all that sorts between `f` and `f/…` begins with `f`: so only those files
    matter whose path the latest row begins with.
    """

    def __init__(self) -> None:
        self._open: list[str] = []

    def add(self, path: str) -> None:
        """Note a changed file; raises PathConflict if it lies below another."""
        found = self._open
        while found and not path.startswith(found[-1]):
            found.pop()
        if found and path[len(found[-1])] == "/":
            raise PathConflict(found[-1], path)
        found.append(path)

    def above(self, path: str) -> bool:
        """Whether a row that is not before `path` could lie below a changed file."""
        found = self._open
        while found and not path.startswith(found[-1]):
            found.pop()
        return bool(found)

    def check(self, paths: list[str], start: int, end: int) -> None:
        """Raise PathConflict if an unchanged row lies below a changed file."""
        if not self.above(paths[start]):
            return
        for path in self._open:
            i = bisect_left(paths, path + "/", start, end)
            if i < end and paths[i].startswith(path + "/"):
                raise PathConflict(path, paths[i])


class Basis:
    """A position in the old tree, which only moves forward."""

    def __init__(
        self, view: View, holes: list[Hole], writer: RangeWriter, new_files: NewFiles
    ) -> None:
        self.view = view
        self._holes = holes
        self._hole = 0  # the first hole that doesn't end before the position
        self._writer = writer
        self._new_files = new_files
        self._cut_alike = view.version == writer.version  # else nothing can be taken over by name
        self._cursor = view.cursor()  # at what holds the position
        self._rows: Columns | None = None  # of the range at the position, once they are needed
        self._at = 0

    @property
    def path(self) -> str | None:
        """The path at the position; None at the end."""
        if self._cursor.done:
            return None
        return self._rows.paths[self._at] if self._rows else self._cursor.first

    @property
    def before(self) -> str | None:
        """The path right before the position, deleted or not; None at the beginning."""
        if self._rows and self._at:
            return self._rows.paths[self._at - 1]
        return self._cursor.before

    def next_surviving(self) -> str | None:
        """A bound: no row from the position up to it survives; None if none does at all."""
        path = self.path
        if path is None:
            return None
        hole = self._hole_at(path)
        return hole[1] if hole and hole[0] <= path else path

    def row_at(self, path: str) -> tuple[Columns, int] | None:
        """The surviving row of a path that the position has been moved to, or None."""
        if self.path != path or self.next_surviving() != path:
            return None
        if self._rows is None:
            self._rows = self._cursor.rows()
        return self._rows, self._at

    def drop_row(self) -> None:
        """Step over the row at the position: it is deleted, or written by someone else."""
        assert self._rows is not None
        self._forward(self._at + 1)

    def copy_until(self, limit: str | None) -> None:
        """Write what survives before `limit` to the new tree (None: all), and move there."""
        while True:
            path = self.path
            if path is None or (limit is not None and path >= limit):
                return
            hole = self._hole_at(path)
            if hole and hole[0] <= path:
                high = hole[1]
                beyond = limit is not None and (high is None or high > limit)
                self._seek(limit if beyond else high)
                continue
            stop = limit
            if hole and (stop is None or hole[0] < stop):
                stop = hole[0]
            if not self._take_whole(stop, more=limit is not None):
                self._copy_rows(stop)

    def _hole_at(self, path: str) -> Hole | None:
        """The first hole that ends behind the path."""
        while self._hole < len(self._holes):
            hole = self._holes[self._hole]
            if hole[1] is None or hole[1] > path:
                return hole
            self._hole += 1
        return None

    def _take_whole(self, stop: str | None, *, more: bool) -> bool:
        """Take over ranges and nodes by name up to `stop`; false if not even one fits."""
        if self._at or not self._cut_alike or not self._writer.at_boundary:
            return False
        cursor, taken = self._cursor, False
        if self._new_files.above(cursor.first):
            return False
        more = more or stop is not None
        while not cursor.done:
            entries, at, end = cursor.run(stop)
            if end - at > 1 and self._writer.fits(cursor.level):
                self._writer.take_run(cursor.level, entries, at, end)
                cursor.step(end - at)
                self._rows, taken = None, True
                continue
            inside = stop is None or cursor.last < stop
            if inside and self._may_take(more=more):
                self._writer.take(cursor.unit)
                cursor.step()
                self._rows, taken = None, True
            elif cursor.level and (inside or (stop is not None and cursor.first < stop)):
                cursor.descend()
            else:
                break
        return taken

    def _may_take(self, *, more: bool) -> bool:
        cursor = self._cursor
        if not self._writer.fits(cursor.level):
            return False
        if not cursor.is_last:
            return True
        # It ends with its tree, perhaps earlier than the rule says. A range tells by itself whether
        # rows to come belong to it. A node is taken if nothing comes, and if there is another one
        # of its level: a tree has no level of one node alone.
        unit = cursor.unit
        if unit.level:
            return not more and self._writer.reaches(unit.level)
        return not more or is_cut(unit.last, unit.rows, CUTS[self._writer.version])

    def _copy_rows(self, stop: str | None) -> None:
        if self._rows is None:
            self._rows = self._cursor.rows()
        rows = self._rows
        end = len(rows) if stop is None else bisect_left(rows.paths, stop, self._at)
        self._new_files.check(rows.paths, self._at, end)
        self._writer.copy_rows(rows, self._at, end, of_range=self._cut_alike)
        self._forward(end)

    def _forward(self, to: int) -> None:
        self._at = to
        if self._rows is not None and to >= len(self._rows):
            self._cursor.step()
            self._rows, self._at = None, 0

    def _seek(self, path: str | None) -> None:
        """Move to the first row that is not before a path, reading no range in between."""
        cursor, rows = self._cursor, self._rows
        if rows is None or path is None or rows.paths[-1] < path:
            if rows is not None:
                cursor.step()
            self._rows, self._at = None, 0
            if path is None:
                cursor.end()
            else:
                cursor.seek(path)
            if path is None or cursor.done or cursor.first >= path:
                return
            rows = self._rows = cursor.rows()
        self._at = bisect_left(rows.paths, path, self._at)
