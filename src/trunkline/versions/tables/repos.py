"""SQL on repos."""

from collections.abc import Sequence
from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.names import project_of
from trunkline.versions.records import RepoRow
from trunkline.versions.tables.numbers import LATEST, give_out

_REPO = "SELECT number, name, description, created_us FROM repo"


def insert_repo(
    tx: Transaction, name: str, *, description: str, system: bool, now: datetime
) -> None:
    give_out(tx)
    tx.execute(
        "INSERT INTO repo (number, project, name, description, system, created_us, changed) "
        f"VALUES ({LATEST}, :project, :name, :description, :system, :now, {LATEST})",
        project=project_of(name),
        name=name,
        description=description,
        system=int(system),
        now=to_microseconds(now),
    )


def find_repo(tx: Transaction, name: str) -> RepoRow | None:
    row = tx.row(
        f"{_REPO} WHERE project = :project AND name = :name", project=project_of(name), name=name
    )
    return None if row is None else repo_row(row)


def repo_numbered(tx: Transaction, number: int) -> RepoRow | None:
    row = tx.row(f"{_REPO} WHERE number = :number", number=number)
    return None if row is None else repo_row(row)


def all_repos(tx: Transaction, project: str | None = None) -> list[RepoRow]:
    """All (of a project) but the system ones, last changed first; what changed at once, by name."""
    return _repos(tx, project, system=False)


def system_repos(tx: Transaction, project: str | None = None) -> list[RepoRow]:
    """The system repos (of a project), in the same order."""
    return _repos(tx, project, system=True)


def _repos(tx: Transaction, project: str | None, *, system: bool) -> list[RepoRow]:
    rows = tx.rows(
        f"{_REPO} WHERE system = :system AND project = COALESCE(:project, project) "
        "ORDER BY changed DESC, name",
        system=int(system),
        project=project,
    )
    return [repo_row(row) for row in rows]


def describe_repo(tx: Transaction, repo: RepoRow, description: str) -> None:
    tx.execute(
        "UPDATE repo SET description = :description WHERE number = :repo",
        repo=repo.number,
        description=description,
    )


def touch_repos(tx: Transaction, repos: Sequence[int], *, changed: int | None = None) -> None:
    """Mark repos as changed now, all at once; `changed` as in `move_branch`."""
    if changed is None:
        give_out(tx)
    for repo in repos:
        tx.execute(
            f"UPDATE repo SET changed = COALESCE(:changed, {LATEST}) WHERE number = :repo",
            repo=repo,
            changed=changed,
        )


def delete_repo(tx: Transaction, repo: RepoRow) -> None:
    """Remove a repo, its branches and commits, and every trace of them in provenance."""
    mine = "(SELECT number FROM commit_record WHERE repo = :repo)"
    branches = "(SELECT number FROM branch WHERE repo = :repo)"
    for statement in (
        f"DELETE FROM branch_provenance WHERE derived IN {branches} OR source IN {branches}",
        "DELETE FROM tag WHERE repo = :repo",
        "DELETE FROM branch WHERE repo = :repo",
        f"DELETE FROM commit_delta WHERE commit_number IN {mine}",
        f"DELETE FROM commit_provenance WHERE derived IN {mine} OR source IN {mine}",
        "DELETE FROM run WHERE id IN (SELECT id FROM commit_record WHERE repo = :repo) AND NOT "
        "EXISTS (SELECT 1 FROM commit_record c WHERE c.id = run.id AND c.repo <> :repo)",
        "DELETE FROM commit_record WHERE repo = :repo",
        "DELETE FROM repo WHERE number = :repo",
    ):
        tx.execute(statement, repo=repo.number)


def sizes_of_heads(
    tx: Transaction, repo: RepoRow | None = None
) -> list[tuple[int, str, int | None, int]]:
    """For each branch, of a repo or of all but the system ones: the number of its repo, its name,
    and number and bytes of the newest finished commit on its line (None: there is none).
    """
    which = "r.system = 0" if repo is None else "b.repo = :repo"
    return [
        (int(number), str(branch), None if head is None else int(head), int(size or 0))
        for number, branch, head, size in tx.rows(
            "WITH RECURSIVE line(branch, number, parent, finished_us, size_bytes) AS ("
            " SELECT b.number, c.number, c.parent, c.finished_us, c.size_bytes"
            " FROM branch b JOIN repo r ON r.number = b.repo"
            f" JOIN commit_record c ON c.number = b.head WHERE {which}"
            " UNION ALL"
            " SELECT l.branch, c.number, c.parent, c.finished_us, c.size_bytes"
            " FROM line l JOIN commit_record c ON c.number = l.parent AND c.number < l.number"
            " WHERE l.finished_us IS NULL) "
            "SELECT b.repo, b.name, l.number, l.size_bytes"
            " FROM branch b JOIN repo r ON r.number = b.repo"
            " LEFT JOIN line l ON l.branch = b.number AND l.finished_us IS NOT NULL "
            f"WHERE {which} ORDER BY b.name",
            repo=None if repo is None else repo.number,
        )
    ]


def repos_made_from(tx: Transaction, repo: RepoRow) -> list[str]:
    """Names of other repos with commits that were made from commits of this one."""
    rows = tx.rows(
        "SELECT DISTINCT r.name FROM commit_record s "
        "JOIN commit_provenance e ON e.source = s.number "
        "JOIN commit_record d ON d.number = e.derived AND d.repo <> s.repo "
        "JOIN repo r ON r.number = d.repo WHERE s.repo = :repo ORDER BY r.name",
        repo=repo.number,
    )
    return [str(name) for (name,) in rows]


def repo_row(row: Row) -> RepoRow:
    """The first four columns of a repo."""
    number, name, description, created_us = row
    return RepoRow(
        number=number, name=name, description=description, created=from_microseconds(created_us)
    )
