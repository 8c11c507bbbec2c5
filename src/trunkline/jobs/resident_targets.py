"""What the catalog says of services and spouts: which there are to be, and for what.

A service stands for a job: it sees that job's one datum. The job is running until its instance is
ready, and is then a success; which job is the newest good one is all that has to be remembered.
"""

from dataclasses import dataclass

from trunkline.db.database import Transaction
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.segments import PlannedDatum, decode_segment
from trunkline.jobs.tables import JobRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineSpec, PipelineState
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import Datum
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.store.chunks import ChunkId

_LOOKED_AT = 100  # jobs, for one to stand for


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a resident stands for."""

    record: PipelineRecord  # of the version whose code it runs
    spec: PipelineSpec
    job: JobRecord | None  # None: a spout

    @property
    def key(self) -> str:
        return self.record.spec_commit if self.job is None else str(self.job.number)

    @property
    def log(self) -> int | str:
        """What its log goes by while it runs; see `LiveLogs`."""
        return self.record.name if self.job is None else self.job.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What there is to be of one pipeline."""

    record: PipelineRecord  # its newest version
    spec: PipelineSpec
    running: tuple[Target, ...]  # whose jobs wait for an instance, oldest first


def asked(tx: Transaction) -> list[Asked]:
    """The services and spouts that are not stopped."""
    found = []
    for record in lifecycle.residents(tx):
        if record.state is PipelineState.PAUSED:
            continue
        spec = lifecycle.spec_of(record)
        if not spec.resident:
            continue
        running: tuple[Target, ...] = ()
        if not spec.spout:
            jobs = tables.open_jobs(tx, record.name)
            running = tuple(of_job(tx, job) for job in jobs if job.state is JobState.RUNNING)
        found.append(Asked(record=record, spec=spec, running=running))
    return found


def running_job(tx: Transaction, number: int) -> JobRecord | None:
    job = tables.job_by_number(tx, number)
    return job if job is not None and job.state is JobState.RUNNING else None


def of_job(tx: Transaction, job: JobRecord) -> Target:
    record = lifecycle.get(tx, job.pipeline, version=job.version)
    return Target(record=record, spec=lifecycle.spec_of(record), job=job)


def to_stand(tx: Transaction, one: Asked) -> Target | None:
    """What is to run of a pipeline when nothing runs of it and no job waits.

    Of a service, its newest good job; if there is none, the newest that failed.
    """
    if one.spec.spout:
        return Target(record=one.record, spec=one.spec, job=None)
    jobs = tables.list_jobs(tx, pipeline=one.record.name, run=None, before=None, number=_LOOKED_AT)
    for state in (JobState.SUCCESS, JobState.FAILURE):
        for job in jobs:
            if job.state is state and job.total == 1:
                target = of_job(tx, job)
                if target.spec.service is not None:
                    return target
    return None


def is_there(tx: Transaction, target: Target) -> bool:
    """Whether its pipeline has not been deleted meanwhile, be there another one of its name."""
    version = lifecycle.find_version(tx, target.record.name, target.record.spec_commit)
    return version is not None


def datum_of(tx: Transaction, trees: Trees, target: Target) -> PlannedDatum:
    """What a resident sees as its input; raises `Corrupt` if the plan of its job can't be read."""
    if target.job is None:
        return PlannedDatum(key="", fresh=True, datum=Datum(files=()))
    [segment] = tables.segments_of(tx, target.job.number)
    [planned] = decode_segment(trees.chunks.get(ChunkId(segment.chunk)))
    return planned
