"""A tree from a text to a canonical document: known fields only, in snake case and the order of the
table, each value of its type.

Says nothing about how fields go together; that is `spec` and `inputs`. Also lists what a canonical
document asks for that is kept but does nothing.
"""

import math
import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from trunkline.errors import meant, shown
from trunkline.pipelines.field_types import (
    INT64_MAX,
    Decimal,
    Duration,
    Either,
    Field,
    Free,
    ListOf,
    Message,
    Quantity,
    Text,
    TextMap,
    Truth,
    Type,
    Use,
    Whole,
)
from trunkline.pipelines.fields import MESSAGES, holders, spellings
from trunkline.pipelines.nodes import Fault, Kind, ListNode, MapNode, Node, Path, Scalar, to_value

Document = dict[str, object]
Places = dict[Path, int]  # where in the text each part of the document was written

_WHOLE = re.compile(r"[-+]?[0-9]{1,40}(?:\.0{1,40})?")
_DECIMAL = re.compile(
    r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?"
)
_QUANTITY = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[kKMGTPE]i?|m)?")
_QUANTITY_SCALES = {"": Fraction(1), "m": Fraction(1, 1000)} | {
    letter + suffix: Fraction(base**power)
    for suffix, base in (("", 1000), ("i", 1024))
    for letter, power in (("k", 1), ("K", 1), ("M", 2), ("G", 3), ("T", 4), ("P", 5), ("E", 6))
}
_DURATION = re.compile(r"(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_DURATION_MAX_S = 3.2e9  # about a hundred years


def canonical(node: Node, places: Places) -> Document:
    """The canonical document of a spec's tree; notes offsets in `places`. Raises Fault."""
    if not isinstance(node, MapNode):
        raise Fault(
            f"a pipeline spec must be an object with fields, not {_named(node)}", at=node.at
        )
    return _message(node, "spec", (), places)


def kept_fields(document: Document) -> list[str]:
    """The fields that the document sets and that do nothing yet, as dotted names, each once."""
    return list(dict.fromkeys(_kept(document, "spec", "")))


def refused_fields(document: Document) -> Iterator[tuple[Path, Field]]:
    """The fields that the document sets and that can't work yet, with where they are."""
    return _refused(document, "spec", ())


def seconds(text: str) -> float | None:
    """The length of a duration such as "10s", "1.5h" or "1h30m"; None if it is not one."""
    if text in ("0", "+0"):
        return 0.0
    at, total = 0, 0.0
    text = text.removeprefix("+")
    while at < len(text):
        match = _DURATION.match(text, at)
        if match is None:
            return None
        total += float(match.group()[: -len(match.group(1))]) * _SECONDS[match.group(1)]
        at = match.end()
    return total if at and total <= _DURATION_MAX_S else None


def quantity_bytes(text: str) -> int:
    """The bytes of an amount such as "64M" or "1Gi", rounded up."""
    number = text.rstrip("kKMGTPEim")
    scale = _QUANTITY_SCALES[text[len(number) :]]
    return math.ceil(Fraction(number) * scale)


# --- by type --------------------------------------------------------------------------------------


def _message(node: Node, name: str, path: Path, places: Places) -> Document:
    if not isinstance(node, MapNode):
        raise _wrong(node, "an object with fields", path)
    known = spellings(name)
    found: dict[str, object] = {}
    for entry in node.entries:
        field = known.get(entry.key)
        if field is None:
            raise Fault(_unknown(entry.key, name, path), at=entry.at)
        if _is_null(entry.value):
            continue
        if field.name in found:
            raise Fault(f"field {shown(entry.key)} is given twice, in two spellings", at=entry.at)
        below = (*path, field.name)
        _noted(below, entry.at, places)
        found[field.name] = _value(entry.value, field.type, below, places)
    return {field.name: found[field.name] for field in MESSAGES[name] if field.name in found}


def _value(node: Node, wanted: Type, path: Path, places: Places) -> object:
    match wanted:
        case Message():
            return _message(node, wanted.name, path, places)
        case ListOf():
            if not isinstance(node, ListNode):
                raise _wrong(node, f"a list of {_plural(wanted.item)}", path)
            return [
                _value(item, wanted.item, _noted((*path, index), item.at, places), places)
                for index, item in enumerate(node.items)
            ]
        case TextMap():
            if not isinstance(node, MapNode):
                raise _wrong(node, "an object with strings", path)
            return {
                entry.key: _value(entry.value, Text(), (*path, entry.key), places)
                for entry in node.entries
                if not _is_null(entry.value)
            }
        case Free():
            if isinstance(node, MapNode):
                return to_value(node)
            return _scalar(node, (Kind.STRING,), path, "an object, or a text that is one")
        case Either():
            if isinstance(node, MapNode):
                return _message(node, wanted.message.name, path, places)
            return _value(node, wanted.plain, path, places)
        case _:
            return _plain(node, wanted, path)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind is Kind.NULL


def _noted(path: Path, at: int | None, places: Places) -> Path:
    if at is not None:
        places[path] = at
    return path


def _plain(
    node: Node, wanted: Text | Truth | Whole | Decimal | Duration | Quantity, path: Path
) -> object:
    match wanted:
        case Text():
            text = _scalar(node, (Kind.STRING,), path, _text_name(wanted))
            if wanted.choices and text and text not in wanted.choices:
                raise Fault(
                    f"{dotted(path)} must be {_text_name(wanted)}, not {shown(text)}"
                    f"{meant(text, wanted.choices)}",
                    at=node.at,
                    path=path,
                )
            return text
        case Truth():
            return _scalar(node, (Kind.BOOLEAN,), path, "true or false").lower() == "true"
        case Whole():
            most = f"from {wanted.least} to {wanted.most:,}"
            limits = f"of at least {wanted.least}" if wanted.most == INT64_MAX else most
            name = f"a whole number {limits}"
            return _parsed(node, path, name, lambda text: _whole(text, wanted))
        case Decimal():
            name = f"a number from 0 to {wanted.most:,.0f}"
            return _parsed(node, path, name, lambda text: _decimal(text, wanted))
        case Quantity():
            return _parsed(node, path, 'an amount such as "64M" or "1Gi"', _quantity)
        case Duration():
            text = _scalar(node, (Kind.STRING,), path, 'a duration such as "10s" or "1h30m"')
            if seconds(text) is None:
                raise _wrong(node, 'a duration such as "10s" or "1h30m"', path)
            return text


def _parsed(node: Node, path: Path, name: str, parse: Callable[[str], object | None]) -> object:
    value = parse(_scalar(node, (Kind.NUMBER, Kind.STRING), path, name))
    if value is None:
        raise _wrong(node, name, path)
    return value


def _scalar(node: Node, kinds: tuple[Kind, ...], path: Path, name: str) -> str:
    if isinstance(node, Scalar) and node.kind in kinds:
        return node.text
    raise _wrong(node, name, path)


def _whole(text: str, wanted: Whole) -> int | None:
    if not _WHOLE.fullmatch(text):
        return None
    value = int(text.partition(".")[0])
    return value if wanted.least <= value <= wanted.most else None


def _decimal(text: str, wanted: Decimal) -> float | None:
    if not _DECIMAL.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) and 0 <= value <= wanted.most else None


