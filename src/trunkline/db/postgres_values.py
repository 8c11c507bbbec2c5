"""Statements and values between Trunkline and PostgreSQL, so that they are what SQLite has.

Whole numbers have 64 bits, also where they are small or a truth value, which is 0 or 1. A text may
hold U+0000, which PostgreSQL's can't: it is stored as a pair of U+FDD0, which is no character of
any text, and U+FDD0 itself, should anybody send it, as that and a dot.

Values go in the binary format, and rows come in it; the driver's compiled loaders read those.
"""

import functools
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from trunkline.db.database import Row, Value

TEXT = 25  # by their numbers on every server: types of values
_WHOLE, _REAL, _BYTES = 20, 701, 17
_ARRAY_OF = {_WHOLE: 1016, TEXT: 1009, _REAL: 1022, _BYTES: 1001}
_ESCAPE = "\ufdd0"
_PARAMETER = re.compile(r"'(?:[^']|'')*'|(?<!:):([a-z_][a-z0-9_]*)")

Encoded = tuple[tuple[int, ...], list[bytes | None]]  # types and values, in their order


@functools.lru_cache(maxsize=2048)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """A statement with `$1` in place of `:name`, and the names in the order of the numbers."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group()
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PARAMETER.sub(number, sql), tuple(names)


def _text(value: str) -> bytes:
    if "\0" in value or _ESCAPE in value:
        value = value.replace(_ESCAPE, f"{_ESCAPE}.").replace("\0", _ESCAPE * 2)
    return value.encode()


def _whole(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


_ENCODERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    int: (_WHOLE, _whole),
    bool: (_WHOLE, _whole),
    float: (_REAL, struct.Struct(">d").pack),
    str: (TEXT, _text),
    bytes: (_BYTES, bytes),
}


def _encoder(kind: type) -> tuple[int, Callable[[Any], bytes]]:
    """How values of a type are written; a subclass of one of ours counts as that."""
    found = _ENCODERS.get(kind)
    if found is None:
        known = next((base for base in kind.__mro__ if base in _ENCODERS), None)
        if known is None:
            raise TypeError(f"a database takes no {kind.__name__}")
        found = _ENCODERS[kind] = _ENCODERS[known]
    return found


def encoded(values: Iterable[Value]) -> Encoded:
    """Values as a statement takes them; the server finds out the type of a NULL."""
    types: list[int] = []
    data: list[bytes | None] = []
    for value in values:
        if value is None:
            types.append(0)
            data.append(None)
        else:
            kind, encode = _encoder(type(value))
            types.append(kind)
            data.append(encode(value))
    return tuple(types), data


def array_of(values: Sequence[Value]) -> tuple[int, bytes] | None:
    """The type of an array, and the array; None if there is no value that tells the type.

    Raises TypeError for values of several types.
    """
    kinds = {_encoder(kind) for kind in set(map(type, values)) if kind is not type(None)}
    if not kinds:
        return None
    if len(kinds) > 1:
        raise TypeError("an array has values of one type")
    [(kind, encode)] = kinds
    pieces = [struct.pack(">5i", 1, int(None in values), kind, len(values), 1)]
    for value in values:
        if value is None:
            pieces.append(b"\xff\xff\xff\xff")
        else:
            data = encode(value)
            pieces += (len(data).to_bytes(4, "big"), data)
    return _ARRAY_OF[kind], b"".join(pieces)


def unescaped(rows: list[Row], texts: Sequence[int]) -> list[Row]:
    """Rows with texts as they were given; `texts` are the columns that have any."""
    for number, row in enumerate(rows):
        for column in texts:
            text = row[column]
            if text is not None and _ESCAPE in text:
                values = list(row)
                for each in texts:
                    values[each] = values[each] and _unescaped(values[each])
                rows[number] = tuple(values)
                break
    return rows


def _unescaped(text: str) -> str:
    """Pair by pair, from the left."""
    return re.sub(f"{_ESCAPE}([{_ESCAPE}.])", _meant, text)


def _meant(match: re.Match[str]) -> str:
    return "\0" if match.group(1) == _ESCAPE else _ESCAPE


class _TruthLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        return bytes(data)[0]


def adapt(context: AdaptContext) -> None:
    """Make a connection give truth values as described above."""
    adapters = context.adapters
    assert adapters is not None, "a connection has some"
    adapters.register_loader("bool", _TruthLoader)
