"""Aligns two sequences, and writes what differs between texts as a unified diff.

Sequences are aligned the patience way: items that occur once on each side are anchors, in the
longest order that both sides share; between two anchors `difflib` works on what is left, if that
is little. Where it is much, all of it counts as replaced. So time grows with n log n.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from trunkline.api.waiting import check_wanted

_CLOSE_WORK_MAX = 250_000  # old items x new items that are aligned by difflib
CONTEXT_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Old items [old, old_end) became new items [new, new_end); either may be none."""

    old: int
    old_end: int
    new: int
    new_end: int


def changed_blocks(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[Block]:
    """The stretches that differ, in order, with something equal between any two of them."""
    merged: list[Block] = []
    for block in _blocks(old, new, 0, len(old), 0, len(new)):
        last = merged[-1] if merged else None
        if last and last.old_end == block.old and last.new_end == block.new:
            merged[-1] = Block(
                old=last.old, old_end=block.old_end, new=last.new, new_end=block.new_end
            )
        else:
            merged.append(block)
    return merged


def _blocks(
    old: Sequence[Hashable], new: Sequence[Hashable], a: int, a_end: int, b: int, b_end: int
) -> Iterator[Block]:
    work = [(a, a_end, b, b_end)]
    while work:
        check_wanted()
        a, a_end, b, b_end = work.pop()
        while a < a_end and b < b_end and old[a] == new[b]:
            a, b = a + 1, b + 1
        while a < a_end and b < b_end and old[a_end - 1] == new[b_end - 1]:
            a_end, b_end = a_end - 1, b_end - 1
        if a == a_end and b == b_end:
            continue
        anchors = _anchors(old, new, a, a_end, b, b_end) if a < a_end and b < b_end else []
        if not anchors:
            yield from _close(old, new, a, a_end, b, b_end)
            continue
        # Pushed in reverse, so that the parts come out from left to right.
        parts, from_a, from_b = [], a, b
        for at_a, at_b in anchors:
            parts.append((from_a, at_a, from_b, at_b))
            from_a, from_b = at_a + 1, at_b + 1
        parts.append((from_a, a_end, from_b, b_end))
        work += reversed(parts)


def _anchors(
    old: Sequence[Hashable], new: Sequence[Hashable], a: int, a_end: int, b: int, b_end: int
) -> list[tuple[int, int]]:
    """Items that occur once on each side, as the longest run that is in order on both."""
    once_old, once_new = Counter(old[a:a_end]), Counter(new[b:b_end])
    place = {new[j]: j for j in range(b, b_end) if once_new[new[j]] == 1}
    pairs = [
        (i, place[old[i]]) for i in range(a, a_end) if once_old[old[i]] == 1 and old[i] in place
    ]
    tails: list[int] = []  # least last place of a run of each length
    holders: list[int] = []  # the pair that has it
    before: list[int] = []  # the pair in front of each pair, in its longest run
    for number, (_, j) in enumerate(pairs):
        length = bisect_left(tails, j)
        before.append(holders[length - 1] if length else -1)
        if length == len(tails):
            tails.append(j)
            holders.append(number)
        else:
            tails[length], holders[length] = j, number
    run: list[tuple[int, int]] = []
    at = holders[-1] if holders else -1
    while at >= 0:
        run.append(pairs[at])
        at = before[at]
    return run[::-1]


def _close(
    old: Sequence[Hashable], new: Sequence[Hashable], a: int, a_end: int, b: int, b_end: int
) -> Iterator[Block]:
    if (a_end - a) * (b_end - b) > _CLOSE_WORK_MAX or a == a_end or b == b_end:
        yield Block(old=a, old_end=a_end, new=b, new_end=b_end)
        return
    matcher = SequenceMatcher(None, old[a:a_end], new[b:b_end], autojunk=False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag != "equal":
            yield Block(old=a + i, old_end=a + i_end, new=b + j, new_end=b + j_end)


def unified(
    old: Sequence[str], new: Sequence[str], blocks: Sequence[Block], *, first_line: int
) -> Iterator[str]:
    """The lines of a unified diff without its file header; lines count from `first_line`.

    Lines come without their ends.
    """
    for hunk in _hunks(blocks):
        start = max(0, hunk[0].old - CONTEXT_LINES)
        lead = hunk[0].old - start
        old_end = min(len(old), hunk[-1].old_end + CONTEXT_LINES)
        new_start = hunk[0].new - lead
        new_end = hunk[-1].new_end + old_end - hunk[-1].old_end
        yield (
            f"@@ -{_span(start + first_line, old_end - start)} "
            f"+{_span(new_start + first_line, new_end - new_start)} @@"
        )
        at = start
        for block in hunk:
            yield from (f" {line}" for line in old[at : block.old])
            yield from (f"-{line}" for line in old[block.old : block.old_end])
            yield from (f"+{line}" for line in new[block.new : block.new_end])
            at = block.old_end
        yield from (f" {line}" for line in old[at:old_end])


def _hunks(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    hunk: list[Block] = []
    for block in blocks:
        if hunk and block.old - hunk[-1].old_end > 2 * CONTEXT_LINES:
            yield hunk
            hunk = []
        hunk.append(block)
    if hunk:
        yield hunk


def _span(first: int, count: int) -> str:
    """Lines as a unified diff names them: an empty stretch by the line before it."""
    return f"{first}" if count == 1 else f"{first - (count == 0)},{count}"
