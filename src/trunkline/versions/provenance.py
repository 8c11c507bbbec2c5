"""What was made from what, and the propagation of a change to all that is derived from it.

Direct provenance alone is stored, for branches (what a branch is derived from) and for commits
(which commits one was made from); everything transitive is a recursive query.

The rule that `propagate` keeps, for every branch B that is derived from others: if any of them
outside of `__spec__` has a head, then the head of B was made from exactly the heads that they have
now. By induction over the graph this holds transitively: whatever way leads from B up to a branch
A, it is the one current head of A that B's head was made from, which is why the sides of a diamond
always agree.

A source may be *quiet*: no commit of it is a reason to open one on B. When there is another
reason, B's new commit is made from the head that the source has then (after this change, where it
moves in the same one). So the rule is about the sources that are not quiet; of a quiet one, B's
head was made from a commit that was its head once, and where a way leads through it, the sides of a
diamond may differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from hashlib import blake2b

from trunkline.db.database import Transaction
from trunkline.errors import CommitNotFound, Conflict
from trunkline.model.versions import BranchName, CommitName, Origin, is_spec_repo
from trunkline.versions import tables
from trunkline.versions.records import (
    BranchRow,
    CommitRecord,
    NewCommit,
    OpenedCommit,
    RepoRow,
    Source,
)
from trunkline.versions.repos import require_repo

__all__ = ["OpenedCommit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A branch and the branches that it is directly derived from, all by number."""

    branch: int
    name: BranchName
    sources: tuple[int, ...]
    quiet: frozenset[int] = frozenset()  # those of the sources that are


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A branch that needs a new commit, to be made from the heads of `sources`."""

    branch: int
    name: BranchName
    sources: tuple[int, ...]


def plan_outputs(
    derived: Mapping[int, Derived],
    *,
    heads: Mapping[int, Source | None],
    made_from: Mapping[int, frozenset[Source]],
    system: frozenset[int],
) -> list[Output]:
    """Which branches need a new commit, upstream first; the heart of propagation.

    `derived` holds the branches that may need one (every branch downstream of a moved head);
    `heads` the head commits of those and of all their sources; `made_from` the direct provenance of
    the heads of `derived`, without what is of quiet sources, by the number of the commit; `system`
    the branches of `__spec__`. Pure.

    Branches are visited in topological order, each once, so a branch at the bottom of a diamond is
    visited after both sides and gets one commit. It is passed over when

    * none of its sources, or only `__spec__` ones, will have a head: there is no data yet; or
    * none of its sources that are not quiet gets a new commit here, and its head was made from just
      their heads, each as the head of that branch (two branches of one repo can change places).
    """
    planned: dict[int, Output] = {}
    for branch in _upstream_first(derived):
        sources = tuple(
            source
            for source in branch.sources
            if source in planned or heads.get(source) is not None
        )
        if all(source in system for source in sources):
            continue
        head = heads.get(branch.branch)
        loud = [source for source in sources if source not in branch.quiet]
        unmoved = planned.keys().isdisjoint(loud)
        if unmoved and head is not None and made_from[head.commit] == {heads[s] for s in loud}:
            continue
        planned[branch.branch] = Output(branch=branch.branch, name=branch.name, sources=sources)
    return list(planned.values())


def _upstream_first(derived: Mapping[int, Derived]) -> list[Derived]:
    """In topological order; what is equally far down, by name."""
    sorter = TopologicalSorter(
        {number: [s for s in d.sources if s in derived] for number, d in derived.items()}
    )
    sorter.prepare()
    ordered: list[Derived] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        ordered.extend(sorted((derived[number] for number in ready), key=lambda d: str(d.name)))
        sorter.done(*ready)
    return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is due, upstream first, and what it hangs on, by the number of the branch."""

    outputs: list[Output]
    rows: dict[int, BranchRow]
    heads: dict[int, Source | None]


def _plan(tx: Transaction, branches: Sequence[BranchName]) -> _Plan:
    """What has become due on and below branches whose heads or sources changed."""
    rows: dict[int, BranchRow] = {}
    for name in branches:
        start = tables.find_branch(tx, require_repo(tx, name.repo), name.branch)
        if start is not None:
            rows.update((row.number, row) for row in tables.woken_by(tx, start.number))
    derived: dict[int, Derived] = {}
    for row in list(rows.values()):
        sources = tables.sources_of(tx, row.number)
        rows.update((source.number, source) for source in sources)
        if sources:
            derived[row.number] = Derived(
                branch=row.number,
                name=row.name,
                sources=tuple(s.number for s in sources),
                quiet=tables.quiet_sources_of(tx, row.number),
            )
    heads = {
        number: None if row.head is None else Source(commit=row.head, branch=row.branch)
        for number, row in rows.items()
    }
    outputs = plan_outputs(
        derived,
        heads=heads,
        made_from={
            head.commit: tables.loud_sources_of_commit(tx, head.commit, number)
            for number, head in ((number, heads[number]) for number in derived)
            if head is not None
        },
        system=frozenset(n for n, row in rows.items() if is_spec_repo(row.repo.name)),
    )
    return _Plan(outputs=outputs, rows=rows, heads=heads)


