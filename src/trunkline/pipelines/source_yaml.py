"""YAML text to a tree with offsets; `---` separates documents.

Built from the parser's events, never from its objects: no tag is honoured, nothing is constructed,
depth and size are bounded while reading, and an alias costs what it stands for. Scalars follow YAML
1.2 (only `true` and `false` are booleans), so that `cmd: [yes]` and `env: {NO: off}` are strings.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

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

# The C parser is some thirty times as fast; wheels of PyYAML have it, a build from source may not.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})


def read_yaml(text: str) -> Iterator[Node]:
    """The documents of the text, null for an empty one; raises Fault."""
    builder = _Builder(text)
    try:
        yield from builder.documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it can't be read"
        raise Fault(f"this is not valid YAML: {problem}", at=mark.index if mark else None) from None
    except yaml.YAMLError as error:
        # A ReaderError: a character that YAML forbids; its position is in bytes or characters.
        reason = getattr(error, "reason", "it can't be read")
        raise Fault(f"this is not valid YAML: {reason}") from None


class _Built:
    """A node with what an alias to it would add."""

    __slots__ = ("height", "node", "size")

    def __init__(self, node: Node, size: int, height: int) -> None:
        self.node = node
        self.size = size
        self.height = height


class _Builder:
    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._anchors: dict[str, _Built] = {}
        self._budget = Budget()

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()
                yield self._build(next(self._events), 0).node

    def _build(self, event: Any, depth: int) -> _Built:
        at: int = event.start_mark.index
        check_depth(depth, at=at)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth, at)
        self._budget.spend(1, at=at)
        if event.tag is not None:
            raise Fault(f"tags such as {shown(str(event.tag))} have no place in a spec", at=at)
        if isinstance(event, yaml.ScalarEvent):
            kind = _kind(event.value) if event.implicit[0] else Kind.STRING
            text = check_string(str(event.value), at=at)
            built = _Built(Scalar(at=at, kind=kind, text=text), 1, 0)
        elif isinstance(event, yaml.SequenceStartEvent):
            built = self._list(depth, at)
        else:
            built = self._map(depth, at)
        if event.anchor is not None:
            self._anchors[str(event.anchor)] = built
        return built

    def _alias(self, event: Any, depth: int, at: int) -> _Built:
        built = self._anchors.get(str(event.anchor))
        if built is None:
            raise Fault(f"alias {shown(str(event.anchor))} stands for nothing before it", at=at)
        self._budget.spend(built.size, at=at)
        check_depth(depth + built.height, at=at)
        return built

    def _list(self, depth: int, at: int) -> _Built:
        members: list[_Built] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            members.append(self._build(event, depth + 1))
        node = ListNode(at=at, items=tuple(member.node for member in members))
        return _Built(node, *_extent(members))

    def _map(self, depth: int, at: int) -> _Built:
        entries: list[Entry] = []
        members: list[_Built] = []
        seen: set[str] = set()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_at: int = event.start_mark.index
            key = self._build(event, depth + 1).node
            if not isinstance(key, Scalar):
                raise Fault("a field name must be a single word", at=key_at)
            if key.text == "<<":
                raise Fault("merging with '<<' is not supported: write the fields out", at=key_at)
            if key.text in seen:
                raise Fault(f"field {shown(key.text)} is given twice", at=key_at)
            seen.add(key.text)
            member = self._build(next(self._events), depth + 1)
            members.append(member)
            entries.append(Entry(at=key_at, key=key.text, value=member.node))
        return _Built(MapNode(at=at, entries=tuple(entries)), *_extent(members))


def _extent(members: list[_Built]) -> tuple[int, int]:
    size = 1 + sum(member.size for member in members)
    return size, 1 + max((member.height for member in members), default=0)


def _kind(text: str) -> Kind:
    if text in _NULLS:
        return Kind.NULL
    if text in _TRUTHS:
        return Kind.BOOLEAN
    return Kind.NUMBER if _NUMBER.fullmatch(text) else Kind.STRING
