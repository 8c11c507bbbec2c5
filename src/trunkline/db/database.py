"""What the rest of Trunkline may ask of a database."""

from collections.abc import Iterable, Mapping
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

    @property
    def revision(self) -> int:
        """A number that grows with every committed write of this process."""

    def notify(self) -> None:
        """Wake up everyone in `wait_for_change`, as a committed write does."""

    def wait_for_change(self, seen: int, timeout_s: float) -> int:
        """Block until the revision is above `seen` or the time is over; returns the revision."""

    def close(self) -> None:
        """Close all connections; open transactions are rolled back."""


def file_problems(tx: Transaction) -> list[str]:
    """What the database finds wrong with its own file: pages, rows, and indexes against them."""
    return [str(row[0]) for row in tx.rows("PRAGMA integrity_check") if row[0] != "ok"]
