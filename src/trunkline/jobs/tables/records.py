"""SQL on jobs.

One function is one statement. Times are datetimes outside and microseconds inside.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Row, Soon, Transaction, among
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.jobs import JobState
from trunkline.model.names import DEFAULT_PROJECT
from trunkline.versions.counter import next_number

_JOB = """number, pipeline, id, version, spec_commit, output_repo, output_branch, state, reason,
  created, started, finished, restarts, total, skipped, processed, failed, recovered,
  downloaded_bytes, uploaded_bytes, download_us, process_us, upload_us, leased, datums_digest"""
_FIELDS = [name.strip() for name in _JOB.split(",")]
_PAGE = 500
_OPEN = "('created', 'starting', 'running', 'egressing', 'finishing')"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    number: int
    pipeline: str
    id: str
    version: int
    spec_commit: str
    output_repo: str
    output_branch: str
    state: JobState
    reason: str
    created: datetime
    started: datetime | None
    finished: datetime | None
    restarts: int
    total: int
    skipped: int
    processed: int
    failed: int
    recovered: int
    downloaded_bytes: int
    uploaded_bytes: int
    download_us: int
    process_us: int
    upload_us: int
    leased: int
    datums_digest: str

    @property
    def name(self) -> str:
        return f"{self.pipeline}@{self.id}"

    @property
    def quarantined(self) -> int:
        """How many datums failed without failing the job."""
        return self.failed if self.state is JobState.SUCCESS else 0

    @property
    def fresh(self) -> int:
        """How many datums have to be processed."""
        return self.total - self.skipped


def insert_job(
    tx: Transaction,
    *,
    pipeline: str,
    id: str,  # noqa: A002 - the field's word
    version: int,
    spec_commit: str,
    output_repo: str,
    output_branch: str,
    now: datetime,
) -> int:
    number = next_number(tx)  # never one of a deleted job, which may still be at work
    tx.execute(
        """INSERT INTO job (number, pipeline, id, version, spec_commit, output_repo, output_branch,
             state, created)
           VALUES (:number, :pipeline, :id, :version, :spec_commit, :output_repo, :output_branch,
             :state, :now)""",
        number=number,
        pipeline=pipeline,
        id=id,
        version=version,
        spec_commit=spec_commit,
        output_repo=output_repo,
        output_branch=output_branch,
        state=JobState.STARTING,
        now=to_microseconds(now),
    )
    return number


def job_by_name(tx: Transaction, pipeline: str, run: str) -> JobRecord | None:
    row = tx.row(
        f"SELECT {_JOB} FROM job WHERE pipeline = :pipeline AND id = :run",
        pipeline=pipeline,
        run=run,
    )
    return _job(row) if row else None


def job_by_number(tx: Transaction, number: int) -> JobRecord | None:
    return job_by_number_soon(tx, number)()


def job_by_number_soon(tx: Transaction, number: int) -> Soon[JobRecord | None]:
    """`job_by_number`, asked for now and told later."""
    answer = tx.ask(f"SELECT {_JOB} FROM job WHERE number = :number", number=number)
    return lambda: next(map(_job, answer()), None)


def jobs_of_run(tx: Transaction, run: str) -> list[JobRecord]:
    rows = tx.rows(f"SELECT {_JOB} FROM job WHERE id = :run ORDER BY number", run=run)
    return [_job(row) for row in rows]


def job_of_output(tx: Transaction, repo: str, commit: str) -> JobRecord | None:
    row = tx.row(
        f"SELECT {_JOB} FROM job WHERE id = :commit AND output_repo = :repo",
        commit=commit,
        repo=repo,
    )
    return _job(row) if row else None


def list_jobs(
    tx: Transaction,
    *,
    pipeline: str | None,
    run: str | None,
    before: int | None,
    number: int,
    project: str | None = None,
    states: Collection[JobState] = (),
    newest: bool = False,
) -> list[JobRecord]:
    """At most `number` jobs with a number below `before`, newest first; no `states`: in any.

    `newest`: of each pipeline that one alone.
    """
    given = {"pipeline": pipeline, "run": run, "before": before, "project": project}
    wanted = {
        "pipeline": "pipeline = :pipeline",
        "run": "id = :run",
        "before": "number < :before",
        "project": "pipeline NOT LIKE '%/%'"
        if project == DEFAULT_PROJECT
        else "substr(pipeline, 1, length(:project) + 1) = :project || '/'",
    }
    marks, names = among(states)
    where = " AND ".join(
        [
            f"state IN {marks}" if states else "1 = 1",
            "number IN (SELECT MAX(number) FROM job GROUP BY pipeline)" if newest else "1 = 1",
            *(wanted[name] for name in given if given[name] is not None),
        ]
    )
    rows = tx.rows(
        f"SELECT {_JOB} FROM job WHERE {where} ORDER BY number DESC LIMIT :most",
        most=number,
        **given,
        **names,
    )
    return [_job(row) for row in rows]


def open_jobs(tx: Transaction, pipeline: str | None = None) -> list[JobRecord]:
    """The jobs that have not ended, oldest first."""
    if pipeline is None:
        rows = tx.rows(f"SELECT {_JOB} FROM job WHERE state IN {_OPEN} ORDER BY number")
    else:
        rows = tx.rows(
            f"SELECT {_JOB} FROM job WHERE pipeline = :pipeline AND state IN {_OPEN}"
            " ORDER BY number",
            pipeline=pipeline,
        )
    return [_job(row) for row in rows]


def first_open_jobs(tx: Transaction) -> list[JobRecord]:
    """The oldest job of each pipeline that has not ended: the jobs of a pipeline take turns."""
    rows = tx.rows(
        f"""SELECT {_JOB} FROM job WHERE number IN (
              SELECT MIN(number) FROM job WHERE state IN {_OPEN} GROUP BY pipeline)
            ORDER BY number"""
    )
    return [_job(row) for row in rows]


def open_jobs_before(tx: Transaction, job: JobRecord) -> list[JobRecord]:
    """The jobs of its pipeline that have not ended and whose turn comes first, oldest first."""
    rows = tx.rows(
        f"SELECT {_JOB} FROM job WHERE pipeline = :pipeline AND number < :number"
        f" AND state IN {_OPEN} ORDER BY number",
        pipeline=job.pipeline,
        number=job.number,
    )
    return [_job(row) for row in rows]


def open_jobs_behind(tx: Transaction, job: JobRecord, most: int) -> list[JobRecord]:
    """The next jobs of its pipeline that have not ended, oldest first."""
    rows = tx.rows(
        f"SELECT {_JOB} FROM job WHERE pipeline = :pipeline AND number > :number"
        f" AND state IN {_OPEN} ORDER BY number LIMIT :most",
        pipeline=job.pipeline,
        number=job.number,
        most=most,
    )
    return [_job(row) for row in rows]


def job_before(tx: Transaction, pipeline: str, number: int) -> JobRecord | None:
    row = tx.row(
        f"SELECT {_JOB} FROM job WHERE pipeline = :pipeline AND number < :number"
        " ORDER BY number DESC LIMIT 1",
        pipeline=pipeline,
        number=number,
    )
    return _job(row) if row else None


def jobs_before(tx: Transaction, numbers: Sequence[int]) -> dict[int, str]:
    """The ids of the jobs of their pipelines before some jobs, by number; of the first, none."""
    found: dict[int, str] = {}
    for start in range(0, len(numbers), _PAGE):
        marks, names = among(numbers[start : start + _PAGE])
        rows = tx.rows(
            "SELECT j.number, b.id FROM job j JOIN job b ON b.number = "
            "(SELECT MAX(number) FROM job WHERE pipeline = j.pipeline AND number < j.number) "
            f"WHERE j.number IN {marks}",
            **names,
        )
        found.update((int(number), str(before)) for number, before in rows)
    return found


def good_job_before(tx: Transaction, pipeline: str, number: int) -> JobRecord | None:
    """The newest job of the pipeline before this one that succeeded."""
    row = tx.row(
        f"SELECT {_JOB} FROM job WHERE pipeline = :pipeline AND number < :number"
        " AND state = 'success' ORDER BY number DESC LIMIT 1",
        pipeline=pipeline,
        number=number,
    )
    return _job(row) if row else None


def job_counts(tx: Transaction, pipeline: str) -> dict[str, int]:
    rows = tx.rows(
        "SELECT state, COUNT(*) FROM job WHERE pipeline = :pipeline GROUP BY state",
        pipeline=pipeline,
    )
    return {str(state): int(count) for state, count in rows}


def all_job_counts(tx: Transaction) -> dict[str, dict[str, int]]:
    """How many jobs of each pipeline that has some are in each state."""
    found: dict[str, dict[str, int]] = {}
    for pipeline, state, count in tx.rows(
        "SELECT pipeline, state, COUNT(*) FROM job GROUP BY pipeline, state"
    ):
        found.setdefault(str(pipeline), {})[str(state)] = int(count)
    return found


def last_failures(tx: Transaction) -> dict[str, str]:
    """The reasons of the newest jobs of pipelines, of those that failed."""
    rows = tx.rows(
        "SELECT pipeline, reason FROM job WHERE state IN ('failure', 'unrunnable') AND number IN "
        "(SELECT MAX(number) FROM job GROUP BY pipeline)"
    )
    return {str(pipeline): str(reason) for pipeline, reason in rows}


def last_failure(tx: Transaction, pipeline: str) -> str:
    """The reason of the pipeline's newest job if that failed, else nothing."""
    row = tx.row(
        "SELECT state, reason FROM job WHERE pipeline = :pipeline ORDER BY number DESC LIMIT 1",
        pipeline=pipeline,
    )
    return str(row[1]) if row and row[0] in ("failure", "unrunnable") else ""


