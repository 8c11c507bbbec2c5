"""The two sides of a comparison, and what they have in common at both ends."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

_BLOCK_BYTES = 1024 * 1024

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


def whole_records(old: Content, new: Content, found: Middle, *, quoted: bool) -> Records:
    """Widen a middle to whole lines; with `quoted`, a newline inside of `"…"` ends none.

    Reads what lies before the middle once, and as much behind it as is needed.
    """
    start, at, count, before = 0, 0, 0, 0
    quotes = 0
    for block in new.read(0, found.start):
        ends, last = _ends(block, quotes, quoted=quoted)
        if ends:
            before, start = count + ends, at + last + 1
        count += ends
        quotes += block.count(b'"')
        at += len(block)
    return Records(
        middle=Middle(start=start, tail=_whole_tail(old, new, start, found, quoted=quoted)),
        before=before,
    )


def _ends(block: bytes, quotes: int, *, quoted: bool) -> tuple[int, int]:
    """How many records end in a block, and where the last of them does (-1: none does).

    `quotes` is the number of quotes before the block.
    """
    if not quoted or (b'"' not in block and quotes % 2 == 0):
        return block.count(b"\n"), block.rfind(b"\n")
    count, last, at = 0, -1, 0
    for number, part in enumerate(block.split(b'"'), quotes):
        if number % 2 == 0:
            count += part.count(b"\n")
            cut = part.rfind(b"\n")
            last = at + cut if cut >= 0 else last
        at += len(part) + 1
    return count, last


def _whole_tail(old: Content, new: Content, start: int, found: Middle, *, quoted: bool) -> int:
    """How many of the equal bytes at the end are whole records on both sides."""
    if not found.tail:
        return 0
    if quoted and (_quotes(old, start, found) % 2 or _quotes(new, start, found) % 2):
        return 0  # a record of at least one side reaches into what both end with
    if _ends_record(old, start, found) and _ends_record(new, start, found):
        return found.tail
    at, quotes = new.size_bytes - found.tail, 0
    for block in new.read(at, found.tail):
        for number, part in enumerate(block.split(b'"') if quoted else [block], quotes):
            cut = part.find(b"\n") if number % 2 == 0 or not quoted else -1
            if cut >= 0:
                return new.size_bytes - (at + cut + 1)
            at += len(part) + 1
        at -= 1
        quotes += block.count(b'"')
    return 0


def _ends_record(content: Content, start: int, found: Middle) -> bool:
    """Whether the differing part of a side, from `start` on, is whole records (or nothing)."""
    end = content.size_bytes - found.tail
    return end == start or content.part(end - 1, end) == b"\n"


def _quotes(content: Content, start: int, found: Middle) -> int:
    size = content.size_bytes - found.tail - start
    return sum(block.count(b'"') for block in content.read(start, size))


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
