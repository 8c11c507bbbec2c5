"""SQL on jobs, datums, leases and remembered results.

One function is one statement. Times are datetimes outside and microseconds inside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from trunkline.db.database import Row, Transaction, among
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.jobs import DatumState, JobState
from trunkline.model.names import DEFAULT_PROJECT
from trunkline.versions.counter import next_number

_JOB = """number, pipeline, id, version, spec_commit, output_repo, output_branch, state, reason,
  created, started, finished, restarts, total, skipped, processed, failed, recovered,
  downloaded_bytes, uploaded_bytes, download_us, process_us, upload_us, leased, datums_digest"""
_DATUM = """number, job, position, key, state, tries, worker, started, finished,
  downloaded_bytes, uploaded_bytes, download_us, process_us, upload_us, log, reason"""
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
    def fresh(self) -> int:
        """How many datums have to be processed."""
        return self.total - self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRecord:
    number: int
    chunk: str
    first: int
    fresh: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    id: int
    job: int
    first: int
    until: int
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumRecord:
    """The outcome of a processed datum; `number` orders datums by when they ended."""

    number: int = 0
    job: int
    position: int
    key: str
    state: DatumState
    tries: int
    worker: str
    started: datetime
    finished: datetime
    downloaded_bytes: int
    uploaded_bytes: int
    download_us: int
    process_us: int
    upload_us: int
    log: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """What a datum made: the deltas that hold its files, their number and bytes."""

    key: str
    output: tuple[str, ...]
    files: int
    size_bytes: int
    log: tuple[str, ...]


# --- jobs -----------------------------------------------------------------------------------------


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
    row = tx.row(f"SELECT {_JOB} FROM job WHERE number = :number", number=number)
    return _job(row) if row else None


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
) -> list[JobRecord]:
    """At most `number` jobs with a number below `before`, newest first."""
    given = {"pipeline": pipeline, "run": run, "before": before, "project": project}
    wanted = {
        "pipeline": "pipeline = :pipeline",
        "run": "id = :run",
        "before": "number < :before",
        "project": "pipeline NOT LIKE '%/%'"
        if project == DEFAULT_PROJECT
        else "substr(pipeline, 1, length(:project) + 1) = :project || '/'",
    }
    where = " AND ".join(["1 = 1", *(wanted[name] for name in given if given[name] is not None)])
    rows = tx.rows(
        f"SELECT {_JOB} FROM job WHERE {where} ORDER BY number DESC LIMIT :most",
        most=number,
        **given,
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


def job_before(tx: Transaction, pipeline: str, number: int) -> JobRecord | None:
    row = tx.row(
        f"SELECT {_JOB} FROM job WHERE pipeline = :pipeline AND number < :number"
        " ORDER BY number DESC LIMIT 1",
        pipeline=pipeline,
        number=number,
    )
    return _job(row) if row else None


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
    tx.execute("DELETE FROM job WHERE number = :number", number=number)


def numbers_of_jobs(tx: Transaction, pipeline: str) -> list[int]:
    """All jobs of a pipeline, oldest first."""
    rows = tx.rows(
        "SELECT number FROM job WHERE pipeline = :pipeline ORDER BY number", pipeline=pipeline
    )
    return [int(number) for (number,) in rows]


def delete_everything(tx: Transaction) -> None:
    for table in ("job_segment", "lease", "datum", "result", "job"):
        tx.execute(f"DELETE FROM {table}")


# --- segments and leases --------------------------------------------------------------------------


def insert_segments(tx: Transaction, job: int, segments: Iterable[SegmentRecord]) -> None:
    tx.execute("DELETE FROM job_segment WHERE job = :job", job=job)
    tx.execute_many(
        """INSERT INTO job_segment (job, number, chunk, first, fresh, total)
           VALUES (:job, :number, :chunk, :first, :fresh, :total)""",
        ({"job": job, **asdict(segment)} for segment in segments),
    )


def segments_of(tx: Transaction, job: int) -> list[SegmentRecord]:
    rows = tx.rows(
        "SELECT number, chunk, first, fresh, total FROM job_segment WHERE job = :job"
        " ORDER BY number",
        job=job,
    )
    return [_segment(row) for row in rows]


def segments_between(tx: Transaction, job: int, first: int, until: int) -> list[SegmentRecord]:
    """The segments that hold the fresh datums [first, until)."""
    rows = tx.rows(
        """SELECT number, chunk, first, fresh, total FROM job_segment
           WHERE job = :job AND first < :until AND first + fresh > :first ORDER BY number""",
        job=job,
        first=first,
        until=until,
    )
    return [_segment(row) for row in rows]


def take_lost_lease(tx: Transaction, job: int) -> LeaseRecord | None:
    """Remove and return the first lease of a job that has to be handed out again."""
    row = tx.row(
        """DELETE FROM lease WHERE id = (
             SELECT MIN(id) FROM lease WHERE job = :job AND state = 'lost')
           RETURNING id, job, first, until, worker""",
        job=job,
    )
    return _lease(row) if row else None


def insert_lease(
    tx: Transaction, job: int, *, first: int, until: int, worker: str, state: str = "active"
) -> LeaseRecord:
    row = tx.row(
        """INSERT INTO lease (id, job, first, until, worker, state)
           VALUES (:id, :job, :first, :until, :worker, :state)
           RETURNING id, job, first, until, worker""",
        id=next_number(tx),  # the fencing token: never one that was used before
        job=job,
        first=first,
        until=until,
        worker=worker,
        state=state,
    )
    assert row is not None
    return _lease(row)


def advance_leased(tx: Transaction, job: int, until: int) -> None:
    tx.execute("UPDATE job SET leased = :until WHERE number = :job", job=job, until=until)


def active_lease(tx: Transaction, lease: int) -> LeaseRecord | None:
    """The lease, if its holder may still report; None is the fence."""
    row = tx.row(
        "SELECT id, job, first, until, worker FROM lease WHERE id = :lease AND state = 'active'",
        lease=lease,
    )
    return _lease(row) if row else None


def lose_lease(tx: Transaction, lease: int) -> None:
    tx.execute("UPDATE lease SET state = 'lost' WHERE id = :lease", lease=lease)


def split_lease(tx: Transaction, lease: LeaseRecord, positions: Sequence[int]) -> None:
    """Replace a lease by lost ones of one datum each."""
    end_lease(tx, lease.id)
    for position in positions:
        insert_lease(
            tx, lease.job, first=position, until=position + 1, worker=lease.worker, state="lost"
        )


def lose_all_leases(tx: Transaction) -> None:
    """At start: no worker of an earlier server can report any more."""
    tx.execute("UPDATE lease SET state = 'lost'")


def end_lease(tx: Transaction, lease: int) -> None:
    tx.execute("DELETE FROM lease WHERE id = :lease", lease=lease)


def end_leases_of(tx: Transaction, job: int) -> None:
    tx.execute("DELETE FROM lease WHERE job = :job", job=job)


def lost_leases(tx: Transaction, job: int) -> int:
    row = tx.row("SELECT COUNT(*) FROM lease WHERE job = :job AND state = 'lost'", job=job)
    return int(row[0]) if row else 0


# --- datums and results ---------------------------------------------------------------------------


def ended_positions(tx: Transaction, job: int, first: int, until: int) -> set[int]:
    rows = tx.rows(
        "SELECT position FROM datum WHERE job = :job AND position >= :first AND position < :until",
        job=job,
        first=first,
        until=until,
    )
    return {int(position) for (position,) in rows}


def insert_datum(tx: Transaction, datum: DatumRecord) -> bool:
    """Record an outcome; False when the datum of this job has one already."""
    changed = tx.execute(
        f"""INSERT INTO datum ({_DATUM.partition(",")[2]})
           VALUES (:job, :position, :key, :state, :tries, :worker, :started, :finished,
             :downloaded_bytes, :uploaded_bytes, :download_us, :process_us, :upload_us, :log,
             :reason)
           ON CONFLICT DO NOTHING""",
        **{
            **{name: value for name, value in asdict(datum).items() if name != "number"},
            "started": to_microseconds(datum.started),
            "finished": to_microseconds(datum.finished),
            "log": ",".join(datum.log),
        },
    )
    return changed == 1


def datums_ended_after(tx: Transaction, job: int, number: int) -> list[DatumRecord]:
    """At most 1000 outcomes of a job recorded after `number`, in the order of ending."""
    rows = tx.rows(
        f"SELECT {_DATUM} FROM datum WHERE job = :job AND number > :number"
        " ORDER BY number LIMIT 1000",
        job=job,
        number=number,
    )
    return [_datum(row) for row in rows]


def datums_at(tx: Transaction, job: int, first: int, until: int) -> dict[int, DatumRecord]:
    rows = tx.rows(
        f"SELECT {_DATUM} FROM datum WHERE job = :job AND position >= :first AND position < :until",
        job=job,
        first=first,
        until=until,
    )
    return {record.position: record for record in map(_datum, rows)}


def recovered_keys(tx: Transaction, job: int) -> set[str]:
    rows = tx.rows("SELECT key FROM datum WHERE job = :job AND state = 'recovered'", job=job)
    return {str(key) for (key,) in rows}


def failed_datums(tx: Transaction, job: int) -> list[DatumRecord]:
    rows = tx.rows(
        f"SELECT {_DATUM} FROM datum WHERE job = :job AND state = 'failed' ORDER BY position",
        job=job,
    )
    return [_datum(row) for row in rows]


def insert_result(tx: Transaction, result: ResultRecord, *, job: int, now: datetime) -> None:
    """Remember what a datum of a job made, instead of what was remembered by this key."""
    tx.execute(
        """INSERT INTO result (key, output, files, size_bytes, log, created, job)
           VALUES (:key, :output, :files, :size, :log, :now, :job)
           ON CONFLICT (key) DO UPDATE SET output = excluded.output, files = excluded.files,
             size_bytes = excluded.size_bytes, log = excluded.log, created = excluded.created,
             job = excluded.job""",
        key=result.key,
        output=",".join(result.output),
        files=result.files,
        size=result.size_bytes,
        log=",".join(result.log),
        now=to_microseconds(now),
        job=job,
    )


def delete_result(tx: Transaction, key: str) -> None:
    tx.execute("DELETE FROM result WHERE key = :key", key=key)


def results_of(tx: Transaction, keys: Sequence[str]) -> dict[str, ResultRecord]:
    """The remembered results of some keys (those that have one)."""
    found: dict[str, ResultRecord] = {}
    for start in range(0, len(keys), 500):
        marks, names = among(keys[start : start + 500])
        rows = tx.rows(
            f"SELECT key, output, files, size_bytes, log FROM result WHERE key IN {marks}",
            **names,
        )
        for key, output, files, size, log in rows:
            found[key] = ResultRecord(
                key=key, output=_split(output), files=files, size_bytes=size, log=_split(log)
            )
    return found


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)


def _job(row: Row) -> JobRecord:
    values = dict(zip((name.strip() for name in _JOB.split(",")), row, strict=True))
    values["state"] = JobState(values["state"])
    values["created"] = from_microseconds(values["created"])
    values["started"] = _time(values["started"])
    values["finished"] = _time(values["finished"])
    return JobRecord(**values)


def _segment(row: Row) -> SegmentRecord:
    number, chunk, first, fresh, total = row
    return SegmentRecord(number=number, chunk=chunk, first=first, fresh=fresh, total=total)


def _lease(row: Row) -> LeaseRecord:
    lease, job, first, until, worker = row
    return LeaseRecord(id=lease, job=job, first=first, until=until, worker=worker)


def _datum(row: Row) -> DatumRecord:
    values = dict(zip((name.strip() for name in _DATUM.split(",")), row, strict=True))
    values["state"] = DatumState(values["state"])
    values["started"] = from_microseconds(values["started"])
    values["finished"] = from_microseconds(values["finished"])
    values["log"] = _split(values["log"])
    return DatumRecord(**values)