def save_progress(
    tx: Transaction,
    number: int,
    *,
    state: JobState,
    reason: str,
    total: int,
    skipped: int,
    processed: int,
    failed: int,
    recovered: int,
    now: datetime,
) -> None:
    """Record a job's progress; sets `started` when it first runs and `finished` when it ends."""
    tx.execute(
        """UPDATE job SET state = :state, reason = :reason, total = :total, skipped = :skipped,
             processed = :processed, failed = :failed, recovered = :recovered,
             started = CASE WHEN :runs = 1 THEN COALESCE(started, :now) ELSE started END,
             finished = CASE WHEN :ended = 1 THEN :now ELSE NULL END
           WHERE number = :number""",
        number=number,
        state=state,
        reason=reason,
        total=total,
        skipped=skipped,
        processed=processed,
        failed=failed,
        recovered=recovered,
        runs=int(state is not JobState.STARTING),
        ended=int(state.ended),
        now=to_microseconds(now),
    )


def add_usage(
    tx: Transaction,
    number: int,
    *,
    downloaded_bytes: int,
    uploaded_bytes: int,
    download_us: int,
    process_us: int,
    upload_us: int,
) -> None:
    tx.execute(
        """UPDATE job SET downloaded_bytes = downloaded_bytes + :downloaded,
             uploaded_bytes = uploaded_bytes + :uploaded, download_us = download_us + :download,
             process_us = process_us + :process, upload_us = upload_us + :upload
           WHERE number = :number""",
        number=number,
        downloaded=downloaded_bytes,
        uploaded=uploaded_bytes,
        download=download_us,
        process=process_us,
        upload=upload_us,
    )


