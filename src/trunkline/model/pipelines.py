"""Pipeline specs as values: what to run, on which datums, with how many workers.

Field names are those of Pachyderm's pipeline specification (1.7 and 2.x), in snake case.
"""

from datetime import datetime
from enum import StrEnum

from trunkline.model.images import Image, Runtime
from trunkline.model.versions import BranchTrigger, Change
from trunkline.values import dataclass, field

ERRORS_BRANCH = "errors"  # of an output repo: what its jobs quarantined


class PipelineState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    FAILURE = "failure"
    PAUSED = "paused"
    STANDBY = "standby"
    CRASHING = "crashing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A clock: each tick of the schedule becomes a file in the repo of its input."""

    spec: str  # as written: @every 10s, TZ=Europe/Berlin 0 3 * * *, @never
    start: datetime | None  # None: when the input was made
    overwrite: bool  # only the file of the last tick stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """A branch of a git repository elsewhere; what it is at becomes a commit of a repo."""

    url: str
    branch: str
    secret: str = ""  # that has the token
    secret_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PfsInput:
    """The files or directories of one branch that a glob matches (`atom` in 1.7).

    A cron input is one too: it reads the repo that its ticks go to. So is a git input, which reads
    the repo of its checkouts.
    """

    name: str
    repo: str
    branch: str
    glob: str
    lazy: bool = False
    empty_files: bool = False
    cron: Cron | None = None
    git: Git | None = None
    join_on: str = ""  # how its key in a join is made of a path; "" outside of joins
    outer_join: bool = False
    group_by: str = ""  # the same in a group
    quiet: bool = False  # `propagation_spec: {never: true}`: its commits start no job
    trigger: BranchTrigger | None = None  # when `branch` moves; it was made for this, mostly
    reference: bool = False  # its content does not count in the datum's key


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossInput:
    """Every combination of the members' datums; the first member varies fastest."""

    members: tuple["Input", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionInput:
    """The datums of each member, one member after the other."""

    members: tuple["Input", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinInput:
    """For each key, every combination of the members' datums that have it.

    A key that not all members have makes no datum, except of the members that join outward.
    """

    members: tuple["Input", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInput:
    """For each key, one datum with all files of the members that have it."""

    members: tuple["Input", ...]


Input = PfsInput | CrossInput | UnionInput | JoinInput | GroupInput


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUse:
    """A secret that commands get: as files, one per key, in `mount_path`, or `key` in `env_var`."""

    name: str
    key: str = ""
    mount_path: str = ""
    env_var: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """The user's command and all that can change what it computes."""

    image: str = ""
    cmd: tuple[str, ...] = ()
    stdin: tuple[str, ...] = ()
    err_cmd: tuple[str, ...] = ()
    err_stdin: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = ""
    network: str = "none"  # of its containers: none, host, or the name of one of their engine
    accept_return_code: tuple[int, ...] = ()
    datum_batching: bool = False  # one process asks for one datum after the other
    code: str = ""  # directory as written in the spec; its content is a file set
    requirements: str = ""  # lines of a requirements file, or the name of one in the code
    secrets: tuple[SecretUse, ...] = ()
    runtime: Runtime | None = None  # None: as the server says
    pull_secrets: tuple[str, ...] = ()  # names of secrets with logins of image registries


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallelism:
    """`constant` workers, or `coefficient` workers per core of the machine."""

    constant: int = 1
    coefficient: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """How many datums a worker gets at once; the smallest number counts. 0: not said."""

    number: int = 0
    size_bytes: int = 0  # of input
    per_worker: int = 0  # so many batches for each worker
    most: int = 0  # whatever the others say


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one worker asks for, or what a command of its may use. None: not said."""

    cpu: float | None = None  # cores
    memory_bytes: int | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """Where the output of each job is copied to once its commit is finished."""

    url: str  # of an object store, or file:///path; with a format, of a database
    format: str = ""  # of the files whose rows go into tables: CSV, JSON or PARQUET
    columns: tuple[str, ...] = ()  # to take; none: all
    secret: str = ""  # that has the password of the database
    secret_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A port that the code of a pipeline listens on, and where others reach it."""

    internal_port: int  # for code that is not told one
    external_port: int  # 0: the internal one
    ip: str  # address of this machine that it is reached at
    health_path: str  # of a URL that answers 2xx once the code can work; empty: it listens
    health_timeout_s: float  # for an instance to get there
    kind: str = "NodePort"  # of its Service on a cluster
    annotations: dict[str, str] = field(default_factory=dict)  # of that


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutput:
    """A file of a stage's output that nobody puts there; it has one of `status` and `url`."""

    path: str  # of the file, or the directory that what is at the URL goes to
    status: str = ""  # place in the object whose content it is
    url: str = ""  # what is fetched; with placeholders


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStage:
    """An object that a cluster makes of a datum, in place of a command."""

    manifest: str  # JSON with placeholders, see `pipelines.stages`
    api_version: str
    kind: str
    success: tuple[str, ...]  # questions (`model.conditions`): all have to be true
    failure: tuple[str, ...]  # one has to be true
    stays: bool  # it serves until the next commit takes its place
    outputs: tuple[StageOutput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """A checked spec. `document` is the whole of it as accepted, in canonical snake case.

    `name` and the repos of inputs are full names; the document has projects in fields of their own.
    """

    name: str
    description: str
    transform: Transform
    input: Input
    output_branch: str
    parallelism: Parallelism
    datum_tries: int
    datum_timeout_s: float | None
    job_timeout_s: float | None
    output_merge: str  # "error" or "concat"
    autoscaling: bool
    expected_s: float | None  # how long a job may run before somebody should look at it
    idle_s: float | None  # how long a worker without work stays; None: as the server says
    incremental: bool  # a datum goes on from what it wrote the last time
    reprocess_every_job: bool
    quarantined_max: int  # datums of a job that may fail without failing it
    batches: Batches
    requests: Resources
    limits: Resources
    document: dict[str, object]
    egress: Egress | None = None
    service: Service | None = None
    spout: bool = False  # the code runs by itself and writes to its repo; there is no input
    stage: ClusterStage | None = None  # what runs instead of a command, on a cluster only

    @property
    def resident(self) -> bool:
        """Whether the code is a process that stays, rather than one run per datum."""
        return self.spout or self.service is not None

    @property
    def secrets(self) -> tuple[SecretUse, ...]:
        """All secrets that have to be there."""
        if self.egress is None or not self.egress.secret:
            return self.transform.secrets
        use = SecretUse(name=self.egress.secret, key=self.egress.secret_key)
        return (*self.transform.secrets, use)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineDraft:
    """A spec that could be created, and what its author should know first."""

    name: str
    spec: dict[str, object]
    code: str  # directory to upload as /code, as written; empty for none
    warnings: tuple[str, ...]
    missing_image: str = ""  # what making it would pull; empty if nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentInfo:
    """The process that stands for a service or a spout now."""

    version: int  # of the pipeline
    job: str  # whose input it sees; empty for a spout
    commits: tuple[str, ...]  # that input
    address: str  # where it is reached; empty for a spout that does not listen
    healthy: bool
    since: datetime  # when it began; once it is healthy, when it got so
    restarts: int  # ends that nobody asked for, one after the other


@dataclass(frozen=True, slots=True, kw_only=True)
class GitInfo:
    """A git input: what it follows, and what was seen when somebody looked last."""

    repo: str  # of its checkouts, a full name
    url: str
    branch: str
    commit: str  # of the remote, that the newest checkout is of; empty: there is none yet
    looked: datetime | None  # None: not since the server started
    problem: str  # a sentence; empty: all was well


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLook:
    """What a look at the remotes of a pipeline came to."""

    run: str  # that new checkouts began; empty: nothing was new
    gits: tuple[GitInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineInfo:
    """A version of a pipeline. `code` is the root of the file set mounted at /code, or empty."""

    name: str
    version: int
    state: PipelineState
    reason: str
    description: str
    input: str  # shorthand such as (attributes:/* ⨯ train:/)
    output_branch: str
    spec_commit: str
    created: datetime
    spec: dict[str, object]  # canonical, with all defaults
    user_spec: dict[str, object]  # as it was given
    code: str
    salt: str
    runtime: str  # where its code runs: process or docker
    workers: int  # how many its parallelism asks for on this machine
    job_counts: dict[str, int]
    recent_error: str
    warnings: tuple[str, ...]
    packages: tuple[str, ...] = ()  # Python packages as they were locked, such as numpy==2.1.0
    image: Image | None = None  # what its containers are made of; None: it has none
    alerts: tuple[str, ...] = ()  # what somebody should look at, a sentence each
    resident: ResidentInfo | None = None  # of a service or a spout, while there is one
    gits: tuple[GitInfo, ...] = ()  # its git inputs, of the newest version


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeChange:
    """A file of `/code` that is new in a version, gone or changed, with the BLAKE3 of contents."""

    change: Change
    path: str
    old_digest: str  # empty where the file is not there
    new_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineDifference:
    """What differs between two versions of a pipeline."""

    pipeline: str
    old_version: int
    new_version: int
    spec: tuple[str, ...]  # a unified diff of the specs as JSON; empty if they are equal
    packages_gone: tuple[str, ...]  # locked Python packages, such as numpy==2.1.0
    packages_new: tuple[str, ...]
    code: tuple[CodeChange, ...]  # by path
    keeps_results: bool  # the new version uses results that the old one left
    old_image: str = ""  # of containers, with its id; empty where code runs on the machine itself
    new_image: str = ""
    truncated: bool = False  # more of the specs differs than is listed

    @property
    def empty(self) -> bool:
        images = self.old_image != self.new_image
        return not (self.spec or images or self.packages_gone or self.packages_new or self.code)
