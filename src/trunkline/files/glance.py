"""Stored rows of a range, looked at as they are stored: nothing is made of rows nobody asks for.

For questions that the bytes of whole columns answer: which rows of two ranges differ, what all the
names are. Format page: docs/formats/manifest.md.
"""

from collections.abc import Callable, Iterator
from functools import cached_property

from trunkline.errors import Corrupt
from trunkline.files.columns import (
    HEAD_BYTES,
    Columns,
    FileRow,
    decode_columns,
    differing,
    read_head,
)
from trunkline.files.manifest import RANGE_MAGIC
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import DIGEST_BYTES

_SIZE_BYTES = 8
_ASKED_MAX = 4  # paths that are looked for one by one, before all are made
_WALK_MAX = 64  # paths passed on the way to one


class Glance:
    """One stored range. Raises Corrupt where the lengths that it states don't fit.

    Its columns stay where they are: a copy of them costs more than what most questions need.
    """

    def __init__(self, data: bytes) -> None:
        flags, count, _, path_bytes = read_head(RANGE_MAGIC, data)
        self._data = data
        self.plain = not flags  # no row has a datum or refs
        self._rows: Columns | None = None
        self._asked = 0
        self.count = count
        self._text_end = HEAD_BYTES + path_bytes  # of all paths, with NUL between them
        self._digests = self._text_end + count * _SIZE_BYTES
        end = self._digests + count * DIGEST_BYTES
        if end > len(data):
            raise Corrupt("a stored range", f"{end} bytes", str(len(data)))

    @property
    def text(self) -> bytes:
        """All paths, with NUL between them."""
        return self._data[HEAD_BYTES : self._text_end]

    def reaches(self, first: bytes, last: bytes) -> bool:
        """Whether these are its first and its last path."""
        data, start, end = self._data, HEAD_BYTES, self._text_end
        behind = data.find(0, start, end)
        before = data.rfind(0, start, end)
        whole = data[start : end if behind < 0 else behind], data[max(start, before + 1) : end]
        return whole == (first, last)

    def has_paths_of(self, other: "Glance") -> bool:
        """Whether another range has the same paths."""
        end = self._text_end
        if (end, self.count) != (other._text_end, other.count):
            return False
        return self._data.startswith(memoryview(other._data)[HEAD_BYTES:end], HEAD_BYTES)

    def path(self, i: int) -> str:
        """The path of a row."""
        self._asked += 1
        try:
            found = self._near(i) if self._asked <= _ASKED_MAX else self._paths[i]
            return found.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Corrupt("a stored range", "UTF-8", "other bytes") from error

    def number(self, path: str) -> int | None:
        """That of the row of a file, or None: how many separators are before its path."""
        wanted = path.encode("utf-8")
        data, low, high = self._data, HEAD_BYTES, self._text_end
        end = low + len(wanted)
        if data.startswith(wanted, low) and (end == high or not data[end]):
            return 0
        at = data.find(b"\0%b\0" % wanted, low, high)
        if at < 0 and data.endswith(b"\0" + wanted, low, high):
            at = high - len(wanted) - 1
        number = None if at < 0 else data.count(0, low, at + 1)
        if number is not None and number >= self.count:
            raise Corrupt("a stored range", f"{self.count} paths", "more")
        return number

    def only(self, i: int, path: str) -> Columns:
        """A row of a range that is plain, alone; its path is known."""
        one = Columns()
        one.add_small(path, *self._small(i))
        return one

    def row(self, i: int, path: str, load: Callable[[ChunkId], bytes]) -> FileRow:
        """A row, whose path is known; `load` reads the lists of a file with very many chunks."""
        if not self.plain:
            self._rows = self._rows or decode_columns(RANGE_MAGIC, self._data)
            return self._rows.row(i, load)
        size, content = self._small(i)
        digest = content.hex()
        chunks = ((ChunkId(digest), size),) if size else ()
        return FileRow(path=path, size_bytes=size, digest=digest, chunks=chunks)

    def differing(self, other: "Glance") -> Iterator[int]:
        """The rows whose content another range with the same paths has otherwise."""
        return differing(self._data, self._digests, other._data, other._digests, self.count)

    def _small(self, i: int) -> tuple[int, bytes]:
        """Size and digest of a row of a range that is plain."""
        data, at = self._data, self._digests + i * DIGEST_BYTES
        place = self._text_end + i * _SIZE_BYTES
        size = int.from_bytes(data[place : place + _SIZE_BYTES], "little")
        return size, data[at : at + DIGEST_BYTES]

    def _near(self, i: int) -> bytes:
        """A path by its number: from where it is if all are about as long, past the ones between.

        Counting separators costs a tenth of cutting the text at them.
        """
        data, low, high = self._data, HEAD_BYTES, self._text_end
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
