"""SQL on the counter of the catalog, and on the id of the installation."""

from trunkline.db.database import Soon, Transaction
from trunkline.errors import Corrupt

LATEST = "(SELECT value FROM change_number)"  # the number that was given out last


def next_number(tx: Transaction) -> int:
    """A number above all those given out before."""
    return next_number_soon(tx)()


def next_number_soon(tx: Transaction) -> Soon[int]:
    """`next_number`, asked for now and told later."""
    answer = tx.ask("UPDATE change_number SET value = value + 1 RETURNING value")
    return lambda: int(answer()[0][0])


def give_out(tx: Transaction) -> None:
    """Have a number above all those given out before, which only SQL has to know: as LATEST."""
    tx.execute("UPDATE change_number SET value = value + 1")


def next_numbers(tx: Transaction, count: int) -> range:
    """As many numbers, above all those given out before."""
    return next_numbers_soon(tx, count)()


def next_numbers_soon(tx: Transaction, count: int) -> Soon[range]:
    """`next_numbers`, asked for now and told later."""
    answer = tx.ask("UPDATE change_number SET value = value + :count RETURNING value", count=count)

    def numbers() -> range:
        [(last,)] = answer()
        return range(last - count + 1, last + 1)

    return numbers


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
    if row is None:
        return 0
    if not isinstance(row[0], int):
        raise Corrupt("the catalog", "a number of changes", repr(row[0]))
    return row[0]
