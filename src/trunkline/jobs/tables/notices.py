"""SQL on what somebody outside is still to be told of."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.jobs import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRecord:
    """The end of a job that was not told yet."""

    job: int  # its number
    tries: int
    due: datetime


def wanted_notices(tx: Transaction) -> set[str]:
    """The states at whose reaching somebody is told."""
    return {str(state) for (state,) in tx.rows("SELECT state FROM notice_wanted")}


def want_notices(tx: Transaction, states: Collection[str]) -> None:
    """Tell of these ends from now on, and of no others."""
    tx.execute("DELETE FROM notice_wanted")
    for state in states:
        tx.execute("INSERT INTO notice_wanted (state) VALUES (:state)", state=state)


def forget_notices(tx: Transaction) -> None:
    tx.execute("DELETE FROM notice")


def insert_notice(tx: Transaction, job: int, state: JobState, *, now: datetime) -> None:
    """Note that a job has ended, if that is wanted."""
    tx.execute(
        """INSERT INTO notice (job, tries, due_us)
           SELECT :job, 0, :now FROM notice_wanted WHERE state = :state""",
        job=job,
        state=state.value,
        now=to_microseconds(now),
    )


def next_notice(tx: Transaction) -> NoticeRecord | None:
    """The one that is due first."""
    sql = "SELECT job, tries, due_us FROM notice ORDER BY due_us, job LIMIT 1"
    for job, tries, due_us in tx.rows(sql):
        return NoticeRecord(job=job, tries=tries, due=from_microseconds(due_us))
    return None


def put_off_notice(tx: Transaction, job: int, *, due: datetime) -> None:
    """It could not be told; try again then."""
    tx.execute(
        "UPDATE notice SET tries = tries + 1, due_us = :due WHERE job = :job",
        job=job,
        due=to_microseconds(due),
    )


def delete_notice(tx: Transaction, job: int) -> None:
    tx.execute("DELETE FROM notice WHERE job = :job", job=job)
