"""Taking commits out of the history: delete, squash and drop.

All three keep the rules of provenance: what was made from a commit never outlives it, children are
handed to the nearest ancestor that stays, and no branch is left pointing nowhere. They differ in
what they ask for: *squash* forgets commits whose files later commits go on from, so that no branch
notices; *drop* takes the newest commits back, and branches with them; *delete* takes out one commit
that a user made, wherever it stands, with all that was made from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import Conflict, InUse, OutputBranch
from trunkline.model.versions import BranchName, CommitName, Origin, is_spec_repo
from trunkline.versions import tables, tags, trash, triggers
from trunkline.versions.provenance import OpenedCommit
from trunkline.versions.records import CommitRecord
from trunkline.versions.repos import require_repo

_NAMED_MAX = 5  # how many commits a sentence lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """The commits that are gone, upstream first, and those that became due by that."""

    entry: int  # in the trash
    removed: tuple[CommitName, ...]
    opened: tuple[OpenedCommit, ...]


def delete_commit(
    tx: Transaction,
    commit: CommitRecord,
    *,
    how: str,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None = None,
) -> Deleted:
    """Delete a commit that a user made, and every commit that was made from it.

    Children of each deleted commit move to its parent, and so do the branches that it was the head
    of. Where a branch downstream is now due for another commit (its spec has changed since its last
    remaining one, say), that is opened in the run `run_id`. Raises OutputBranch.
    """
    _refuse_specs([commit])
    if commit.origin is Origin.AUTO:
        raise OutputBranch(commit.repo, commit.branch or "", "delete a commit of")
    doomed = [commit, *tables.made_from(tx, commit.number)]
    return _remove(tx, doomed, name=str(commit.name), how=how, now=now, run_id=run_id, later=later)


def delete_run(
    tx: Transaction,
    commits: Sequence[CommitRecord],
    *,
    name: str,
    how: str,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None = None,
) -> Deleted:
    """Delete what users made among these commits of a run, as `delete_commit` does one."""
    made = [commit for commit in commits if commit.origin is Origin.USER]
    doomed = _with_derived(tx, made, recursive=True, verb="deleted")
    _refuse_specs(doomed)
    return _remove(tx, doomed, name=name, how=how, now=now, run_id=run_id, later=later)


def squash(
    tx: Transaction,
    commits: Sequence[CommitRecord],
    *,
    recursive: bool,
    name: str,
    how: str,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None = None,
) -> Deleted:
    """Forget commits whose files later commits go on from; no branch and no file changes.

    Raises InUse, naming them, where commits that stay were made from one of these (`recursive`
    takes them along) or where a commit on top of one is still open, and Conflict for the head of a
    branch, for a commit that nothing was made on top of, and for the spec of a pipeline.
    """
    doomed = _with_derived(tx, commits, recursive=recursive, verb="squashed")
    _refuse_specs(doomed)
    numbers = {commit.number for commit in doomed}
    for commit in doomed:
        heads = [str(branch.name) for branch in tables.branches_at(tx, commit.number)]
        if heads:
            raise Conflict(
                f"commit {commit.name} can't be squashed: it is the head of {', '.join(heads)}, "
                "and no later commit holds its files; to take it back, use `drop commit`"
            )
        children = tables.children_of(tx, commit.number)
        if not children:
            raise Conflict(
                f"commit {commit.name} can't be squashed: nothing was made on top of it that holds "
                "its files; to take it back, use `drop commit`"
            )
        still_open = [c for c in children if c.finished is None and c.number not in numbers]
        if still_open:
            raise InUse(
                f"commit {commit.name} can't be squashed: {_named(still_open)} on top of it is "
                "still open; finish that (or wait for its job) first"
            )
    return _remove(tx, doomed, name=name, how=how, now=now, run_id=run_id, later=later)


def drop(
    tx: Transaction,
    commits: Sequence[CommitRecord],
    *,
    recursive: bool,
    name: str,
    how: str,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None = None,
) -> Deleted:
    """Take the newest commits back: branches that stand on them go back to what was before.

    Raises InUse, naming them, where commits that stay were made from one of these or on top of one
    (`recursive` takes the former along), OutputBranch for what a pipeline made alone: it would be
    due again at once.
    """
    doomed = _with_derived(tx, commits, recursive=recursive, verb="dropped")
    _refuse_specs(doomed)
    if all(commit.origin is Origin.AUTO for commit in commits):
        first = commits[0]
        raise OutputBranch(first.repo, first.branch or "", "drop only commits of")
    numbers = {commit.number for commit in doomed}
    for commit in doomed:
        children = [c for c in tables.children_of(tx, commit.number) if c.number not in numbers]
        if children:
            raise InUse(
                f"commit {commit.name} can't be dropped: {_named(children)} was made on top of it; "
                "drop that first, or forget this one alone with `squash commit`"
            )
    return _remove(tx, doomed, name=name, how=how, now=now, run_id=run_id, later=later)


def _with_derived(
    tx: Transaction, commits: Sequence[CommitRecord], *, recursive: bool, verb: str
) -> list[CommitRecord]:
    """These commits and all that were made from them, oldest first, so upstream first."""
    found = {commit.number: commit for commit in commits}
    outside: dict[int, CommitRecord] = {}
    for commit in commits:
        for derived in tables.made_from(tx, commit.number):
            if derived.number not in found:
                outside[derived.number] = derived
    if outside and not recursive:
        raise InUse(
            f"commit {commits[0].name} can't be {verb} alone: "
            f"{_named(list(outside.values()))} was made from it; add -r to include that"
        )
    return [commit for _, commit in sorted({**found, **outside}.items())]


def _refuse_specs(commits: Sequence[CommitRecord]) -> None:
    for commit in commits:
        if is_spec_repo(commit.repo):
            raise Conflict(
                f"commit {commit.name} is a version of pipeline '{commit.branch}'; "
                "it goes when that is deleted"
            )


def _remove(
    tx: Transaction,
    doomed: Sequence[CommitRecord],
    *,
    name: str,
    how: str,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None,
) -> Deleted:
    """Move commits, oldest first, into one entry of the trash."""
    for gone in doomed:
        tags.refuse_removal(tx, gone)
    entry = trash.begin(tx, "commit", name, how=how, now=now)
    moved: dict[int, int] = {}
    names: dict[BranchName, None] = {}
    for gone in doomed:  # oldest first: the parent of each is then one that stays
        parent = tables.parent_number(tx, gone.number)
        for branch in tables.branches_at(tx, gone.number):
            moved.setdefault(branch.number, gone.number)
            tables.move_branch(tx, branch.number, parent)
            names[branch.name] = None
        tables.keep_commit(tx, entry, gone.number)
        tables.remove_commit(tx, gone, parent)
        tables.touch_repos(tx, [require_repo(tx, gone.repo).number])
    opened = triggers.settle(tx, list(names), now=now, run_id=run_id, later=later)
    trash.keep_heads(tx, entry, moved)
    return Deleted(entry=entry, removed=tuple(gone.name for gone in doomed), opened=tuple(opened))


def _named(commits: Sequence[CommitRecord]) -> str:
    rest = len(commits) - _NAMED_MAX
    listed = ", ".join(str(commit.name) for commit in commits[:_NAMED_MAX])
    return listed + (f" and {rest} more" if rest > 0 else "")
