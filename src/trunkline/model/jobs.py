"""Jobs, datums, workers and log lines as values, and the table of allowed state moves."""

from datetime import datetime
from enum import StrEnum

from trunkline.model.images import Image
from trunkline.values import dataclass


class JobState(StrEnum):
    CREATED = "created"
    STARTING = "starting"  # waits for its input commits, its turn or its workers
    RUNNING = "running"
    FINISHING = "finishing"
    EGRESSING = "egressing"  # its commit is finished and is copied elsewhere
    SUCCESS = "success"
    FAILURE = "failure"
    KILLED = "killed"
    UNRUNNABLE = "unrunnable"

    @property
    def ended(self) -> bool:
        return not JOB_MOVES[self]


_ENDED_BADLY = frozenset({JobState.FAILURE, JobState.KILLED, JobState.UNRUNNABLE})

JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.CREATED: frozenset({JobState.STARTING}) | _ENDED_BADLY,
    JobState.STARTING: frozenset({JobState.RUNNING}) | _ENDED_BADLY,
    JobState.RUNNING: frozenset({JobState.FINISHING}) | _ENDED_BADLY - {JobState.UNRUNNABLE},
    JobState.FINISHING: frozenset(
        {JobState.EGRESSING, JobState.SUCCESS, JobState.FAILURE, JobState.KILLED}
    ),
    JobState.EGRESSING: frozenset({JobState.SUCCESS, JobState.FAILURE, JobState.KILLED}),
    JobState.SUCCESS: frozenset(),
    JobState.FAILURE: frozenset(),
    JobState.KILLED: frozenset(),
    JobState.UNRUNNABLE: frozenset(),
}


class DatumState(StrEnum):
    STARTING = "starting"
    SUCCESS = "success"
    SKIPPED = "skipped"
    RECOVERED = "recovered"
    FAILED = "failed"
    QUARANTINED = "quarantined"  # failed, without failing its job; recorded as failed


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """A job is named `pipeline@id`; its output commit is `output_repo@id`."""

    id: str  # the id of its run
    pipeline: str
    pipeline_version: int
    state: JobState
    reason: str
    output_repo: str
    output_branch: str
    spec_commit: str
    parent: str | None  # id of the pipeline's job before it
    created: datetime
    started: datetime | None
    finished: datetime | None
    restarts: int
    processed: int
    skipped: int
    failed: int
    recovered: int
    total: int
    downloaded_bytes: int
    uploaded_bytes: int
    download_s: float
    process_s: float
    upload_s: float
    spec: dict[str, object]  # the effective spec, inputs with the commits they were resolved to
    quarantined: int = 0  # of the failed ones: those that did not fail the job
    packages: tuple[str, ...] = ()  # Python packages as they were locked
    image: Image | None = None  # what its containers are made of; None: it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSpan:
    """A time in which a worker was at work on datums that began close to each other."""

    worker: str
    started: datetime
    finished: datetime
    datums: int
    failed: int  # of them
    busy_s: float  # the sum of what each of them took


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Datums that failed for what looks like one reason: they differ in numbers and names only."""

    message: str  # of the first one: why it failed, and what it printed to stderr last
    datums: int
    example: str  # id of the first one


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProfile:
    """How the datums went that a job had to process and that have ended."""

    job: str  # pipeline@id
    datums: int
    quantiles_s: tuple[float, ...]  # how long one took: 0 %, 5 %, … 100 % took at most that
    failures: tuple[FailureGroup, ...]  # most frequent first
    failures_read: int  # the failed datums that were grouped, the first ones
    spans: tuple[WorkSpan, ...]  # by worker and time; at most 200 of one worker


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumInput:
    """What one input gave to a datum."""

    name: str
    repo: str
    commit: str
    path: str  # no leading slash; "" is the whole tree
    type: str  # "file" or "dir"
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumInfo:
    """A datum of a job. `id` is its key: 64 hex digits, equal for equal work."""

    job: str  # pipeline@id
    id: str
    state: DatumState
    inputs: tuple[DatumInput, ...]
    tries: int
    worker: str
    started: datetime | None
    finished: datetime | None
    downloaded_bytes: int
    uploaded_bytes: int
    download_s: float
    process_s: float
    upload_s: float
    reason: str  # why it failed


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumRecipe:
    """All that it takes to run something where a datum's code runs."""

    info: DatumInfo
    context: dict[str, object]  # what a worker is told of the pipeline
    datums: str  # a segment with the one datum
    isolation: str  # auto, namespace or rewrite
    container_host: str  # where the container engine is, as the settings of the server say
    output_bytes_max: int  # 0: no limit
    stderr: str  # what its last try in this job printed there


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker, as `kubectl get pods` would show it."""

    name: str  # pipeline-<name>-v<version>-<5 letters or digits>
    pipeline: str
    version: int
    ready: str  # "1/1"
    status: str  # Init:0/1, Running, Terminating
    restarts: int
    started: datetime
    job: str  # pipeline@id, or empty while idle
    datum: str
    runtime: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that user code (or, with `user` false, its worker) printed."""

    time: datetime
    pipeline: str
    job: str  # the run id
    datum: str
    worker: str
    stream: str  # stdout, stderr or worker
    user: bool
    message: str
