"""One atomic change of the catalog: its moment, its run, and what is put off to its end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from trunkline.db.database import Transaction
from trunkline.engine.services import Services
from trunkline.files.manifest import RootId
from trunkline.jobs import trash as jobs_trash
from trunkline.jobs.records import open_jobs
from trunkline.model.names import RunId
from trunkline.model.versions import BranchName, DeletedInfo
from trunkline.pipelines import lifecycle
from trunkline.versions import provenance, trash
from trunkline.versions.commits import Started, put_commit
from trunkline.versions.provenance import OpenedCommit
from trunkline.versions.records import CommitRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What all steps of one transaction share.

    With `later` (branches whose heads or sources changed), commits downstream are not opened by
    each step but by `settle`, once and for all steps together.
    """

    services: Services
    tx: Transaction
    now: datetime
    run_id: RunId
    later: list[BranchName] | None = None
    rehearsal: bool = False  # nothing of it will stay, so no tree has to be made
    warm: list[str] = field(default_factory=list)  # pipelines whose workers may start
    unfinished: list[tuple[str, str]] = field(default_factory=list)  # repo and id, at the end
    tags: list[tuple[CommitRecord, str, bool]] = field(default_factory=list)  # for those then
    jobs: list[str] = field(default_factory=list)  # pipelines that got one
    deletions: list[int] = field(default_factory=list)  # of commits: their entries in the trash

    def put(
        self,
        repo: str,
        branch: str,
        *,
        head: CommitRecord | None,
        root: RootId,
        run_id: RunId | None = None,
        description: str = "",
    ) -> Started:
        """Put a tree that was made of the head of a branch (None: there is none) as a commit on it.

        In the run of the change, unless in another one. What this opened has no jobs yet. Raises
        what `commits.put_commit` does.
        """
        files, size = self.services.trees.totals(root)
        return put_commit(
            *(self.tx, repo, branch),
            expected_head=None if head is None else head.id,
            root=root,
            files=files,
            size_bytes=size,
            description=description,
            now=self.now,
            run_id=run_id or self.run_id,
            later=self.later,
        )

    def opened(self, commits: Sequence[OpenedCommit]) -> None:
        """Give the commits that a step opened their jobs."""
        jobs = open_jobs(self.tx, commits, now=self.now)
        self.jobs.extend(job.pipeline for job in jobs)

    def settle(self, *, apart: bool = False) -> None:
        """Open what has become due by all steps together; `apart`, where they need not be one run.

        Raises Conflict where they can't be one, and have to be.
        """
        if self.later is None:
            return
        due = list(dict.fromkeys(self.later))
        self.later.clear()
        propagate = provenance.propagate_apart if apart else provenance.propagate
        opened = propagate(self.tx, due, now=self.now, run_id=self.run_id)
        self.opened(opened)
        for entry in self.deletions:
            trash.follow_heads(self.tx, entry, opened)


class _TakenBack(Exception):
    """Ends the transaction of a rehearsal, so that nothing of it stays."""


def rehearsed(services: Services, act: Callable[[Transaction], T]) -> T:
    """What a change of the catalog gives that is taken back at its end, whatever it did."""
    given: list[T] = []
    try:
        with services.database.write() as tx:
            given.append(act(tx))
            raise _TakenBack
    except _TakenBack:
        return given[0]


def single(services: Services, tx: Transaction) -> Change:
    """The change that one operation alone is."""
    return Change(services=services, tx=tx, now=services.now(), run_id=services.new_id())


def begin_deletion(change: Change, kind: str, name: str, *, how: str) -> int:
    """A new entry of the trash; what is too old to stay in it goes."""
    drop_expired(change)
    return trash.begin(change.tx, kind, name, how=how, now=change.now)


def drop_expired(change: Change) -> int:
    """Forget what was deleted longer ago than the grace period; returns how many deletions."""
    grace = timedelta(seconds=change.services.config.trash_s)
    return trash.expire(change.tx, before=change.now - grace)


def deleted_info(change: Change, entry: int) -> DeletedInfo:
    """The deletion as its caller sees it. Without a grace period it is forgotten at once."""
    found = next(e for e in trash.entries(change.tx, number=entry))
    info = info_of(change.services, *found)
    if change.services.config.trash_s == 0:
        trash.forget(change.tx, entry)
    return info


def info_of(services: Services, entry: trash.TrashEntry, commits: int) -> DeletedInfo:
    return DeletedInfo(
        number=entry.number,
        kind=entry.kind,
        name=entry.name,
        how=entry.how,
        deleted=entry.deleted,
        expires=entry.deleted + timedelta(seconds=services.config.trash_s),
        commits=commits,
    )


def restore(change: Change, entry: trash.TrashEntry) -> trash.Restored:
    """Bring back one deletion: pipeline, jobs, and versions, in this order."""
    name = lifecycle.put_back(change.tx, entry.number)
    jobs_trash.put_back(change.tx, entry.number, now=change.now)
    restored = trash.restore(change.tx, entry, now=change.now, run_id=change.run_id)
    change.opened(restored.opened)
    if name is not None:
        change.warm.append(name)
    return restored
