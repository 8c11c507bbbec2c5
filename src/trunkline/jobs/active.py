"""A running job, as far as handing out its datums needs it."""

from collections import Counter
from dataclasses import dataclass, field

from trunkline.config import Config
from trunkline.jobs.clashes import Writers
from trunkline.jobs.contexts import context_of
from trunkline.jobs.datum_run import Context
from trunkline.jobs.increments import goes_on
from trunkline.jobs.tables import JobRecord
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines import lifecycle
from trunkline.pipelines.lifecycle import PipelineRecord


@dataclass(slots=True, kw_only=True, eq=False)
class Active:
    """What is known of it, and what was seen of it since the scheduler began."""

    job: JobRecord
    pipeline: PipelineSpec
    context: Context
    workers: int
    deadline: float | None  # seconds since 1970
    increments: str  # the salt, where datums go on from their last results; else empty
    datum_s: float | None = None  # moving average
    crashes: Counter[int] = field(default_factory=Counter)  # by position
    writers: Writers = field(default_factory=Writers)


def active_of(job: JobRecord, record: PipelineRecord, config: Config, *, workers: int) -> Active:
    """A job that runs from now on, with at most so many workers."""
    pipeline = lifecycle.spec_of(record)
    began = job.started or job.created
    return Active(
        job=job,
        pipeline=pipeline,
        context=context_of(pipeline, record, config),
        workers=workers,
        increments=record.salt if goes_on(pipeline) else "",
        deadline=began.timestamp() + pipeline.job_timeout_s if pipeline.job_timeout_s else None,
    )
