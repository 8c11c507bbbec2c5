"""Keeps every value of a database twice, so that a changed byte in its file is noticed.

SQLite has no checksums of its own, but its integrity check compares each index with its table. So
each table gets one more index, `guard_<table>`, over those of its columns that no other index has.
It follows every change by itself, and costs its writer one more page. Guards are derived: they are
made, and made again, from the columns that there are.
"""

import re
from collections.abc import Collection, Mapping

from trunkline.db.database import Database, FileProblem, Row, Transaction
from trunkline.db.seals import row_seal
from trunkline.db.sqlite_checks import file_problems

PREFIX = "guard_"
SEAL = "schema_seal"  # the table with the seal of the schema, guards included
_DIFFERS = re.compile(r"row (\d+) missing from index (\w+)|wrong # of entries in index (\w+)")


def guard_rows(database: Database, *, apart: Mapping[str, Collection[str]]) -> None:
    """Make all guards and seal the schema, if that was not done since the latest migration.

    `apart` names columns, by table, that are guarded in another way.
    """
    with database.read() as tx:
        if _seal(tx):
            return
    with database.write() as tx:
        if _seal(tx):
            return
        lift_guards(tx)
        for table, columns in _to_guard(tx, apart).items():
            tx.execute(f"CREATE INDEX {PREFIX}{table} ON {table} ({', '.join(columns)})")
        tx.execute("INSERT INTO schema_seal (seal) VALUES (:seal)", seal=_seal_of_schema(tx))


def lift_guards(tx: Transaction) -> None:
    """Remove all guards and the seal, so that a migration may change any column."""
    for (name,) in tx.rows("SELECT name FROM sqlite_master WHERE type = 'index'"):
        if name.startswith(PREFIX):
            tx.execute(f"DROP INDEX {name}")
    if SEAL in tx.tables():
        tx.execute("DELETE FROM schema_seal")


def guard_problems(tx: Transaction) -> list[FileProblem]:
    """What is wrong with pages, rows and schema, each row against what is known of it twice."""
    found = [_told(tx, problem) for problem in file_problems(tx)]
    if _seal(tx) != [(_seal_of_schema(tx),)]:
        found.append(FileProblem("its schema is not the one that was sealed"))
    return list(dict.fromkeys(found))


def _told(tx: Transaction, text: str) -> FileProblem:
    match = _DIFFERS.search(text)
    if match is None:
        return FileProblem(text)
    row, *indexes = match.groups()
    index = next(name for name in indexes if name)
    table = tx.row("SELECT tbl_name FROM sqlite_master WHERE name = :index", index=index)
    return FileProblem(text, "" if table is None else str(table[0]), int(row or 0))


def _to_guard(tx: Transaction, apart: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """The tables that need a guard, with its columns."""
    found = {t: _columns_to_guard(tx, t, apart.get(t, ())) for t in tx.tables()}
    return {table: columns for table, columns in found.items() if columns}


def _columns_to_guard(tx: Transaction, table: str, apart: Collection[str]) -> list[str]:
    """The primary key, for an order in which new rows come last, and what no index has."""
    info = tx.rows("SELECT name, pk FROM pragma_table_info(:table)", table=table)
    indexes = tx.rows("SELECT name FROM pragma_index_list(:table)", table=table)
    known = {column for (index,) in indexes for column in _columns_of(tx, index)}
    key = [name for _, name in sorted((pk, name) for name, pk in info if pk)]
    rest = [name for name, _ in info if name not in {*known, *key, *apart}]
    return [*key, *rest] if rest else []


def _columns_of(tx: Transaction, index: str) -> list[str]:
    rows = tx.rows("SELECT name FROM pragma_index_info(:index) ORDER BY seqno", index=index)
    return [str(name) for (name,) in rows if name is not None]


def _seal(tx: Transaction) -> list[Row]:
    return tx.rows("SELECT seal FROM schema_seal")


def _seal_of_schema(tx: Transaction) -> int:
    rows = tx.rows("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    return row_seal(0, *(value for row in rows for value in row))
