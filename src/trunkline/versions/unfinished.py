"""What is under way in a catalog of whatever age, and whether it holds anything at all."""

from trunkline.db.database import Transaction
from trunkline.versions import tables


def open_commits(tx: Transaction) -> int:
    """How many commits have not been finished."""
    return tables.count_open_commits(tx)


def open_transactions(tx: Transaction) -> int:
    """How many transactions of users wait for their end."""
    return tables.count_batches(tx)


def is_pristine(tx: Transaction) -> bool:
    """Whether nothing was ever done with it."""
    return tables.last_number(tx) == 0
