"""Stored rows of a range, looked at as they are stored: nothing is made of rows nobody asks for.

For questions that the bytes of whole columns answer: which rows of two ranges differ, what all the
names are. Format page: docs/formats/manifest.md (version 1).
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
_COMPARED_ROWS = 64  # digests compared at once before they are looked at one by one


class Glance:
    """One stored range. Raises Corrupt where the lengths that it states don't fit."""

    def __init__(self, data: bytes) -> None:
        reader = Reader(data, RANGE_MAGIC)
        head = read_head(reader)
        self._data = data
        self._refs = head.refs
        self._datums = head.has_datums
        self._rows: Columns | None = None
        self._asked = 0
        self.count = head.rows
        self.text = reader.take(head.path_bytes)  # all paths, with NUL between them
        self._sizes = reader.take(self.count * _SIZE_BYTES)
        self._digests = reader.take(self.count * DIGEST_BYTES)

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
        at = i * DIGEST_BYTES
        size = int.from_bytes(self._sizes[i * _SIZE_BYTES : (i + 1) * _SIZE_BYTES], "little")
        rows = Columns()
        rows.add_small(path, size, self._digests[at : at + DIGEST_BYTES])
        return rows, 0

    def differing(self, other: "Glance") -> Iterator[int]:
        """The rows whose content another range with the same paths has otherwise."""
        ours, theirs = self._digests, other._digests
        if ours == theirs:
            return
        step = _COMPARED_ROWS * DIGEST_BYTES
        for start in range(0, len(ours), step):
            if ours[start : start + step] == theirs[start : start + step]:
                continue
            for at in range(start, min(start + step, len(ours)), DIGEST_BYTES):
                if ours[at : at + DIGEST_BYTES] != theirs[at : at + DIGEST_BYTES]:
                    yield at // DIGEST_BYTES

    def _near(self, i: int) -> bytes:
        """A path by its number: from where it is if all are about as long, past the ones between.

        Counting separators costs a tenth of cutting the text at them.
        """
        text = self.text
        at = len(text) * i // self.count
        # Counted in the shorter part: how many separators are missing from there on to the path.
        before = text.count(0, 0, at) if 2 * i < self.count else self.count - 1 - text.count(0, at)
        missing = i - before
        if abs(missing) > _WALK_MAX:
            return self._paths[i]
        if missing > 0:
            at -= 1
            for _ in range(missing):
                at = text.find(0, at + 1)
                if at < 0:
                    raise Corrupt("a stored range", f"{self.count} paths", "fewer")
        else:
            for _ in range(1 - missing):
                at = text.rfind(0, 0, at)
        end = text.find(0, at + 1)
        return text[at + 1 : len(text) if end < 0 else end]

    @cached_property
    def _paths(self) -> list[bytes]:
        paths = self.text.split(b"\0")
        if len(paths) != self.count:
            raise Corrupt("a stored range", f"{self.count} paths", str(len(paths)))
        return paths
