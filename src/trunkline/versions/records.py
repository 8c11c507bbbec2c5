"""The values that the version functions give out; apart so that tables and rules can share them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.model.versions import BranchName, BranchTrigger, CommitName, Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRecord:
    """A commit as the catalog holds it, without its provenance.

    `finished` is None while it is open; `root` is empty while open. With `error` set, the job that
    should have written it did not: it is finished and its tree is empty.
    """

    repo: str
    id: str
    branch: str | None  # the one that it was started on
    origin: Origin
    parent: str | None  # id
    description: str
    started: datetime
    finished: datetime | None
    root: str
    size_bytes: int
    files: int
    error: str | None
    number: int  # grows with every commit of the installation, and is never used twice
    derived: bool  # from other commits
    purged: bool  # of files

    @property
    def name(self) -> CommitName:
        return CommitName(repo=self.repo, id=self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The commits that one change set off, upstream first; `finished` once all of them are."""

    id: str
    created: datetime
    finished: datetime | None
    commits: tuple[CommitRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCommit:
    """A commit that propagation opened, and the commits that it has to be made from."""

    commit: CommitRecord
    inputs: tuple[CommitName, ...]  # direct provenance, in the order of the branch's provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoRow:
    """A repo as the catalog holds it; `name` is its full name."""

    number: int
    name: str
    description: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRow:
    """A tag as the catalog holds it; `commit` is the number of one."""

    number: int
    name: str
    commit: int
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchRow:
    """A branch as the catalog holds it; `head` is the number of a commit."""

    number: int
    repo: RepoRow
    branch: str
    head: int | None
    created: datetime

    @property
    def name(self) -> BranchName:
        return BranchName(repo=self.repo.name, branch=self.branch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A branch that a user writes to, and what has to be known for that."""

    branch: BranchRow
    head: CommitRecord | None
    derived: bool  # it is made from other branches
    feeds: bool  # other branches are made from it
    triggers: bool  # it has a trigger, or is the source of one
    taken: bool  # its repo has a commit of the run already


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTree:
    """The tree that a commit is finished with."""

    root: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRow:
    """The trigger of a branch as the catalog holds it, and how far its schedule was followed."""

    branch: BranchRow
    source: BranchRow
    trigger: BranchTrigger
    evaluated: datetime | None  # without a schedule None, and so is the next one
    next_tick: datetime | None
    tick_due: bool  # there was a tick that has not been used yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A commit that another is made from, and the branch that it was the head of then."""

    commit: int
    branch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommit:
    """What is known of a commit when it is started."""

    id: str
    branch: str | None
    origin: Origin
    parent: int | None
    description: str
    sources: tuple[Source, ...] = ()  # direct provenance; one commit may be there by two branches


NAMED_MAX = 10  # how many names a sentence lists


def listed(names: Sequence[str]) -> str:
    """Names for a sentence, the first ten of them."""
    rest = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {rest} more" if rest > 0 else "")
