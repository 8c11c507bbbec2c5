"""A running job, as far as handing out its datums needs it."""

from collections import Counter
from dataclasses import dataclass, field

from trunkline.config import Config
from trunkline.jobs.clashes import Writers
from trunkline.jobs.clocks import Clocks
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
    deadline: float | None  # in monotonic seconds: a clock that is set ends no job
    increments: str  # the salt, where datums go on from their last results; else empty
    datum_s: float | None = None  # moving average
    crashes: Counter[int] = field(default_factory=Counter)  # by position
    writers: Writers = field(default_factory=Writers)

    def took(self, seconds: float) -> None:
        """One more datum has ended, after so long."""
        old = self.datum_s
        self.datum_s = seconds if old is None else 0.8 * old + 0.2 * seconds


def active_of(
    job: JobRecord, record: PipelineRecord, config: Config, *, workers: int, clocks: Clocks
) -> Active:
    """A job that runs from now on, with at most so many workers."""
    pipeline = lifecycle.spec_of(record)
    ran_s = max((clocks.now() - (job.started or job.created)).total_seconds(), 0.0)
    left_s = pipeline.job_timeout_s - ran_s if pipeline.job_timeout_s else None
    return Active(
        job=job,
        pipeline=pipeline,
        context=context_of(pipeline, record, config),
        workers=workers,
        increments=record.salt if goes_on(pipeline) else "",
        deadline=None if left_s is None else clocks.monotonic() + left_s,
    )
