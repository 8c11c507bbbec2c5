"""One tree, opened for reading: finds rows and weighs intervals of paths.

Opening a tree reads its index (0.05 % of its rows); ranges are read when rows of them are needed.
An interval of paths is `low <= path < high`; a `high` of None has no end. All paths below directory
`d` are the interval `d/` … `d0`, because `0` follows `/` in the order of bytes.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.errors import Corrupt
from trunkline.files.columns import Columns, FileRow, decode_columns
from trunkline.files.manifest import EMPTY, RANGE_MAGIC, Ranges, RootId, read_node
from trunkline.store.chunks import ChunkId, ChunkStore

_ROOTS_MAX = 16
_RANGES_MAX = 64  # decoded, about 0.4 MB each
_LEVEL_MAX = 8


def below(directory: str) -> tuple[str, str | None]:
    """The interval of all paths below a directory."""
    return (directory + "/", directory + "0") if directory else ("", None)


class Loader:
    """Reads roots and ranges from the store, and keeps the latest ones decoded. Thread-safe."""

    def __init__(self, chunks: ChunkStore) -> None:
        self.chunks = chunks
        self._lock = threading.Lock()
        self._roots: OrderedDict[str, Ranges] = OrderedDict()
        self._ranges: OrderedDict[str, Columns] = OrderedDict()

    def root(self, root: RootId) -> Ranges:
        """The ranges of a tree."""
        if root == EMPTY:
            return Ranges()
        with self._lock:
            known = self._roots.get(root)
            if known is not None:
                self._roots.move_to_end(root)
                return known
        ranges = self._flat(ChunkId(root))
        with self._lock:
            self._roots[root] = ranges
            while len(self._roots) > _ROOTS_MAX:
                self._roots.popitem(last=False)
        return ranges

    def rows(self, range_id: ChunkId) -> Columns:
        """The rows of a range; not to be changed."""
        with self._lock:
            known = self._ranges.get(range_id)
            if known is not None:
                self._ranges.move_to_end(range_id)
                return known
        rows = decode_columns(RANGE_MAGIC, self.chunks.get(range_id))
        with self._lock:
            self._ranges[range_id] = rows
            while len(self._ranges) > _RANGES_MAX:
                self._ranges.popitem(last=False)
        return rows

    def _flat(self, root: ChunkId) -> Ranges:
        top = read_node(self.chunks.get(root))
        entries, level = top.entries, top.level
        if not 1 <= level <= _LEVEL_MAX:
            raise Corrupt(f"tree {root}", f"a level from 1 to {_LEVEL_MAX}", str(level))
        while level > 1:
            level -= 1
            flat = Ranges()
            for node_id in entries.ids:
                node = read_node(self.chunks.get(node_id))
                if node.level != level:
                    raise Corrupt(f"node {node_id}", f"level {level}", str(node.level))
                flat.copy(node.entries, 0, len(node.entries))
            entries = flat
        return entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Neighbouring rows of one range."""

    number: int  # of the range in the tree
    rows: Columns
    start: int
    end: int


class View:
    """A tree, opened. Immutable."""

    def __init__(self, loader: Loader, root: RootId) -> None:
        self.root = root
        self.loader = loader
        self.ranges = loader.root(root)

    def rows(self, number: int) -> Columns:
        """The rows of a range by its number; checked against the index."""
        ranges = self.ranges
        rows = self.loader.rows(ranges.ids[number])
        if (
            not rows.paths
            or len(rows) != ranges.rows[number]
            or rows.paths[0] != ranges.firsts[number]
            or rows.paths[-1] != ranges.lasts[number]
        ):
            raise Corrupt(
                f"tree {self.root}",
                f"{ranges.rows[number]} rows in range {number}",
                f"range {ranges.ids[number]} with {len(rows)}",
            )
        return rows

    def place(self, path: str) -> tuple[Columns, int] | None:
        """Where the row of a file is, or None."""
        number = self.ranges.covering(path)
        if number == len(self.ranges) or path < self.ranges.firsts[number]:
            return None
        rows = self.rows(number)
        i = bisect_left(rows.paths, path)
        return (rows, i) if rows.paths[i] == path else None

    def find(self, path: str) -> FileRow | None:
        """The row of a file, or None."""
        found = self.place(path)
        return found[0].row(found[1], self.loader.chunks.get) if found else None

    def first_at(self, low: str) -> str | None:
        """The first path of the tree that is not before `low`, or None."""
        number = self.ranges.covering(low)
        if number == len(self.ranges):
            return None
        if low <= self.ranges.firsts[number]:
            return self.ranges.firsts[number]
        if low == self.ranges.lasts[number]:
            return low
        paths = self.rows(number).paths
        return paths[bisect_left(paths, low)]

    def is_directory(self, path: str) -> bool:
        """Whether there is a file below; the root always is one."""
        if not path:
            return True
        prefix = path + "/"
        number = self.ranges.covering(prefix)
        if number == len(self.ranges):
            return False
        # The end of a range often tells without reading it.
        if self.ranges.lasts[number].startswith(prefix):
            return True
        found = self.first_at(prefix)
        return found is not None and found.startswith(prefix)

    def slices(self, low: str, high: str | None) -> Iterator[Slice]:
        """The rows of an interval, range by range."""
        number = self.ranges.covering(low)
        while number < len(self.ranges):
            if high is not None and self.ranges.firsts[number] >= high:
                return
            rows = self.rows(number)
            start = bisect_left(rows.paths, low)
            end = len(rows) if high is None else bisect_left(rows.paths, high)
            if start < end:
                yield Slice(number=number, rows=rows, start=start, end=end)
            number += 1

    def weigh(self, low: str, high: str | None) -> tuple[int, int]:
        """(files, bytes) of an interval; reads at most the two ranges at its ends."""
        files = size = 0
        ranges = self.ranges
        number = ranges.covering(low)
        end = len(ranges) if high is None else ranges.covering(high)
        for n in range(number, min(end + 1, len(ranges))):
            first, last = ranges.firsts[n], ranges.lasts[n]
            if high is not None and first >= high:
                break
            if low <= first and (high is None or last < high):
                files += ranges.rows[n]
                size += ranges.sizes[n]
                continue
            rows = self.rows(n)
            start = bisect_left(rows.paths, low)
            stop = len(rows) if high is None else bisect_left(rows.paths, high)
            files += stop - start
            size += sum(rows.sizes[start:stop])
        return files, size

    def walk(self, low: str, high: str | None) -> Iterator[FileRow]:
        """The rows of an interval as values."""
        load = self.loader.chunks.get
        for part in self.slices(low, high):
            row = part.rows.row
            for i in range(part.start, part.end):
                yield row(i, load)
