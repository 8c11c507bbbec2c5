"""Compares JSON documents value by value, and reads files of one JSON value a line as tables."""

import json
from array import array
from collections.abc import Hashable, Iterator
from hashlib import blake2b
from typing import Any

from trunkline.api.waiting import check_wanted
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

MEMORY_BYTES_MAX = 192 * 1024 * 1024  # for the values of both sides
_ROW_BYTES_MAX = 1024 * 1024
_DEPTH_MAX = 200
_SHOWN_MAX = 2000  # characters of a value or name that are listed

# What a document takes in memory beside the bytes themselves, at most, as measured.
_BYTES_FOR_EACH = {b"[": 240, b"{": 400, b",": 220}
_TIMES_ITS_BYTES = 4


def compare_documents(old: Content, new: Content) -> Iterator[RowChange]:
    """Each value that differs, by its JSON pointer; raises NotComparable for what is no JSON.

    Objects are compared by name, arrays by their longest common order.
    """
    shared = _Shared()
    try:
        yield from _values("", shared.read(old), shared.read(new), 0)
    except RecursionError as error:
        raise NotComparable("its values lie too deep inside of each other") from error


class _Shared:
    """Reads documents so that equal values are one object, here and there.

    To compare two values is then to compare which objects they are. Equal are values that JSON
    calls equal: 1 and 1.0 are not, nor are 1 and true.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}
        self._left_bytes = MEMORY_BYTES_MAX

    def read(self, content: Content) -> Any:
        self._take(content.size_bytes * _TIMES_ITS_BYTES)
        data = content.part(0, content.size_bytes)
        self._take(sum(data.count(mark) * size for mark, size in _BYTES_FOR_EACH.items()))
        return self._shared(parsed(data))

    def _take(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise NotComparable(
                f"both JSON documents together take more than the {MEMORY_BYTES_MAX:,} bytes of "
                "memory in which they are compared by value"
            )

    def _shared(self, value: Any) -> Any:
        """The one object for a value; what was inside of it is replaced."""
        key: Hashable = value
        if isinstance(value, list):
            check_wanted()
            value[:] = map(self._shared, value)
            key = array("Q", map(id, value)).tobytes()
        elif isinstance(value, dict):
            check_wanted()
            for name in value:
                value[name] = self._shared(value[name])
            key = tuple(sorted((name, id(part)) for name, part in value.items()))
        elif not isinstance(value, str):
            key = type(value), repr(value)
        return self._known.setdefault(key, value)


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotComparable(f"it is no JSON that can be read ({error})") from error


def _values(pointer: str, old: Any, new: Any, depth: int) -> Iterator[RowChange]:
    if old is new:
        return
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
    else:
        yield _change(Op.CHANGED, pointer, old=old, new=new)


def _arrays(pointer: str, old: list[Any], new: list[Any], depth: int) -> Iterator[RowChange]:
    for block in changed_blocks([*map(id, old)], [*map(id, new)]):
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
    return _cut(_readable(json.dumps(value, ensure_ascii=False)))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _escaped(name: str) -> str:
    """A name in a JSON pointer (RFC 6901)."""
    return _cut(_readable(name)).replace("~", "~0").replace("/", "~1")


def _readable(text: str) -> str:
    """JSON allows halves of characters in its escapes, which no text that is sent can have."""
    return text.encode("utf-8", "backslashreplace").decode()


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
