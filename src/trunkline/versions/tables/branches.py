"""SQL on branches and on what they are derived from."""

from collections.abc import Collection, Sequence
from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.errors import Corrupt
from trunkline.model.names import project_of
from trunkline.model.versions import BranchName
from trunkline.versions.records import BranchRow, CommitRecord, RepoRow, Target
from trunkline.versions.tables.commits import FIELDS as COMMIT_FIELDS
from trunkline.versions.tables.commits import commit_record
from trunkline.versions.tables.numbers import LATEST, give_out
from trunkline.versions.tables.repos import repo_row

_FIELDS = "b.number, b.name, b.head, b.created_us, r.number, r.name, r.description, r.created_us"
_BRANCH = f"SELECT {_FIELDS} FROM branch b JOIN repo r ON r.number = b.repo"
_WITH_HEAD = (
    f"{COMMIT_FIELDS} FROM repo r JOIN branch b ON b.repo = r.number "
    "LEFT JOIN commit_record c ON c.number = b.head "
    "LEFT JOIN commit_record p ON p.number = c.parent "
    "WHERE r.project = :project AND r.name = :repo AND b.name = :branch"
)
_HEAD = f"SELECT {_FIELDS}, {_WITH_HEAD}"
# One statement for what every put asks: with one for each, they took longer than the disk.
_TARGET = (
    f"SELECT {_FIELDS}, "
    "EXISTS (SELECT 1 FROM branch_provenance e WHERE e.derived = b.number), "
    "EXISTS (SELECT 1 FROM branch_provenance e WHERE e.source = b.number), "
    "EXISTS (SELECT 1 FROM branch_trigger t WHERE t.branch = b.number OR t.source = b.number), "
    "EXISTS (SELECT 1 FROM commit_record o WHERE o.id = :run AND o.repo = r.number), "
    f"{_WITH_HEAD}"
)


def insert_branch(tx: Transaction, repo: RepoRow, name: str, now: datetime) -> None:
    give_out(tx)
    tx.execute(
        "INSERT INTO branch (number, repo, name, created_us, changed) "
        f"VALUES ({LATEST}, :repo, :name, :now, {LATEST})",
        repo=repo.number,
        name=name,
        now=to_microseconds(now),
    )


def find_branch(tx: Transaction, repo: RepoRow, name: str) -> BranchRow | None:
    row = tx.row(f"{_BRANCH} WHERE b.repo = :repo AND b.name = :name", repo=repo.number, name=name)
    return None if row is None else _branch(row)


def branch_named(tx: Transaction, name: BranchName) -> BranchRow | None:
    row = tx.row(
        f"{_BRANCH} WHERE r.project = :project AND r.name = :repo AND b.name = :branch",
        project=project_of(name.repo),
        repo=name.repo,
        branch=name.branch,
    )
    return None if row is None else _branch(row)


def find_head(
    tx: Transaction, repo: str, branch: str
) -> tuple[BranchRow, CommitRecord | None] | None:
    """A branch and its head; None if it or its repo is missing."""
    row = tx.row(_HEAD, project=project_of(repo), repo=repo, branch=branch)
    return None if row is None else _with_head(row[:8], row[8:])


def _with_head(branch: Row, head: Row) -> tuple[BranchRow, CommitRecord | None]:
    found = _branch(branch)
    if found.head is None:
        return found, None
    if head[0] is None:
        raise Corrupt("the catalog", f"commit number {found.head}, which is named in it", "none")
    return found, commit_record(head)


def find_target(tx: Transaction, repo: str, branch: str, *, run: str = "") -> Target | None:
    """A branch, its head and what else a put into it depends on; None if it or its repo is missing.

    `run` is the one that the put would belong to.
    """
    row = tx.row(_TARGET, project=project_of(repo), repo=repo, branch=branch, run=run)
    if row is None:
        return None
    found, head = _with_head(row[:8], row[12:])
    derived, feeds, triggers, taken = map(bool, row[8:12])
    return Target(
        branch=found,
        head=head,
        derived=derived,
        feeds=feeds,
        triggers=triggers,
        taken=taken,
    )


def branch_numbered(tx: Transaction, number: int) -> BranchRow | None:
    row = tx.row(f"{_BRANCH} WHERE b.number = :number", number=number)
    return None if row is None else _branch(row)


def head_of(tx: Transaction, branch: int) -> int | None:
    """The number of the commit at the head of a branch, which is there."""
    [(head,)] = tx.rows("SELECT head FROM branch WHERE number = :branch", branch=branch)
    return None if head is None else int(head)


def branches_of(tx: Transaction, repo: RepoRow) -> list[BranchRow]:
    """The branches of a repo, last moved first."""
    rows = tx.rows(f"{_BRANCH} WHERE b.repo = :repo ORDER BY b.changed DESC", repo=repo.number)
    return [_branch(row) for row in rows]


def branches_at(tx: Transaction, commit: int) -> list[BranchRow]:
    """The branches that have a commit as their head."""
    rows = tx.rows(f"{_BRANCH} WHERE b.head = :commit ORDER BY b.number", commit=commit)
    return [_branch(row) for row in rows]


def move_branch(
    tx: Transaction, branch: int, head: int | None, *, changed: int | None = None
) -> None:
    """`changed` is the number of the change, where it has one already."""
    if changed is None:
        give_out(tx)
    tx.execute(
        f"UPDATE branch SET head = :head, changed = COALESCE(:changed, {LATEST}) "
        "WHERE number = :branch",
        branch=branch,
        head=head,
        changed=changed,
    )


