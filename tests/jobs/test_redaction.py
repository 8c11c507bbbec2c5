"""No value of a secret is printed, as it is or encoded, however it is cut into pieces."""

import base64
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.jobs.redaction import MASK, Masking, Patterns, masked
from trunkline.model.secrets import MASKED_BYTES_MIN

LETTERS = st.text(alphabet="ab*", max_size=24).map(str.encode)  # few letters: much overlaps
PATTERNS = st.lists(st.text(alphabet="ab*", min_size=1, max_size=5).map(str.encode), max_size=4)


def slowly_masked(text: bytes, patterns: list[bytes]) -> bytes:
    """Each letter by itself: is it in some pattern, and does one go over from the letter before?"""
    spans = [
        (start, start + len(pattern))
        for pattern in patterns
        for start in range(len(text))
        if text[start : start + len(pattern)] == pattern
    ]
    out = b""
    for at in range(len(text)):
        covered = any(start <= at < end for start, end in spans)
        goes_on = any(start < at < end for start, end in spans)
        if not covered:
            out += text[at : at + 1]
        elif not goes_on:
            out += MASK
    return out


def in_pieces(text: bytes, cuts: list[int], patterns: Patterns) -> bytes:
    masking, out, at = Masking(patterns), b"", 0
    for cut in sorted(cut % (len(text) + 1) for cut in cuts):
        out += masking.feed(text[at:cut])
        at = cut
    return out + masking.feed(text[at:]) + masking.end()


@given(LETTERS, PATTERNS, st.lists(st.integers(0, 100), max_size=8))
@example(b"aaaaaaa", [b"aaa"], [1, 2, 3, 4])
@example(b"abab*bab", [b"abab", b"ab*b"], [3])
def test_pieces_are_masked_as_the_whole_is(
    text: bytes, patterns: list[bytes], cuts: list[int]
) -> None:
    assert in_pieces(text, cuts, Patterns(patterns)) == slowly_masked(text, patterns)


@given(st.text(alphabet="abc", max_size=400).map(str.encode), PATTERNS)
def test_much_text_is_masked_as_little_text_is(text: bytes, patterns: list[bytes]) -> None:
    masking = Masking(Patterns(patterns))

    at_once = masking.feed(text) + masking.end()
    letters = b"".join(masking.feed(bytes([letter])) for letter in text) + masking.end()

    assert at_once == letters == slowly_masked(text, patterns)


@given(PATTERNS, st.lists(LETTERS, max_size=8))
def test_no_more_is_held_back_than_a_pattern_is_long(
    patterns: list[bytes], pieces: list[bytes]
) -> None:
    longest = max(map(len, patterns), default=0)
    masking, taken, given_out = Masking(Patterns(patterns)), 0, b""
    for piece in pieces:
        given_out += masking.feed(piece)
        taken += len(piece)
        assert len(masking._held) <= max(0, longest - 1)


def json_escaped(value: bytes) -> bytes:
    return json.dumps(value.decode()).encode()


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda value: value,
    "base64": base64.b64encode,
    "base64 for URLs": base64.urlsafe_b64encode,
    "base64 in lines": base64.encodebytes,
    "hex": lambda value: value.hex().encode(),
    "HEX": lambda value: value.hex().upper().encode(),
    "URL": lambda value: urllib.parse.quote(value, safe="").encode(),
    "path": lambda value: urllib.parse.quote(value).encode(),
    "form": lambda value: urllib.parse.quote_plus(value).encode(),
    "JSON": json_escaped,
    "JSON with UTF-8": lambda value: json.dumps(value.decode(), ensure_ascii=False).encode(),
}
VALUES = st.text(min_size=6, max_size=90).map(lambda text: text.encode("utf-8", "replace"))


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(value=VALUES, cut=st.integers(0, 200))
def test_a_value_is_masked_in_every_encoding(encoding: str, value: bytes, cut: int) -> None:
    encoded = ENCODINGS[encoding](value)
    patterns = Patterns.of([value])

    printed = in_pieces(b"before " + encoded + b" after", [cut], patterns)

    for line in encoded.split(b"\n"):
        if len(line) > MASKED_BYTES_MIN + 2:  # such as the quotes of JSON, which stay
            assert line not in printed
    assert printed.startswith(b"before ")
    assert printed.endswith(b" after")


@given(
    before=st.binary(max_size=7),
    value=st.binary(min_size=9, max_size=40),
    after=st.binary(max_size=7),
    urls=st.booleans(),
)
def test_a_value_inside_of_a_longer_text_in_base64_is_masked(
    before: bytes, value: bytes, after: bytes, urls: bool
) -> None:
    encode = base64.urlsafe_b64encode if urls else base64.b64encode
    encoded = encode(before + value + after)

    printed = in_pieces(encoded, [], Patterns.of([value]))

    assert MASK in printed
    left = printed.replace(MASK, b"")
    # What is left stands for what was around it, and at most for a letter at each end.
    assert len(left) <= -(-4 * len(before) // 3) + -(-4 * (len(after) + 2) // 3) + 4


def test_each_line_of_a_key_is_masked_and_the_line_end_of_a_file_does_not_matter() -> None:
    patterns = Patterns.of([b"-----BEGIN-----\nabcdefgh\nijklmnop\n", b"password\n"])

    assert masked("x abcdefgh y", patterns) == "x *** y"
    assert masked("password\npassword\n", patterns) == "***\n***\n"
    assert masked('"password"', patterns) == '"***"'
    assert masked(base64.b64encode(b"password").decode(), patterns) == "***"


def test_values_shorter_than_four_bytes_are_no_patterns() -> None:
    assert not Patterns.of([b"", b"a", b"abc", b"abc\n"])
    assert masked("abcd", Patterns.of([b"abcd"])) == "***"
