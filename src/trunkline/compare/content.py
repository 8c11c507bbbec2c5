"""The two sides of a comparison, and what they have in common at both ends."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

_BLOCK_BYTES = 1024 * 1024
BOM = b"\xef\xbb\xbf"

Read = Callable[[int, int | None], Iterator[bytes]]  # (offset, size or None for the rest)


class NotComparable(Exception):
    """A content is not what its name promises, or too large for it; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A content that can be read from any offset."""

    size_bytes: int
    chunks: Sequence[tuple[str, int]]  # (name, size): equal names mean equal bytes
    read: Read = field(repr=False)

    def part(self, start: int, end: int) -> bytes:
        return b"".join(self.read(start, end - start)) if end > start else b""


EMPTY = Content(size_bytes=0, chunks=(), read=lambda _offset, _size: iter(()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """Where two contents differ: bytes `start` to `size - tail` of each; the rest is equal."""

    start: int
    tail: int

    def size_in(self, content: Content) -> int:
        return content.size_bytes - self.start - self.tail


def middle(old: Content, new: Content) -> Middle:
    """Find the equal beginning and end. Chunks that both share there are not read."""
    most = min(old.size_bytes, new.size_bytes)
    start = _equal_chunks(old.chunks, new.chunks, most)
    start += _equal_bytes(old, new, start, most)
    most -= start
    tail = _equal_chunks(old.chunks[::-1], new.chunks[::-1], most)
    tail += _equal_bytes_before(old, new, tail, most)
    return Middle(start=start, tail=tail)


def _equal_chunks(a: Sequence[tuple[str, int]], b: Sequence[tuple[str, int]], most: int) -> int:
    equal = 0
    for one, other in zip(a, b, strict=False):
        if one != other or equal + one[1] > most:
            break
        equal += one[1]
    return equal


def _equal_bytes(old: Content, new: Content, start: int, most: int) -> int:
    at = start
    while at < most:
        end = min(at + _BLOCK_BYTES, most)
        a, b = old.part(at, end), new.part(at, end)
        if a != b:
            return at - start + equal_beginning(a, b)
        at = end
    return at - start


def _equal_bytes_before(old: Content, new: Content, tail: int, most: int) -> int:
    found = tail
    while found < most:
        size = min(_BLOCK_BYTES, most - found)
        a = old.part(old.size_bytes - found - size, old.size_bytes - found)
        b = new.part(new.size_bytes - found - size, new.size_bytes - found)
        if a != b:
            return found - tail + equal_beginning(a[::-1], b[::-1])
        found += size
    return found - tail


def equal_beginning(a: bytes, b: bytes) -> int:
    """How many bytes two texts begin with that are equal."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        half = (low + high + 1) // 2
        if a[low:half] == b[low:half]:
            low = half
        else:
            high = half - 1
    return low


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The same as `Middle`, widened to whole records, and how many records lie before it."""

    middle: Middle
    before: int


def whole_records(old: Content, new: Content, found: Middle, *, delimiter: str | None) -> Records:
    """Widen a middle to whole lines, or to rows of CSV, given what stands between their cells.

    Reads what lies before the middle once, and as much behind it as is needed. Raises
    NotComparable for CSV that is not clear (see `Cutter`).
    """
    cutter = Cutter(delimiter)
    for block in new.read(0, found.start):
        cutter.read(block)
    start = cutter.end
    return Records(
        middle=Middle(start=start, tail=_whole_tail(old, new, start, found, delimiter)),
        before=cutter.count,
    )


class Cutter:
    """Finds where records end in bytes that come in blocks, from the start of a record on.

    With `delimiters`, a newline inside of `"…"` ends none. A quote in the middle of a cell raises
    NotComparable: whether it begins something depends on who reads it.
    """

    def __init__(self, delimiters: str | None, *, at: int = 0) -> None:
        self._edges = None if delimiters is None else b"\r\n" + delimiters.encode()
        self._at = at
        self._head = b""  # the first bytes of the content
        self._before = b"\n"  # the last byte; none right behind a quote that ends something
        self.inside = False  # of quotes
        self.count = 0  # of records that ended
        self.end = at  # of the last of them
        self.next_end: int | None = None  # of the first of them since this was set to None

    def read(self, block: bytes) -> None:
        if self._edges is None:
            self._outside(block)
            return
        first, *others = block.split(b'"')
        self._part(first)
        for part in others:
            if not self.inside and self._before not in self._edges and not self._is_start():
                raise NotComparable("it has a quote in the middle of a cell")
            self.inside = not self.inside
            self._before = b""
            self._at += 1
            self._part(part)

    def _is_start(self) -> bool:
        return self._at == len(BOM) and self._head == BOM

    def _part(self, part: bytes) -> None:
        """Bytes without quotes."""
        assert self._edges is not None
        if self.inside:
            self._at += len(part)
        elif part:
            if not self._before and part[:1] not in self._edges:
                raise NotComparable("it has a quote in the middle of a cell")
            if self._at < len(BOM):
                self._head = (self._head + part)[: len(BOM)]
            self._outside(part)
            self._before = part[-1:]

    def _outside(self, part: bytes) -> None:
        count = part.count(b"\n")
        if count:
            self.count += count
            self.end = self._at + part.rindex(b"\n") + 1
            if self.next_end is None:
                self.next_end = self._at + part.index(b"\n") + 1
        self._at += len(part)


def _whole_tail(
    old: Content, new: Content, start: int, found: Middle, delimiter: str | None
) -> int:
    """How many of the equal bytes at the end are whole records on both sides."""
    if not found.tail:
        return 0
    tails = []
    for content in (old, new):
        end = _record_end(content, start, found, delimiter)
        tails.append(0 if end is None else content.size_bytes - end)
    return min(tails)


def _record_end(content: Content, start: int, found: Middle, delimiter: str | None) -> int | None:
    """Where the record ends in which the middle does; None if it reaches far into the tail."""
    cutter = Cutter(delimiter, at=start)
    end = content.size_bytes - found.tail
    for block in content.read(start, end - start):
        cutter.read(block)
    if cutter.inside or cutter.end == end:
        return None if cutter.inside else end
    cutter.next_end = None
    for block in content.read(end, found.tail):
        cutter.read(block)
        if cutter.next_end is not None:
            return cutter.next_end
    return None


def lines_of(pieces: Iterable[bytes], *, most: int) -> Iterator[bytes]:
    """Lines with their ends; raises NotComparable for one of more than `most` bytes."""
    held: list[bytes] = []  # of a line that has not ended
    held_bytes = 0
    for piece in pieces:
        held.append(piece)
        held_bytes += len(piece)
        if b"\n" in piece:
            *lines, rest = b"".join(held).split(b"\n")
            for line in lines:
                _check_line(len(line), most)
                yield line + b"\n"
            held, held_bytes = [rest], len(rest)
        _check_line(held_bytes, most)
    if held_bytes:
        yield b"".join(held)


def _check_line(size: int, most: int) -> None:
    if size > most:
        raise NotComparable(f"it has a line above the {most:,} bytes that are read as one row")
