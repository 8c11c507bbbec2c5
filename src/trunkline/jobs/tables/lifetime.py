"""SQL on what the record of jobs keeps alive, and on forgetting results.

Long lists are read in pages, each with the key of its last row to go on from.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from trunkline.db.database import Transaction
from trunkline.db.times import from_microseconds, to_microseconds

_OPEN = "('created', 'starting', 'running', 'egressing', 'finishing')"


class StoredSegment(NamedTuple):
    job: int
    number: int
    chunk: str
    reads: bool  # its job has not ended, and has datums to process in it


class StoredResult(NamedTuple):
    key: str
    output: str  # deltas, joined by commas
    log: str  # chunks, joined by commas


def count_open_jobs(tx: Transaction) -> int:
    """How many jobs have not ended, in a catalog of any age."""
    if "job" not in tx.tables():
        return 0
    return int(tx.rows(f"SELECT COUNT(*) FROM job WHERE state IN {_OPEN}")[0][0])


def stored_segments(
    tx: Transaction, after: tuple[int, int] = (-1, -1), most: int = 1000
) -> list[StoredSegment]:
    """The next segments of all jobs."""
    rows = tx.rows(
        f"""SELECT s.job, s.number, s.chunk,
              CASE WHEN j.state IN {_OPEN} AND s.fresh > 0 THEN 1 ELSE 0 END
            FROM job_segment s LEFT JOIN job j ON j.number = s.job
            WHERE (s.job, s.number) > (:job, :number) ORDER BY s.job, s.number LIMIT :most""",
        job=after[0],
        number=after[1],
        most=most,
    )
    return [StoredSegment(job, number, chunk, bool(reads)) for job, number, chunk, reads in rows]


def stored_logs(tx: Transaction, after: int = -1, most: int = 1000) -> list[tuple[int, str]]:
    """The next (number, chunks) of datums that have a log."""
    rows = tx.rows(
        "SELECT number, log FROM datum WHERE number > :after AND log <> ''"
        " ORDER BY number LIMIT :most",
        after=after,
        most=most,
    )
    return [(int(number), str(log)) for number, log in rows]


def stored_results(tx: Transaction, after: str = "", most: int = 1000) -> list[StoredResult]:
    """The next remembered results by key."""
    rows = tx.rows(
        "SELECT key, output, log FROM result WHERE key > :after ORDER BY key LIMIT :most",
        after=after,
        most=most,
    )
    return [StoredResult(*row) for row in rows]


def forgettable_results(
    tx: Transaction, *, made_before: datetime, after: str, most: int
) -> list[str]:
    """The next keys of results that may be forgotten unless a job needs them.

    Those that are old, and those whose job is gone for good.
    """
    rows = tx.rows(
        """SELECT r.key FROM result r WHERE r.key > :after AND (r.created < :before OR
             (r.job > 0 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.number = r.job)
              AND NOT EXISTS (SELECT 1 FROM trash_job t WHERE t.number = r.job)))
           ORDER BY r.key LIMIT :most""",
        after=after,
        before=to_microseconds(made_before),
        most=most,
    )
    return [str(key) for (key,) in rows]


def oldest_result(tx: Transaction, *, since: datetime) -> datetime | None:
    """When the oldest result was made, of those that were not made before a time."""
    row = tx.row(
        "SELECT MIN(created) FROM result WHERE created >= :since", since=to_microseconds(since)
    )
    return None if row is None or row[0] is None else from_microseconds(row[0])


def delete_results(tx: Transaction, keys: Collection[str]) -> None:
    for table in ("result", "increment"):
        tx.execute_many(f"DELETE FROM {table} WHERE key = :key", ({"key": key} for key in keys))


def jobs_that_need_results(tx: Transaction) -> list[int]:
    """The jobs that have not ended, and the last good one of each pipeline."""
    rows = tx.rows(
        f"""SELECT number FROM job WHERE state IN {_OPEN} UNION
            SELECT MAX(number) FROM job WHERE state = 'success' GROUP BY pipeline"""
    )
    return [int(number) for (number,) in rows]


def set_basis(tx: Transaction, pipeline: str, job: int) -> None:
    """Say that a pipeline's last good job is this one, which just succeeded."""
    tx.execute(
        """INSERT INTO basis (pipeline, job) VALUES (:pipeline, :job)
           ON CONFLICT (pipeline) DO UPDATE SET job = excluded.job""",
        pipeline=pipeline,
        job=job,
    )


def is_basis(tx: Transaction, job: int) -> bool:
    """Whether all datums of a good job have their results.

    That is so while it is the last good one (`jobs_that_need_results`) since it succeeded. One that
    came to be that again, because those behind it were deleted, or it was itself, may lack some.
    """
    return tx.row("SELECT 1 FROM basis WHERE job = :job", job=job) is not None


def replace_output(tx: Transaction, key: str, output: Sequence[str]) -> None:
    """The same files are in other deltas now."""
    tx.execute(
        "UPDATE result SET output = :output WHERE key = :key", key=key, output=",".join(output)
    )
