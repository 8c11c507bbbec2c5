"""What the rest of Trunkline may ask of a database."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

Value = str | int | float | bytes | None
Row = tuple[Any, ...]


class Transaction(Protocol):
    """An open transaction: all of it happens, or nothing."""

    def rows(self, sql: str, **parameters: Value) -> list[Row]:
        """All rows of a query."""

    def row(self, sql: str, **parameters: Value) -> Row | None:
        """The first row of a query, or None."""

    def execute(self, sql: str, **parameters: Value) -> int:
        """Run a statement; returns how many rows it changed."""

    def execute_many(self, sql: str, parameters: Iterable[Mapping[str, Value]]) -> None:
        """Run a statement once per set of parameters."""


class Database(Protocol):
    """A database: many readers beside one writer at a time."""

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent snapshot; writing in it is refused."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that commits durably at the end, or rolls back on any exception.

        Not reentrant. Keep it short: no file or network I/O inside.
        """

    def copy_to(self, path: Path) -> None:
        """Write a whole copy, as of one moment, into a new file; writers go on meanwhile."""

    def scrub(self) -> bool:
        """Write the file anew, without a trace of what was deleted, and empty its log.

        Writers wait meanwhile. False if long reads kept the log from being emptied: try again.
        """

    @property
    def revision(self) -> int:
        """A number that grows with every committed write of this process."""

    def notify(self) -> None:
        """Wake up everyone in `wait_for_change`, as a committed write does."""

    def wait_for_change(self, seen: int, timeout_s: float) -> int:
        """Block until the revision is above `seen` or the time is over; returns the revision."""

    def close(self) -> None:
        """Close all connections; open transactions are rolled back."""


def among(values: Iterable[Value]) -> tuple[str, dict[str, Value]]:
    """A list of values for `IN` in a query, and its parameters; some hundred at a time, please."""
    named = {f"n{i}": value for i, value in enumerate(values)}
    return f"({', '.join(f':{name}' for name in named)})", named


def tables_of(tx: Transaction) -> list[str]:
    """The names of the tables there are."""
    rows = tx.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
        "ORDER BY name"
    )
    return [str(name) for (name,) in rows]


def count_rows(tx: Transaction, table: str) -> int:
    """How many rows a table has; the name must be one of `tables_of`. Reads an index of it."""
    return int(tx.rows(f'SELECT COUNT(*) FROM "{table}"')[0][0])  # noqa: S608 a known name


def quick_problems(tx: Transaction) -> list[str]:
    """As `file_problems`, without comparing indexes to their tables: at the speed of reading."""
    found = [str(row[0]) for row in tx.rows("PRAGMA quick_check(20)") if row[0] != "ok"]
    return found + [
        f"a row of {table} names one of {parent} that is gone"
        for table, _, parent, _ in tx.rows("PRAGMA foreign_key_check")[:20]
    ]


def differing_tables(one: Transaction, other: Transaction, *, apart: Collection[str]) -> list[str]:
    """The tables that don't have the same rows in both databases, in bounded memory.

    Both must come from copies of the same file: rows are compared in the order in which they lie
    there. `apart` is left out.
    """
    tables = {*tables_of(one), *tables_of(other)} - set(apart)
    return [table for table in sorted(tables) if not _same_rows(one, other, table)]


def _same_rows(one: Transaction, other: Transaction, table: str) -> bool:
    if not all(table in tables_of(tx) for tx in (one, other)):
        return False
    after: Value = -(2**63)
    page_of = f'SELECT rowid, * FROM "{table}"'  # noqa: S608 a name out of the schema
    sql = f"{page_of} WHERE rowid > :after ORDER BY rowid LIMIT 1000"
    while True:
        page = one.rows(sql, after=after)
        if page != other.rows(sql, after=after):
            return False
        if not page:
            return True
        after = page[-1][0]


def file_problems(tx: Transaction) -> list[str]:
    """What the database finds wrong with its own file: pages, rows, and indexes against them."""
    return [str(row[0]) for row in tx.rows("PRAGMA integrity_check") if row[0] != "ok"]
