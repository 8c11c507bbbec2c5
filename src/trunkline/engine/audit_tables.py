"""SQL on the audit log."""

from collections.abc import Iterable

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.audit import AuditEntry


def insert_entries(tx: Transaction, entries: Iterable[AuditEntry]) -> None:
    tx.execute_many(
        "INSERT INTO audit (number, time_us, token, door, operation, target, outcome) "
        "VALUES (:number, :time, :token, :door, :operation, :target, :outcome)",
        (
            {
                "number": entry.number,
                "time": to_microseconds(entry.time),
                "token": entry.token,
                "door": entry.door,
                "operation": entry.operation,
                "target": entry.target,
                "outcome": entry.outcome,
            }
            for entry in entries
        ),
    )


def keep_newest(tx: Transaction, count: int) -> None:
    """Delete all but so many."""
    oldest = tx.row("SELECT number FROM audit ORDER BY number DESC LIMIT 1 OFFSET :n", n=count)
    if oldest is not None:
        tx.execute("DELETE FROM audit WHERE number <= :number", number=oldest[0])


def newest_entries(tx: Transaction, count: int, before: int) -> list[AuditEntry]:
    """At most so many, newest first, with smaller numbers than `before`."""
    rows = tx.rows(
        "SELECT number, time_us, token, door, operation, target, outcome FROM audit "
        "WHERE number < :before ORDER BY number DESC LIMIT :count",
        before=before,
        count=count,
    )
    return [_entry(row) for row in rows]


def _entry(row: Row) -> AuditEntry:
    number, time_us, token, door, operation, target, outcome = row
    return AuditEntry(
        number=number,
        time=from_microseconds(time_us),
        token=token,
        door=door,
        operation=operation,
        target=target,
        outcome=outcome,
    )
