"""What the rules of a branch come to."""

from datetime import datetime

from trunkline.model.versions import DeletedInfo, Retention
from trunkline.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionInfo:
    """The rules of a branch."""

    repo: str
    branch: str
    rules: Retention
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A commit of a branch and why it stays; without a reason it goes."""

    repo: str
    id: str
    finished: datetime | None
    size_bytes: int
    reasons: tuple[str, ...]
    derived: tuple[str, ...]  # commits made from it that go with it, as repo@id


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    """What applying the rules of a branch has done, or with `dry_run` would do."""

    repo: str
    branch: str
    dry_run: bool
    kept: int
    removed: int  # with what was made from them
    commits: tuple[Judged, ...]  # newest first; empty if that was not asked for
    deletions: tuple[DeletedInfo, ...]  # each can be undone by itself