def _quantity(text: str) -> str | None:
    return text if _QUANTITY.fullmatch(text) else None


# --- sentences ------------------------------------------------------------------------------------


def _wrong(node: Node, wanted: str, path: Path) -> Fault:
    hint = ""
    if wanted == "a string" and isinstance(node, Scalar) and node.kind is not Kind.NULL:
        hint = "; put it in quotes"
    elif wanted == "a string" and isinstance(node, MapNode) and len(node.entries) == 1:
        hint = "; text with a colon needs quotes in YAML"
    return Fault(
        f"{dotted(path)} must be {wanted}, not {_named(node)}{hint}", at=node.at, path=path
    )


def _unknown(key: str, message: str, path: Path) -> str:
    where = f" in {dotted(path)}" if path else ""
    known = spellings(message)
    # Suggestions come in the spelling that the author uses.
    same_style = [name for name in known if (name != name.lower()) == (key != key.lower())]
    near = len(key) <= 60  # what is longer is no typing mistake, and slow to compare
    hint = (meant(key, same_style) or meant(key, known)) if near else ""
    if not hint:
        homes = [home for home in holders(key) if home in ("spec", "transform", "pfs")]
        hint = f"; it belongs {_HOMES[homes[0]]}" if homes else ""
    return f"unknown field {shown(key)}{where}{hint}"


_HOMES = {
    "spec": "at the top level of the spec",
    "transform": "in 'transform'",
    "pfs": "in a 'pfs' input",
}


def _named(node: Node) -> str:
    match node:
        case Scalar(kind=Kind.STRING):
            return f"the string {shown(node.text, 40)}"
        case Scalar(kind=Kind.NULL):
            return "null"
        case Scalar():
            return node.text if len(node.text) <= 40 else f"{node.text[:20]}…"
        case ListNode():
            return "a list"
        case MapNode():
            return "an object"


def dotted(path: Path) -> str:
    """A path as people write it: `'input.cross[0].pfs.glob'`."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return shown(parts.removeprefix(".")) if parts else "the spec"


def _text_name(wanted: Text) -> str:
    return " or ".join(f'"{choice}"' for choice in wanted.choices) or "a string"


def _plural(wanted: Type) -> str:
    match wanted:
        case Text():
            return "strings"
        case Message():
            return "objects"
        case _:
            return "whole numbers"


# --- what a document asks for in vain -------------------------------------------------------------


def _kept(document: Document, message: str, prefix: str) -> Iterator[str]:
    for field, value in _set_fields(document, message):
        name = prefix + field.name
        if field.use is Use.KEPT:
            yield name
        else:
            for inner, below in _inside(field.type, value):
                yield from _kept(inner, below, f"{name}.")


def _refused(document: Document, message: str, path: Path) -> Iterator[tuple[Path, Field]]:
    for field, value in _set_fields(document, message):
        below = (*path, field.name)
        if field.use is Use.REFUSED:
            yield below, field
            continue
        for index, (inner, name) in enumerate(_inside(field.type, value)):
            step = (*below, index) if isinstance(field.type, ListOf) else below
            yield from _refused(inner, name, step)


def _set_fields(document: Document, message: str) -> Iterator[tuple[Field, object]]:
    """The fields that say something: false, 0, "" and empty lists are as good as absent.

    Not so for objects that can't work yet: `"spout": {}` asks for a spout.
    """
    for field in MESSAGES[message]:
        value = document.get(field.name)
        asks = field.use is Use.REFUSED and isinstance(field.type, Message | ListOf)
        if value or (asks and value is not None):
            yield field, value


def _inside(wanted: Type, value: object) -> Iterator[tuple[Document, str]]:
    """The objects with fields inside a value, each with the name of its message."""
    if isinstance(wanted, ListOf) and isinstance(value, list):
        for item in value:
            yield from _inside(wanted.item, item)
    elif isinstance(wanted, Message) and isinstance(value, dict):
        yield value, wanted.name
