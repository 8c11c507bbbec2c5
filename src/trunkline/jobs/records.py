"""Jobs and their output commits, changed together: one event, one transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.files.manifest import EMPTY
from trunkline.jobs import quarantine, tables
from trunkline.jobs.state import (
    Action,
    DatumsEnded,
    Event,
    FinishedTree,
    Planned,
    Progress,
    Stopped,
    step,
)
from trunkline.jobs.tables import JobRecord
from trunkline.model.versions import is_spec_repo
from trunkline.pipelines import lifecycle
from trunkline.versions import commits, provenance
from trunkline.versions.provenance import OpenedCommit


def open_jobs(tx: Transaction, opened: Sequence[OpenedCommit], *, now: datetime) -> list[JobRecord]:
    """Record a job for each opened commit that a pipeline writes.

    Called in the transaction that opened the commits, so that a change is visible together with
    all the jobs that it causes, or not at all.
    """
    jobs = []
    for output in opened:
        commit = output.commit
        pipeline = lifecycle.find(tx, commit.repo)
        specs = [name.id for name in output.inputs if is_spec_repo(name.repo)]
        if pipeline is None or not specs:
            continue
        version = lifecycle.version_of_commit(tx, commit.repo, specs[0])
        number = tables.insert_job(
            tx,
            pipeline=pipeline.name,
            id=commit.id,
            version=version,
            spec_commit=specs[0],
            output_repo=commit.repo,
            output_branch=commit.branch or pipeline.output_branch,
            now=now,
        )
        job = tables.job_by_number(tx, number)
        assert job is not None
        jobs.append(job)
    return jobs


def progress_of(job: JobRecord) -> Progress:
    return Progress(
        state=job.state,
        reason=job.reason,
        total=job.total,
        skipped=job.skipped,
        processed=job.processed,
        failed=job.failed,
        recovered=job.recovered,
    )


def apply_event(
    tx: Transaction,
    number: int,
    event: Event,
    *,
    now: datetime,
    tree: FinishedTree | None = None,
    errors: FinishedTree | None = None,
) -> tuple[Action, ...]:
    """Step a job, save it, and finish its output commit if it ended.

    A job that succeeds did so with `tree`; `errors` is what it quarantined, if it may do that.
    Returns the actions that are left to the caller. A job that is gone or has ended ignores it.
    """
    job = tables.job_by_number(tx, number)
    return () if job is None else apply_to(tx, job, event, now=now, tree=tree, errors=errors)


def apply_to(
    tx: Transaction,
    job: JobRecord,
    event: Event,
    *,
    now: datetime,
    tree: FinishedTree | None = None,
    errors: FinishedTree | None = None,
) -> tuple[Action, ...]:
    """`apply_event` for a job as this transaction has read it."""
    number = job.number
    before = progress_of(job)
    if job.failed or (isinstance(event, DatumsEnded | Planned) and event.failed):
        before = replace(before, tolerated=quarantine.tolerated(tx, job))
    after, actions = step(before, event)
    if after != before:
        tables.save_progress(
            tx,
            number,
            state=after.state,
            reason=after.reason,
            total=after.total,
            skipped=after.skipped,
            processed=after.processed,
            failed=after.failed,
            recovered=after.recovered,
            now=now,
        )
    if Action.FINISH_COMMIT in actions:
        assert tree is not None, "a job succeeds with the tree it made"
        _finish(tx, job, tree, error=None, now=now)
        tables.set_basis(tx, job.pipeline, number)
        if errors is not None:
            open_jobs(tx, quarantine.commit_errors(tx, job, errors, now=now), now=now)
    if Action.FAIL_COMMIT in actions:
        sentence = after.reason.partition("\n")[0]  # what a datum printed stays with the job
        error = f"job {job.name} ended as {after.state}: {sentence}"
        _finish(tx, job, FinishedTree(root=EMPTY, files=0, size_bytes=0), error=error, now=now)
    if after.state.ended and not before.state.ended:
        tables.end_leases_of(tx, number)
        tables.insert_notice(tx, number, after.state, now=now)
    return tuple(a for a in actions if a not in (Action.FINISH_COMMIT, Action.FAIL_COMMIT))


def stop_jobs(tx: Transaction, jobs: Sequence[JobRecord], *, reason: str, now: datetime) -> None:
    """Kill jobs that have not ended; their output commits are finished empty."""
    for job in jobs:
        if not job.state.ended:
            apply_event(tx, job.number, Stopped(reason=reason), now=now)


def stop_readers(tx: Transaction, repo: str, *, now: datetime) -> None:
    """Kill the jobs that read a repo which is about to be deleted with its commits."""
    readers = [
        job
        for job in tables.open_jobs(tx)
        if any(name.repo == repo for name in provenance.input_commits(tx, job.output_repo, job.id))
    ]
    stop_jobs(tx, readers, reason=f"its input repo '{repo}' was deleted", now=now)


def _finish(
    tx: Transaction, job: JobRecord, tree: FinishedTree, *, error: str | None, now: datetime
) -> None:
    finished = commits.finish_commit(
        tx,
        job.output_repo,
        job.id,
        root=tree.root,
        files=tree.files,
        size_bytes=tree.size_bytes,
        error=error,
        output=True,
        now=now,
    )
    open_jobs(tx, finished.opened, now=now)
