"""SQL on the changes of open commits, the provenance of commits, and runs."""

from collections.abc import Sequence
from datetime import datetime

from trunkline.db.database import Transaction, among
from trunkline.db.times import from_microseconds
from trunkline.model.versions import BranchName, CommitName
from trunkline.versions.records import CommitRecord, Source
from trunkline.versions.tables.commits import (
    COMMIT_ROW,
    FIELDS,
    JOINS,
    commit_record,
)

_PAGE = 300


def append_deltas(tx: Transaction, commit: int, deltas: Sequence[str]) -> None:
    there = tx.rows(
        "SELECT COALESCE(MAX(position), -1) + 1 FROM commit_delta WHERE commit_number = :commit",
        commit=commit,
    )
    tx.execute_many(
        "INSERT INTO commit_delta (commit_number, position, delta) "
        "VALUES (:commit, :position, :delta)",
        [
            {"commit": commit, "position": position, "delta": delta}
            for position, delta in enumerate(deltas, start=int(there[0][0]))
        ],
    )


def deltas_of(tx: Transaction, commit: int) -> list[str]:
    rows = tx.rows(
        "SELECT delta FROM commit_delta WHERE commit_number = :commit ORDER BY position",
        commit=commit,
    )
    return [str(delta) for (delta,) in rows]


def inputs_of(tx: Transaction, commit: int) -> list[CommitRecord]:
    """The direct provenance of a commit, each once, in the order of its branch's provenance."""
    return list(dict.fromkeys(source for _, source in sources_by_branch(tx, commit)))


def sources_by_branch(tx: Transaction, commit: int) -> list[tuple[str, CommitRecord]]:
    """The direct provenance of a commit with the branch that each was the head of."""
    rows = tx.rows(
        f"SELECT e.branch, {FIELDS} FROM commit_record c {JOINS} "
        "JOIN commit_provenance e ON e.source = c.number "
        "WHERE e.derived = :commit ORDER BY e.position",
        commit=commit,
    )
    return [(str(row[0]), commit_record(row[1:])) for row in rows]


def sources_of_all(
    tx: Transaction, commits: Sequence[tuple[str, str]]
) -> list[tuple[tuple[str, str], BranchName, str]]:
    """Repo and id of each of some commits, with the branches and ids of its direct provenance."""
    found = []
    wanted = set(commits)
    for start in range(0, len(commits), _PAGE):
        page = commits[start : start + _PAGE]
        repos, of_repos = among(sorted({repo for repo, _ in page}))
        ids, of_ids = among(sorted({commit for _, commit in page}), "id")
        rows = tx.rows(
            "SELECT o.name, c.id, r.name, e.branch, s.id FROM commit_record c "
            "JOIN repo o ON o.number = c.repo JOIN commit_provenance e ON e.derived = c.number "
            "JOIN commit_record s ON s.number = e.source JOIN repo r ON r.number = s.repo "
            f"WHERE c.id IN {ids} AND o.name IN {repos} ORDER BY c.number, e.position",
            **of_repos,
            **of_ids,
        )
        for name, commit, repo, branch, source in rows:
            if (str(name), str(commit)) in wanted:
                at = BranchName(repo=str(repo), branch=str(branch))
                found.append(((str(name), str(commit)), at, str(source)))
    return found


def provenance_of(tx: Transaction, commit: int) -> list[tuple[CommitName, bool]]:
    """All that a commit was made from, nearest first, and whether it is finished.

    The distance is that of the longest way, which makes the order topological: a commit comes
    before all that it was made from itself. Ties are in the order of repo and branch name. What a
    commit was made from is older than it, so that even damaged rows make no endless round.
    """
    rows = tx.rows(
        "WITH RECURSIVE up(number, distance) AS ("
        " SELECT source, 1 FROM commit_provenance WHERE derived = :commit UNION"
        " SELECT e.source, up.distance + 1 FROM up JOIN commit_provenance e"
        " ON e.derived = up.number AND e.source < e.derived),"
        "far(number, distance) AS (SELECT number, MAX(distance) FROM up GROUP BY number) "
        "SELECT r.name, c.id, c.finished_us IS NOT NULL FROM far "
        "JOIN commit_record c ON c.number = far.number JOIN repo r ON r.number = c.repo "
        "ORDER BY far.distance, r.name, COALESCE(c.branch, ''), c.number",
        commit=commit,
    )
    return [(CommitName(repo=repo, id=commit_id), bool(done)) for repo, commit_id, done in rows]


def made_from(tx: Transaction, commit: int) -> list[CommitRecord]:
    """All commits that were made from one, transitively, oldest first (so upstream first)."""
    rows = tx.rows(
        "WITH RECURSIVE down(number) AS ("
        " SELECT derived FROM commit_provenance WHERE source = :commit UNION"
        " SELECT e.derived FROM commit_provenance e JOIN down ON e.source = down.number) "
        f"{COMMIT_ROW} WHERE c.number IN (SELECT number FROM down) ORDER BY c.number",
        commit=commit,
    )
    return [commit_record(row) for row in rows]


def loud_sources_of_commit(tx: Transaction, commit: int, branch: int) -> frozenset[Source]:
    """What a commit was directly made from, and by which branches.

    But for what it has of those that are quiet sources of `branch` now.
    """
    rows = tx.rows(
        "SELECT p.source, p.branch FROM commit_provenance p WHERE p.derived = :commit AND NOT "
        "EXISTS (SELECT 1 FROM branch_provenance e JOIN branch b ON b.number = e.source "
        "JOIN commit_record c ON c.number = p.source "
        "WHERE e.derived = :branch AND e.quiet = 1 AND b.name = p.branch AND b.repo = c.repo)",
        commit=commit,
        branch=branch,
    )
    return frozenset(Source(commit=source, branch=branch) for source, branch in rows)


def commits_of_run(tx: Transaction, run: str) -> list[CommitRecord]:
    """The commits of a run, oldest first (so upstream first)."""
    return [
        commit_record(row)
        for row in tx.rows(f"{COMMIT_ROW} WHERE c.id = :id ORDER BY c.number", id=run)
    ]


def find_run(tx: Transaction, run: str) -> datetime | None:
    """When a run began, or None if there is no such run."""
    row = tx.row("SELECT created_us FROM run WHERE id = :id", id=run)
    return None if row is None else from_microseconds(row[0])


def number_of_run(tx: Transaction, run: str) -> int | None:
    """Where a run is in the order in which they began, or None if there is no such run."""
    row = tx.row("SELECT number FROM run WHERE id = :id", id=run)
    return None if row is None else int(row[0])


def runs_newest_first(tx: Transaction, number: int, before: int | None = None) -> list[str]:
    """Ids of the newest runs, of those whose number is below `before`; 0 means all."""
    rows = tx.rows(
        "SELECT id FROM run WHERE number < :before ORDER BY number DESC LIMIT :most",
        before=2**62 if before is None else before,
        most=number if number else 2**62,
    )
    return [str(run) for (run,) in rows]
