"""JSON, YAML and TOML as a tree that opens and closes, as far as one can look at it.

YAML is read as the events of its parser, never as objects: aliases stay names, and what a document
would grow to by them is not made.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import yaml

from trunkline.server.console.preview import Preview, Subject, Unsuitable

ORDER = 200
_BYTES_MAX = 4 * 1024 * 1024
_NODES_MAX = 3000  # of a tree that are shown
_CHILDREN_MAX = 500  # of one node that are shown
_DEPTH_MAX = 60
_NESTED_MAX = 200  # of YAML
_TEXT_MAX = 1000  # characters of a value
_YAML_BYTES_MAX = 1024 * 1024
_TAGS = {"int": "number", "float": "number", "bool": "yes or no", "null": "nothing"}


def suits(subject: Subject) -> bool:
    return subject.suffix in _READERS and subject.file.size_bytes > 0


def preview(subject: Subject) -> Preview:
    tree = _READERS[subject.suffix](subject)
    context = {"tree": tree.root, "partial": tree.partial, "values": tree.count}
    return Preview(template="files/tree.html", label=subject.suffix, context=context)


@dataclass(slots=True)
class Node:
    """A value with its name in what it is in; `size` is how many it has in itself."""

    name: str
    kind: str
    text: str = ""
    size: int | None = None
    children: list["Node"] = field(default_factory=list)

    @property
    def hidden(self) -> int:
        return (self.size or 0) - len(self.children)


class _Tree:
    """A tree that stops to grow when there is enough of it to look at."""

    def __init__(self) -> None:
        self.count = 0
        self.partial = False
        self.root = Node("", "list", size=0)

    def room_in(self, parent: Node, depth: int) -> bool:
        """Whether another child is shown."""
        fits = len(parent.children) < _CHILDREN_MAX and depth < _DEPTH_MAX
        if not fits or self.count >= _NODES_MAX:
            self.partial = True
            return False
        self.count += 1
        return True


def _json(subject: Subject) -> _Tree:
    text = subject.whole(_BYTES_MAX)
    try:
        return _of_values(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise Unsuitable(f"it can't be read as JSON ({_first_line(error)})") from error


def _toml(subject: Subject) -> _Tree:
    text = subject.whole(_YAML_BYTES_MAX)
    try:
        return _of_values(tomllib.loads(text.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise Unsuitable(f"it can't be read as TOML ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _of_values(value: Any) -> _Tree:
    tree = _Tree()
    tree.root = _node("", value)
    waiting = [(tree.root, value, 0)]
    # Level by level: what is shown of a large document is its outline.
    for parent, held, depth in waiting:
        pairs: Iterable[tuple[str, Any]] = (
            held.items()
            if isinstance(held, Mapping)
            else ((str(place), one) for place, one in enumerate(held))
            if isinstance(held, list)
            else ()
        )
        for name, one in islice(pairs, _CHILDREN_MAX + 1):
            if tree.room_in(parent, depth):
                child = _node(name, one)
                parent.children.append(child)
                waiting.append((child, one, depth + 1))
    return tree


def _node(name: str, value: Any) -> Node:
    match value:
        case Mapping():
            return Node(name, "object", size=len(value))
        case list():
            return Node(name, "list", size=len(value))
        case bool():
            return Node(name, "yes or no", "true" if value else "false")
        case None:
            return Node(name, "nothing", "null")
        case int() | float():
            return Node(name, "number", _shortened(f"{value}"))
        case str():
            return Node(name, "text", _shortened(value))
    return Node(name, "time", str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "…"


def _yaml(subject: Subject) -> _Tree:
    text = subject.whole(_YAML_BYTES_MAX)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _FromEvents()
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
            if builder.tree.count >= _NODES_MAX:
                builder.tree.partial = True
                break
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unsuitable(f"it can't be read as YAML ({_first_line(error)})") from error
    root = builder.tree.root
    if len(root.children) == 1:
        builder.tree.root = root.children[0]
        builder.tree.root.name = ""
    return builder.tree


class _FromEvents:
    """Builds a tree of what a parser of YAML tells; its root has the documents."""

    def __init__(self) -> None:
        self.tree = _Tree()
        # What is being read, each in the one before it, and whether it is shown.
        self._open: list[tuple[Node, bool]] = [(self.tree.root, True)]
        self._keys: list[str | None] = [None]  # the key whose value comes next, of each of them
        self._resolve: Callable[..., str] = yaml.resolver.Resolver().resolve

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.AliasEvent():
                self._add(Node("", "alias", f"*{event.anchor}"))
            case yaml.ScalarEvent():
                self._add(self._scalar(event))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                is_map = isinstance(event, yaml.MappingStartEvent)
                node = Node("", "object" if is_map else "list", size=0)
                self._open.append((node, self._add(node)))
                if len(self._open) > _NESTED_MAX:  # what its parser takes grows with the square
                    raise Unsuitable(f"its values are nested more than {_NESTED_MAX} times")
                self._keys.append(None)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
                self._keys.pop()

    def _add(self, node: Node) -> bool:
        """Put a value where it belongs; says whether it is shown there."""
        parent, is_shown = self._open[-1]
        if parent.kind == "object":
            if self._keys[-1] is None:
                self._keys[-1] = node.text if node.size is None else f"({node.kind})"
                return False
            node.name, self._keys[-1] = self._keys[-1], None
        else:
            node.name = str(parent.size)
        parent.size = (parent.size or 0) + 1
        if is_shown and self.tree.room_in(parent, len(self._open)):
            parent.children.append(node)
            return True
        return False

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        tag = event.tag or self._resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = _TAGS.get(tag.rpartition(":")[2], "text")
        return Node("", kind, _shortened(event.value) or ("null" if kind == "nothing" else ""))


_READERS = {
    "json": _json,
    "geojson": _json,
    "webmanifest": _json,
    "yaml": _yaml,
    "yml": _yaml,
    "toml": _toml,
}
