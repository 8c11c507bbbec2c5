"""What was deleted, and how it comes back.

Each deletion moves what it removes into one entry of the trash, in the same transaction, and an
entry is restored as a whole. Rows keep their numbers, which are never given out twice, so what
comes back is what it was: ids, trees, provenance, descriptions, heads. Entries can be restored in
any order: a commit remembers the parent that it was made with, and while that is deleted its
nearest living ancestor stands in for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Transaction, Value
from trunkline.errors import Conflict, NotFound, ProvenanceLoop
from trunkline.model.names import is_commit_id, project_of
from trunkline.model.versions import BranchName
from trunkline.versions import tables
from trunkline.versions.branches import require_branch
from trunkline.versions.provenance import OpenedCommit, refuse_shared_runs
from trunkline.versions.records import BranchRow
from trunkline.versions.repos import require_repo
from trunkline.versions.tables import TrashEntry
from trunkline.versions.triggers import settle

__all__ = ["TrashEntry"]

KINDS = ("repo", "branch", "tag", "commit", "pipeline")
_WHOLE = ("repo", "pipeline")  # kinds whose entries may hold whole repos


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came back, what became due by that, and what could not be as it was."""

    entry: TrashEntry
    commits: int
    opened: tuple[OpenedCommit, ...]
    notes: tuple[str, ...]


# --- into the trash -------------------------------------------------------------------------------


def begin(tx: Transaction, kind: str, name: str, *, how: str, now: datetime) -> int:
    """A new entry for a deletion; what it removes is kept under the number returned."""
    assert kind in KINDS
    return tables.insert_entry(tx, kind=kind, name=name, how=how, now=now)


def keep_branch(tx: Transaction, entry: int, name: BranchName) -> None:
    """Keep a branch that is about to be deleted, with its provenance both ways.

    Raises BranchNotFound, RepoNotFound.
    """
    branch = require_branch(tx, require_repo(tx, name.repo), name.branch)
    tables.keep_where(tx, entry, "branch", "number = :branch", branch=branch.number)
    tables.keep_where(
        tx,
        entry,
        "branch_provenance",
        "derived = :branch OR source = :branch ORDER BY derived, position",
        branch=branch.number,
    )
    tables.keep_where(
        tx,
        entry,
        "branch_trigger",
        "branch = :branch OR source = :branch ORDER BY branch",
        branch=branch.number,
    )
    tables.keep_where(tx, entry, "branch_retention", "branch = :branch", branch=branch.number)
    _keep_cuts(tx, entry, [branch.number])


def keep_tag(tx: Transaction, entry: int, number: int) -> None:
    """Keep a tag that is about to be deleted."""
    tables.keep_where(tx, entry, "tag", "number = :tag", tag=number)


def keep_repo(tx: Transaction, entry: int, repo: str) -> None:
    """Keep a repo that is about to be deleted with everything in it."""
    row = require_repo(tx, repo)
    tables.keep_repo(tx, entry, row.number)
    _keep_cuts(tx, entry, [branch.number for branch in tables.branches_of(tx, row)])


def keep_sources(tx: Transaction, entry: int, branch: BranchName) -> None:
    """Keep what a branch is derived from, which it is about to lose."""
    row = tables.find_branch(tx, require_repo(tx, branch.repo), branch.branch)
    if row is not None:
        tables.keep_where(
            tx,
            entry,
            "branch_provenance",
            "derived = :branch ORDER BY position",
            branch=row.number,
        )
        tables.keep_rows(tx, entry, "cut", [[row.number]])


def _keep_cuts(tx: Transaction, entry: int, doomed: Sequence[int]) -> None:
    """Note what each branch that loses a source by force is still derived from afterwards."""
    losers: dict[int, list[int]] = {}
    for number in doomed:
        for derived in tables.derived_from(tx, number):
            if derived.number not in doomed:
                rest = [s.number for s in tables.sources_of(tx, derived.number)]
                losers[derived.number] = [source for source in rest if source not in doomed]
    tables.keep_rows(tx, entry, "cut", [[loser, *left] for loser, left in losers.items()])


def keep_heads(tx: Transaction, entry: int, moved: dict[int, int]) -> None:
    """Note which commits branches were moved away from, once all have come to rest."""
    rows: list[list[Value]] = []
    for number, was in moved.items():
        branch = tables.branch_numbered(tx, number)
        rows.append([number, was, None if branch is None else branch.head])
    tables.keep_rows(tx, entry, "head", rows)


