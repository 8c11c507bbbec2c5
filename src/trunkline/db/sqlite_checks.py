"""What is wrong with a SQLite file, and whether two of them hold the same."""

from collections.abc import Collection

from trunkline.db.database import Transaction, Value


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
    tables = {*one.tables(), *other.tables()} - set(apart)
    return [table for table in sorted(tables) if not _same_rows(one, other, table)]


def _same_rows(one: Transaction, other: Transaction, table: str) -> bool:
    if not all(table in tx.tables() for tx in (one, other)):
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
