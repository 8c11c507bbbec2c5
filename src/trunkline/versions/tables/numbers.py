"""SQL on the counter of the catalog."""

from trunkline.db.database import Transaction


def next_number(tx: Transaction) -> int:
    """A number above all those given out before."""
    rows = tx.rows("UPDATE change_number SET value = value + 1 RETURNING value")
    return int(rows[0][0])
