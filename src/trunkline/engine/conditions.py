"""The state that a pipeline is in: stopped by its user, or as its workers and jobs show."""

from collections.abc import Mapping

from trunkline.db.database import Transaction
from trunkline.engine.services import Services
from trunkline.jobs import ledger
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineState
from trunkline.pipelines import lifecycle


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
