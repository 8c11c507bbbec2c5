"""Stored rows of a range, looked at as they are stored: nothing is made of rows nobody asks for.

For questions that the bytes of whole columns answer: which rows of two ranges differ, what all the
names are. Format page: docs/formats/manifest.md.
"""

from collections.abc import Iterator
from functools import cached_property

from trunkline.errors import Corrupt
from trunkline.files.columns import Columns, Reader, decode_columns, read_head
from trunkline.files.manifest import RANGE_MAGIC
from trunkline.store.digests import DIGEST_BYTES

_SIZE_BYTES = 8
_ASKED_MAX = 4  # paths that are looked for one by one, before all are made
_WALK_MAX = 64  # paths passed on the way to one


class Glance:
    """One stored range. Raises Corrupt where the lengths that it states don't fit.

    Its columns stay where they are: a copy of them costs more than what most questions need.
    """

    def __init__(self, data: bytes) -> None:
        reader = Reader(data, RANGE_MAGIC)
        head = read_head(reader)
        self._data = data
        self._refs = head.refs
        self._datums = head.has_datums
        self._rows: Columns | None = None
        self._asked = 0
        self.count = head.rows
        rest = head.path_bytes + self.count * (_SIZE_BYTES + DIGEST_BYTES)
        self._text = reader.skip(rest)  # where all paths are, with NUL between them
        self._text_end = self._sizes = self._text + head.path_bytes
        self._digests = self._sizes + self.count * _SIZE_BYTES
        self._digests_end = self._text + rest

    @property
    def text(self) -> bytes:
        """All paths, with NUL between them."""
        return self._data[self._text : self._text_end]

    def reaches(self, first: bytes, last: bytes) -> bool:
        """Whether these are its first and its last path."""
        data, start, end = self._data, self._text, self._text_end
        behind = data.find(0, start, end)
        before = data.rfind(0, start, end)
        whole = data[start : end if behind < 0 else behind], data[max(start, before + 1) : end]
        return whole == (first, last)

    def has_paths_of(self, other: "Glance") -> bool:
        """Whether another range has the same paths."""
        theirs = memoryview(other._data)[other._text : other._text_end]
        same_length = self._text_end - self._text == len(theirs)
        return same_length and self._data.startswith(theirs, self._text)

    def path(self, i: int) -> str:
        """The path of a row."""
        self._asked += 1
        try:
            found = self._near(i) if self._asked <= _ASKED_MAX else self._paths[i]
            return found.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Corrupt("a stored range", "UTF-8", "other bytes") from error

    def row(self, i: int, path: str) -> tuple[Columns, int]:
        """A row, whose path is known, as a place in columns: of it alone, where that is enough."""
        if self._refs or self._datums:
            self._rows = self._rows or decode_columns(RANGE_MAGIC, self._data)
            return self._rows, i
        data, at = self._data, self._digests + i * DIGEST_BYTES
        place = self._sizes + i * _SIZE_BYTES
        size = int.from_bytes(data[place : place + _SIZE_BYTES], "little")
        rows = Columns()
        rows.add_small(path, size, data[at : at + DIGEST_BYTES])
        return rows, 0

    def differing(self, other: "Glance") -> Iterator[int]:
        """The rows whose content another range with the same paths has otherwise."""
        ours, here = self._data, self._digests
        there = memoryview(other._data)[other._digests : other._digests_end]
        if self.count != other.count:
            return
        start = 0
        while not ours.startswith(there[start * DIGEST_BYTES :], here + start * DIGEST_BYTES):
            # Some row from `start` on differs: the first of them is between it and `end`.
            end = self.count
            while end - start > 1:
                middle = (start + end) // 2
                at, until = start * DIGEST_BYTES, middle * DIGEST_BYTES
                if ours.startswith(there[at:until], here + at):
                    start = middle
                else:
                    end = middle
            yield start
            start += 1

    def _near(self, i: int) -> bytes:
        """A path by its number: from where it is if all are about as long, past the ones between.

        Counting separators costs a tenth of cutting the text at them.
        """
        data, low, high = self._data, self._text, self._text_end
        at = low + (high - low) * i // self.count
        # Counted in the shorter part: how many separators are missing from there on to the path.
        if 2 * i < self.count:
            before = data.count(0, low, at)
        else:
            before = self.count - 1 - data.count(0, at, high)
        missing = i - before
        if abs(missing) > _WALK_MAX:
            return self._paths[i]
        if missing > 0:
            at -= 1
            for _ in range(missing):
                at = data.find(0, at + 1, high)
                if at < 0:
                    raise Corrupt("a stored range", f"{self.count} paths", "fewer")
        else:
            for _ in range(1 - missing):
                at = max(data.rfind(0, low, at), low - 1)
        end = data.find(0, at + 1, high)
        return data[at + 1 : high if end < 0 else end]

    @cached_property
    def _paths(self) -> list[bytes]:
        paths = self.text.split(b"\0")
        if len(paths) != self.count:
            raise Corrupt("a stored range", f"{self.count} paths", str(len(paths)))
        return paths
