"""The state that a pipeline is in: stopped by its user, or as its workers and jobs show."""

from collections.abc import Mapping
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.engine.services import Services
from trunkline.jobs import ledger
from trunkline.jobs.clusters import runs_here
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineSpec, PipelineState
from trunkline.pipelines import lifecycle
from trunkline.pipelines.stages import NO_CLUSTER


def condition(
    services: Services,
    tx: Transaction,
    record: lifecycle.PipelineRecord,
    job_counts: Mapping[str, int],
) -> tuple[PipelineState, str]:
    """The state of a pipeline, whichever version the record is of, and why it is not `running`."""
    if record.state is PipelineState.PAUSED:
        return PipelineState.PAUSED, ""
    newest = record if record.version == record.newest else lifecycle.get(tx, record.name)
    if not runs_here(services.config, lifecycle.spec_of(newest)):
        return PipelineState.FAILURE, NO_CLUSTER
    if not newest.placement.settled:
        return services.scheduler.waiting_for_image(newest)
    return services.scheduler.condition(
        record.name,
        newest.version,
        lifecycle.spec_of(newest),
        open_jobs=sum(count for state, count in job_counts.items() if not JobState(state).ended),
        running_jobs=job_counts.get(JobState.RUNNING, 0),
    )


def condition_of(
    services: Services, tx: Transaction, record: lifecycle.PipelineRecord
) -> tuple[PipelineState, str]:
    """As `condition`, for who has not counted the pipeline's jobs."""
    return condition(services, tx, record, ledger.job_counts(tx, record.name))


def alerts(tx: Transaction, pipeline: PipelineSpec, *, now: datetime) -> tuple[str, ...]:
    """A sentence for each job that has run for longer than its spec expects."""
    expected_s = pipeline.expected_s
    if expected_s is None:
        return ()
    return tuple(
        f"job {job.name} has been running for {spent_s:,.0f} s; at most {expected_s:g} s are "
        "expected"
        for job in ledger.open_jobs(tx, pipeline.name)
        if job.started is not None and (spent_s := (now - job.started).total_seconds()) > expected_s
    )
