"""Projects, repos, branches, commits and files as values; the name of a repo is its full name."""

from datetime import datetime
from enum import StrEnum

from trunkline.model.names import bare_name, full_name, project_of
from trunkline.values import dataclass

SPEC_REPO = "__spec__"  # system repo of each project: one branch per pipeline, one commit per spec
DEFAULT_BRANCH = "master"


def is_spec_repo(repo: str) -> bool:
    """Whether this is the system repo of a project."""
    return bare_name(repo) == SPEC_REPO


class Origin(StrEnum):
    """Who made a commit: a person or program (user), or the propagation to a branch (auto)."""

    USER = "user"
    AUTO = "auto"


class FileType(StrEnum):
    FILE = "file"
    DIR = "dir"


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchName:
    repo: str
    branch: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.branch}"


def spec_branch(pipeline: str) -> BranchName:
    """The branch that holds the specs of a pipeline."""
    return BranchName(repo=full_name(project_of(pipeline), SPEC_REPO), branch=bare_name(pipeline))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitName:
    repo: str
    id: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectInfo:
    name: str
    description: str
    created: datetime | None  # None for `default`, which is as old as the installation


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoInfo:
    name: str
    description: str
    created: datetime
    size_bytes: int  # logical size of the files at the head of `master`, else of the newest head
    branches: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchTrigger:
    """When the head of a branch moves to that of another branch of the same repo.

    At least one condition is given. An empty `source` stands for no trigger, where one is set.
    """

    source: str  # the other branch
    size: str = ""  # so many bytes more than at the branch's own head, as written: 100MB
    commits: int = 0  # so many commits more; 0: not a condition
    cron: str = ""  # a schedule has had a tick: @hourly, TZ=Europe/Berlin 0 3 * * *, @every 10m
    all: bool = False  # all conditions have to be met; otherwise one is enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The rules of one branch. A commit stays if any of them keeps it; 0 means no such rule.

    Ages are those at the newest commit of the branch, periods are those of UTC. Of each of the
    newest so many periods in which there are commits, the newest commit stays.
    """

    last: int = 0  # so many newest commits
    within_s: float = 0.0  # all that are at most so much older than the newest one
    hourly: int = 0
    daily: int = 0
    weekly: int = 0  # of ISO 8601, from Monday on
    monthly: int = 0
    yearly: int = 0
    tagged: bool = False  # tagged commits stay in any case; alone, it keeps nothing but them
    derived: bool = False  # what was made from a commit goes with it, instead of keeping it

    @property
    def is_empty(self) -> bool:
        """Whether there is no rule that could keep anything."""
        rules = (self.last, self.within_s, self.hourly, self.daily, self.weekly, self.monthly)
        return not any((*rules, self.yearly, self.tagged))


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchInfo:
    repo: str
    name: str
    head: str | None  # commit id
    provenance: tuple[BranchName, ...]  # direct
    created: datetime
    trigger: BranchTrigger | None = None
    next_tick: datetime | None = None  # of the trigger's schedule
    retention: Retention | None = None  # None: all its commits stay


@dataclass(frozen=True, slots=True, kw_only=True)
class TagInfo:
    """An immutable name for a finished commit, which stays as long as it has one."""

    repo: str
    name: str
    commit: str  # id
    created: datetime  # or moved


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeMark:
    """What a purge took from a commit."""

    purge: str  # id
    purged: datetime
    reason: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """A commit; `finished` is None while it is open.

    `provenance` is the full transitive set in topological order, nearest first, ties by repo name;
    system commits (`__spec__`) included.
    """

    repo: str
    id: str
    branch: str | None
    origin: Origin
    parent: str | None
    description: str
    started: datetime
    finished: datetime | None
    size_bytes: int
    files: int
    root: str  # digest of the root of the manifest; empty while open
    error: str | None  # why the job that should have written it did not
    provenance: tuple[CommitName, ...]
    purged: tuple[PurgeMark, ...] = ()  # what is not in it any more, the latest purge first


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """Everything that one change set off: the commits and jobs that share its id."""

    id: str
    state: str  # running, success, or failure once all is finished and a job did not succeed
    created: datetime
    finished: datetime | None
    commits: tuple[CommitName, ...]
    jobs: tuple[str, ...]  # names of pipelines


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionInfo:
    """Changes that wait to be made at once; the id becomes that of their run."""

    id: str
    description: str
    started: datetime
    steps: tuple[str, ...]  # as a command would say them


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedInfo:
    """Something that was deleted; `undelete KIND NAME` brings it back until it expires."""

    number: int  # a later deletion has a higher one
    kind: str  # repo, branch, commit or pipeline
    name: str
    how: str  # the command that deleted it
    deleted: datetime
    expires: datetime
    commits: int  # how many went with it


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeletedInfo:
    """What came back, and what could not be exactly as it was."""

    kind: str
    name: str
    commits: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """A file or directory of one commit.

    `path` has no leading slash; the root directory is "". `size_bytes` of a directory is the sum
    over all files below it. `digest` is the BLAKE3 of a file's content, or of the sorted table of
    relative paths and digests of a directory (empty where it was not asked for).
    """

    repo: str
    commit: str
    path: str
    type: FileType
    size_bytes: int
    digest: str
    children: tuple[str, ...] = ()  # names, only from inspect_file of a directory
    datum: str = ""  # key of the datum that wrote it


class Side(StrEnum):
    NEW = "new"
    OLD = "old"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDifference:
    """A path that is only on one side, or differs; a changed path yields one per side."""

    side: Side
    file: FileInfo


class Change(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """What a commit did to a path; `file` is what it left there, None where it deleted it."""

    repo: str
    commit: str
    change: Change
    finished: datetime
    description: str
    file: FileInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutProgress:
    """How far a put of local directories has got."""

    files: int
    size_bytes: int
    known_files: int  # of these: not read, as they have not changed
    known_bytes: int
    total_files: int | None  # None as long as they are being counted
    total_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSetInfo:
    """An unnamed tree of files, kept for a grace period unless something comes to use it."""

    root: str
    files: int
    size_bytes: int
