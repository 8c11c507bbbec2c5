"""Branches: names for commits that move, and which branch is derived from which."""

from collections.abc import Collection, Sequence
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import BranchNotFound, Conflict, InvalidInput, ProvenanceLoop
from trunkline.model.names import check_branch
from trunkline.model.versions import BranchInfo, BranchName, BranchTrigger, Origin
from trunkline.versions import tables, tags, triggers
from trunkline.versions.provenance import OpenedCommit, refuse_shared_runs, sources_by_hand
from trunkline.versions.records import BranchRow, CommitRecord, RepoRow
from trunkline.versions.repos import refuse_if_used, require_repo

_NAMED_MAX = 20  # how many existing branches a sentence lists


def create_branch(
    tx: Transaction,
    repo: str,
    branch: str,
    *,
    head: CommitRecord | None,
    provenance: Sequence[BranchName] | None,
    trigger: BranchTrigger | None = None,
    quiet: Collection[BranchName] = (),
    now: datetime,
    run_id: str,
    later: list[BranchName] | None = None,
) -> list[OpenedCommit]:
    """Create a branch, or move its head (None: leave it) or change what it is derived from (None:
    leave that, empty: a branch that users write to again) or its trigger (None: leave that).
    Commits on the `quiet` ones among its sources open none on it.

    The commits that become due on it and downstream are opened in the run `run_id`, or `later` (see
    `provenance.settle`), and triggers are looked at (see `triggers.fire`). Raises ProvenanceLoop,
    BranchNotFound, and Conflict where one commit would make two in one repo or a trigger can't be.
    """
    row = ensure_branch(tx, repo, branch, now=now)
    if head is not None:
        if head.repo != repo:
            raise InvalidInput(
                f"the head of {repo}@{branch} must be a commit of repo '{repo}', not {head.name}"
            )
        tables.move_branch(tx, row.number, head.number)
    if provenance is not None:
        set_provenance(tx, repo, branch, provenance, quiet=quiet, now=now)
    if trigger is not None:
        _set_trigger(tx, row, trigger, now=now)
    tables.touch_repos(tx, [row.repo.number])
    return triggers.settle(tx, [row.name], now=now, run_id=run_id, later=later)


def _set_trigger(tx: Transaction, row: BranchRow, trigger: BranchTrigger, *, now: datetime) -> None:
    if not trigger.source:
        triggers.remove_trigger(tx, row)
    elif trigger.source == row.branch:
        raise InvalidInput(f"branch {row.name} can't be triggered by itself")
    else:
        source = ensure_branch(tx, row.repo.name, trigger.source, now=now)
        triggers.set_trigger(tx, row, source, trigger, now=now)


def ensure_branch(tx: Transaction, repo: str, branch: str, *, now: datetime) -> BranchRow:
    """The branch; made without a head if it is not there. Raises RepoNotFound, InvalidName."""
    owner = require_repo(tx, repo, now=now)
    found = tables.find_branch(tx, owner, branch)
    if found is not None:
        return found
    tags.refuse_branch(tx, owner, branch)
    tables.insert_branch(tx, owner, check_branch(branch), now)
    tables.touch_repos(tx, [owner.number])
    return require_branch(tx, owner, branch)


def set_provenance(
    tx: Transaction,
    repo: str,
    branch: str,
    provenance: Sequence[BranchName],
    *,
    quiet: Collection[BranchName] = (),
    now: datetime,
) -> None:
    """Change what a branch is derived from, without opening the commits that become due.

    The caller makes the change complete in the same transaction: by `propagate`, or by a commit on
    one of the branches upstream (as when a pipeline changes its inputs and its spec in one run).
    Marks the repos upstream as changed too. Errors are those of `create_branch`.
    """
    row = ensure_branch(tx, repo, branch, now=now)
    sources = [_source(tx, name) for name in dict.fromkeys(provenance)]
    if sources:
        triggers.refuse_trigger(tx, row)
        if tables.retention_of(tx, row.number) is not None:
            raise Conflict(
                f"branch {row.name} has retention rules, and the commits of a derived branch go "
                f"with those they were made from; `delete retention {row.name}` first"
            )
    below = tables.flows_to(tx, row.number)
    if any(source.number in below for source in sources):
        raise ProvenanceLoop(repo, branch)
    silent = {source.number for source in sources if source.name in quiet}
    as_before = [s.number for s in sources] == [s.number for s in tables.sources_of(tx, row.number)]
    if as_before and silent == tables.quiet_sources_of(tx, row.number):
        return
    tables.replace_sources(tx, row.number, [source.number for source in sources], quiet=silent)
    refuse_shared_runs(tx, row)
    upstream = tables.upstream_of(tx, row.number)
    tables.touch_repos(tx, sorted({u.repo.number for u in upstream}))


def branch_info(tx: Transaction, repo: str, branch: str) -> BranchInfo:
    """One branch; raises BranchNotFound, RepoNotFound."""
    return _info(tx, require_branch(tx, require_repo(tx, repo), branch))


def list_branches(tx: Transaction, repo: str) -> list[BranchInfo]:
    """The branches of a repo, last moved first; raises RepoNotFound."""
    return [_info(tx, row) for row in tables.branches_of(tx, require_repo(tx, repo))]