def follow_heads(tx: Transaction, entry: int, opened: Sequence[OpenedCommit]) -> None:
    """Note the commits that a change of many steps has opened at its end where branches had come
    to rest after a deletion in it; else they would seem to have moved on since.
    """
    new = {each.commit.number for each in opened}
    rows = tables.kept_rows(tx, entry, "head")
    for row in rows:
        branch = tables.branch_numbered(tx, int(str(row[0])))
        if branch is None or branch.head is None or branch.head not in new:
            continue
        if tables.parent_number(tx, branch.head) == row[2]:
            row[2] = branch.head
    tables.replace_rows(tx, entry, "head", rows)


def keep_rows(tx: Transaction, entry: int, place: str, rows: Sequence[Sequence[Value]]) -> None:
    """Keep rows of another package's table; `place` says which."""
    tables.keep_rows(tx, entry, place, rows)


def kept_rows(tx: Transaction, entry: int, place: str) -> list[list[Value]]:
    """The rows that `keep_rows` kept."""
    return tables.kept_rows(tx, entry, place)


def all_kept_rows(tx: Transaction, place: str) -> Iterator[list[Value]]:
    """The rows that `keep_rows` kept under a place, in all entries."""
    return tables.all_kept_rows(tx, place)


# --- questions ------------------------------------------------------------------------------------


def entries(tx: Transaction, *, number: int | None = None) -> list[tuple[TrashEntry, int]]:
    """All deletions that can be undone (or one) and how many commits each took, newest first."""
    if number is None:
        found = tables.all_entries(tx)
    else:
        one = tables.entry_numbered(tx, number)
        found = [] if one is None else [one]
    return [(entry, tables.commits_in(tx, entry.number)) for entry in found]


def find(tx: Transaction, kind: str, name: str, *, number: int | None = None) -> TrashEntry:
    """The newest deletion of something with this name, or the one with this number.

    A commit is named by repo@id, or by the id of its run alone. Raises NotFound, and Conflict where
    the thing was deleted together with a larger one.
    """
    if kind == "commit":
        found = _with_commit(tx, name)
    else:
        found = tables.entries_named(tx, kind, name)
    if number is not None:
        found = [entry for entry in found if entry.number == number]
    if not found:
        numbered = "" if number is None else f" under number {number}"
        raise NotFound(f"there is no deleted {kind} '{name}'{numbered}; see `list deleted`")
    if found[0].kind != kind:
        raise Conflict(
            f"{kind} {name} was deleted together with {found[0].kind} {found[0].name}; "
            f"`{_undo(found[0])}` brings both back"
        )
    return found[0]


def _with_commit(tx: Transaction, name: str) -> list[TrashEntry]:
    repo, at, commit_id = name.rpartition("@")
    if not is_commit_id(commit_id):
        raise NotFound(f"{name!r} is not the id of a commit; a deleted one is named by repo@id")
    holders: dict[int, None] = {}
    for entry, commit in tables.trashed_with_id(tx, commit_id):
        if not at or _repo_name(tx, commit.repo) == repo:
            holders[entry] = None
    found = [tables.entry_numbered(tx, number) for number in holders]
    return [entry for entry in found if entry is not None]


def _repo_name(tx: Transaction, number: int) -> str:
    """The name of a repo that is there or in the trash."""
    living = tables.repo_numbered(tx, number)
    if living is not None:
        return living.name
    entry = tables.entry_holding(tx, "repo", number)
    rows = [] if entry is None else tables.kept_rows(tx, entry, "repo")
    return next((str(row[2]) for row in rows if row[0] == number), "")


def roots_and_deltas(tx: Transaction) -> Iterator[tuple[str, str]]:
    """("root", id) and ("delta", id) of everything that may come back: none may be collected."""
    return tables.roots_and_deltas(tx)


# --- out of the trash -----------------------------------------------------------------------------


def restore(tx: Transaction, entry: TrashEntry, *, now: datetime, run_id: str) -> Restored:
    """Bring back what an entry holds and forget the entry.

    A branch whose head the deletion moved gets it back, unless it has moved on since. Triggers are
    looked at then, and where a branch downstream is due for a commit, that is opened in the run
    `run_id`. Raises Conflict for a name that is taken again, or where something that it hangs on
    has been deleted too (naming the command that brings that back), and ProvenanceLoop.
    """
    count = tables.commits_in(tx, entry.number)
    notes: list[str] = []
    _restore_repos(tx, entry)
    _restore_commits(tx, entry)
    _restore_tags(tx, entry)
    due = _restore_branches(tx, entry)
    due += _restore_sources(tx, entry, notes)
    due += _restore_heads(tx, entry, notes)
    _restore_triggers(tx, entry, notes)
    for row in tables.kept_rows(tx, entry.number, "branch_retention"):
        tables.put_row(tx, "branch_retention", row)
    opened = settle(tx, list(dict.fromkeys(due)), now=now, run_id=run_id, later=None)
    tables.delete_entry(tx, entry.number)
    return Restored(entry=entry, commits=count, opened=tuple(opened), notes=tuple(notes))


