"""Many rows by one statement: a row with a statement of its own costs ten times as much.

The text of a statement depends on how many rows it has, and a connection keeps it prepared; so rows
go by a few fixed numbers of them.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trunkline.db.database import Value
from trunkline.db.postgres_values import numbered

SIZES = (256, 64, 16, 4, 1)  # rows of a statement; of 16 values each, a statement may have 65,535
_INSERT = re.compile(r"\s*(INSERT INTO .*?\bVALUES\s*)(\(.*?\))\s*(ON CONFLICT.*)?\s*", re.S)
_REPLACED = re.compile(r"ON CONFLICT \((.*?)\) DO UPDATE", re.S)
_NUMBER = re.compile(r"\$(\d+)")


@functools.lru_cache(maxsize=256)
def inserts(sql: str) -> tuple[str, ...] | None:
    """The names of the values of a row, if a statement inserts one and nothing more is said."""
    found = _INSERT.fullmatch(sql)
    if found is None or found.group(2).count("(") != 1 or numbered(found.group(3) or "")[1]:
        return None
    return numbered(found.group(2))[1]


@functools.lru_cache(maxsize=512)
def for_rows(sql: str, count: int) -> str:
    """The text that inserts so many rows, for a statement that `inserts` one."""
    found = _INSERT.fullmatch(sql)
    assert found is not None, "it inserts a row"
    begin, row, end = found.groups()
    row, names = numbered(row)

    def at(number: int) -> str:
        return _NUMBER.sub(lambda match: f"${int(match[1]) + number * len(names)}", row)

    return f"{begin}{', '.join(map(at, range(count)))} {end or ''}"


def portions(
    sql: str, names: Sequence[str], rows: Iterable[Mapping[str, Value]]
) -> Iterator[list[list[Value]]]:
    """The values of rows as statements take them: as many as one of SIZES says."""
    waiting: list[list[Value]] = []
    for row in rows:
        waiting.append([row[name] for name in names])
        if len(waiting) == SIZES[0]:
            yield from _apart(sql, names, waiting)
            waiting = []
    for size in SIZES:
        while len(waiting) >= size:
            yield from _apart(sql, names, waiting[:size])
            del waiting[:size]


def _apart(sql: str, names: Sequence[str], rows: list[list[Value]]) -> Iterator[list[list[Value]]]:
    """One statement must not replace a row that it has inserted: then each has its own."""
    keys = replaced_by(sql, names)
    if keys and len({tuple(row[key] for key in keys) for row in rows}) < len(rows):
        yield from ([row] for row in rows)
    else:
        yield rows


@functools.lru_cache(maxsize=256)
def replaced_by(sql: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """Which values of a row say whether it replaces another one; none where it never does."""
    found = _REPLACED.search(sql)
    if found is None:
        return ()
    columns = re.search(r"INSERT INTO \S+ \((.*?)\)", sql, re.S)
    assert columns is not None, "an insert names its columns"
    there = [name.strip() for name in columns[1].split(",")]
    given = [value.strip() for value in _row(sql).split(",")]
    return tuple(names.index(given[there.index(name.strip())][1:]) for name in found[1].split(","))


def _row(sql: str) -> str:
    found = _INSERT.fullmatch(sql)
    assert found is not None, "it inserts a row"
    return found[2][1:-1]