def propagate(
    tx: Transaction, branches: Sequence[BranchName], *, now: datetime, run_id: str
) -> list[OpenedCommit]:
    """Open the commits that have become due on and below branches whose heads or sources changed.

    All of them belong to the run `run_id`; each is the new head of its branch, with the old head as
    its parent. Returns them upstream first. Raises Conflict if the run would get a second commit in
    one repo: a run has one commit per repo, which is what makes `repo@run` a name.
    """
    return _carry_out(tx, _plan(tx, branches), now=now, run_id=run_id)


def propagate_apart(
    tx: Transaction, branches: Sequence[BranchName], *, now: datetime, run_id: str
) -> list[OpenedCommit]:
    """`propagate` for branches that nobody has said to be one run.

    Where the run would get a second commit in one repo, the branches are taken by name, and each
    goes into the first of as few runs as it takes that has room for it: `run_id`, and others whose
    ids come from that.
    """
    plan = _plan(tx, branches)
    if _twins(plan.outputs) is None:
        return _carry_out(tx, plan, now=now, run_id=run_id)
    groups: list[list[BranchName]] = []
    for name in sorted(branches, key=str):
        fits = (g for g in groups if _twins(_plan(tx, [*g, name]).outputs) is None)
        if (group := next(fits, None)) is None:
            groups.append(group := [])
        group.append(name)
    opened: list[OpenedCommit] = []
    for number, group in enumerate(groups):
        run = derived_run(run_id, f"part {number}") if number else run_id
        opened += propagate(tx, group, now=now, run_id=run)
    return opened


def derived_run(run_id: str, what: str) -> str:
    """The id of one more run for what a run has set off; in the shape that ids have."""
    digest = blake2b(f"{run_id} {what}".encode(), digest_size=16).hexdigest()
    return f"{digest[:12]}4{digest[13:16]}8{digest[17:]}"


def _carry_out(tx: Transaction, plan: _Plan, *, now: datetime, run_id: str) -> list[OpenedCommit]:
    if twins := _twins(plan.outputs):
        raise Conflict(
            "multiple branches of one repo can't take part in one run: this change would make "
            f"commits on {twins[0].name} and on {twins[1].name}"
        )
    heads = plan.heads
    opened: list[OpenedCommit] = []
    for output in plan.outputs:
        made_of = tuple(head for s in output.sources if (head := heads[s]) is not None)
        commit = _open(tx, plan.rows[output.branch], sources=made_of, now=now, run_id=run_id)
        heads[output.branch] = Source(commit=commit.number, branch=output.name.branch)
        opened.append(
            OpenedCommit(
                commit=commit,
                inputs=tuple(source.name for source in tables.inputs_of(tx, commit.number)),
            )
        )
    return opened


def settle(
    tx: Transaction,
    branches: Sequence[BranchName],
    *,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None,
) -> list[OpenedCommit]:
    """`propagate`, or with `later` only note the branches there, for one who does it for all."""
    if later is None:
        return propagate(tx, branches, now=now, run_id=run_id)
    later.extend(branches)
    return []


def _twins(outputs: Sequence[Output]) -> tuple[Output, Output] | None:
    """Two commits of one repo, if there are such."""
    first: dict[str, Output] = {}
    for output in outputs:
        twin = first.setdefault(output.name.repo, output)
        if twin is not output:
            return twin, output
    return None


def _open(
    tx: Transaction,
    branch: BranchRow,
    *,
    sources: tuple[Source, ...],
    now: datetime,
    run_id: str,
) -> CommitRecord:
    new = NewCommit(
        id=run_id,
        branch=branch.branch,
        origin=Origin.AUTO,
        parent=branch.head,
        description="",
        sources=sources,
    )
    return add_commit(tx, branch, new, now=now)


def add_commit(
    tx: Transaction, branch: BranchRow, new: NewCommit, *, now: datetime
) -> CommitRecord:
    """Insert a commit and make it the head of a branch."""
    refuse_second(tx, branch.repo, new.id)
    commit = tables.insert_commit(tx, branch.repo, new, now)
    tables.move_branch(tx, branch.number, commit.number)
    tables.touch_repos(tx, [branch.repo.number])
    return commit


def sources_by_hand(tx: Transaction, branch: BranchRow) -> tuple[Source, ...] | None:
    """What a commit that somebody puts on a branch is made from; None: nobody may.

    That is nothing, or the specs at the heads of its sources, where it is derived from specs alone:
    the code that they describe runs by itself, and puts its commits as a user does.
    """
    sources = tables.sources_of(tx, branch.number)
    if not all(is_spec_repo(source.repo.name) for source in sources):
        return None
    return tuple(
        Source(commit=source.head, branch=source.branch)
        for source in sources
        if source.head is not None
    )


