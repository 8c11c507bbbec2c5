"""Takes the values of secrets out of what commands print, however it arrives. Pure.

A value is found as it is and in the encodings in which programs print values: base64 (at each of
the three places where it can begin in a longer text, and broken into lines), percent encoding, hex,
and the escapes of JSON. Where a value has several lines, each line counts too. What overlaps is
masked together, so that no half of a value is left over from another.
"""

import base64
import json
import urllib.parse
from collections.abc import Iterable, Iterator

from trunkline.model.secrets import MASKED_BYTES_MIN

MASK = b"***"
_HEAD_BYTES = 4  # that patterns are looked up by
_SCANNED_BYTES = 32  # a text of so many bytes for each pattern is quicker gone through letter-wise


class Patterns:
    """All that has to be masked so that none of some values is printed."""

    def __init__(self, patterns: Iterable[bytes] = ()) -> None:
        self._all = tuple(sorted(set(patterns)))
        self._head = min([_HEAD_BYTES, *map(len, self._all)])
        self._by_head: dict[bytes, list[bytes]] = {}
        for pattern in self._all:
            self._by_head.setdefault(pattern[: self._head], []).append(pattern)
        # The beginnings that are shorter than a head.
        self._stubs = {head[:length] for head in self._by_head for length in range(1, self._head)}
        self._longest = max(map(len, self._all), default=0)

    @staticmethod
    def of(values: Iterable[bytes]) -> "Patterns":
        """Those of some values, in all their forms and encodings."""
        found = (
            pattern for value in values for form in _forms(value) for pattern in _encodings(form)
        )
        return Patterns(pattern for pattern in found if len(pattern) >= MASKED_BYTES_MIN)

    def __bool__(self) -> bool:
        return bool(self._all)

    def found(self, text: bytes) -> list[tuple[int, int]]:
        """Where they are in the text, those that overlap too."""
        if len(text) > _SCANNED_BYTES * len(self._all):  # few patterns, or much text
            return [
                (start, start + len(pattern))
                for pattern in self._all
                for start in _places(text, pattern)
            ]
        return [
            (start, start + len(pattern))
            for start in range(len(text) - self._head + 1)
            for pattern in self._by_head.get(text[start : start + self._head], ())
            if text.startswith(pattern, start)
        ]

    def undecided(self, text: bytes) -> int:
        """The length of the longest end of the text that is a beginning of one, but not all."""
        head = self._head
        for start in range(max(0, len(text) - self._longest + 1), len(text) - head + 1):
            begun = self._by_head.get(text[start : start + head])
            if begun and any(
                len(pattern) > len(text) - start and pattern.startswith(text[start:])
                for pattern in begun
            ):
                return len(text) - start
        for length in range(min(head - 1, len(text)), 0, -1):
            if text[len(text) - length :] in self._stubs:
                return length
        return 0


NO_PATTERNS = Patterns()


def masked(text: str, patterns: Patterns) -> str:
    """A text without the patterns."""
    masking = Masking(patterns)
    data = masking.feed(text.encode("utf-8", "backslashreplace")) + masking.end()
    return data.decode("utf-8", "replace")


class Masking:
    """Masks one stream. Holds back no more than what may be the beginning of a pattern."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._held = b""
        self._masked = 0  # so many bytes of what is held belong to a mask that was given out

    def feed(self, data: bytes) -> bytes:
        """What of the stream so far can be given out now, masked."""
        if not self._patterns:
            return data
        text = self._held + data
        return self._give_out(text, len(text) - self._patterns.undecided(text))

    def end(self) -> bytes:
        """What is left at the end of the stream, or where it is to be looked at apart."""
        return self._give_out(self._held, len(self._held)) if self._held else b""

    def _give_out(self, text: bytes, until: int) -> bytes:
        given: list[bytes] = []
        at = self._masked
        for start, end in _merged(self._patterns.found(text)):
            if start >= until:
                break
            if start >= at:  # else it overlaps what a mask stands for already
                given += (text[at:start], MASK)
            at = max(at, end)
        given.append(text[at:until])
        self._held, self._masked = text[until:], max(0, at - until)
        return b"".join(given)


def _places(text: bytes, pattern: bytes) -> Iterator[int]:
    start = -1
    while (start := text.find(pattern, start + 1)) >= 0:
        yield start


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in order, those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _forms(value: bytes) -> set[bytes]:
    """The value, without blanks around it (files end in a line end), and each of its lines."""
    return {value, value.strip(), *(line.strip() for line in value.splitlines())}


def _encodings(value: bytes) -> Iterator[bytes]:
    if len(value.strip()) < MASKED_BYTES_MIN:
        return
    yield value.strip()  # the end of a line that is masked stays, so that lines stay lines
    for letters in (None, b"-_"):
        whole = base64.b64encode(value, letters)
        yield whole
        yield whole.rstrip(b"=")
        yield from (_inner_base64(value, place, letters) for place in range(3))
    yield from base64.encodebytes(value).splitlines()
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for safe in ("", "/"):
        for quoted in (urllib.parse.quote(value, safe), urllib.parse.quote_plus(value, safe)):
            yield quoted.encode()
            yield _lower_escapes(quoted).encode()
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield escaped.encode("utf-8")
        yield escaped.replace("/", "\\/").encode("utf-8")


def _inner_base64(value: bytes, place: int, letters: bytes | None) -> bytes:
    """The letters for nothing but the value, where it begins at byte `place` of three."""
    encoded = base64.b64encode(bytes(place) + value + bytes(2), letters)
    return encoded[-(-8 * place // 6) : 8 * (place + len(value)) // 6]


def _lower_escapes(quoted: str) -> str:
    first, *parts = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in parts)])
