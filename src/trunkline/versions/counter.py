"""The counter of the whole catalog: numbers that are never given out twice.

For whatever is named by a number: a worker or thread may still be busy with something that was
deleted, and what it then says must not be taken for something about another one.
"""

from trunkline.db.database import Transaction
from trunkline.versions import tables


def next_number(tx: Transaction) -> int:
    """A number above all those given out before."""
    return tables.next_number(tx)
