"""Commits of one branch that wait for each other are made together.

Each changes the tree that the one before it has made, so they have to be made one after the other.
But while the disk works for one, others gather behind it: these share one flush of the store and
one transaction of the catalog, and each is still a commit, a run and an answer of its own.

Whatever goes wrong with several is nobody's error yet: each is then tried alone. But where it is
open whether they were made, as the catalog was lost, nothing is tried twice, and each is told.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from trunkline.api.waiting import check_wanted
from trunkline.engine.puts import Stored
from trunkline.engine.services import Services
from trunkline.errors import StorageFull, TrunklineError, Unavailable
from trunkline.files.manifest import RootId
from trunkline.jobs.records import open_jobs
from trunkline.model.versions import CommitInfo
from trunkline.versions import commits
from trunkline.versions.commits import CommitRecord

TOGETHER_MAX = 64  # commits in one transaction, which keeps all other writers waiting


@dataclass(slots=True, kw_only=True)
class _Put:
    """Stored changes that are to become a commit."""

    stored: Stored
    description: str
    context: Context = field(default_factory=copy_context)  # of the thread that waits
    made: CommitRecord | None = None
    apart: bool = False  # it is to be tried alone
    lost: Unavailable | None = None  # why nobody knows whether it was made

    @property
    def wanted(self) -> bool:
        try:
            self.context.run(check_wanted)
        except TrunklineError:
            return False
        return True


class Together:
    """Puts that wait for their turn, by repo and branch. Thread-safe."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._waiting: defaultdict[tuple[str, str], deque[_Put]] = defaultdict(deque)

    def commit(
        self,
        repo: str,
        branch: str,
        stored: Stored,
        description: str,
        *,
        alone: Callable[[], CommitInfo],
    ) -> CommitInfo:
        """Add the changes to a branch as a finished commit.

        `alone` does it for these changes by themselves, and is called in the turn of the repo.
        """
        put = _Put(stored=stored, description=description)
        with self._lock:
            self._waiting[repo, branch].append(put)
        with self._services.turn(repo):
            while put.made is None and not put.apart:
                self._make(repo, branch, self._taken(repo, branch))
            if put.lost is not None:
                raise Unavailable(str(put.lost)) from put.lost
            if put.made is None:
                return alone()
        return commits.info_of_put(put.made)

    def _taken(self, repo: str, branch: str) -> list[_Put]:
        """Those that wait the longest."""
        with self._lock:
            waiting = self._waiting[repo, branch]
            taken = [waiting.popleft() for _ in range(min(len(waiting), TOGETHER_MAX))]
            if not waiting:
                del self._waiting[repo, branch]
        return taken

    def _make(self, repo: str, branch: str, puts: list[_Put]) -> None:
        """Make commits of several puts; those that have none afterwards are to be tried alone."""
        for put in puts:
            put.apart = True
        head = self._services.heads.of(repo, branch)
        wanted = [put for put in puts if put.wanted]
        if head is None or len(wanted) < 2:
            return
        try:
            made = self._commit(repo, branch, wanted, head)
        except StorageFull:  # then nothing was changed
            return
        except Unavailable as error:
            for put in wanted:
                put.lost = error
            return
        except TrunklineError:
            return
        for put, commit in zip(wanted, made, strict=True):
            put.made = commit

    def _commit(
        self, repo: str, branch: str, puts: list[_Put], head: CommitRecord
    ) -> list[CommitRecord]:
        services = self._services
        era = services.heads.era
        roots: list[RootId] = []
        root = RootId(head.root)
        for put in puts:
            root = services.trees.apply(root, put.stored.deltas, loose=put.stored.loose)
            roots.append(root)
        totals = [services.trees.totals(root) for root in roots]
        services.chunks.flush()
        now = services.now()
        made: list[CommitRecord] = []
        with services.database.write() as tx:
            for put, root, (files, size) in zip(puts, roots, totals, strict=True):
                started = commits.put_commit(
                    tx,
                    repo,
                    branch,
                    expected_head=head.id,
                    expected_root=head.root,
                    root=root,
                    files=files,
                    size_bytes=size,
                    description=put.description,
                    now=now,
                    run_id=services.new_id(),
                )
                open_jobs(tx, started.opened, now=now)
                head = started.commit
                made.append(head)
        services.heads.remember(repo, branch, head, era=era)
        return made
