"""Many rows by one statement: a row with a statement of its own costs several times as much.

The statement gets each column as an array, so its text is the same for any number of rows, and the
server keeps it prepared.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from trunkline.db.database import Value
from trunkline.db.postgres_values import numbered

ROWS_MAX = 1000  # of a statement
_INSERT = re.compile(r"\s*(INSERT INTO .*?\b)VALUES\s*(\(.*?\))\s*(ON CONFLICT.*)?\s*", re.S)
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
def for_columns(sql: str, given: tuple[bool, ...]) -> str:
    """The text that inserts rows out of arrays, for a statement that `inserts` one.

    A column that is not `given` has no array: it is NULL in all of them.
    """
    found = _INSERT.fullmatch(sql)
    assert found is not None, "it inserts a row"
    begin, row, end = found.groups()
    row, _ = numbered(row)
    there = [number for number, has_array in enumerate(given, start=1) if has_array]

    def column(match: re.Match[str]) -> str:
        number = int(match[1])
        return f"of_row.c{number}" if number in there else "NULL"

    arrays = ", ".join(f"${n}" for n in range(1, len(there) + 1))
    names = ", ".join(f"c{number}" for number in there)
    values = _NUMBER.sub(column, row[1:-1])
    rows = f"unnest({arrays}) AS of_row({names})"
    return f"{begin}SELECT {values} FROM {rows} {end or ''}"  # noqa: S608 of numbers


def portions(
    sql: str, names: Sequence[str], rows: Iterable[Mapping[str, Value]]
) -> Iterator[list[tuple[Value, ...]]]:
    """The values of rows as statements take them.

    A statement must not replace a row that it has inserted: where rows could, each has its own.
    """
    keys = replaced_by(sql, tuple(names))
    given = (tuple([row[name] for name in names]) for row in rows)
    while portion := list(islice(given, ROWS_MAX)):
        if keys and len({tuple(row[key] for key in keys) for row in portion}) < len(portion):
            yield from ([row] for row in portion)
        else:
            yield portion


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
