"""Compares JSON documents value by value, and reads files of one JSON value a line as tables."""

import json
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from trunkline.compare.content import (
    Content,
    Middle,
    NotComparable,
    lines_of,
    middle,
    whole_records,
)
from trunkline.compare.lines import changed_blocks
from trunkline.compare.tables import Side, Tables
from trunkline.model.differences import CellChange, Op, RowChange

DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
_ROW_BYTES_MAX = 1024 * 1024
_DEPTH_MAX = 200
_SHOWN_MAX = 2000  # characters of a value that are listed


def compare_documents(old: Content, new: Content) -> Iterator[RowChange]:
    """Each value that differs, by its JSON pointer; raises NotComparable for what is no JSON.

    Objects are compared by name, arrays by their longest common order.
    """
    try:
        yield from _values("", _document(old), _document(new), 0)
    except RecursionError as error:
        raise NotComparable("its values lie too deep inside of each other") from error


def _document(content: Content) -> Any:
    if content.size_bytes > DOCUMENT_BYTES_MAX:
        raise NotComparable(f"JSON documents above {DOCUMENT_BYTES_MAX:,} bytes are not read")
    return parsed(content.part(0, content.size_bytes))


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotComparable(f"it is no JSON that can be read ({error})") from error


def _values(pointer: str, old: Any, new: Any, depth: int) -> Iterator[RowChange]:
    if depth < _DEPTH_MAX and isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            place = f"{pointer}/{_escaped(name)}"
            if name not in new:
                yield _change(Op.REMOVED, place, old=old[name])
            elif name not in old:
                yield _change(Op.ADDED, place, new=new[name])
            else:
                yield from _values(place, old[name], new[name], depth + 1)
    elif depth < _DEPTH_MAX and isinstance(old, list) and isinstance(new, list):
        yield from _arrays(pointer, old, new, depth)
    elif _canonical(old) != _canonical(new):
        yield _change(Op.CHANGED, pointer, old=old, new=new)


def _arrays(pointer: str, old: list[Any], new: list[Any], depth: int) -> Iterator[RowChange]:
    for block in changed_blocks([*map(_canonical, old)], [*map(_canonical, new)]):
        was, now = range(block.old, block.old_end), range(block.new, block.new_end)
        for i, j in zip(was, now, strict=False):
            yield from _values(f"{pointer}/{j}", old[i], new[j], depth + 1)
        for i in was[len(now) :]:
            yield _change(Op.REMOVED, f"{pointer}/{i}", old=old[i])
        for j in now[len(was) :]:
            yield _change(Op.ADDED, f"{pointer}/{j}", new=new[j])


_ABSENT = object()


def _change(op: Op, place: str, *, old: Any = _ABSENT, new: Any = _ABSENT) -> RowChange:
    cell = CellChange(
        column="",
        old=None if old is _ABSENT else shown(old),
        new=None if new is _ABSENT else shown(new),
    )
    return RowChange(op=op, place=place or "/", cells=(cell,))


def shown(value: Any) -> str:
    text = _readable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _escaped(name: str) -> str:
    """A name in a JSON pointer (RFC 6901)."""
    return _readable(name).replace("~", "~0").replace("/", "~1")


def _readable(text: str) -> str:
    """JSON allows halves of characters in its escapes, which no text that is sent can have."""
    return text.encode("utf-8", "backslashreplace").decode()


def _canonical(value: Any) -> str:
    """Equal for values that JSON calls equal: 1 and 1.0 are not, nor are 1 and true."""
    return json.dumps(value, sort_keys=True)


# --- one value a line -----------------------------------------------------------------------------


def line_tables(old: Content, new: Content) -> Tables:
    """The rows of both sides that can differ; reading them raises NotComparable for no JSON."""
    found = whole_records(old, new, middle(old, new), delimiter=None)
    sides = [_line_side(content, found.middle, found.before + 1) for content in (old, new)]
    return Tables(columns=(), header=(), old=sides[0], new=sides[1])


def _line_side(content: Content, part: Middle, first: int) -> Side:
    size = part.size_in(content)

    def rows() -> Iterator[bytes]:
        pieces = content.read(part.start, size) if size else ()
        return (line for line in lines_of(pieces, most=_ROW_BYTES_MAX) if line.strip())

    def cells(row: bytes) -> dict[str, str]:
        value = parsed(row)
        if isinstance(value, dict):
            return {_readable(name): shown(part) for name, part in value.items()}
        return {"": shown(value)}

    def identity(row: bytes) -> bytes:
        text = json.dumps(parsed(row), sort_keys=True)
        return blake2b(text.encode(), digest_size=16).digest()

    return Side(size_bytes=size, rows=rows, cells=cells, identity=identity, first=first)
