"""What the rest of Trunkline may ask of a database."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

Value = str | int | float | bytes | None
Row = tuple[Any, ...]
T = TypeVar("T")
Soon = Callable[[], T]  # what was asked, told when it is called for; see `Transaction.ask`


class FileProblem(NamedTuple):
    """Something that is wrong with the file of a database; `row` counts from 1, in key order."""

    problem: str
    table: str = ""
    row: int = 0


class Transaction(Protocol):
    """An open transaction: all of it happens, or nothing."""

    def rows(self, sql: str, **parameters: Value) -> list[Row]:
        """All rows of a query."""

    def row(self, sql: str, **parameters: Value) -> Row | None:
        """The first row of a query, or None."""

    def ask(self, sql: str, **parameters: Value) -> Soon[list[Row]]:
        """A query that is carried out now or when its rows are called for, before what follows.

        So several need not be waited for one by one where the database is another process.
        """

    def execute(self, sql: str, **parameters: Value) -> None:
        """Run a statement, before what follows.

        That it fails may show only then, or at the end of the transaction.
        """

    def change(self, sql: str, **parameters: Value) -> int:
        """Run a statement and wait for it; returns how many rows it changed."""

    def execute_many(self, sql: str, parameters: Iterable[Mapping[str, Value]]) -> None:
        """`execute` once per set of parameters."""

    def hex(self, sql: str) -> str:
        """The SQL of the hexadecimal digits of what a piece of SQL gives, which is bytes."""

    def stream(self, sql: str) -> Iterator[Row]:
        """The rows of a query, few of them in memory at once."""

    def tables(self) -> list[str]:
        """The names of the tables there are."""

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns, in their order."""

    def define(self, sql: str) -> None:
        """Run a statement of a migration, which is written as SQLite reads it."""

    def lift_guards(self) -> None:
        """Let the schema be changed; `Database.guard` is to follow."""

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What the server could not notice or might lose, and `problems` can't tell; sentences."""

    def problems(self) -> list[FileProblem]:
        """What is wrong with pages, rows and schema, as far as the database can tell."""


class Database(Protocol):
    """A database: many readers beside one writer at a time."""

    @property
    def name(self) -> str:
        """What it is called in sentences."""

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent snapshot; writing in it is refused."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that commits durably at the end, or rolls back on any exception.

        Not reentrant. Keep it short: no file or network I/O inside.
        """

    def copy_to(self, path: Path) -> None:
        """Write a whole copy, as of one moment, into a new SQLite file; writers go on meanwhile.

        It is not durable until the caller syncs it.
        """

    def take_in(self, tables: Mapping[str, tuple[list[str], Iterable[Row]]]) -> None:
        """Have these rows (columns and rows, by table) and no others in these tables.

        In one transaction, at whose end references must hold.
        """

    def guard(self, apart: Mapping[str, Collection[str]]) -> None:
        """Have changed bytes noticed, if that was not done since the latest migration.

        `apart` names columns, by table, that are guarded in another way.
        """

    def scrub(self) -> bool:
        """Write everything anew, without a trace of what was deleted, and empty the log.

        Writers wait meanwhile. False if long reads kept the log from being emptied: try again.
        """

    @property
    def scrub_leaves(self) -> str:
        """What outside of it may still have what was deleted, as a sentence; "" if nothing."""

    @property
    def revision(self) -> int:
        """A number that grows with every committed write that this process hears of."""

    def notify(self) -> None:
        """Wake up everyone in `wait_for_change`, as a committed write does."""

    def wait_for_change(self, seen: int, timeout_s: float) -> int:
        """Block until the revision is above `seen` or the time is over; returns the revision."""

    def close(self) -> None:
        """Close all connections; open transactions are rolled back."""


class ServerDatabase(Database, Protocol):
    """A database that other processes change too, on other machines maybe."""

    @property
    def schema(self) -> str:
        """The name of what its tables are in."""

    def is_alone(self) -> bool:
        """Whether somebody has it open alone."""

    def end_alone(self) -> None:
        """Have nobody any more who has it open alone: end that connection."""

    def only_while(self, row: str, lost: Callable[[], None]) -> None:
        """Refuse every change from now on for which a query gives no row; `lost` hears of it.

        The query locks the row, which nobody can remove before such a change has ended: who has
        removed it knows that nothing follows.
        """


def among(values: Iterable[Value], prefix: str = "n") -> tuple[str, dict[str, Value]]:
    """A list of values for `IN` in a query, and its parameters; some hundred at a time, please.

    There are as many as a power of two, by the last one again: so a database sees few texts, and
    keeps what it made of them. Two lists in one query need different prefixes.
    """
    given = list(values)
    rest = (1 << max(len(given) - 1, 0).bit_length()) - len(given)
    named = {f"{prefix}{i}": value for i, value in enumerate(given + given[-1:] * rest)}
    return f"({', '.join(f':{name}' for name in named)})", named


def count_rows(tx: Transaction, table: str) -> int:
    """How many rows a table has; the name must be one of `tables`. Reads an index of it."""
    return int(tx.rows(f'SELECT COUNT(*) FROM "{table}"')[0][0])  # noqa: S608 a known name


def replace_rows(tx: Transaction, tables: Mapping[str, tuple[list[str], Iterable[Row]]]) -> None:
    """Delete what tables have, and insert these rows; see `Database.take_in`."""
    for table in tables:
        tx.execute(f'DELETE FROM "{table}"')  # noqa: S608 a name out of the schema
    for table, (columns, rows) in tables.items():
        names = ", ".join(f'"{column}"' for column in columns)
        marks = ", ".join(f":{column}" for column in columns)
        tx.execute_many(
            f'INSERT INTO "{table}" ({names}) VALUES ({marks})',  # noqa: S608 as above
            (dict(zip(columns, row, strict=True)) for row in rows),
        )
