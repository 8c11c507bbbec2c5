"""Text: the listed lines lead from the old text to the new one, whatever the two are."""

import random
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_content import content

from trunkline.compare import lines, text
from trunkline.compare.compare import compare_contents
from trunkline.compare.content import NotComparable, middle
from trunkline.model.differences import ContentKind, Op


def patched(old: Sequence[str], diff: Sequence[str]) -> list[str]:
    """The new lines: what `patch` would make of the old ones."""
    new: list[str] = []
    at = 0
    ended = True
    for line in diff:
        if match := re.match(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@", line):
            first, count = int(match[1]), int(match[2] if match[2] is not None else 1)
            start = first - 1 if count else first
            new += old[at:start]
            at = start
        elif line.startswith("\\"):
            if not ended:
                new[-1] = new[-1].removesuffix("\n")
        elif line.startswith("+"):
            new.append(line[1:] + "\n")
        else:
            assert old[at].removesuffix("\n") == line[1:]
            if line.startswith(" "):
                new.append(old[at])
            at += 1
        ended = not line.startswith(("+", "\\"))
    return new + list(old[at:])


TEXT = st.lists(st.sampled_from(["a", "b", "c", "dd", "", "é", "  x"]), max_size=30).flatmap(
    lambda parts: st.sampled_from(["\n".join(parts), "\n".join([*parts, ""])])
)


@given(TEXT, TEXT)
def test_the_listed_lines_lead_from_the_old_text_to_the_new_one(old: str, new: str) -> None:
    found = text.compare_texts(content(old.encode()), content(new.encode()), most=1000)

    assert "".join(patched(old.splitlines(keepends=True), found.lines)) == new
    assert found.added == sum(line.startswith("+") for line in found.lines)
    assert found.removed == sum(line.startswith("-") for line in found.lines)
    assert not found.truncated


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_the_middle_is_all_that_differs(old: bytes, new: bytes) -> None:
    found = middle(content(old), content(new))

    assert old[: found.start] == new[: found.start]
    assert old[len(old) - found.tail :] == new[len(new) - found.tail :]
    assert found.start + found.tail <= min(len(old), len(new))
    if old != new:
        rest = [s[found.start : len(s) - found.tail] for s in (old, new)]
        assert not (rest[0][:1] and rest[0][:1] == rest[1][:1])


@given(st.lists(st.integers(0, 8), max_size=40), st.lists(st.integers(0, 8), max_size=40))
def test_blocks_lead_from_one_sequence_to_the_other(old: list[int], new: list[int]) -> None:
    made: list[int] = []
    at = 0
    for block in lines.changed_blocks(old, new):
        made += old[at : block.old] + new[block.new : block.new_end]
        at = block.old_end

    assert made + old[at:] == new


def test_what_was_only_moved_apart_costs_no_more_than_sorting() -> None:
    rng = random.Random(7)
    old = [f"line {rng.random()}" for _ in range(50_000)]
    new = [line for line in old if rng.random() > 0.01]

    blocks = lines.changed_blocks(old, new)

    assert sum(b.old_end - b.old for b in blocks) == len(old) - len(new)
    assert sum(b.new_end - b.new for b in blocks) == 0


def test_a_hunk_looks_like_that_of_diff() -> None:
    old = "".join(f"{n}\n" for n in range(1, 21))
    new = old.replace("10\n", "ten\n").replace("20\n", "20")

    found = text.compare_texts(content(old.encode()), content(new.encode()), most=100)

    assert found.lines == (
        *("@@ -7,7 +7,7 @@", " 7", " 8", " 9", "-10", "+ten", " 11", " 12", " 13"),
        *("@@ -17,4 +17,4 @@", " 17", " 18", " 19", "-20", "+20", "\\ No newline at end of file"),
    )


def test_a_long_answer_is_cut_and_says_so() -> None:
    new = b"".join(b"%d\n" % n for n in range(100))

    found = text.compare_texts(content(b""), content(new), most=10)

    assert (found.added, len(found.lines), found.truncated) == (100, 10, True)


def test_too_much_to_compare_by_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MIDDLE_BYTES_MAX", 10)

    with pytest.raises(NotComparable, match=r"20 bytes from line 2 on are not the same"):
        text.compare_texts(content(b"same\nxx\n"), content(b"same\n" + b"0123456789" * 2), most=5)


def test_too_many_lines_to_compare_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MIDDLE_LINES_MAX", 10)

    with pytest.raises(NotComparable, match=r"20 lines from line 2 on are not the same"):
        text.compare_texts(content(b"same\nx\n"), content(b"same\n" + b"y\n" * 20), most=5)


def compare(path: str, old: bytes | None, new: bytes | None, kind: ContentKind | None = None):
    sides = [None if data is None else content(data) for data in (old, new)]
    return compare_contents(path, *sides, kind=kind, key=(), most=100)


def test_bytes_with_a_nul_are_binary() -> None:
    found = compare("a.txt", b"\0\1", b"\0\2")

    assert (found.kind, found.added, found.lines) == (ContentKind.BINARY, None, ())


def test_new_and_deleted_files_are_compared_with_nothing() -> None:
    added, removed = compare("a.txt", None, b"x\n"), compare("a.txt", b"x\n", None)

    assert (added.op, added.old_size_bytes, added.lines) == (
        Op.ADDED,
        None,
        ("@@ -0,0 +1 @@", "+x"),
    )
    assert (removed.op, removed.new_size_bytes, removed.removed) == (Op.REMOVED, None, 1)


@pytest.mark.parametrize("path", ["a.csv", "a.json", "a.jsonl", "a.parquet", "a.txt"])
@given(old=st.binary(max_size=80), new=st.binary(max_size=80))
def test_no_content_breaks_a_comparison(path: str, old: bytes, new: bytes) -> None:
    found = compare(path, old, new)

    assert found.path == path
