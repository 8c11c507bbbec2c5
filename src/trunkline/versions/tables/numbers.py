"""SQL on the counter of the catalog, and on the id of the installation."""

from trunkline.db.database import Transaction


def next_number(tx: Transaction) -> int:
    """A number above all those given out before."""
    rows = tx.rows("UPDATE change_number SET value = value + 1 RETURNING value")
    return int(rows[0][0])


def next_numbers(tx: Transaction, count: int) -> range:
    """As many numbers, above all those given out before."""
    rows = tx.rows("UPDATE change_number SET value = value + :count RETURNING value", count=count)
    last = int(rows[0][0])
    return range(last - count + 1, last + 1)


def installation(tx: Transaction) -> str | None:
    """The random id of this installation, once it has one."""
    row = tx.row("SELECT id FROM installation")
    return None if row is None else str(row[0])


def set_installation(tx: Transaction, name: str) -> None:
    tx.execute("INSERT INTO installation (id) VALUES (:name)", name=name)


def last_number(tx: Transaction) -> int:
    """The number that was given out last; 0 if none was, or there is no counter yet."""
    if "change_number" not in tx.tables():
        return 0
    row = tx.row("SELECT value FROM change_number")
    return 0 if row is None else int(row[0])
