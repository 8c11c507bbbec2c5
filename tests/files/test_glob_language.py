"""The glob language: every form of it, cleaning, captures, bounds and hostile patterns."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import InvalidGlob
from trunkline.files.glob import PATTERN_LENGTH_MAX, compile_glob

MATCHES = [
    ("*", ["a", "a.csv", ".hidden", "é"], ["a/b"]),
    ("/*", ["a", "foo-1"], ["a/b"]),
    ("/*/*", ["a/b"], ["a", "a/b/c"]),
    ("**", ["a", "a/b", "a/b/c"], []),
    ("/**.csv", ["x.csv", "a/x.csv"], ["x.csv/a", "x.txt"]),
    ("a/**/z", ["a/b/z", "a/b/c/z"], ["a/z", "a", "z"]),
    ("a**z", ["az", "abz", "a/b/z"], ["za"]),
    ("?", ["a", "é", "𝄞"], ["", "ab", "/"]),
    ("a?c", ["abc"], ["a/c", "ac"]),
    ("[abc]", ["a", "c"], ["d", "ab"]),
    ("[a-c]x", ["bx"], ["dx"]),
    ("[!a]", ["b"], ["a", "/"]),
    ("[^a-c]", ["d"], ["b"]),
    ("a[!b]c", ["axc"], ["a/c", "abc"]),
    ("a[+-9]c", ["a0c", "a.c"], ["a/c"]),
    ("[[:alpha:]][[:digit:]]", ["a1"], ["11", "aa"]),
    ("[![:upper:]_]", ["a"], ["A", "_"]),
    ("[]a]", ["]", "a"], ["b"]),
    (r"[\]\-x]", ["]", "-", "x"], ["\\"]),
    ("[a-]", ["a", "-"], ["b"]),
    ("{a,b}", ["a", "b"], ["c", "ab", "a,b"]),
    ("{a,b{c,d}}e", ["ae", "bce", "bde"], ["be", "ace"]),
    ("x{,y}", ["x", "xy"], ["xyy"]),
    ("{a/b,c}/d", ["a/b/d", "c/d"], ["a/d"]),
    ("{*.csv,*.txt}", ["a.csv", "b.txt"], ["a.csv/x", "a"]),
    (r"\*\?\[", ["*?["], ["abc"]),
    (r"a\{b", ["a{b"], ["ab"]),
    ("a,b|c", ["a,b|c"], ["a"]),
    ("a.b+c$^", ["a.b+c$^"], ["aXb+c$^"]),
    ("(a|b)c", ["ac", "bc"], ["c", "abc"]),
    ("@(a|b)", ["a", "b"], ["ab"]),
    ("*(a|b)", ["", "a", "abba"], ["c", "ac"]),
    ("+(a|ab)c", ["ac", "abc", "aabac"], ["c", "bc"]),
    ("?(a|b)c", ["c", "ac"], ["abc"]),
    ("!(a|b)", ["", "c", "ab", "aa"], ["a", "b", "x/y"]),
    ("!(a)*", ["a", "b"], ["a/b"]),
    ("a!(b)c", ["ac", "axc", "abbc"], ["abc"]),
    ("x-!(*.tmp)", ["x-a.csv"], ["x-a.tmp"]),
    ("+([0-9]).csv", ["123.csv"], [".csv", "1a.csv"]),
    ("*(a/)b", ["b", "a/b", "a/a/b"], ["a", "ab"]),
    ("(**)/x", ["a/x", "a/b/x"], ["x"]),
    ("+", ["+"], ["++"]),
    ("a!b@c", ["a!b@c"], ["abc"]),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), MATCHES)
def test_a_pattern_matches_whole_paths(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = compile_glob(pattern)

    assert glob.select([*yes, *no]) == yes


@pytest.mark.parametrize("pattern", ["", "/", "//", "."])
def test_the_root_has_many_spellings(pattern: str) -> None:
    assert compile_glob(pattern).is_root


@pytest.mark.parametrize("pattern", ["abc", "/abc", "abc/", "/abc/", "//abc//"])
def test_slashes_at_the_ends_do_not_count(pattern: str) -> None:
    assert compile_glob(pattern).pattern == "abc"


@pytest.mark.parametrize(
    ("pattern", "path", "captured"),
    [
        ("(*)/(*).csv", "2024/sales.csv", ("2024", "sales")),
        ("(a|b)-(c|d)", "b-c", ("b", "c")),
        ("+(ab)(*)", "ababx", ("abab", "x")),
        ("?(x)y", "y", ("",)),
        ("{(a)1,(b)2}", "b2", ("", "b")),
        ("((a|b)c)/*", "bc/x", ("bc", "b")),
        ("!(a)-b", "x-b", ("x",)),
        ("(**)/(*)", "a/b/c", ("a/b", "c")),
        ("(*)(*)", "ab", ("ab", "")),
        ("*.csv", "a.csv", ()),
    ],
)
def test_round_brackets_capture(pattern: str, path: str, captured: tuple[str, ...]) -> None:
    glob = compile_glob(pattern)

    assert glob.captured(path) == captured
    assert glob.captures == len(captured)


def test_a_path_that_does_not_match_captures_nothing() -> None:
    assert compile_glob("(a)/(b)").captured("a/c") is None
    assert compile_glob("!(a)").captured("a") is None


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("[abc", "not closed"),
        ("[", "not closed"),
        ("[!", "not closed"),
        ("{a,b", "not closed"),
        ("(a|b", "not closed"),
        ("(a,b}", "not closed"),
        ("a}", "closes nothing"),
        ("a)", "closes nothing"),
        ("a\\", "backslash"),
        ("[z-a]", "backwards"),
        ("[[:nope:]]", "class"),
        ("x" * (PATTERN_LENGTH_MAX + 1), "longer"),
        ("(" * 9 + ")" * 9, "nested"),
        ("{" * 9 + "}" * 9, "nested"),
        ("(a)" * 17, "more than 16"),
    ],
)
def test_a_malformed_pattern_is_refused_with_the_reason(pattern: str, rule: str) -> None:
    with pytest.raises(InvalidGlob, match=rule):
        compile_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "depth"),
    [
        ("*", (1, 1)),
        ("a/*", (2, 2)),
        ("{a,b/c}", (1, 2)),
        ("**", (1, None)),
        ("*(a/)b", (1, None)),
        ("+(a)/b", (2, 2)),
        ("?(a/)b", (1, 2)),
        ("!(a/b)", (1, 1)),
    ],
)
def test_a_pattern_tells_how_deep_it_can_match(pattern: str, depth: tuple[int, int | None]) -> None:
    glob = compile_glob(pattern)

    assert (glob.depth_min, glob.depth_max) == depth


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 300 + "b",
        "**a" * 300 + "b",
        "**a*" * 200 + "b",
        "?*" * 300 + "b",
        "*(*(*(*(a))))b",
        "+(a|a|aa)b",
        "*(a*a|*a*)b",
        "!(!(!(a*)*)*)b",
        "{a,aa}" * 8 + "*" + "{a,aa}" * 8,
        "{a,b,c,d,e,f,g,h,i,j}" * 40,
        "+(a|aa|aaa)" * 16 + "b",
    ],
)
def test_hostile_patterns_take_bounded_time(pattern: str) -> None:
    paths = ["a" * 250, "/".join(["a" * 20] * 12), "a" * 250 + "c"]

    started = time.process_time()
    compile_glob(pattern).select(paths)

    assert time.process_time() - started < 2


PIECES = ["a", "b", "/", "*", "**", "?", "[ab]", "[!a]", "{a,b}", "{a*,/b}", "{,a}", "a/b"]


def naive(pattern: str) -> re.Pattern[str]:
    """A plain translation, which may take long but is easy to believe."""
    text = re.sub("/+", "/", pattern).strip("/")
    out = ""
    depth = 0
    for token in re.findall(r"\*\*|\[[^]]*\]|.", text):
        if token == "**":
            out += ".*"
        elif token == "*":
            out += "[^/]*"
        elif token == "?":
            out += "[^/]"
        elif token.startswith("[!"):
            out += f"[^/{token[2:]}"
        elif token.startswith("[") and len(token) > 1:
            out += token
        elif token in "{}":
            depth += 1 if token == "{" else -1
            out += "(?:" if token == "{" else ")"
        elif token == "," and depth:
            out += "|"
        else:
            out += re.escape(token)
    return re.compile(out, re.DOTALL)


@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=7),
    paths=st.lists(st.text("ab/", min_size=1, max_size=9).map(lambda p: p.strip("/"))),
)
@settings(max_examples=10 * settings().max_examples)
def test_the_quick_matcher_agrees_with_a_naive_one(pieces: list[str], paths: list[str]) -> None:
    pattern = "".join(pieces)
    matcher = naive(pattern)
    kept = [path for path in paths if path and "//" not in path]

    assert compile_glob(pattern).select(kept) == [p for p in kept if matcher.fullmatch(p)]


@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=5),
    paths=st.lists(st.text("ab/", min_size=1, max_size=8).map(lambda p: p.strip("/"))),
)
@settings(max_examples=5 * settings().max_examples)
def test_brackets_around_a_pattern_change_nothing(pieces: list[str], paths: list[str]) -> None:
    pattern = re.sub("/+", "/", "".join(pieces)).strip("/")
    plain, captured = compile_glob(pattern), compile_glob(f"({pattern})")
    kept = [path for path in paths if path and "//" not in path]

    if pattern:
        assert captured.select(kept) == plain.select(kept)
        assert all(captured.captured(path) == (path,) for path in plain.select(kept))


@given(pattern=st.text("ab*?[]{}()|,!+@^-\\/:.", max_size=14), path=st.text("ab/-,", max_size=10))
@settings(max_examples=20 * settings().max_examples)
def test_any_text_is_a_pattern_or_refused(pattern: str, path: str) -> None:
    try:
        glob = compile_glob(pattern)
    except InvalidGlob:
        return

    groups = glob.captured(path)

    assert (groups is not None) == glob.matches(path)
    assert groups is None or len(groups) == glob.captures