def refuse_second(tx: Transaction, repo: RepoRow, run_id: str) -> None:
    """Raise Conflict if a run already has a commit in a repo."""
    if tables.find_commit(tx, repo, run_id) is not None:
        raise second_of_run(repo, run_id)


def second_of_run(repo: RepoRow, run_id: str) -> Conflict:
    return Conflict(
        f"run {run_id} already has a commit in repo '{repo.name}', and can have only one"
    )


def refuse_shared_runs(tx: Transaction, branch: BranchRow) -> None:
    """Raise Conflict if one commit somewhere upstream would make two commits in one repo."""
    if twins := tables.twins_below_one_root(tx, branch.number):
        origin, first, second = twins
        raise Conflict(
            "multiple branches of one repo can't take part in one DAG: a commit on "
            f"{origin} would reach both {first} and {second}"
        )


# --- questions ------------------------------------------------------------------------------------


def provenance_of(tx: Transaction, commit: CommitRecord) -> list[CommitName]:
    """All that a commit was made from, `__spec__` included.

    Nearest first, where the distance is that of the longest way: a commit comes before everything
    that it was made from itself. What is equally far is in the order of repo names.
    """
    return [name for name, _ in tables.provenance_of(tx, commit.number)]


def direct_provenance(tx: Transaction, commit: CommitRecord) -> list[CommitName]:
    """What a commit was made from directly, in the order of its branch's provenance."""
    return [source.name for source in inputs_of(tx, commit)]


def inputs_of(tx: Transaction, commit: CommitRecord) -> list[CommitRecord]:
    """The direct provenance of a commit, `__spec__` included, in its branch's order."""
    return tables.inputs_of(tx, commit.number)


def input_commits(tx: Transaction, repo: str, commit_id: str) -> dict[BranchName, CommitRecord]:
    """The direct provenance of a commit by the branch that each was the head of."""
    commit = _commit(tx, repo, commit_id)
    return {
        BranchName(repo=source.repo, branch=branch): source
        for branch, source in tables.sources_by_branch(tx, commit.number)
    }


def inputs_of_all(
    tx: Transaction, commits: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[BranchName, str]]:
    """The ids of the direct provenance of some commits, named by repo and id, by branch.

    Commits that are not there, or were made from nothing, are left out.
    """
    found: dict[tuple[str, str], dict[BranchName, str]] = {}
    for derived, source, commit in tables.sources_of_all(tx, commits):
        found.setdefault(derived, {})[source] = commit
    return found


def subvenance_of(tx: Transaction, commit: CommitRecord) -> list[CommitName]:
    """All that was made from a commit, transitively, oldest first (so upstream first)."""
    return [derived.name for derived in made_from(tx, commit)]


def made_from(tx: Transaction, commit: CommitRecord) -> list[CommitRecord]:
    """As `subvenance_of`, with all that is recorded of these commits."""
    return tables.made_from(tx, commit.number)


def all_provenance_finished(tx: Transaction, commit: CommitRecord) -> bool:
    """Whether everything that a commit was made from, transitively, is finished."""
    return all(finished for _, finished in tables.provenance_of(tx, commit.number))


def unfinished_inputs(tx: Transaction, repo: str, commit_id: str) -> list[CommitName]:
    """The direct inputs of a commit that are still open."""
    return [c.name for c in _inputs_by_name(tx, repo, commit_id) if c.finished is None]


def failed_inputs(tx: Transaction, repo: str, commit_id: str) -> list[CommitRecord]:
    """The direct inputs of a commit that were finished with an error."""
    return [c for c in _inputs_by_name(tx, repo, commit_id) if c.error is not None]


def _inputs_by_name(tx: Transaction, repo: str, commit_id: str) -> list[CommitRecord]:
    return tables.inputs_of(tx, _commit(tx, repo, commit_id).number)


def _commit(tx: Transaction, repo: str, commit_id: str) -> CommitRecord:
    commit = tables.find_commit(tx, require_repo(tx, repo), commit_id)
    if commit is None:
        raise CommitNotFound(repo, commit_id)
    return commit


def downstream_branches(tx: Transaction, branch: BranchName) -> list[BranchName]:
    """All branches that are derived from one, transitively, upstream first."""
    start = tables.find_branch(tx, require_repo(tx, branch.repo), branch.branch)
    if start is None:
        return []
    derived = {
        row.number: Derived(
            branch=row.number,
            name=row.name,
            sources=tuple(s.number for s in tables.sources_of(tx, row.number)),
        )
        for row in tables.downstream_of(tx, start.number)
        if row.number != start.number
    }
    return [d.name for d in _upstream_first(derived)]
