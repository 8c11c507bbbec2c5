"""Compares two texts line by line."""

from dataclasses import dataclass
from itertools import islice

from trunkline.compare.content import Content, Middle, NotComparable, middle, whole_records
from trunkline.compare.lines import CONTEXT_LINES, changed_blocks, unified

MIDDLE_BYTES_MAX = 32 * 1024 * 1024  # of each side, that differ
MIDDLE_LINES_MAX = 1_000_000  # of each side, that differ; each takes some 200 bytes of memory
_LINE_LENGTH_MAX = 2000  # characters of a line that are listed
_NO_END = "\\ No newline at end of file"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDifference:
    added: int
    removed: int
    lines: tuple[str, ...]  # of a unified diff
    truncated: bool


def compare_texts(old: Content, new: Content, *, most: int) -> TextDifference:
    """What differs, with at most `most` lines of a unified diff.

    Bytes that are not UTF-8 are shown as escapes. Raises NotComparable if too much lies between
    the first and the last difference.
    """
    found = whole_records(old, new, middle(old, new), delimiter=None)
    part = found.middle
    for side in (old, new):
        if part.size_in(side) > MIDDLE_BYTES_MAX:
            raise NotComparable(
                f"{part.size_in(side):,} bytes from line {found.before + 1:,} on are not the same; "
                f"at most {MIDDLE_BYTES_MAX:,} are compared line by line"
            )
        lines = sum(block.count(b"\n") for block in side.read(part.start, part.size_in(side)))
        if lines > MIDDLE_LINES_MAX:
            raise NotComparable(
                f"{lines:,} lines from line {found.before + 1:,} on are not the same; "
                f"at most {MIDDLE_LINES_MAX:,} are compared"
            )
    lead = _lines_before(new, part)
    follow = _lines_behind(new, part)
    before = [*lead, *_lines(old, part), *follow]
    after = [*lead, *_lines(new, part), *follow]
    blocks = changed_blocks(before, after)
    listing = unified(before, after, blocks, first_line=found.before - len(lead) + 1)
    listed = [text for line in islice(listing, most + 1) for text in _shown(line)]
    return TextDifference(
        added=sum(block.new_end - block.new for block in blocks),
        removed=sum(block.old_end - block.old for block in blocks),
        lines=tuple(listed[:most]),
        truncated=len(listed) > most,
    )


def _lines(content: Content, part: Middle) -> list[str]:
    return _split(content.part(part.start, content.size_bytes - part.tail))


def _lines_before(content: Content, part: Middle) -> list[str]:
    start = max(0, part.start - CONTEXT_LINES * _LINE_LENGTH_MAX)
    lines = _split(content.part(start, part.start))
    return (lines if start == 0 else lines[1:])[-CONTEXT_LINES:]


def _lines_behind(content: Content, part: Middle) -> list[str]:
    start = content.size_bytes - part.tail
    end = min(content.size_bytes, start + CONTEXT_LINES * _LINE_LENGTH_MAX)
    lines = _split(content.part(start, end))
    return (lines if end == content.size_bytes else lines[:-1])[:CONTEXT_LINES]


def _split(data: bytes) -> list[str]:
    """Lines with their ends: one that has none differs from one that has."""
    text = data.decode("utf-8", "backslashreplace")
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _shown(line: str) -> list[str]:
    text = line.removesuffix("\n")
    if len(text) > _LINE_LENGTH_MAX:
        text = f"{text[:_LINE_LENGTH_MAX]}…"
    return [text] if line.endswith("\n") or line.startswith("@@ ") else [text, _NO_END]
