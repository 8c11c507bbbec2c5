"""Cuts a content between records into many files; holds one piece of it, whatever their size."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain

from trunkline.api.changes import Split
from trunkline.errors import InvalidInput
from trunkline.files.records import Scanner, scanner_of

NAME_DIGITS = 16
_HEADER_BYTES_MAX = 4 * 1024 * 1024
_ENDLESS = 1 << 62


def file_name(number: int) -> str:
    """The name of a file of a split."""
    return f"{number:0{NAME_DIGITS}x}"


def split_content(pieces: Iterable[bytes], split: Split) -> Iterator[Iterator[bytes]]:
    """The contents of the files, each to be read to its end before the next is asked for.

    An empty content gives no file. Raises InvalidInput where the text is not what it is said to be.
    """
    cutter = _Cutter(pieces, scanner_of(split.by))
    records, size = split.file_records or _ENDLESS, split.file_bytes or _ENDLESS
    if not split.file_records and not split.file_bytes:
        records = 1
    header = _header(cutter, split.header_records)
    if header and not cutter.more():
        yield iter([header])
        return
    while cutter.more():
        content = cutter.file(records, size)
        yield chain([header], content) if header else content
        for _ in content:  # whatever the caller left
            pass


def _header(cutter: "_Cutter", records: int) -> bytes:
    if not records or not cutter.more():
        return b""
    parts: list[bytes] = []
    size = 0
    for piece in cutter.file(records, _ENDLESS):
        parts.append(piece)
        size += len(piece)
        if size > _HEADER_BYTES_MAX:
            raise InvalidInput(
                f"the {records} header records are longer than {_HEADER_BYTES_MAX:,} bytes; "
                "nothing was changed"
            )
    return b"".join(parts)


class _Cutter:
    """A content and where it stands."""

    def __init__(self, pieces: Iterable[bytes], scanner: Scanner) -> None:
        self._pieces = iter(pieces)
        self._scanner = scanner
        self._piece = b""
        self._at = 0
        self._ends: list[int] = []
        self._next_end = 0

    def more(self) -> bool:
        """Whether anything follows."""
        while self._at >= len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                self._scanner.finish()
                return False
            self._piece, self._at = piece, 0
            self._ends, self._next_end = self._scanner.ends(piece), 0
        return True

    def file(self, records: int, size: int) -> Iterator[bytes]:
        """What follows, up to that many records or bytes; a record is never cut."""
        while self.more():
            at, ends, first = self._at, self._ends, self._next_end
            last = min(first + records - 1, bisect_left(ends, at + size, first))
            if last < len(ends):
                self._at, self._next_end = ends[last], last + 1
                if self._at > at:
                    yield self._piece[at : self._at]
                return
            self._at, self._next_end = len(self._piece), len(ends)
            records -= len(ends) - first
            size -= len(self._piece) - at
            yield self._piece[at:]
