"""Moves all rows of a database into another one with the same tables, of whatever kinds."""

from collections.abc import Iterable
from pathlib import Path

from trunkline.db.database import Database, Row, Transaction
from trunkline.db.migrate import apply, migrations, numbers
from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import Corrupt

# What follows from the schema, and what each kind of database has of its own.
_APART = ("migration", "schema_seal")

Rows = dict[str, tuple[list[str], Iterable[Row]]]  # by table: the columns, and the rows in them


def copy_into_file(source: Transaction, path: Path) -> None:
    """Write what a catalog has into a new SQLite file with the same tables; it is not synced."""
    made = SqliteDatabase(path, durable=False)
    try:
        done = numbers(source, where=str(path))
        for migration in migrations("catalog"):
            if migration.number in done:
                apply(made, migration)
        made.take_in(rows_of(source))
        made.empty_log()
    finally:
        made.close()


def move_into(source: Transaction, target: Database) -> None:
    """Have the target hold what the source does, and nothing else, in one transaction.

    Raises Corrupt where they don't have the same tables.
    """
    with target.read() as tx:
        there = {table: tx.columns(table) for table in tx.tables()}
    found = {table: source.columns(table) for table in source.tables()}
    if {t: sorted(c) for t, c in there.items()} != {t: sorted(c) for t, c in found.items()}:
        differing = sorted({*there, *found} - {t for t in there if there[t] == found.get(t)})
        raise Corrupt("the catalog", "the tables of this version", ", ".join(differing))
    target.take_in(rows_of(source))


def rows_of(source: Transaction) -> Rows:
    """All rows of all tables, in the order of their numbers where they have some."""
    found: Rows = {}
    for table in source.tables():
        if table not in _APART:
            columns = source.columns(table)
            names = ", ".join(f'"{column}"' for column in columns)
            order = ' ORDER BY "number"' if "number" in columns else ""
            sql = f'SELECT {names} FROM "{table}"{order}'  # noqa: S608 names out of the schema
            found[table] = (columns, source.stream(sql))
    return found
