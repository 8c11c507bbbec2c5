"""Rules that say which commits of a branch stay, and what they come to.

The rules of `policy` say what a branch wants to keep. Other things keep commits too: the heads of
branches, tags, other branches, what was made from them, what is still being written. What nothing
keeps is squashed: no file of any later commit changes, and it lies in the trash for a while.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import Conflict, NotFound
from trunkline.model.retention import RetentionInfo
from trunkline.model.versions import BranchName, Retention, is_spec_repo
from trunkline.versions import policy, tables
from trunkline.versions.branches import require_branch
from trunkline.versions.records import BranchRow, CommitRecord
from trunkline.versions.repos import require_repo


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A commit and why it stays; without a reason it goes, with what was `derived` from it."""

    commit: CommitRecord
    reasons: tuple[str, ...]
    derived: tuple[CommitRecord, ...] = ()


# --- rules ----------------------------------------------------------------------------------------


def set_retention(
    tx: Transaction, repo: str, branch: str, rules: Retention, *, now: datetime
) -> RetentionInfo:
    """Give a branch rules, in place of those it has.

    Raises BranchNotFound, InvalidInput for rules that keep nothing, and Conflict for a branch that
    a pipeline writes, whose commits go with those that they were made from, or of specs.
    """
    policy.check_rules(rules)
    row = require_branch(tx, require_repo(tx, repo), branch)
    if is_spec_repo(repo):
        raise Conflict(f"branch {row.name} holds the versions of a pipeline, which stay with it")
    if tables.sources_of(tx, row.number):
        raise Conflict(
            f"branch {row.name} is derived from others, and its commits go with those that they "
            "were made from: set rules for those branches, with --derived"
        )
    tables.replace_retention(tx, row.number, rules, now)
    tables.touch_repos(tx, [row.repo.number])
    return _info(row, rules, now)


def retention_info(tx: Transaction, repo: str, branch: str) -> RetentionInfo:
    """The rules of a branch; raises NotFound if it has none, BranchNotFound."""
    row = require_branch(tx, require_repo(tx, repo), branch)
    found = tables.retention_of(tx, row.number)
    if found is None:
        raise NotFound(f"branch {row.name} has no retention rules; all its commits stay")
    return _info(row, *found)


def list_retentions(tx: Transaction) -> list[RetentionInfo]:
    """The rules of all branches, by repo and branch."""
    infos = []
    for number in tables.branches_with_retention(tx):
        row, found = tables.branch_numbered(tx, number), tables.retention_of(tx, number)
        if row is not None and found is not None:
            infos.append(_info(row, *found))
    return sorted(infos, key=lambda info: (info.repo, info.branch))


def delete_retention(tx: Transaction, repo: str, branch: str) -> None:
    """Take a branch its rules: from now on all its commits stay. Raises as `retention_info`."""
    retention_info(tx, repo, branch)
    row = require_branch(tx, require_repo(tx, repo), branch)
    tables.remove_retention(tx, row.number)
    tables.touch_repos(tx, [row.repo.number])


def _info(row: BranchRow, rules: Retention, created: datetime) -> RetentionInfo:
    return RetentionInfo(repo=row.repo.name, branch=row.branch, rules=rules, created=created)


# --- what they come to ----------------------------------------------------------------------------


def judge(tx: Transaction, repo: str, branch: str) -> list[Verdict]:
    """Every commit of a branch, newest first, and why it stays or that it goes.

    Costs the commits of the branch, and for those that no rule keeps what was made from them.
    Raises as `retention_info`.
    """
    rules = retention_info(tx, repo, branch).rules
    row = require_branch(tx, require_repo(tx, repo), branch)
    if row.head is None:
        return []
    line = list(tables.ancestors(tx, row.head))
    keepers = _Keepers(tx, row, line)
    verdicts = []
    for commit, why in zip(line, _wanted(line, rules), strict=True):
        found = [*why, *keepers.of(commit)]
        derived: tuple[CommitRecord, ...] = ()
        if not found:
            derived = tuple(tables.made_from(tx, commit.number))
            found += _kept_by(tx, derived, rules, keepers.steps)
        verdicts.append(
            Verdict(commit=commit, reasons=tuple(found), derived=() if found else derived)
        )
    return verdicts


