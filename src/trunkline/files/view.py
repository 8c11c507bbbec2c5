"""One tree, opened for reading: finds rows and weighs intervals of paths.

An interval of paths is `low <= path < high`; a `high` of None has no end. All paths below directory
`d` are the interval `d/` … `d0`, because `0` follows `/` in the order of bytes.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.files.columns import Columns, FileRow
from trunkline.files.index import Cursor, Loader
from trunkline.files.manifest import RootId, Unit

_TOGETHER = 8  # ranges whose names make one piece


def below(directory: str) -> tuple[str, str | None]:
    """The interval of all paths below a directory."""
    return (directory + "/", directory + "0") if directory else ("", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Neighbouring rows of one range."""

    rows: Columns
    start: int
    end: int


class View:
    """A tree, opened. Immutable. Ranges and nodes of it are read when they are needed."""

    def __init__(self, loader: Loader, root: RootId) -> None:
        self.root = root
        self.loader = loader
        self._top = loader.root(root)

    @property
    def totals(self) -> tuple[int, int]:
        """(files, bytes) of the tree."""
        return self._top.rows, self._top.size_bytes

    @property
    def version(self) -> int:
        """That of the format; only trees of one version share ranges and nodes as a rule."""
        return self._top.version

    def cursor(self, low: str = "") -> Cursor:
        """A position in the tree, at the unit that holds a path or comes behind it."""
        cursor = Cursor(self.loader, self.root)
        cursor.seek(low)
        return cursor

    def place(self, path: str) -> tuple[Columns, int] | None:
        """Where the row of a file is, or None."""
        cursor = self.cursor(path)
        if cursor.done or path < cursor.first:
            return None
        return self.loader.place(cursor.to_range(), path)

    def find(self, path: str) -> FileRow | None:
        """The row of a file, or None."""
        found = self.place(path)
        return found[0].row(found[1], self.loader.chunks.get) if found else None

    def ends(self, low: str, high: str | None) -> tuple[str, str] | None:
        """The first and the last path of an interval; reads at most the ways to its two ends."""
        cursor = self.cursor(low)
        if cursor.done:
            return None
        first = cursor.first
        if first < low:
            paths = cursor.rows().paths
            first = paths[bisect_left(paths, low)]
        if high is not None and first >= high:
            return None
        end = Cursor(self.loader, self.root)
        if high is None:
            end.end()
        else:
            end.seek(high)
        if not end.done and high is not None and end.first < high:
            paths = end.rows().paths
            return first, paths[bisect_left(paths, high) - 1]
        last = end.before
        assert last is not None, "something is before the end of the interval"
        return first, last

    def is_directory(self, path: str) -> bool:
        """Whether there is a file below; the root always is one."""
        if not path:
            return True
        prefix = path + "/"
        cursor = self.cursor(prefix)
        if cursor.done:
            return False
        # The ends of a unit often tell without reading it.
        if cursor.first >= prefix:
            return cursor.first.startswith(prefix)
        if cursor.last.startswith(prefix):
            return True
        paths = cursor.rows().paths
        return paths[bisect_left(paths, prefix)].startswith(prefix)

    def slices(self, low: str, high: str | None) -> Iterator[Slice]:
        """The rows of an interval, range by range."""
        cursor = self.cursor(low)
        while not cursor.done:
            if high is not None and cursor.first >= high:
                return
            rows = cursor.rows()
            start = bisect_left(rows.paths, low)
            end = len(rows) if high is None else bisect_left(rows.paths, high)
            if start < end:
                yield Slice(rows=rows, start=start, end=end)
            cursor.step()

    def name_lines(self, low: str, high: str | None) -> Iterator[bytes]:
        """The paths of an interval, a newline behind each, in pieces of some ranges.

        Ranges that are inside as wholes are not decoded.
        """
        cursor = self.cursor(low)
        whole: list[Unit] = []
        while not cursor.done and (high is None or cursor.first < high):
            unit = cursor.to_range()
            if low <= unit.first and (high is None or unit.last < high):
                whole.append(unit)
            else:
                yield from self._lines(whole)
                whole = []
                paths = cursor.rows().paths
                start = bisect_left(paths, low)
                end = len(paths) if high is None else bisect_left(paths, high)
                if start < end:
                    yield ("\n".join(paths[start:end]) + "\n").encode("utf-8")
            if len(whole) >= _TOGETHER:
                yield from self._lines(whole)
                whole = []
            cursor.step()
        yield from self._lines(whole)

    def _lines(self, units: list[Unit]) -> Iterator[bytes]:
        if units:
            texts = [glance.text for glance in self.loader.glances(units)]
            # No path has a newline in it.
            yield b"\0".join([*texts, b""]).replace(b"\0", b"\n")

    def weigh(self, low: str, high: str | None) -> tuple[int, int]:
        """(files, bytes) of an interval; reads at most the ways to its two ends."""
        files = size = 0
        cursor = self.cursor(low)
        while not cursor.done and (high is None or cursor.first < high):
            unit = cursor.unit
            if low <= unit.first and (high is None or unit.last < high):
                files += unit.rows
                size += unit.size
            elif unit.level:
                cursor.descend()
                continue
            else:
                rows = cursor.rows()
                start = bisect_left(rows.paths, low)
                stop = len(rows) if high is None else bisect_left(rows.paths, high)
                files += stop - start
                size += sum(rows.sizes[start:stop])
            cursor.step()
        return files, size

    def walk(self, low: str, high: str | None) -> Iterator[FileRow]:
        """The rows of an interval as values."""
        load = self.loader.chunks.get
        for part in self.slices(low, high):
            row = part.rows.row
            for i in range(part.start, part.end):
                yield row(i, load)
