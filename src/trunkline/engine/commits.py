"""Operations on commits and runs; see `api.commits`."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, takewhile

from trunkline.db.database import Transaction
from trunkline.engine import removal
from trunkline.engine.change import Change, single
from trunkline.engine.runs import run_details, run_info
from trunkline.engine.services import Services
from trunkline.errors import (
    CommitFinished,
    CommitNotFound,
    HeadMoved,
    InvalidInput,
    OutputBranch,
    RepoNotFound,
)
from trunkline.files.manifest import EMPTY
from trunkline.jobs import ledger
from trunkline.jobs.records import open_jobs
from trunkline.model.names import check_branch, is_commit_id, parse_address, parse_reference
from trunkline.model.runs import RunDetails
from trunkline.model.versions import CommitInfo, CommitName, DeletedInfo, Origin, RunInfo
from trunkline.versions import branches, commits, contents, provenance, repos
from trunkline.versions.commits import CommitRecord

_PAGE = 200


class EngineCommits:
    def __init__(self, services: Services) -> None:
        self._services = services

    def start_commit(
        self,
        repo: str,
        *,
        branch: str | None = None,
        parent: str | None = None,
        description: str = "",
    ) -> CommitInfo:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            return start_commit(change, repo, branch=branch, parent=parent, description=description)

    def finish_commit(
        self, repo: str, commit: str, *, description: str | None = None
    ) -> CommitInfo:
        with self._services.chunks.hold():
            return self._finish(repo, commit, description)

    def _finish(self, repo: str, commit: str, description: str | None) -> CommitInfo:
        services = self._services
        while True:
            with services.database.read() as tx:
                record = commits.resolve(tx, repo, commit)
                if record.finished is not None:
                    raise CommitFinished(repo, record.id)
                by_hand = written_by_hand(tx, record)
                if record.origin is Origin.AUTO and not by_hand:
                    raise OutputBranch(repo, record.branch or "", "finish a commit of")
                layers = contents.layers_of(tx, record, by_hand=by_hand)
            root = contents.content_root(services.trees, layers)
            files, size = services.trees.totals(root)
            services.chunks.flush()
            now = services.now()
            try:
                with services.database.write() as tx:
                    if layers != contents.layers_of(tx, record, by_hand=by_hand):
                        raise HeadMoved(f"commit {record.name}")  # or a purge came in
                    finished = commits.finish_commit(
                        tx,
                        repo,
                        record.id,
                        root=root,
                        files=files,
                        size_bytes=size,
                        description=description,
                        expected_deltas=layers.deltas,
                        output=by_hand,
                        now=now,
                    )
                    open_jobs(tx, finished.opened, now=now)
                    return commits.commit_info(tx, finished.commit)
            except HeadMoved:  # files came in meanwhile
                continue

    def inspect_commit(
        self, repo: str, commit: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> CommitInfo:
        database = self._services.database
        with database.read() as tx:
            info = commits.commit_info(tx, commits.resolve(tx, repo, commit))
        if not wait or info.finished is not None:
            return info
        for _ in self._services.waits(timeout_s, f"commit {repo}@{info.id}"):
            with database.read() as tx:
                info = commits.commit_info(tx, commits.resolve(tx, repo, info.id))
            if info.finished is not None:
                break
        return info

    def list_commits(
        self,
        repo: str,
        *,
        to: str | None = None,
        after: str | None = None,
        number: int = 0,
        origin: str | None = None,
    ) -> Iterator[CommitInfo]:
        if after is not None and to is None:
            raise InvalidInput("cannot use `from` commit without `to` commit")
        with self._services.database.read() as tx:
            repos.repo_info(tx, repo)
            start = None if to is None else commits.resolve(tx, repo, to)
            last = None
            if after is not None and start is not None:
                last = commits.common_ancestor(tx, commits.resolve(tx, repo, after), start)

        def page(tx: Transaction, seen: CommitRecord | None) -> list[CommitRecord]:
            if start is None:
                before = None if seen is None else seen.number
                return list(commits.list_commits(tx, repo, before=before, number=_PAGE))
            after = None if last is None else last.number
            return list(islice(commits.list_back(tx, start, seen=seen, after=after), _PAGE))

        return self._listed(page, number=number, origin=origin)

    def list_all_commits(
        self, *, number: int = 0, origin: str | None = None, system: bool = False
    ) -> Iterator[CommitInfo]:
        def page(tx: Transaction, seen: CommitRecord | None) -> list[CommitRecord]:
            before = None if seen is None else seen.number
            return commits.list_everywhere(tx, before=before, number=_PAGE, system=system)

        return self._listed(page, number=number, origin=origin)

    def _listed(
        self,
        page: Callable[[Transaction, CommitRecord | None], list[CommitRecord]],
        *,
        number: int,
        origin: str | None,
    ) -> Iterator[CommitInfo]:
        if origin not in (None, *Origin):
            raise InvalidInput(f"the origin of a commit is user or auto, not {origin!r}")
        return self._pages(page, number=number, origin=origin)

    def _pages(
        self,
        page: Callable[[Transaction, CommitRecord | None], list[CommitRecord]],
        *,
        number: int,
        origin: str | None,
    ) -> Iterator[CommitInfo]:
        """Page by page, each in a transaction of its own: a slow reader holds none open."""
        left = number or None
        seen: CommitRecord | None = None
        while True:
            with self._services.database.read() as tx:
                records = page(tx, seen)
                wanted = [r for r in records if origin is None or r.origin == origin]
                infos = [commits.commit_info(tx, record) for record in wanted[:left]]
            yield from infos
            left = None if left is None else left - len(infos)
            if len(records) < _PAGE or left == 0:
                return
            seen = records[-1]

    def delete_commit(self, repo: str, commit: str) -> DeletedInfo:
        with self._services.database.write() as tx:
            return removal.delete_commit(single(self._services, tx), repo, commit)

    def squash_commit(self, repo: str, commit: str, *, recursive: bool = False) -> DeletedInfo:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            return removal.remove_commit(change, "squash", repo, commit, recursive=recursive)

    def drop_commit(self, repo: str, commit: str, *, recursive: bool = False) -> DeletedInfo:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            return removal.remove_commit(change, "drop", repo, commit, recursive=recursive)

    def delete_run(self, run: str) -> DeletedInfo:
        with self._services.database.write() as tx:
            return removal.delete_run(single(self._services, tx), run)

    def squash_run(self, run: str, *, recursive: bool = False) -> DeletedInfo:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            return removal.remove_run(change, "squash", run, recursive=recursive)

    def drop_run(self, run: str, *, recursive: bool = False) -> DeletedInfo:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            return removal.remove_run(change, "drop", run, recursive=recursive)

    def flush_commits(
        self,
        commits: list[str],
        *,
        repos: list[str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[CommitInfo]:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        with self._services.database.read() as tx:
            names = derived_from_all(tx, commits)
        return self._flushed([n for n in names if repos is None or n.repo in repos], until)

    def _flushed(self, names: list[CommitName], until: float | None) -> Iterator[CommitInfo]:
        for name in names:
            left = None if until is None else max(until - time.monotonic(), 0.0)
            try:
                info = self.inspect_commit(name.repo, name.id, wait=True, timeout_s=left)
            except (CommitNotFound, RepoNotFound):  # deleted meanwhile: no more can come of it
                continue
            yield info

    def subscribe_commits(
        self,
        repo: str,
        branch: str,
        *,
        after: str | None = None,
        new: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[CommitInfo]:
        if after is not None and new:
            raise InvalidInput("`from` and `new` can't be used together")
        with self._services.database.read() as tx:
            branches.branch_info(tx, repo, branch)
            head = branches.branch_head(tx, repo, branch)
            if after is not None:
                last = commits.resolve(tx, repo, after).number
            else:
                last = head.number if new and head is not None else 0
        return self._follow(repo, branch, last, timeout_s)

    def _follow(
        self, repo: str, branch: str, last: int, timeout_s: float | None
    ) -> Iterator[CommitInfo]:
        what = f"commits of {repo}@{branch}"
        for _ in self._services.waits(timeout_s, what, still="; more may come later"):
            with self._services.database.read() as tx:
                head = branches.branch_info(tx, repo, branch).head
                found = commits.list_commits(tx, repo, to=head) if head is not None else ()
                new = list(takewhile(partial(_is_after, last), found))
            for record in reversed(new):
                if record.finished is None:
                    break
                last = record.number
                try:
                    info = self.inspect_commit(repo, record.id)
                except CommitNotFound:  # deleted since it was seen
                    continue
                yield info

    def list_runs(self, *, number: int = 0, before: str | None = None) -> list[RunInfo]:
        with self._services.database.read() as tx:
            return [run_info(tx, run) for run in commits.list_runs(tx, number, before)]

    def inspect_run(
        self, run: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> RunDetails:
        services = self._services
        for _ in services.waits(timeout_s, f"run {run}"):
            with services.database.read() as tx:
                found = run_info(tx, commits.get_run(tx, run))
                if not wait or found.finished is not None:
                    break
        with services.database.read() as tx:
            return run_details(tx, commits.get_run(tx, run), now=services.now())


def start_commit(
    change: Change, repo: str, *, branch: str | None, parent: str | None, description: str
) -> CommitInfo:
    started = commits.start_commit(
        change.tx,
        repo,
        branch=branch,
        parent=parent,
        description=description,
        now=change.now,
        run_id=change.run_id,
        later=change.later,
    )
    change.opened(started.opened)
    return commits.commit_info(change.tx, started.commit)


def finish_in_change(
    change: Change, repo: str, commit: str, *, description: str | None
) -> CommitRecord:
    """Finish a commit as a step of many: its tree is made while the catalog is held.

    The caller flushes the store before the change is committed.
    """
    tx, trees = change.tx, change.services.trees
    record = commits.resolve(tx, repo, commit)
    if record.finished is not None:
        raise CommitFinished(repo, record.id)
    by_hand = written_by_hand(tx, record)
    if record.origin is Origin.AUTO and not by_hand:
        raise OutputBranch(repo, record.branch or "", "finish a commit of")
    root = EMPTY
    if not change.rehearsal:
        root = contents.content_root(trees, contents.layers_of(tx, record, by_hand=by_hand))
    files, size = trees.totals(root)
    if (repo, record.id) in change.unfinished:
        change.unfinished.remove((repo, record.id))
    finished = commits.finish_commit(
        tx,
        repo,
        record.id,
        root=root,
        files=files,
        size_bytes=size,
        description=description,
        output=by_hand,
        now=change.now,
        later=change.later,
    )
    change.opened(finished.opened)
    return finished.commit


def _is_after(number: int, record: CommitRecord) -> bool:
    return record.number > number


def written_by_hand(tx: Transaction, record: CommitRecord) -> bool:
    """Whether a commit that propagation opened waits for a user: no pipeline writes its branch."""
    opened = record.origin is Origin.AUTO and record.finished is None
    return opened and ledger.job_of_output(tx, record.repo, record.id) is None


def open_target(tx: Transaction, repo: str, ref: str) -> CommitRecord | None:
    """The open commit that a put goes into, or None for an atomic commit on a branch.

    Raises CommitFinished for a finished commit that was named by its id, and OutputBranch.
    """
    repos.require_repo(tx, repo)
    if not names_branch(ref):
        record = commits.resolve(tx, repo, ref)
        if record.finished is not None:
            raise CommitFinished(repo, record.id)
        if record.origin is Origin.AUTO and not written_by_hand(tx, record):
            raise OutputBranch(repo, record.branch or "", "write to a commit of")
        return record
    branch = check_branch(ref)
    found = branches.head_and_sources(tx, repo, branch)
    if found is None:
        return None
    head, derived = found
    if derived and (head is None or not written_by_hand(tx, head)):
        raise OutputBranch(repo, branch)
    return head if head is not None and head.finished is None else None


def names_branch(ref: str) -> bool:
    """Whether what a put goes into is a branch, whatever its head: not one commit."""
    reference = parse_reference(ref)
    return not reference.steps and not is_commit_id(reference.base)


def named_commit(tx: Transaction, text: str) -> CommitRecord:
    """The commit that `repo@ref` (or `repo/ref`) names."""
    address = parse_address(text)
    if address.ref is None or address.path is not None:
        raise InvalidInput(f"{text!r} does not name a commit; write repo@branch or repo@commit")
    return commits.resolve(tx, address.repo, address.ref)


def derived_from_all(tx: Transaction, names: list[str]) -> list[CommitName]:
    """The commits that are derived from each of the named ones, upstream first."""
    if not names:
        raise InvalidInput("name at least one commit, as repo@branch or repo@commit")
    common: list[CommitName] | None = None
    for name in names:
        derived = provenance.subvenance_of(tx, named_commit(tx, name))
        if common is None:
            common = derived
        else:
            shared = set(derived)
            common = [each for each in common if each in shared]
    return common or []
