"""Operations on the whole installation; see `api.admin`."""

import os
import shutil
import time
from collections.abc import Iterator

from trunkline.db.database import Transaction
from trunkline.engine import liveness
from trunkline.engine.release import FORMAT, RELEASE
from trunkline.engine.services import Services
from trunkline.errors import Corrupt, InvalidInput, TrunklineError
from trunkline.files.manifest import RootId
from trunkline.jobs import ledger
from trunkline.model.admin import Damage, FsckReport, GcReport, ServerStatus, ServerVersion
from trunkline.model.names import DEFAULT_PROJECT
from trunkline.model.versions import BranchName
from trunkline.pipelines import lifecycle
from trunkline.runtimes.process import isolation_available
from trunkline.store.live import LiveSet
from trunkline.versions import branches, commits, projects, provenance, repos, trash
from trunkline.versions.commits import CommitRecord

_HITS_MAX = 20


class EngineAdmin:
    def __init__(self, services: Services) -> None:
        self._services = services

    def version(self) -> ServerVersion:
        return ServerVersion(version=RELEASE, format=FORMAT)

    def status(self) -> ServerStatus:
        services = self._services
        with services.database.read() as tx:
            running = ledger.open_jobs(tx)
            count = len(repos.list_repos(tx))
            pipelines = len(lifecycle.list_pipelines(tx))
        return ServerStatus(
            version=self.version().version,
            pid=os.getpid(),
            home=str(services.config.home),
            address=f"unix://{services.config.socket}",
            uptime_s=time.monotonic() - services.started,
            repos=count,
            pipelines=pipelines,
            jobs_running=len(running),
            workers=len(services.scheduler.pool.workers()),
            stored_bytes=services.chunks.stored_bytes(),
            free_bytes=shutil.disk_usage(services.config.home).free,
            isolation=services.scheduler.stuck or isolation_available(),
        )

    def delete_all(self) -> None:
        services = self._services
        now = services.now()
        with services.database.write() as tx:
            ledger.delete_everything(tx)
            for record in lifecycle.list_pipelines(tx):
                lifecycle.delete(tx, record.name)
            for name in [*repos.repo_names(tx), *repos.spec_repos(tx)]:
                repos.delete_repo(tx, name, force=True, now=now)
            for project in projects.list_projects(tx):
                if project.name != DEFAULT_PROJECT:
                    projects.delete_project(tx, project.name)
            trash.forget_everything(tx)

    def gc(self, *, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        if grace_s is not None and not 0 <= grace_s < 1e9:
            raise InvalidInput("the grace period must be a number of seconds, 0 or more")
        return self._services.collector.collect(dry_run=dry_run, grace_s=grace_s)

    # --- fsck -------------------------------------------------------------------------------------

    def fsck(self, *, read_data: bool = True) -> FsckReport:
        services = self._services
        damages: list[Damage] = []
        damaged: dict[str, str] = {}
        collection = services.chunks.collection()
        with collection.exclusive(), collection.live_set() as live:
            needed: LiveSet | None = live
            try:
                liveness.mark(services.database, services.chunks, live, pace=lambda: None)
            except Corrupt:  # the tree that can't be read is reported below
                needed = None
            for chunk, problem in services.chunks.verify(read_data=read_data, needed=needed):
                damaged[str(chunk)] = problem
        with services.database.read() as tx:
            names = [*repos.repo_names(tx), *repos.spec_repos(tx)]
            records = [record for name in names for record in commits.list_commits(tx, name)]
            damages += [found for name in names for found in _broken_provenance(tx, name)]
        files = 0
        hits: dict[str, list[str]] = {chunk: [] for chunk in damaged}
        seen: set[str] = set()
        for record in records:
            files += record.files
            if record.finished is None or record.root in seen:
                continue
            seen.add(record.root)
            damages += self._check_tree(record, hits)
        damages += [
            Damage(thing=f"chunk {chunk}", problem=problem, hits=tuple(hits[chunk][:_HITS_MAX]))
            for chunk, problem in damaged.items()
        ]
        stats = services.chunks.stats
        return FsckReport(
            commits=len(records),
            files=files,
            chunks=stats.chunks,
            bytes_read=stats.stored_bytes if read_data else 0,
            damages=tuple(damages),
        )

    def _check_tree(self, record: CommitRecord, hits: dict[str, list[str]]) -> Iterator[Damage]:
        """What is wrong with a commit's tree; notes the files that damaged chunks hit."""
        trees = self._services.trees
        name = f"{record.repo}@{record.id}"
        root = RootId(record.root)
        try:
            problems = [str(problem) for problem in trees.verify(root)]
            if trees.totals(root) != (record.files, record.size_bytes):
                problems.append("its size is not what was recorded")
            if hits:
                for row in trees.walk(root):
                    for chunk, _ in row.chunks:
                        if chunk in hits:
                            hits[chunk].append(f"{name}:/{row.path}")
        except TrunklineError as error:
            problems = [str(error)]
        for problem in problems:
            yield Damage(thing=f"commit {name}", problem=problem, hits=(name,))


def _broken_provenance(tx: Transaction, repo: str) -> Iterator[Damage]:
    """Heads that are not made from the heads of the branches that theirs is derived from."""
    for info in branches.list_branches(tx, repo):
        head = branches.branch_head(tx, repo, info.name)
        if head is None or not info.provenance:
            continue
        made_from = {(c.repo, c.id) for c in provenance.inputs_of(tx, head)}
        for source in info.provenance:
            wanted = branches.branch_head(tx, source.repo, source.branch)
            if wanted is not None and (wanted.repo, wanted.id) not in made_from:
                name = BranchName(repo=repo, branch=info.name)
                yield Damage(
                    thing=f"branch {name}",
                    problem=f"its head was not made from the head of {source}",
                    hits=(f"{repo}@{head.id}",),
                )
