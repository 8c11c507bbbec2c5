"""SQL on transactions: steps that wait to be carried out together."""

import json
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.errors import Corrupt
from trunkline.versions.tables.numbers import next_number


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """A transaction of a user; `id` becomes the run of all that it makes."""

    number: int
    id: str
    description: str
    started: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step of it: an operation and its arguments, and what is stored for it already."""

    operation: str
    arguments: dict[str, object]
    deltas: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()


_BATCH = "SELECT number, id, description, started_us FROM batch"


def insert_batch(tx: Transaction, batch_id: str, *, description: str, now: datetime) -> None:
    tx.execute(
        "INSERT INTO batch (number, id, description, started_us) "
        "VALUES (:number, :id, :description, :now)",
        number=next_number(tx),
        id=batch_id,
        description=description,
        now=to_microseconds(now),
    )


def find_batch(tx: Transaction, batch_id: str) -> BatchRow | None:
    row = tx.row(f"{_BATCH} WHERE id = :id", id=batch_id)
    return None if row is None else _batch(row)


def all_batches(tx: Transaction) -> list[BatchRow]:
    """Newest first."""
    return [_batch(row) for row in tx.rows(f"{_BATCH} ORDER BY number DESC")]


def delete_batch(tx: Transaction, batch: int) -> None:
    """Forget a transaction with its steps."""
    tx.execute("DELETE FROM batch WHERE number = :batch", batch=batch)


def append_step(tx: Transaction, batch: int, step: StepRow) -> None:
    tx.execute(
        "INSERT INTO batch_step (batch, position, operation, arguments, deltas, roots) "
        "SELECT :batch, COALESCE(MAX(position), -1) + 1, :operation, :arguments, :deltas, :roots "
        "FROM batch_step WHERE batch = :batch",
        batch=batch,
        operation=step.operation,
        arguments=json.dumps(step.arguments, ensure_ascii=False),
        deltas=",".join(step.deltas),
        roots=",".join(step.roots),
    )


def steps_of(tx: Transaction, batch: int) -> list[StepRow]:
    """The steps in their order; raises Corrupt for a row that is none."""
    rows = tx.rows(
        "SELECT operation, arguments, deltas, roots FROM batch_step WHERE batch = :batch "
        "ORDER BY position",
        batch=batch,
    )
    try:
        return [
            StepRow(
                operation=operation,
                arguments=dict(json.loads(arguments)),
                deltas=tuple(filter(None, deltas.split(","))),
                roots=tuple(filter(None, roots.split(","))),
            )
            for operation, arguments, deltas, roots in rows
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise Corrupt("the catalog", "steps of transactions that can be", str(error)) from error


def step_arguments(tx: Transaction) -> str:
    """The arguments of all steps of all transactions, as one text."""
    rows = tx.rows("SELECT arguments FROM batch_step ORDER BY batch, position")
    return "\n".join(str(arguments) for (arguments,) in rows)


def _batch(row: Row) -> BatchRow:
    number, batch_id, description, started_us = row
    return BatchRow(
        number=number,
        id=batch_id,
        description=description,
        started=from_microseconds(started_us),
    )