def stamp(tx: Transaction) -> tuple[int, str]:
    """What is another one whenever verdicts may be: it is cheap to ask."""
    return tables.last_number(tx), tables.step_arguments(tx)


def doomed(verdicts: Sequence[Verdict], most: int) -> list[CommitRecord]:
    """The oldest commits that go, with what was made from them, about so many, oldest first."""
    found: dict[int, CommitRecord] = {}
    for verdict in reversed(verdicts):
        if not verdict.reasons:
            found |= {commit.number: commit for commit in (verdict.commit, *verdict.derived)}
            if len(found) >= most:
                break
    return [commit for _, commit in sorted(found.items())]


def _wanted(line: Sequence[CommitRecord], rules: Retention) -> list[list[str]]:
    """Why the rules keep each finished commit; open ones are none of their business."""
    closed = [commit for commit in line if commit.finished is not None]
    reasons = policy.reasons([commit.started for commit in closed], rules)
    of = {commit.number: why for commit, why in zip(closed, reasons, strict=True)}
    return [of.get(commit.number, ["open"]) for commit in line]


def _kept_by(
    tx: Transaction, derived: Sequence[CommitRecord], rules: Retention, steps: str
) -> Iterator[str]:
    """What of the commits that were made from one keeps it; one reason is enough."""
    for made in derived:
        if made.finished is None:
            yield f"{made.name} is being made from it"
        elif not rules.derived:
            yield f"{made.name} was made from it"
        elif heads := tables.branches_at(tx, made.number):
            yield f"{made.name}, made from it, is the head of {heads[0].branch}"
        elif tags := tables.tags_at(tx, made.number):
            yield f"{made.name}, made from it, is tagged {tags[0]}"
        elif not (children := tables.children_of(tx, made.number)):
            yield f"nothing was made on top of {made.name}, made from it"
        elif made.id in steps:
            yield f"{made.name}, made from it, is named in a transaction"
        elif any(child.finished is None for child in children):
            yield f"a commit on top of {made.name}, made from it, is open"
        else:
            continue
        return


class _Keepers:
    """What keeps commits of a branch besides its rules; asked for once, then looked up."""

    def __init__(self, tx: Transaction, row: BranchRow, line: Sequence[CommitRecord]) -> None:
        self._heads: dict[int, str] = {}
        self._shared: list[tuple[str, int, frozenset[int]]] = []
        for branch in tables.branches_of(tx, row.repo):
            if branch.head is None:
                continue
            self._heads.setdefault(branch.head, branch.branch)
            upto = tables.newest_in_both(tx, line[0].number, branch.head)
            if branch.number != row.number and upto is not None:
                self._shared.append((branch.branch, upto, _let_go(tx, branch)))
        self._tags = {tag.commit: tag.name for tag in tables.tags_of(tx, row.repo)}
        self._open = dict(tables.open_children(tx, row.repo))
        self.steps = tables.step_arguments(tx)

    def of(self, commit: CommitRecord) -> Iterator[str]:
        number = commit.number
        if number in self._heads:
            yield f"head of {self._heads[number]}"
        if number in self._tags:
            yield f"tagged {self._tags[number]}"
        for name, upto, goes in self._shared:
            if number <= upto and number not in goes:
                yield f"on {name}"
        if number in self._open:
            yield f"{self._open[number]} on top of it is open"
        if commit.id in self.steps:
            yield "named in a transaction"


def _let_go(tx: Transaction, branch: BranchRow) -> frozenset[int]:
    """The commits that the rules of a branch do not keep; without rules, none."""
    found = tables.retention_of(tx, branch.number)
    if found is None or branch.head is None:
        return frozenset()
    line = list(tables.ancestors(tx, branch.head))
    wanted = _wanted(line, found[0])
    return frozenset(c.number for c, why in zip(line, wanted, strict=True) if not why)


def branches_with_rules(tx: Transaction) -> list[BranchName]:
    rows = [tables.branch_numbered(tx, number) for number in tables.branches_with_retention(tx)]
    return [row.name for row in rows if row is not None]
