"""From the text of a request to the arguments of an operation, checked against its declaration."""

import math
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from trunkline.api.operation import Operation
from trunkline.errors import InvalidInput, meant, shown

FIELDS_MAX = 10_000  # arguments in one query
INTEGER_MAX = 2**63 - 1  # what SQLite can hold

_INTEGER = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a declared type looks like in a query."""

    kind: type  # bool, int, float or str
    repeated: bool  # a list: the argument is given once per item


def shape_of(declared: Any) -> Shape:
    """The shape of an argument's type; raises TypeError for one that no query can carry."""
    if get_origin(declared) in (Union, types.UnionType):
        members = [member for member in get_args(declared) if member is not type(None)]
        if len(members) == 1:
            return shape_of(members[0])
    if declared in (bool, int, float, str):
        return Shape(kind=declared, repeated=False)
    if declared == list[str]:
        return Shape(kind=str, repeated=True)
    raise TypeError(f"an argument of type {declared} can't travel in a query")


def decode_segment(raw: bytes) -> str:
    """A segment of a URL's path as text; raises InvalidInput when it is not UTF-8."""
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{raw.decode('ascii', 'replace')} is not UTF-8 when decoded") from error


def read_query(
    operation: Operation, names: Iterable[str], query: bytes, shapes: Mapping[str, Shape]
) -> dict[str, Any]:
    """The arguments in a query string; `names` are those that may be there."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as error:
        raise InvalidInput("the query of the request can't be read") from error
    allowed = list(names)
    found: dict[str, Any] = {}
    for name, text in pairs:
        _check_known(operation, name, allowed)
        shape = shapes[name]
        if shape.repeated:
            found.setdefault(name, []).append(text)
        elif name in found:
            raise InvalidInput(f"{operation.name}: the argument '{name}' is given twice")
        else:
            found[name] = _value(operation, name, text, shape.kind)
    for name in allowed:
        if shapes[name].repeated and name not in operation.defaults:
            found.setdefault(name, [])  # an empty list leaves no trace in a query
    _check_complete(operation, allowed, found)
    return found


def read_body(operation: Operation, names: Iterable[str], body: bytes) -> dict[str, Any]:
    """The arguments in a JSON body; an empty body means none."""
    try:
        document = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the body of the request is not JSON: {error}") from error
    except RecursionError as error:
        raise InvalidInput("the body of the request is nested too deeply") from error
    if not isinstance(document, dict):
        raise InvalidInput("the body of the request must be a JSON object of arguments")
    allowed = list(names)
    found: dict[str, Any] = {}
    for name, value in document.items():
        _check_known(operation, name, allowed)
        try:
            found[name] = msgspec.convert(value, operation.arguments[name], strict=True)
        except (msgspec.ValidationError, RecursionError) as error:
            raise InvalidInput(f"{operation.name}: the argument '{name}': {error}") from error
    _check_complete(operation, allowed, found)
    return found


def _check_known(operation: Operation, name: str, allowed: list[str]) -> None:
    if name not in allowed:
        has = f"; it has {', '.join(allowed)}" if allowed else ""
        raise InvalidInput(
            f"{operation.name} has no argument {shown(name)}{meant(name, allowed) or has}"
        )


def _check_complete(operation: Operation, allowed: list[str], found: Mapping[str, Any]) -> None:
    for name in allowed:
        if name not in found and name not in operation.defaults:
            raise InvalidInput(f"{operation.name} needs the argument '{name}'")


def _value(operation: Operation, name: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind is int and _INTEGER.fullmatch(text) and abs(int(text)) <= INTEGER_MAX:
        return int(text)
    if kind is float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
    raise InvalidInput(f"{operation.name}: '{name}' is {shown(text)}; it must be {wanted}")
