"""What one change set off, step by step, with the time that each took."""

from collections.abc import Collection, Iterable
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.jobs import ledger
from trunkline.jobs.ledger import JobRecord
from trunkline.model.jobs import JobState
from trunkline.model.runs import RunDetails, RunStep, critical_path
from trunkline.model.versions import CommitName, RunInfo
from trunkline.versions import provenance
from trunkline.versions.commits import CommitRecord, RunRecord


def run_info(tx: Transaction, run: RunRecord) -> RunInfo:
    jobs = ledger.jobs_of_run(tx, run.id)
    return RunInfo(
        id=run.id,
        state=state_of(run.commits, jobs),
        created=run.created,
        finished=_finished(run, jobs),
        commits=tuple(record.name for record in run.commits),
        jobs=tuple(job.pipeline for job in jobs),
    )


def run_details(tx: Transaction, run: RunRecord, *, now: datetime) -> RunDetails:
    """The run with its steps; `now` ends what is still going on. A few questions per step."""
    jobs = {(job.output_repo, job.id): job for job in ledger.jobs_of_run(tx, run.id)}
    own = {record.repo: record for record in run.commits}
    steps = []
    for record in run.commits:
        inputs = provenance.input_commits(tx, record.repo, record.id).values()
        reads = [own[name] for name in dict.fromkeys(i.repo for i in inputs if i.id == run.id)]
        job = jobs.get((record.repo, record.id))
        steps.append(_step(record, job, reads, _waits_for(tx, job, inputs), now))
    finished = _finished(run, jobs.values())
    return RunDetails(
        id=run.id,
        state=state_of(run.commits, jobs.values()),
        created=run.created,
        finished=finished,
        duration_s=((finished or now) - run.created).total_seconds(),
        commits=tuple(record.name for record in run.commits),
        jobs=tuple(job.pipeline for job in jobs.values()),
        steps=tuple(steps),
        critical_path=critical_path(steps),
    )


def state_of(commits: Iterable[CommitRecord], jobs: Iterable[JobRecord] = ()) -> str:
    """The state of a run with these commits and jobs.

    A job may go on after its commit is finished, and fail: it copies that elsewhere.
    """
    found, writers = list(commits), list(jobs)
    if any(record.finished is None for record in found) or not _ended(writers):
        return "running"
    failed = any(record.error is not None for record in found) or any(
        job.state is not JobState.SUCCESS for job in writers
    )
    return "failure" if failed else "success"


def _ended(jobs: Iterable[JobRecord]) -> bool:
    return all(job.state.ended for job in jobs)


def _finished(run: RunRecord, jobs: Collection[JobRecord]) -> datetime | None:
    """When the last commit or job of a run ended, if all have."""
    if run.finished is None or not _ended(jobs):
        return None
    return max([run.finished, *(job.finished for job in jobs if job.finished is not None)])


def _step(
    record: CommitRecord,
    job: JobRecord | None,
    reads: list[CommitRecord],
    waits_for: tuple[str, ...],
    now: datetime,
) -> RunStep:
    created = record.started if job is None else job.created
    started = created if job is None else job.started
    finished = record.finished if job is None else job.finished
    ready = max([created, *(read.finished or created for read in reads)])
    open_reads = any(read.finished is None for read in reads)
    done = finished or now
    begun = min(started or done, done)
    since = created if open_reads else min(ready, begun)
    return RunStep(
        repo=record.repo,
        branch=record.branch,
        pipeline=None if job is None else job.pipeline,
        state=_state_alone(record) if job is None else job.state.value,
        reason=(record.error or "") if job is None else job.reason,
        created=created,
        ready=None if open_reads else ready,
        started=started,
        finished=finished,
        waited_s=(begun - since).total_seconds(),
        ran_s=(done - begun).total_seconds(),
        total=0 if job is None else job.total,
        processed=0 if job is None else job.processed,
        skipped=0 if job is None else job.skipped,
        failed=0 if job is None else job.failed,
        recovered=0 if job is None else job.recovered,
        reads=tuple(read.name for read in reads),
        waits_for=waits_for,
    )


def _state_alone(record: CommitRecord) -> str:
    if record.finished is None:
        return "open"
    return "finished" if record.error is None else "failed"


def _waits_for(
    tx: Transaction, job: JobRecord | None, inputs: Iterable[CommitRecord]
) -> tuple[str, ...]:
    """What has to end before the job can start, as far as the catalog knows."""
    if job is None or job.state is not JobState.STARTING:
        return ()
    names = dict.fromkeys(
        str(CommitName(repo=found.repo, id=found.id)) for found in inputs if found.finished is None
    )
    return (*names, *(f"job {other.name}" for other in ledger.open_jobs_before(tx, job)))
