"""Commits: start, write, finish, find, list. How they are removed is in `removal`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import dropwhile

from trunkline.db.database import Soon, Transaction
from trunkline.errors import (
    CommitFinished,
    CommitNotFound,
    CommitOpen,
    HeadMoved,
    NotFound,
    OutputBranch,
)
from trunkline.files.manifest import EMPTY
from trunkline.model.names import Ancestry, is_commit_id, parse_reference
from trunkline.model.versions import BranchName, CommitInfo, CommitName, Origin, PurgeMark
from trunkline.versions import purges, tables, triggers
from trunkline.versions.branches import ensure_branch, require_branch
from trunkline.versions.provenance import (
    OpenedCommit,
    provenance_of,
    refuse_second,
    second_of_run,
    settle,
    sources_by_hand,
)
from trunkline.versions.records import (
    BranchRow,
    CommitRecord,
    NewCommit,
    NewTree,
    RepoRow,
    RunRecord,
    Target,
)
from trunkline.versions.repos import require_repo

__all__ = ["CommitRecord", "RunRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A new commit, and the commits downstream that were opened with it, upstream first."""

    commit: CommitRecord
    opened: tuple[OpenedCommit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A commit that has its tree now, and the commits that a trigger opened because of it."""

    commit: CommitRecord
    opened: tuple[OpenedCommit, ...]


# --- find -----------------------------------------------------------------------------------------


def get_commit(tx: Transaction, repo: str, commit_id: str) -> CommitRecord:
    """The commit with this id; raises CommitNotFound, RepoNotFound."""
    found = tables.commit_named(tx, repo, commit_id)
    if found is None:
        require_repo(tx, repo)
        raise CommitNotFound(repo, commit_id)
    return found


def has_commit(tx: Transaction, repo: str, commit_id: str) -> bool:
    """Whether a repo has a commit with this id; raises RepoNotFound."""
    return tables.find_commit(tx, require_repo(tx, repo), commit_id) is not None


def resolve(tx: Transaction, repo: str, ref: str) -> CommitRecord:
    """The commit that a branch, a tag, an id or any of them with ancestry steps means.

    Raises InvalidReference, RepoNotFound, BranchNotFound, and CommitNotFound for a branch without
    commits or an ancestor beyond the first commit.
    """
    reference = parse_reference(ref)
    if is_commit_id(reference.base):
        commit = get_commit(tx, repo, reference.base)
    elif (found := tables.find_head(tx, repo, reference.base)) is not None and found[1] is not None:
        commit = found[1]
    elif tag := tables.find_tag(tx, require_repo(tx, repo), reference.base):
        commit = tables.commit_numbered(tx, tag.commit)
    else:
        branch = require_branch(tx, require_repo(tx, repo), reference.base)
        raise CommitNotFound(repo, ref, f"branch {branch.name} has no commits yet")
    for step in reference.steps:
        commit = _step(tx, commit, step, ref)
    return commit


def _step(tx: Transaction, commit: CommitRecord, step: Ancestry, ref: str) -> CommitRecord:
    if step.nth is None:
        found = tables.ancestor_above(tx, commit.number, step.up)
    else:  # .1 is the first commit
        found = tables.ancestor_from_first(tx, commit.number, step.nth)
    if found is None:
        count = tables.count_ancestors(tx, commit.number)
        how_many = f"{count} ancestor{'' if count == 1 else 's'}"
        raise CommitNotFound(commit.repo, ref, f"{commit.id} has {how_many}")
    return found


# --- start, write, finish -------------------------------------------------------------------------


def start_commit(
    tx: Transaction,
    repo: str,
    *,
    branch: str | None,
    parent: str | None,
    description: str,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None = None,
) -> Started:
    """Open a commit on a branch (made if need be), or without a branch.

    `parent` is a reference in the same repo; without it the commit follows the branch's head. The
    commits downstream are opened in the same run (or `later`, see `provenance.settle`), and wait.
    Raises OutputBranch, and CommitOpen when the parent is not finished.
    """
    new = NewCommit(
        id=run_id, branch=branch, origin=Origin.USER, parent=None, description=description
    )
    number = tables.next_number_soon(tx)
    if branch is None:
        place = require_repo(tx, repo, now=now)
        base = None if parent is None else resolve(tx, repo, parent)
        _refuse_open(base)
        refuse_second(tx, place, run_id)
        commit = _insert(tx, place, new, base, number, now)
        tables.touch_repos(tx, [place.number])
        return Started(commit=commit, opened=())
    target = _target(tx, repo, branch, run_id, now)
    sources = sources_by_hand(tx, target.branch) if target.derived else ()
    if sources is None:
        raise OutputBranch(repo, branch)
    base = target.head if parent is None else resolve(tx, repo, parent)
    _refuse_open(base)
    if target.taken:
        raise second_of_run(target.branch.repo, run_id)
    new = replace(new, sources=sources)
    commit = _insert(tx, target.branch.repo, new, base, number, now)
    _move(tx, target.branch, commit)
    opened: list[OpenedCommit] = []
    if target.feeds or later is not None:  # what is derived from it may still come, until `later`
        opened += settle(tx, [target.branch.name], now=now, run_id=run_id, later=later)
    return Started(commit=commit, opened=tuple(opened))


def _insert(
    tx: Transaction,
    repo: RepoRow,
    new: NewCommit,
    base: CommitRecord | None,
    number: Soon[int],
    now: datetime,
    *,
    tree: NewTree | None = None,
) -> CommitRecord:
    """A commit behind another one, if `base` is one."""
    new = replace(new, parent=None if base is None else base.number)
    return tables.insert_child(tx, repo, new, base, tree, number(), now)


def _move(tx: Transaction, branch: BranchRow, head: CommitRecord) -> None:
    """Have a branch end in a commit that was just made."""
    tables.move_branch(tx, branch.number, head.number, changed=head.number)
    tables.touch_repos(tx, [branch.repo.number], changed=head.number)


def _refuse_open(base: CommitRecord | None) -> None:
    if base is not None and base.finished is None:
        raise CommitOpen(base.repo, base.id, "start a commit on top of it")


def finish_commit(
    tx: Transaction,
    repo: str,
    commit_id: str,
    *,
    root: str,
    files: int,
    size_bytes: int,
    description: str | None = None,
    error: str | None = None,
    output: bool = False,
    expected_deltas: Sequence[str] | None = None,
    now: datetime,
    later: list[BranchName] | None = None,
) -> Finished:
    """Give an open commit its tree; it never changes again. Triggers that it meets move branches.

    `output` says that the caller is the job that the commit was opened for; without it, a commit
    that propagation opened is refused with OutputBranch. With `error` the tree must be the empty
    one. With `expected_deltas` (those that `root` was made of), raises HeadMoved if others came in
    since. What a trigger makes due is opened in the same run, or `later`. Raises CommitFinished,
    CommitNotFound.
    """
    watched = tables.watched_soon(tx, repo, commit_id)
    commit = _open_commit(tx, repo, commit_id, output=output, action="finish a commit of")
    if expected_deltas is not None and list(expected_deltas) != deltas_of(tx, repo, commit_id):
        raise HeadMoved(f"commit {commit.name}")
    return _close(
        tx,
        commit,
        root=root,
        files=files,
        size_bytes=size_bytes,
        description=commit.description if description is None else description,
        error=error,
        watched=[BranchName(repo=repo, branch=name) for name in watched()],
        now=now,
        later=later,
    )


def put_commit(
    tx: Transaction,
    repo: str,
    branch: str,
    *,
    expected_head: str | None,
    expected_root: str | None = None,
    root: str,
    files: int,
    size_bytes: int,
    description: str,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None = None,
) -> Started:
    """Add a finished commit to a branch (made if need be) in one step.

    `expected_head` is the id of the head that `root` is based on (None: there was none); raises
    HeadMoved if it is another one by now, or has another tree than `expected_root`, because some of
    it has been purged. Otherwise like `start_commit`.
    """
    assert root, "a finished commit has a tree"
    number = tables.next_number_soon(tx)
    target = _target(tx, repo, branch, run_id, now)
    place, head = target.branch, target.head
    sources = sources_by_hand(tx, place) if target.derived else ()
    if sources is None:
        raise OutputBranch(repo, branch)
    if expected_head != (None if head is None else head.id):
        raise HeadMoved(f"branch {place.name}")
    if head is not None and expected_root is not None and head.root != expected_root:
        raise HeadMoved(f"branch {place.name}")
    _refuse_open(head)
    if target.taken:
        raise second_of_run(place.repo, run_id)
    new = NewCommit(
        id=run_id,
        branch=branch,
        origin=Origin.USER,
        parent=None,
        description=description,
        sources=sources,
    )
    tree = NewTree(root=root, files=files, size_bytes=size_bytes)
    commit = _insert(tx, place.repo, new, head, number, now, tree=tree)
    _move(tx, place, commit)
    opened: list[OpenedCommit] = []
    if target.feeds or later is not None:  # what is derived from it may still come, until `later`
        opened += settle(tx, [place.name], now=now, run_id=run_id, later=later)
    if opened:
        tables.touch_repos(tx, [place.repo.number])  # listed before what follows from it
    if target.triggers:
        opened += triggers.fire(tx, [place.name], now=now, run_id=run_id, later=later)
    return Started(commit=commit, opened=tuple(opened))


def _target(tx: Transaction, repo: str, branch: str, run_id: str, now: datetime) -> Target:
    """What a put into a branch has to know; the branch is made if it is missing."""
    found = tables.find_target(tx, repo, branch, run=run_id)
    if found is None:
        ensure_branch(tx, repo, branch, now=now)
        found = tables.find_target(tx, repo, branch, run=run_id)
        assert found is not None, "it was just made"
    return found


def add_deltas(
    tx: Transaction, repo: str, commit_id: str, deltas: Sequence[str], *, output: bool = False
) -> None:
    """Add changes to an open commit, after those it has; `output` as in `finish_commit`.

    Raises CommitFinished, OutputBranch, CommitNotFound.
    """
    commit = _open_commit(tx, repo, commit_id, output=output, action="write to a commit of")
    tables.append_deltas(tx, commit.number, deltas)


def deltas_of(tx: Transaction, repo: str, commit_id: str) -> list[str]:
    """The changes of an open commit, in order; none for a finished one."""
    return tables.deltas_of(tx, get_commit(tx, repo, commit_id).number)


def _open_commit(
    tx: Transaction, repo: str, commit_id: str, *, output: bool, action: str
) -> CommitRecord:
    commit = get_commit(tx, repo, commit_id)
    if commit.finished is not None:
        raise CommitFinished(repo, commit_id)
    if commit.origin is Origin.AUTO and not output:
        raise OutputBranch(repo, commit.branch or "", action)
    return commit


def _close(
    tx: Transaction,
    commit: CommitRecord,
    *,
    root: str,
    files: int,
    size_bytes: int,
    description: str,
    error: str | None,
    watched: Sequence[BranchName],
    now: datetime,
    later: list[BranchName] | None,
) -> Finished:
    assert root, "a finished commit has a tree"
    assert error is None or (root, files, size_bytes) == (EMPTY, 0, 0), "a failed commit is empty"
    closed = tables.close_commit(
        tx,
        commit,
        root=root,
        files=files,
        size_bytes=size_bytes,
        description=description,
        error=error,
        now=now,
    )
    fired = triggers.fire(tx, watched, now=now, run_id=commit.id, later=later)
    return Finished(commit=closed, opened=tuple(fired))


# --- list -----------------------------------------------------------------------------------------


def list_commits(
    tx: Transaction,
    repo: str,
    *,
    to: str | None = None,
    after: str | None = None,
    number: int = 0,
    before: int | None = None,
) -> Iterator[CommitRecord]:
    """The commits of a repo, newest first; with `to`, that commit and its ancestors.

    `to` and `after` are references; the list ends before `after`, and after `number` commits unless
    that is 0. Without `to`, `before` leaves out the commits with that number or a higher one, which
    is how a list goes on in another transaction. Lazy, in pages: the transaction has to stay open
    meanwhile, but errors are raised at once.
    """
    owner = require_repo(tx, repo)
    last = None if after is None else resolve(tx, repo, after).number
    if to is None:
        found = tables.commits_newest_first(tx, owner, before=before, down_to=last, number=number)
    else:
        found = tables.ancestors(tx, resolve(tx, repo, to).number)
    return _cut(found, last, number)


def list_back(
    tx: Transaction, start: CommitRecord, *, seen: CommitRecord | None, after: int | None = None
) -> Iterator[CommitRecord]:
    """A commit and its ancestors, newest first; those behind one that was `seen` among them.

    So a list goes on in another transaction, though commits that it has gone by or would come to
    have been removed meanwhile. It ends before the commit with the number `after`. Lazy, as
    `list_commits`. Raises CommitNotFound where start and seen are both gone, and RepoNotFound.
    """
    if seen is None or not tables.commit_exists(tx, seen.number):
        found = tables.ancestors(tx, get_commit(tx, start.repo, start.id).number)
        if seen is not None:
            found = dropwhile(lambda commit: commit.number >= seen.number, found)
    else:
        above = tables.parent_number(tx, seen.number)
        found = iter(()) if above is None else tables.ancestors(tx, above)
    return _cut(found, after, 0)


def list_everywhere(
    tx: Transaction, *, before: int | None, number: int, system: bool
) -> list[CommitRecord]:
    """The newest commits of all repos older than `before`; `system` includes those of specs."""
    return tables.newest_everywhere(tx, before=before, most=number, system=system)


def common_ancestor(tx: Transaction, one: CommitRecord, other: CommitRecord) -> CommitRecord | None:
    """The newest commit that both are or come from; None if they have nothing in common."""
    shared = tables.newest_in_both(tx, one.number, other.number)
    return None if shared is None else tables.commit_numbered(tx, shared)


def _cut(found: Iterator[CommitRecord], last: int | None, number: int) -> Iterator[CommitRecord]:
    for given, commit in enumerate(found, start=1):
        if last is not None and commit.number <= last:  # that one may be gone by now
            return
        yield commit
        if given == number:
            return


def commit_info(tx: Transaction, record: CommitRecord) -> CommitInfo:
    """A commit with its full provenance."""
    provenance = provenance_of(tx, record) if record.derived else ()
    marks = purges.marks_of(tx, record.number) if record.purged else ()
    return _info(record, provenance, marks)


def info_of_put(record: CommitRecord) -> CommitInfo:
    """`commit_info` of what `put_commit` has just made: it was made from nothing."""
    return _info(record, (), ())


def _info(
    record: CommitRecord, provenance: Sequence[CommitName], purged: Sequence[PurgeMark]
) -> CommitInfo:
    return CommitInfo(
        repo=record.repo,
        id=record.id,
        branch=record.branch,
        origin=record.origin,
        parent=record.parent,
        description=record.description,
        started=record.started,
        finished=record.finished,
        size_bytes=record.size_bytes,
        files=record.files,
        root=record.root,
        error=record.error,
        provenance=tuple(provenance),
        purged=tuple(purged),
    )


def commits_of_run(tx: Transaction, run: str) -> list[CommitRecord]:
    """The commits of a run, upstream first; empty if there is no such run."""
    return tables.commits_of_run(tx, run)


def get_run(tx: Transaction, run: str) -> RunRecord:
    """One run; raises NotFound."""
    created = tables.find_run(tx, run)
    if created is None:
        raise NotFound(f"there is no run '{run}'")
    commits = tables.commits_of_run(tx, run)
    ends = [commit.finished for commit in commits if commit.finished is not None]
    return RunRecord(
        id=run,
        created=created,
        finished=max(ends) if len(ends) == len(commits) else None,
        commits=tuple(commits),
    )


def list_runs(tx: Transaction, number: int = 0, before: str | None = None) -> list[RunRecord]:
    """The newest runs (of those before one), newest first; 0 means all. Raises NotFound."""
    below = None if before is None else tables.number_of_run(tx, before)
    if before is not None and below is None:
        raise NotFound(f"there is no run '{before}'")
    return [get_run(tx, run) for run in tables.runs_newest_first(tx, number, below)]
