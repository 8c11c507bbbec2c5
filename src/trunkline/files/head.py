"""What a sorted run of rows would change in a tree: compared with it from left to right.

Equal stretches are compared as slices of columns, so that rows that are there already cost next to
nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator

from trunkline.files.columns import Columns
from trunkline.files.view import Slice, View, below
from trunkline.store.digests import DIGEST_BYTES


class HeadRows:
    """The rows of a tree below a directory; a position in them, which only moves forward."""

    def __init__(self, view: View, directory: str) -> None:
        self._slices: Iterator[Slice] = view.slices(*below(directory))
        self._slice: Slice | None = None
        self._at = 0
        self.passed: list[str] = []  # paths of the tree that no row was given for
        self._load()

    def differing(self, paths: list[str], rows: Columns, start: int) -> list[tuple[int, int]]:
        """The intervals of `paths` that the tree does not have as the rows from `start` on are."""
        found: list[tuple[int, int]] = []
        at = 0
        while at < len(paths):
            part = self._slice
            if part is None:
                found.append((at, len(paths)))
                break
            head = part.rows.paths
            here = head[self._at]
            if here == paths[at]:
                count = _common(head, self._at, part.end, paths, at)
                found += self._changed(part.rows, rows, start + at, at, count)
                self._move(self._at + count)
                at += count
            elif here < paths[at]:
                end = bisect_left(head, paths[at], self._at, part.end)
                self.passed += head[self._at : end]
                self._move(end)
            else:
                end = bisect_left(paths, here, at)
                found.append((at, end))
                at = end
        return found

    def finish(self) -> None:
        """Pass all that is left."""
        while self._slice is not None:
            self.passed += self._slice.rows.paths[self._at : self._slice.end]
            self._move(self._slice.end)

    def _changed(
        self, head: Columns, rows: Columns, first: int, at: int, count: int
    ) -> list[tuple[int, int]]:
        """Where the next `count` rows differ from those of the tree, which have the same paths."""
        here = self._at
        old = head.digests[here * DIGEST_BYTES : (here + count) * DIGEST_BYTES]
        new = rows.digests[first * DIGEST_BYTES : (first + count) * DIGEST_BYTES]
        datums = head.datums[here * DIGEST_BYTES : (here + count) * DIGEST_BYTES]
        if old == new and datums.count(0) == len(datums):
            return []
        return [
            (at + n, at + n + 1)
            for n in range(count)
            if head.digest(here + n) != rows.digest(first + n) or head.datum_key(here + n)
        ]

    def _move(self, to: int) -> None:
        self._at = to
        if self._slice is not None and to >= self._slice.end:
            self._load()

    def _load(self) -> None:
        self._slice = next(self._slices, None)
        self._at = self._slice.start if self._slice else 0


def _common(head: list[str], start: int, end: int, paths: list[str], at: int) -> int:
    """How many paths are equal from two places on; at least the first is."""
    low, high = 1, min(end - start, len(paths) - at)
    if head[start : start + high] == paths[at : at + high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if head[start + low : start + middle] == paths[at + low : at + middle]:
            low = middle
        else:
            high = middle
    return low
