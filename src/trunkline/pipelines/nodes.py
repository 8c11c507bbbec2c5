"""The tree that a spec is before anyone knows what its fields mean, and faults found in it.

JSON and YAML become the same tree, each part with its offset in the text, so that a sentence about
any field can point at it, whichever of the two was written.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trunkline.errors import InvalidSpec, shown

DEPTH_MAX = 64  # levels of nesting; also what keeps the recursive readers within the stack
VALUES_MAX = 100_000  # values in one text, aliases counted as often as they are used

Path = tuple[str | int, ...]  # from the document down: ("input", "cross", 0, "pfs", "glob")

_SHOWN_COLUMNS = 96  # of a line in an excerpt


class Kind(StrEnum):
    """What a scalar is; the value is its name in sentences."""

    STRING = "a string"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    NULL = "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A single value. `text` is the string itself, or a number or boolean as written."""

    at: int | None
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNode:
    at: int | None
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    at: int | None  # of the key
    key: str
    value: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode:
    """Fields in the order written. Invariant: no key twice."""

    at: int | None
    entries: tuple[Entry, ...]


Node = Scalar | ListNode | MapNode


class Fault(Exception):
    """Something wrong in a spec, at an offset of the text or at a path of the document."""

    def __init__(self, problem: str, *, at: int | None = None, path: Path = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.at = at
        self.path = path


class Budget:
    """Counts the values of a text, so that no short text can become a huge tree."""

    def __init__(self) -> None:
        self._left = VALUES_MAX

    def spend(self, count: int, *, at: int | None) -> None:
        self._left -= count
        if self._left < 0:
            raise Fault(f"this is more than the {VALUES_MAX:,} values that a spec may have", at=at)


def check_depth(depth: int, *, at: int | None) -> None:
    """Raise a fault where the nesting is deeper than any spec needs."""
    if depth > DEPTH_MAX:
        raise Fault(f"this is nested more than {DEPTH_MAX} levels deep", at=at)


def check_string(text: str, *, at: int | None) -> str:
    """The string, if a command line, a file and the database could all hold it."""
    if "\x00" in text:
        raise Fault("a string can't hold a NUL character", at=at)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise Fault("a string holds half of a surrogate pair, which is not valid Unicode", at=at)
    return text


def from_value(value: object) -> Node:
    """The tree of a plain document (dict, list, str, int, float, bool, None), without offsets."""
    return _from_value(value, Budget(), 0)


def _from_value(value: object, budget: Budget, depth: int) -> Node:
    check_depth(depth, at=None)
    budget.spend(1, at=None)
    if value is None:
        return Scalar(at=None, kind=Kind.NULL, text="null")
    if isinstance(value, bool):
        return Scalar(at=None, kind=Kind.BOOLEAN, text="true" if value else "false")
    if isinstance(value, str):
        return Scalar(at=None, kind=Kind.STRING, text=check_string(value, at=None))
    if isinstance(value, int):
        if value.bit_length() > 128:  # str() of a huge int is slow, then refused by Python
            raise Fault("a number is far out of range")
        return Scalar(at=None, kind=Kind.NUMBER, text=str(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Fault("NaN and Infinity are not numbers of a spec")
        return Scalar(at=None, kind=Kind.NUMBER, text=repr(value))
    if isinstance(value, list | tuple):
        items = tuple(_from_value(item, budget, depth + 1) for item in value)
        return ListNode(at=None, items=items)
    if isinstance(value, Mapping):
        return MapNode(at=None, entries=_entries(value, budget, depth))
    raise Fault(f"a value of type {type(value).__name__} has no place in a spec")


def _entries(value: Mapping[object, object], budget: Budget, depth: int) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    for key, inner in value.items():
        if not isinstance(key, str):
            raise Fault(f"a field is named by {shown(repr(key))}, which is not a string")
        node = _from_value(inner, budget, depth + 1)
        entries.append(Entry(at=None, key=check_string(key, at=None), value=node))
    return tuple(entries)


def to_value(node: Node) -> object:
    """The plain value of a tree, whose numbers are ones that a spec may have."""
    match node:
        case MapNode():
            return {entry.key: to_value(entry.value) for entry in node.entries}
        case ListNode():
            return [to_value(item) for item in node.items]
        case Scalar(kind=Kind.NULL):
            return None
        case Scalar(kind=Kind.BOOLEAN):
            return node.text.lower() == "true"
        case Scalar(kind=Kind.NUMBER):
            try:
                return int(node.text)
            except ValueError:
                return float(node.text)
        case _:
            return node.text


def invalid_spec(source: str, text: str, problem: str, at: int | None) -> InvalidSpec:
    """The error for a problem at an offset of the text: one sentence, three lines and a caret."""
    if at is None:
        return InvalidSpec(f"{source}: {problem}")
    at = min(max(at, 0), len(text))
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1)
    return InvalidSpec(f"{source}, line {line}: {problem}\n{_excerpt(text, line, column)}")


def _excerpt(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    first, last = max(line - 1, 1), min(line + 1, len(lines))
    width = len(str(last))
    cut = max(0, column - _SHOWN_COLUMNS // 2) if column >= _SHOWN_COLUMNS else 0
    shown_lines: list[str] = []
    for number in range(first, last + 1):
        part = lines[number - 1][cut : cut + _SHOWN_COLUMNS]
        # One column per character, so that the caret below stands where it should.
        visible = "".join(c if c.isprintable() else " " for c in part)
        shown_lines.append(f"  {number:>{width}} | {visible}".rstrip())
        if number == line:
            shown_lines.append(f"  {'':>{width}} | {'':>{column - cut}}^")
    return "\n".join(shown_lines)
