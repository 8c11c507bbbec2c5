"""JSON text to a tree with offsets; several values in a row are several documents.

The standard library's parser keeps no positions, so this is a small one of our own; strings are
still decoded by `json`. Strict: no comments, no trailing commas, no NaN, no key twice.
"""

import json
import re
from collections.abc import Iterator

from trunkline.errors import shown
from trunkline.pipelines.nodes import (
    Budget,
    Entry,
    Fault,
    Kind,
    ListNode,
    MapNode,
    Node,
    Scalar,
    check_depth,
    check_string,
)

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z0-9_+.-]+")
_WORDS = {"true": Kind.BOOLEAN, "false": Kind.BOOLEAN, "null": Kind.NULL}


def read_json(text: str) -> Iterator[Node]:
    """The values of the text, one after the other; raises Fault."""
    reader = _Reader(text)
    reader.skip_space()
    while not reader.at_end:
        yield reader.value(0)
        reader.skip_space()


class _Reader:
    """Reads one value after the other; `_at` is the offset of what comes next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._budget = Budget()

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None  # the pattern matches the empty string
        self._at = match.end()

    def value(self, depth: int) -> Node:
        check_depth(depth, at=self._at)
        self._budget.spend(1, at=self._at)
        match self._next():
            case "{":
                return self._map(depth)
            case "[":
                return self._list(depth)
            case '"':
                start = self._at
                return Scalar(at=start, kind=Kind.STRING, text=self._string())
            case _:
                return self._plain()

    def _map(self, depth: int) -> MapNode:
        start = self._at
        entries: list[Entry] = []
        seen: set[str] = set()
        self._at += 1
        while self._goes_on("}", first=not entries):
            at = self._at
            if self._next() != '"':
                raise self._unexpected("a field name in double quotes")
            key = self._string()
            if key in seen:
                raise Fault(f"field {shown(key)} is given twice", at=at)
            seen.add(key)
            self.skip_space()
            if self._next() != ":":
                raise self._unexpected(f"':' behind field {shown(key)}")
            self._at += 1
            self.skip_space()
            entries.append(Entry(at=at, key=key, value=self.value(depth + 1)))
        return MapNode(at=start, entries=tuple(entries))

    def _list(self, depth: int) -> ListNode:
        start = self._at
        items: list[Node] = []
        self._at += 1
        while self._goes_on("]", first=not items):
            items.append(self.value(depth + 1))
        return ListNode(at=start, items=tuple(items))

    def _goes_on(self, end: str, *, first: bool) -> bool:
        """Step over the comma to the next member, or over the closing bracket."""
        self.skip_space()
        if self._next() == end:
            self._at += 1
            return False
        if first:
            return True
        if self._next() != ",":
            raise self._unexpected(f"',' or '{end}'")
        comma = self._at
        self._at += 1
        self.skip_space()
        if self._next() == end:
            raise Fault(f"a comma must not stand before '{end}'", at=comma)
        return True

    def _string(self) -> str:
        start = self._at
        match = _STRING.match(self._text, start)
        if match is None:
            raise Fault("this string has no closing quote", at=start)
        try:
            decoded: str = json.loads(match.group())
        except json.JSONDecodeError as error:
            raise Fault(
                "this string has a control character or an escape that JSON doesn't know; a "
                "newline is written \\n and a backslash \\\\",
                at=start + error.pos,
            ) from None
        self._at = match.end()
        return check_string(decoded, at=start)

    def _plain(self) -> Scalar:
        start = self._at
        match = _WORD.match(self._text, start)
        word = match.group() if match else ""
        if word in _WORDS:
            kind = _WORDS[word]
        elif _NUMBER.fullmatch(word):
            kind = Kind.NUMBER
        else:
            raise self._unexpected("a value")
        self._at += len(word)
        return Scalar(at=start, kind=kind, text=word)

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _unexpected(self, wanted: str) -> Fault:
        word = _WORD.match(self._text, self._at)
        found = shown(word.group() if word else self._next()) if not self.at_end else "the end"
        hint = "; strings need double quotes" if self._next() == "'" else ""
        return Fault(f"expected {wanted}, found {found}{hint}", at=self._at)