def branch_head(tx: Transaction, repo: str, branch: str) -> CommitRecord | None:
    """The head of a branch; None for a branch that is missing or has no commit.

    Raises RepoNotFound.
    """
    found = tables.find_head(tx, repo, branch)
    if found is None:
        require_repo(tx, repo)
        return None
    return found[1]


def quiet_sources(tx: Transaction, repo: str, branch: str) -> list[BranchName]:
    """Those of a branch's sources whose commits open none on it."""
    row = require_branch(tx, require_repo(tx, repo), branch)
    quiet = tables.quiet_sources_of(tx, row.number)
    return [source.name for source in tables.sources_of(tx, row.number) if source.number in quiet]


def head_and_sources(
    tx: Transaction, repo: str, branch: str
) -> tuple[CommitRecord | None, bool] | None:
    """The head of a branch, and whether jobs alone write it; None if it is missing.

    One statement where it is there and derived from nothing. Raises RepoNotFound.
    """
    found = tables.find_target(tx, repo, branch)
    if found is None:
        require_repo(tx, repo)
        return None
    by_jobs = found.derived and sources_by_hand(tx, found.branch) is None
    return found.head, by_jobs


def feeds_others(tx: Transaction, repo: str, branch: str) -> bool:
    """Whether any branch is derived from this one."""
    row = require_branch(tx, require_repo(tx, repo), branch)
    return bool(tables.derived_from(tx, row.number))


def is_free(tx: Transaction, name: BranchName) -> bool:
    """Whether a branch is there, and nothing is derived from it or triggered by it."""
    repo = tables.find_repo(tx, name.repo)
    row = None if repo is None else tables.find_branch(tx, repo, name.branch)
    if row is None:
        return False
    return not tables.derived_from(tx, row.number) and not triggers.triggered_by(tx, row)


def trigger_of(tx: Transaction, name: BranchName) -> BranchTrigger | None:
    """The trigger of a branch, which may be missing. Raises RepoNotFound."""
    row = tables.find_branch(tx, require_repo(tx, name.repo), name.branch)
    found = None if row is None else triggers.trigger_of(tx, row)
    return None if found is None else found.trigger


def leave_failed_head(tx: Transaction, repo: str, branch: str) -> None:
    """Move a branch back to its newest commit without an error, or to none.

    So that the commit that is due on it is opened again by `propagate` though nothing else changed.
    """
    row = require_branch(tx, require_repo(tx, repo), branch)
    head = row.head
    while head is not None and tables.commit_numbered(tx, head).error is not None:
        head = tables.parent_number(tx, head)
    if head != row.head:
        tables.move_branch(tx, row.number, head)


def open_alone(tx: Transaction, repo: str, branch: str) -> list[CommitRecord]:
    """The open commits that propagation made and that only this branch leads to, oldest first."""
    row = require_branch(tx, require_repo(tx, repo), branch)
    found: list[CommitRecord] = []
    number = row.head
    while number is not None:
        commit = tables.commit_numbered(tx, number)
        if commit.finished is not None or commit.origin is not Origin.AUTO:
            break
        others = {b.number for b in tables.branches_at(tx, number)} - {row.number}
        above = {c.number for c in tables.children_of(tx, number)} - {c.number for c in found}
        if commit.branch != branch or others or above:
            break
        found.insert(0, commit)
        number = tables.parent_number(tx, number)
    return found


def delete_branch(tx: Transaction, repo: str, branch: str, *, force: bool) -> None:
    """Delete a branch; its commits stay.

    Raises InUse when other branches are derived from it or triggered by it. With `force`, those
    lose this part of their provenance, which opens no commit: their next commit is the first one
    without it; and they lose their triggers.
    """
    row = require_branch(tx, require_repo(tx, repo), branch)
    if not force:
        derived = [d.name for d in tables.derived_from(tx, row.number)]
        refuse_if_used(f"branch {row.name}", derived)
        refuse_if_used(f"branch {row.name}", triggers.triggered_by(tx, row), how="triggered by")
    tables.delete_branch(tx, row.number)
    tables.touch_repos(tx, [row.repo.number])


def require_branch(tx: Transaction, repo: RepoRow, branch: str) -> BranchRow:
    """The row of a branch; raises BranchNotFound, which names the ones there are."""
    found = tables.find_branch(tx, repo, branch)
    if found is None:
        existing = [row.branch for row in tables.branches_of(tx, repo)]
        raise BranchNotFound(repo.name, branch, existing[:_NAMED_MAX])
    return found


def _source(tx: Transaction, name: BranchName) -> BranchRow:
    return require_branch(tx, require_repo(tx, name.repo), name.branch)


def _info(tx: Transaction, row: BranchRow) -> BranchInfo:
    head = None if row.head is None else tables.commit_numbered(tx, row.head).id
    trigger = triggers.trigger_of(tx, row)
    rules = tables.retention_of(tx, row.number)
    return BranchInfo(
        repo=row.repo.name,
        name=row.branch,
        head=head,
        provenance=tuple(source.name for source in tables.sources_of(tx, row.number)),
        created=row.created,
        trigger=None if trigger is None else trigger.trigger,
        next_tick=None if trigger is None else trigger.next_tick,
        retention=None if rules is None else rules[0],
    )
