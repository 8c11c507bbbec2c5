"""SQL on the traces that erased files have left in the record of jobs."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trunkline.db.database import Transaction, among
from trunkline.jobs.tables.leases import SegmentRecord
from trunkline.model.jobs import JobState
from trunkline.versions.counter import next_number

_PAGE = 500


class HeldJob(NamedTuple):
    """A job, also one in the trash, as far as rewriting it needs."""

    number: int
    pipeline: str
    id: str
    version: int
    output_repo: str
    state: JobState
    reason: str
    deleted: bool


class HeldResult(NamedTuple):
    """A remembered result, and the job that made it (0: not known)."""

    key: str
    output: str  # deltas, joined by commas
    job: int


def held_jobs(tx: Transaction, outputs: Iterable[str]) -> list[HeldJob]:
    """The jobs that write to these repos, those in the trash too, by number."""
    wanted = list(outputs)
    found: list[HeldJob] = []
    for start in range(0, len(wanted), _PAGE):
        marks, values = among(wanted[start : start + _PAGE])
        for table, deleted in (("job", False), ("trash_job", True)):
            rows = tx.rows(
                f"SELECT number, pipeline, id, version, output_repo, state, reason FROM {table} "
                f"WHERE output_repo IN {marks}",
                **values,
            )
            found += [
                HeldJob(int(number), name, run, int(version), repo, JobState(state), why, deleted)
                for number, name, run, version, repo, state, why in rows
            ]
    return sorted(found)


def repos_written(tx: Transaction) -> dict[int, str]:
    """The output repo of each job, also of those in the trash, by number."""
    rows = tx.rows(
        "SELECT number, output_repo FROM job UNION SELECT number, output_repo FROM trash_job"
    )
    return {int(number): str(repo) for number, repo in rows}


def held_segments(tx: Transaction, job: HeldJob) -> list[SegmentRecord]:
    table = "trash_job_segment" if job.deleted else "job_segment"
    rows = tx.rows(
        f"SELECT number, chunk, first, fresh, total FROM {table} WHERE job = :job ORDER BY number",
        job=job.number,
    )
    return [
        SegmentRecord(number=number, chunk=chunk, first=first, fresh=fresh, total=total)
        for number, chunk, first, fresh, total in rows
    ]


def replace_segment(tx: Transaction, job: HeldJob, segment: int, chunk: str) -> None:
    """The same datums are written down in another chunk now."""
    if job.deleted:
        tx.execute(
            "UPDATE trash_job_segment SET chunk = :chunk WHERE job = :job AND number = :number",
            job=job.number,
            number=segment,
            chunk=chunk,
        )
        return
    row = tx.row(
        "DELETE FROM job_segment WHERE job = :job AND number = :number "
        "RETURNING first, fresh, total",
        job=job.number,
        number=segment,
    )
    assert row is not None, "what is replaced was read in the same transaction"
    first, fresh, total = row
    tx.execute(
        "INSERT INTO job_segment (job, number, chunk, first, fresh, total) "
        "VALUES (:job, :number, :chunk, :first, :fresh, :total)",
        job=job.number,
        number=segment,
        chunk=chunk,
        first=first,
        fresh=fresh,
        total=total,
    )


def blank_datums(tx: Transaction, job: HeldJob, keys: dict[str, str], *, reason: str) -> None:
    """What was recorded of some datums of a job is gone but for times and numbers.

    `keys` says what each is called from now on, `reason` takes the place of why one failed.
    """
    table = "trash_datum" if job.deleted else "datum"
    tx.execute_many(
        f"UPDATE {table} SET key = :new, log = '', "
        "reason = CASE WHEN reason = '' THEN '' ELSE :reason END "
        "WHERE job = :job AND key = :old",
        (
            {"job": job.number, "old": old, "new": new, "reason": reason}
            for old, new in keys.items()
        ),
    )


def replace_summary(tx: Transaction, job: HeldJob, *, digest: str, reason: str) -> None:
    table = "trash_job" if job.deleted else "job"
    tx.execute(
        f"UPDATE {table} SET datums_digest = :digest, reason = :reason WHERE number = :number",
        number=job.number,
        digest=digest,
        reason=reason,
    )


def held_results(tx: Transaction) -> Iterator[HeldResult]:
    """All remembered results by key, page by page."""
    after = ""
    while True:
        rows = tx.rows(
            "SELECT key, output, job FROM result WHERE key > :after ORDER BY key LIMIT :page",
            after=after,
            page=_PAGE,
        )
        yield from (HeldResult(key, output, int(job)) for key, output, job in rows)
        if len(rows) < _PAGE:
            return
        after = str(rows[-1][0])


def restart_job(tx: Transaction, number: int) -> None:
    """Begin an open job again from nothing, under a new number.

    What a worker or thread is still about to say of the old one is not heard any more.
    """
    fresh = next_number(tx)
    for table in ("job_segment", "lease", "datum"):
        tx.execute(f"DELETE FROM {table} WHERE job = :number", number=number)
    tx.execute(
        """UPDATE job SET number = :fresh, state = :state, reason = '', started = NULL,
             finished = NULL, total = 0, skipped = 0, processed = 0, failed = 0, recovered = 0,
             leased = 0, datums_digest = '', restarts = restarts + 1 WHERE number = :number""",
        fresh=fresh,
        number=number,
        state=JobState.STARTING,
    )
    tx.execute("UPDATE result SET job = :fresh WHERE job = :number", fresh=fresh, number=number)
