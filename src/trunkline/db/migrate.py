"""Brings a database to the newest schema. Migration files are numbered and append-only.

The name of a file says what it brings. A line `-- Rewrites: TABLE, TABLE` names the tables
whose every row it writes anew, which is what a migration may take long for.
"""

import functools
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from sqlite3 import complete_statement

from trunkline.db.database import Database, Transaction
from trunkline.errors import Corrupt, StoreTooNew

_REWRITES = "-- Rewrites:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file: a step from the schema before it to the next one."""

    number: int
    title: str
    rewrites: tuple[str, ...]  # tables
    text: str


def migrate(database: Database, series: str, *, where: str) -> int:
    """Apply the missing migrations of a series (`catalog` or `index`), each in one transaction.

    Returns the number of the newest one. Raises StoreTooNew (changing nothing) for a database that
    a newer version wrote; `where` names it in the sentence.
    """
    known = migrations(series)
    with database.read() as tx:
        done = numbers(tx, where=where)
    for migration in missing(known, done, where=where):
        apply(database, migration)
    return known[-1].number


@functools.cache
def migrations(series: str) -> tuple[Migration, ...]:
    """All that this version knows of a series, in their order."""
    folder = resources.files("trunkline.db").joinpath("migrations", series)
    found = [
        _read(entry.name, entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(found, key=lambda migration: migration.number))


def numbers(tx: Transaction, *, where: str) -> frozenset[int]:
    """The numbers of the migrations that a database has had; none for an empty one."""
    there = "migration" in tx.tables()
    done = {n for (n,) in tx.rows("SELECT number FROM migration")} if there else set()
    if not all(isinstance(number, int) for number in done):
        raise Corrupt(f"the database in {where}", "numbers of migrations", repr(done))
    return frozenset(done)


def missing(
    known: Collection[Migration], done: Collection[int], *, where: str
) -> tuple[Migration, ...]:
    """Those that are still to be applied; raises StoreTooNew if one was applied that is unknown."""
    unknown = set(done) - {migration.number for migration in known}
    if unknown:
        raise StoreTooNew(where, max(unknown), max(migration.number for migration in known))
    return tuple(migration for migration in known if migration.number not in done)


def apply(database: Database, migration: Migration) -> None:
    """Apply one migration, all of it or nothing; one that was applied already is left out."""
    with database.write() as tx:
        if migration.number == 1:
            tx.execute("CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY NOT NULL)")
        if tx.row("SELECT 1 FROM migration WHERE number = :n", n=migration.number):
            return
        tx.lift_guards()
        for statement in _statements(migration.text):
            tx.define(statement)
        tx.execute("INSERT INTO migration (number) VALUES (:n)", n=migration.number)


def _read(name: str, text: str) -> Migration:
    number, _, words = name.removesuffix(".sql").partition("_")
    tables = [
        table.strip()
        for line in text.splitlines()
        if line.startswith(_REWRITES)
        for table in line.removeprefix(_REWRITES).split(",")
    ]
    return Migration(
        number=int(number), title=words.replace("_", " "), rewrites=tuple(tables), text=text
    )


def _statements(text: str) -> list[str]:
    """The statements of a file; a trigger has semicolons inside."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    found: list[str] = []
    statement = ""
    for part in "\n".join(lines).split(";"):
        statement += part + ";"
        if complete_statement(statement):
            found.append(statement.strip())
            statement = ""
    return [statement for statement in found if statement != ";"]
