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

MASK = b"***"
SHORTEST_BYTES = 4  # shorter values are parts of too many words


def patterns_of(values: Iterable[bytes]) -> tuple[bytes, ...]:
    """All that has to be masked so that none of the values is printed; shortest first."""
    found = {
        pattern
        for value in values
        for form in _forms(value)
        for pattern in _encodings(form)
        if len(pattern) >= SHORTEST_BYTES
    }
    return tuple(sorted(found, key=lambda pattern: (len(pattern), pattern)))


def masked(text: str, patterns: tuple[bytes, ...]) -> str:
    """A text without the patterns."""
    masking = Masking(patterns)
    data = masking.feed(text.encode("utf-8", "backslashreplace")) + masking.end()
    return data.decode("utf-8", "replace")


class Masking:
    """Masks one stream. Holds back no more than what may be the beginning of a pattern."""

    def __init__(self, patterns: tuple[bytes, ...]) -> None:
        self._patterns = patterns
        self._held = b""
        self._masked = 0  # so many bytes of what is held belong to a mask that was given out

    def feed(self, data: bytes) -> bytes:
        """What of the stream so far can be given out now, masked."""
        if not self._patterns:
            return data
        text = self._held + data
        return self._give_out(text, len(text) - self._undecided(text))

    def end(self) -> bytes:
        """What is left at the end of the stream, or where it is to be looked at apart."""
        return self._give_out(self._held, len(self._held)) if self._held else b""

    def _give_out(self, text: bytes, until: int) -> bytes:
        given: list[bytes] = []
        at = self._masked
        carried = max(0, at - until)
        for start, end in _merged(self._found(text)):
            if start >= until:
                break
            if start >= at:
                given += (text[at:start], MASK)
            # else it overlaps what a mask stands for already
            at = max(at, end)
            carried = max(0, at - until)
        given.append(text[at:until])
        self._held, self._masked = text[until:], carried
        return b"".join(given)

    def _found(self, text: bytes) -> list[tuple[int, int]]:
        """Where patterns are in the text, those that overlap too."""
        return [
            (start, start + len(pattern))
            for pattern in self._patterns
            for start in _places(text, pattern)
        ]

    def _undecided(self, text: bytes) -> int:
        """The length of the longest end of the text that may be the beginning of a pattern."""
        return max(_begun(text, pattern) for pattern in self._patterns)


def _begun(text: bytes, pattern: bytes) -> int:
    start = max(0, len(text) - len(pattern) + 1)
    while (start := text.find(pattern[:1], start)) >= 0:
        if pattern.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0


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
    if len(value.strip()) < SHORTEST_BYTES:
        return
    yield value
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