def delete_branch(tx: Transaction, branch: int) -> None:
    tx.execute(
        "DELETE FROM branch_provenance WHERE derived = :branch OR source = :branch", branch=branch
    )
    tx.execute("DELETE FROM branch WHERE number = :branch", branch=branch)


def sources_of(tx: Transaction, branch: int) -> list[BranchRow]:
    """The branches that a branch is directly derived from, in the order they were given."""
    rows = tx.rows(
        f"{_BRANCH} JOIN branch_provenance e ON e.source = b.number "
        "WHERE e.derived = :branch ORDER BY e.position",
        branch=branch,
    )
    return [_branch(row) for row in rows]


def derived_from(tx: Transaction, branch: int) -> list[BranchRow]:
    """The branches that are directly derived from a branch, by name."""
    rows = tx.rows(
        f"{_BRANCH} JOIN branch_provenance e ON e.derived = b.number "
        "WHERE e.source = :branch ORDER BY r.name, b.name",
        branch=branch,
    )
    return [_branch(row) for row in rows]


def quiet_sources_of(tx: Transaction, branch: int) -> frozenset[int]:
    """Those of a branch's direct sources whose commits open none on it."""
    rows = tx.rows(
        "SELECT source FROM branch_provenance WHERE derived = :branch AND quiet = 1", branch=branch
    )
    return frozenset(int(source) for (source,) in rows)


def replace_sources(
    tx: Transaction, branch: int, sources: Sequence[int], *, quiet: Collection[int]
) -> None:
    tx.execute("DELETE FROM branch_provenance WHERE derived = :branch", branch=branch)
    tx.execute_many(
        "INSERT INTO branch_provenance (derived, source, position, quiet) "
        "VALUES (:branch, :source, :position, :quiet)",
        [
            {"branch": branch, "source": s, "position": i, "quiet": int(s in quiet)}
            for i, s in enumerate(sources)
        ],
    )
    give_out(tx)
    tx.execute(f"UPDATE branch SET changed = {LATEST} WHERE number = :branch", branch=branch)


_UPSTREAM = (
    "WITH RECURSIVE up(number) AS (SELECT :branch UNION "
    "SELECT e.source FROM branch_provenance e JOIN up ON e.derived = up.number) "
)
_WOKEN = (
    "WITH RECURSIVE down(number) AS (SELECT :branch UNION "
    "SELECT e.derived FROM branch_provenance e JOIN down ON e.source = down.number "
    "WHERE e.quiet = 0) "
)
_DOWNSTREAM = (
    "WITH RECURSIVE down(number) AS (SELECT :branch UNION "
    "SELECT e.derived FROM branch_provenance e JOIN down ON e.source = down.number) "
)


def upstream_of(tx: Transaction, branch: int) -> list[BranchRow]:
    """A branch and all that it is derived from, in no particular order."""
    rows = tx.rows(
        f"{_UPSTREAM} {_BRANCH} WHERE b.number IN (SELECT number FROM up)", branch=branch
    )
    return [_branch(row) for row in rows]


def downstream_of(tx: Transaction, branch: int) -> list[BranchRow]:
    """A branch and all that is derived from it, in no particular order."""
    rows = tx.rows(
        f"{_DOWNSTREAM} {_BRANCH} WHERE b.number IN (SELECT number FROM down)", branch=branch
    )
    return [_branch(row) for row in rows]


def woken_by(tx: Transaction, branch: int) -> list[BranchRow]:
    """A branch and all that a commit on it may open one on, in no particular order."""
    rows = tx.rows(f"{_WOKEN} {_BRANCH} WHERE b.number IN (SELECT number FROM down)", branch=branch)
    return [_branch(row) for row in rows]


def twins_below_one_root(
    tx: Transaction, branch: int
) -> tuple[BranchName, BranchName, BranchName] | None:
    """A branch upstream of (or equal to) the given one and two of one repo below it, if any are.

    Two branches of one repo are twins here when a commit on the first of the three would make a
    commit on each of them.
    """
    row = tx.row(
        f"{_UPSTREAM}, reach(origin, number) AS (SELECT number, number FROM up UNION "
        "SELECT reach.origin, e.derived FROM branch_provenance e "
        "JOIN reach ON e.source = reach.number WHERE e.quiet = 0) "
        "SELECT r0.name, o.name, r.name, x.name, y.name FROM reach one "
        "JOIN branch x ON x.number = one.number JOIN repo r ON r.number = x.repo "
        "JOIN reach two ON two.origin = one.origin "
        "JOIN branch y ON y.number = two.number AND y.repo = x.repo AND y.name > x.name "
        "JOIN branch o ON o.number = one.origin JOIN repo r0 ON r0.number = o.repo "
        "ORDER BY r.name, x.name, y.name, r0.name, o.name LIMIT 1",
        branch=branch,
    )
    if row is None:
        return None
    origin_repo, origin, repo, first, second = row
    return (
        BranchName(repo=origin_repo, branch=origin),
        BranchName(repo=repo, branch=first),
        BranchName(repo=repo, branch=second),
    )


def _branch(row: Row) -> BranchRow:
    number, name, head, created_us, *repo = row
    return BranchRow(
        number=number,
        repo=repo_row(tuple(repo)),
        branch=name,
        head=head,
        created=from_microseconds(created_us),
    )
