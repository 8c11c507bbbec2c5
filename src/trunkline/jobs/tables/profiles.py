"""SQL on how the datums of a job went, for people who look at it.

One function is one statement. Times are datetimes outside and microseconds inside.
"""

from datetime import datetime
from typing import NamedTuple

from trunkline.db.database import Transaction
from trunkline.db.times import from_microseconds, to_microseconds


class Slice(NamedTuple):
    """The datums that a worker began within some time."""

    worker: str
    started: datetime
    finished: datetime
    datums: int
    failed: int
    busy_us: int


def slices_of(tx: Transaction, job: int, *, begin: datetime, width_us: int) -> list[Slice]:
    """What workers did in each `width_us` since `begin`; cost: all datums that have ended."""
    rows = tx.rows(
        """SELECT worker, MIN(started), MAX(finished), COUNT(*),
             SUM(CASE WHEN state = 'failed' THEN 1 ELSE 0 END), SUM(finished - started)
           FROM datum WHERE job = :job AND started >= :begin
           GROUP BY worker, (started - :begin) / :width ORDER BY worker, MIN(started)""",
        job=job,
        begin=to_microseconds(begin),
        width=width_us,
    )
    return [
        Slice(str(worker), from_microseconds(began), from_microseconds(ended), *map(int, numbers))
        for worker, began, ended, *numbers in rows
    ]


def took_of(tx: Transaction, job: int, *, one_of: int) -> list[int]:
    """How long datums took, in microseconds, shortest first; of so many the one."""
    rows = tx.rows(
        """SELECT finished - started FROM datum WHERE job = :job AND number % :one_of = 0
           ORDER BY 1""",
        job=job,
        one_of=one_of,
    )
    return [int(took) for (took,) in rows]


def reasons_of(tx: Transaction, job: int, most: int) -> list[tuple[str, str, str]]:
    """Why the first datums failed: reasons, keys, and the last chunks of their logs (or empty)."""
    rows = tx.rows(
        "SELECT reason, key, log FROM datum WHERE job = :job AND state = 'failed'"
        " ORDER BY position LIMIT :most",
        job=job,
        most=most,
    )
    return [(str(reason), str(key), str(log).rpartition(",")[2]) for reason, key, log in rows]
