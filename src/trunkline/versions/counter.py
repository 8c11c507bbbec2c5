"""The counter of the whole catalog: numbers that are never given out twice; and its own id.

For whatever is named by a number: a worker or thread may still be busy with something that was
deleted, and what it then says must not be taken for something about another one.
"""

from trunkline.db.database import Soon, Transaction
from trunkline.versions import tables


def next_number(tx: Transaction) -> int:
    """A number above all those given out before."""
    return tables.next_number(tx)


def next_numbers(tx: Transaction, count: int) -> range:
    """As many numbers, above all those given out before."""
    return tables.next_numbers(tx, count)


def next_numbers_soon(tx: Transaction, count: int) -> Soon[range]:
    """`next_numbers`, asked for now and told later."""
    return tables.next_numbers_soon(tx, count)


def last_number(tx: Transaction) -> int:
    """The number that was given out last; 0 if none was."""
    return tables.last_number(tx)


def installation_of(tx: Transaction) -> str:
    """The id of this catalog and its copies; "" if it has none yet."""
    return tables.installation(tx) or ""


def installation(tx: Transaction, *, new: str) -> str:
    """The id that this catalog and its copies have, and no other; the new one if it has none."""
    found = tables.installation(tx)
    if found is None:
        tables.set_installation(tx, new)
    return found or new
