"""Statements and values between Trunkline and PostgreSQL, so that they are what SQLite has.

Whole numbers have 64 bits, also where they are small or a truth value, which is 0 or 1. A text may
hold U+0000, which PostgreSQL's can't: it is stored as a pair of U+FDD0, which is no character of
any text, and U+FDD0 itself, should anybody send it, as that and a dot.
"""

import functools
import re

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.types.numeric import Int8Dumper

_ESCAPE = "\ufdd0"
_ESCAPE_BYTES = _ESCAPE.encode()
_PARAMETER = re.compile(r"'(?:[^']|'')*'|(?<!:):([a-z_][a-z0-9_]*)")


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


class _TextDumper(Dumper):
    oid = 25  # text

    def dump(self, obj: str) -> Buffer:
        if "\0" in obj or _ESCAPE in obj:
            obj = obj.replace(_ESCAPE, f"{_ESCAPE}.").replace("\0", _ESCAPE * 2)
        return obj.encode()


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        raw = bytes(data)
        if _ESCAPE_BYTES in raw:
            return _unescaped(raw.decode())
        return raw.decode()


class _TruthLoader(Loader):
    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


def _unescaped(text: str) -> str:
    """Pair by pair, from the left."""
    return re.sub(f"{_ESCAPE}([{_ESCAPE}.])", _meant, text)


def _meant(match: re.Match[str]) -> str:
    return "\0" if match.group(1) == _ESCAPE else _ESCAPE


def adapt(context: AdaptContext) -> None:
    """Make a connection take and give values as described above."""
    adapters = context.adapters
    assert adapters is not None, "a connection has some"
    for kind in (int, bool):
        adapters.register_dumper(kind, Int8Dumper)
    adapters.register_dumper(str, _TextDumper)
    adapters.register_loader("text", _TextLoader)
    adapters.register_loader("bool", _TruthLoader)
