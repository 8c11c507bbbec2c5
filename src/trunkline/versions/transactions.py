"""Transactions of users: steps that are written down now and carried out later, all at once.

They are rows like any others, so they survive a restart, and what is stored for a step stays alive
as long as the step waits. What a step means is for those to know who carry it out.
"""

from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import NotFound
from trunkline.versions import tables
from trunkline.versions.tables import BatchRow, StepRow

__all__ = ["BatchRow", "StepRow"]


def start(tx: Transaction, batch_id: str, *, description: str, now: datetime) -> BatchRow:
    """A new transaction without steps."""
    tables.insert_batch(tx, batch_id, description=description, now=now)
    return require(tx, batch_id)


def require(tx: Transaction, batch_id: str) -> BatchRow:
    """One transaction; raises NotFound for one that is finished, deleted or was never there."""
    found = tables.find_batch(tx, batch_id)
    if found is None:
        raise NotFound(
            f"there is no open transaction '{batch_id}'; see `list transaction`, and leave it with "
            "`stop transaction`"
        )
    return found


def open_ones(tx: Transaction) -> list[BatchRow]:
    """All transactions, newest first."""
    return tables.all_batches(tx)


def add_step(tx: Transaction, batch: BatchRow, step: StepRow) -> None:
    """Write down one more step."""
    tables.append_step(tx, batch.number, step)


def steps(tx: Transaction, batch: BatchRow) -> list[StepRow]:
    """The steps in order."""
    return tables.steps_of(tx, batch.number)


def forget(tx: Transaction, batch: BatchRow) -> None:
    """Remove a transaction, because it has been carried out or given up."""
    tables.delete_batch(tx, batch.number)