def set_datums_digest(tx: Transaction, number: int, digest: str) -> None:
    tx.execute(
        "UPDATE job SET datums_digest = :digest WHERE number = :number",
        number=number,
        digest=digest,
    )


def count_restart(tx: Transaction, number: int) -> None:
    tx.execute("UPDATE job SET restarts = restarts + 1 WHERE number = :number", number=number)


def delete_job(tx: Transaction, number: int) -> None:
    """Forget a job with its segments, leases and datums; remembered results stay."""
    for table in ("job_segment", "lease", "datum"):
        tx.execute(f"DELETE FROM {table} WHERE job = :number", number=number)
    tx.execute("DELETE FROM basis WHERE job = :number", number=number)
    tx.execute("DELETE FROM job WHERE number = :number", number=number)


def numbers_of_jobs(tx: Transaction, pipeline: str) -> list[int]:
    """All jobs of a pipeline, oldest first."""
    rows = tx.rows(
        "SELECT number FROM job WHERE pipeline = :pipeline ORDER BY number", pipeline=pipeline
    )
    return [int(number) for (number,) in rows]


def delete_everything(tx: Transaction) -> None:
    for table in ("job_segment", "lease", "datum", "result", "increment", "basis", "job"):
        tx.execute(f"DELETE FROM {table}")


def _time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)


def _job(row: Row) -> JobRecord:
    values = dict(zip(_FIELDS, row, strict=True))
    values["state"] = JobState(values["state"])
    values["created"] = from_microseconds(values["created"])
    values["started"] = _time(values["started"])
    values["finished"] = _time(values["finished"])
    return JobRecord(**values)