def _restore_repos(tx: Transaction, entry: TrashEntry) -> None:
    rows = tables.kept_rows(tx, entry.number, "repo")
    for row in rows:
        name = str(row[2])
        if tables.find_repo(tx, name) is not None:
            raise Conflict(
                f"there is another repo '{name}' by now; this one can only come back once that is "
                "deleted"
            )
        project = project_of(name)
        if tables.find_project(tx, project) is None:
            raise Conflict(
                f"project '{project}' of repo '{name}' was deleted too; make it again first, with "
                f"`create project {project}`"
            )
        tables.put_row(tx, "repo", row)
    if rows:
        tables.put_back_in_bulk(tx, entry.number)
        tables.touch_repos(tx, [int(str(row[0])) for row in rows])


def _restore_commits(tx: Transaction, entry: TrashEntry) -> None:
    trashed = tables.trashed_commits(tx, entry.number)
    for commit in trashed:
        repo = tables.repo_numbered(tx, commit.repo)
        if repo is None:
            holder = tables.entry_holding(tx, "repo", commit.repo)
            _refuse_without(tx, f"the repo of commit {commit.id}", holder)
        elif tables.find_commit(tx, repo, commit.id) is not None:
            raise Conflict(
                f"run {commit.id} has another commit in repo '{repo.name}' by now; the deleted one "
                "can only come back once that is deleted"
            )
    for _, source in tables.missing_sources(tx, entry.number):
        what = f"a commit that {entry.kind} {entry.name} was made from"
        _refuse_without(tx, what, tables.entry_of_commit(tx, source))
    for commit in trashed:  # oldest first: the parent of each is there already, if it comes back
        tables.put_back_commit(tx, commit.number)
    for commit in trashed:
        tables.put_back_children(tx, commit.number)
    tables.put_on_lines(tx, [commit.number for commit in trashed])
    tables.put_back_edges(tx, entry.number)
    tables.touch_repos(tx, sorted({commit.repo for commit in trashed}))


def _restore_tags(tx: Transaction, entry: TrashEntry) -> None:
    """Those of a repo that has come back just now, or one by itself."""
    for row in tables.kept_rows(tx, entry.number, "tag"):
        repo = tables.repo_numbered(tx, int(str(row[1])))
        if repo is None:
            holder = tables.entry_holding(tx, "repo", int(str(row[1])))
            _refuse_without(tx, f"the repo of tag {entry.name}", holder)
            continue
        name = str(row[2])
        for kind, taken in (
            ("tag", tables.find_tag(tx, repo, name)),
            ("branch", tables.find_branch(tx, repo, name)),
        ):
            if taken is not None:
                raise Conflict(
                    f"there is a {kind} {repo.name}@{name} by now; the deleted tag can only come "
                    "back once that is deleted"
                )
        commit = int(str(row[3]))
        if not tables.commit_exists(tx, commit):
            holder = tables.entry_of_commit(tx, commit)
            _refuse_without(tx, f"the commit of tag {repo.name}@{name}", holder)
        tables.put_row(tx, "tag", row)
        tables.touch_repos(tx, [repo.number])


def _restore_branches(tx: Transaction, entry: TrashEntry) -> list[BranchName]:
    """The branches themselves; what they are derived from comes when all are there."""
    due = []
    for row in tables.kept_rows(tx, entry.number, "branch"):
        repo = tables.repo_numbered(tx, int(str(row[1])))
        if repo is None:
            holder = tables.entry_holding(tx, "repo", int(str(row[1])))
            _refuse_without(tx, f"the repo of branch {entry.name}", holder)
            continue
        name = BranchName(repo=repo.name, branch=str(row[2]))
        if tables.find_branch(tx, repo, name.branch) is not None:
            raise Conflict(
                f"there is another branch {name} by now; this one can only come back once that is "
                "deleted"
            )
        if tables.find_tag(tx, repo, name.branch) is not None:
            raise Conflict(
                f"there is a tag {name} by now; the branch can only come back once that is deleted"
            )
        head = row[3]
        if head is not None and not tables.commit_exists(tx, int(str(head))):
            holder = tables.entry_of_commit(tx, int(str(head)))
            _refuse_without(tx, f"the head of branch {name}", holder)
        tables.put_row(tx, "branch", row)
        if entry.kind == "branch":  # it is the last one moved; those of a repo keep their order
            tables.move_branch(tx, int(str(row[0])), None if head is None else int(str(head)))
        tables.touch_repos(tx, [repo.number])
        due.append(name)
    return due


def _restore_sources(tx: Transaction, entry: TrashEntry, notes: list[str]) -> list[BranchName]:
    """What the branches are derived from, and what was derived from them and lost that by force."""
    mine = {int(str(row[0])) for row in tables.kept_rows(tx, entry.number, "branch")}
    left = {row[0]: row[1:] for row in tables.kept_rows(tx, entry.number, "cut")}
    changed: dict[int, BranchRow] = {}
    skipped: set[int] = set()
    for row in tables.kept_rows(tx, entry.number, "branch_provenance"):
        number, source = int(str(row[0])), int(str(row[1]))
        derived = tables.branch_numbered(tx, number)
        if derived is None:
            holder = tables.entry_holding(tx, "branch", number)
            if holder is not None:  # it would come back without its provenance otherwise
                _refuse_without(tx, "a branch that was derived from this one", holder)
            continue
        if number not in mine and number not in changed:
            sources = [s.number for s in tables.sources_of(tx, number)]
            if sources != left.get(number):
                skipped.add(number)
        if number in skipped:
            continue
        if tables.branch_numbered(tx, source) is None:
            holder = tables.entry_holding(tx, "branch", source)
            _refuse_without(tx, f"a branch that {derived.name} is derived from", holder)
        tables.put_row(tx, "branch_provenance", row)
        changed[number] = derived
    for derived in changed.values():
        if tables.remove_retention(tx, derived.number):  # set while it was derived from nothing
            notes.append(f"branch {derived.name} is derived from others again: its rules are gone")
        if tables.trigger_of(tx, derived.number) is not None:  # set in that time, too
            tables.remove_trigger(tx, derived.number)
            notes.append(f"branch {derived.name} is derived from others again: its trigger is gone")
        below = tables.flows_to(tx, derived.number)
        if any(s.number in below for s in tables.sources_of(tx, derived.number)):
            raise ProvenanceLoop(derived.repo.name, derived.branch)
        refuse_shared_runs(tx, derived)
    due = [derived.name for derived in changed.values()]
    for number in sorted(skipped):
        branch = tables.branch_numbered(tx, number)
        if branch is not None:
            notes.append(f"branch {branch.name} is derived from others by now, and stays so")
            due.append(branch.name)  # its head may be made from more than it is derived from again
    return due


def _restore_heads(tx: Transaction, entry: TrashEntry, notes: list[str]) -> list[BranchName]:
    due = []
    for number, was, left in tables.kept_rows(tx, entry.number, "head"):
        branch = tables.branch_numbered(tx, int(str(number)))
        if branch is None:
            continue
        if branch.head != left:
            notes.append(f"branch {branch.name} has moved on since, and stays where it is")
            continue
        tables.move_branch(tx, branch.number, int(str(was)))
        due.append(branch.name)
    return due


def _restore_triggers(tx: Transaction, entry: TrashEntry, notes: list[str]) -> None:
    """The triggers of the branches and those that looked at them, as far as they still can be."""
    for row in tables.kept_rows(tx, entry.number, "branch_trigger"):
        number, source = int(str(row[0])), int(str(row[1]))
        branch = tables.branch_numbered(tx, number)
        if branch is None:
            continue
        if (
            tables.branch_numbered(tx, source) is None
            or tables.trigger_of(tx, number) is not None
            or tables.sources_of(tx, number)
            or source in tables.flows_to(tx, number)
        ):
            notes.append(f"branch {branch.name} has lost its trigger: set it again if you need it")
            continue
        tables.put_row(tx, "branch_trigger", row)


def _refuse_without(tx: Transaction, what: str, holder: int | None) -> None:
    """Raise Conflict: something that the restored thing hangs on is deleted itself."""
    entry = None if holder is None else tables.entry_numbered(tx, holder)
    if entry is None:
        raise Conflict(f"{what} was erased for good, so this can't be brought back")
    raise Conflict(f"{what} was deleted too; bring that back first, with `{_undo(entry)}`")


def _undo(entry: TrashEntry) -> str:
    return f"undelete {entry.kind} {entry.name}"


# --- away for good --------------------------------------------------------------------------------


def expire(tx: Transaction, *, before: datetime) -> int:
    """Forget what was deleted at `before` or earlier; returns how many deletions that were."""
    old = tables.entries_before(tx, before)
    for number in old:
        forget(tx, number)
    return len(old)


def forget(tx: Transaction, number: int) -> None:
    """Forget one deletion for good."""
    entry = tables.entry_numbered(tx, number)
    assert entry is not None, "an entry is forgotten once"
    if entry.kind in _WHOLE:
        tables.forget_repo(tx, number)
    else:
        tables.forget_commits(tx, number)
    tables.delete_entry(tx, number)


def forget_everything(tx: Transaction) -> None:
    """Empty the trash."""
    tables.forget_everything(tx)
