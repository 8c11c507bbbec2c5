"""SQL on commits."""

from collections.abc import Iterator
from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.errors import Corrupt
from trunkline.model.versions import Origin
from trunkline.versions.records import CommitRecord, NewCommit, RepoRow
from trunkline.versions.tables.numbers import next_number

_PAGE = 500  # rows held at once while a long list is walked
FIELDS = (
    "c.number, r.name, c.id, c.branch, c.origin, p.id, c.description, c.started_us, c.finished_us, "
    "c.root, c.size_bytes, c.files, c.error"
)
JOINS = "JOIN repo r ON r.number = c.repo LEFT JOIN commit_record p ON p.number = c.parent"
COMMIT_ROW = f"SELECT {FIELDS} FROM commit_record c {JOINS}"


def insert_commit(tx: Transaction, repo: RepoRow, new: NewCommit, now: datetime) -> CommitRecord:
    number = next_number(tx)
    tx.execute(
        "INSERT INTO run (number, id, created_us) VALUES (:number, :id, :now) "
        "ON CONFLICT (id) DO NOTHING",
        number=number,
        id=new.id,
        now=to_microseconds(now),
    )
    depth, jump = place_below(tx, new.parent)
    tx.execute(
        "INSERT INTO commit_record "
        "(number, repo, id, branch, origin, parent, depth, jump, description, started_us) VALUES "
        "(:number, :repo, :id, :branch, :origin, :parent, :depth, :jump, :description, :now)",
        number=number,
        repo=repo.number,
        id=new.id,
        branch=new.branch,
        origin=new.origin.value,
        parent=new.parent,
        depth=depth,
        jump=jump,
        description=new.description,
        now=to_microseconds(now),
    )
    tx.execute_many(
        "INSERT INTO commit_provenance (derived, source, branch, position) "
        "VALUES (:number, :source, :branch, :position)",
        [
            {"number": number, "source": s.commit, "branch": s.branch, "position": position}
            for position, s in enumerate(new.sources)
        ],
    )
    return commit_numbered(tx, number)


def place_below(tx: Transaction, parent: int | None) -> tuple[int, int | None]:
    """Depth and jump of a new child (a skew-binary list: two jumps of one length become one)."""
    if parent is None:
        return 0, None
    rows = tx.rows(
        "SELECT p.depth, j.depth, jj.depth, jj.number FROM commit_record p "
        "JOIN commit_record j ON j.number = COALESCE(p.jump, p.number) "
        "JOIN commit_record jj ON jj.number = COALESCE(j.jump, j.number) WHERE p.number = :parent",
        parent=parent,
    )
    depth, jump_depth, far_depth, far = rows[0]
    return depth + 1, far if depth - jump_depth == jump_depth - far_depth else parent


def close_commit(
    tx: Transaction,
    number: int,
    *,
    root: str,
    files: int,
    size_bytes: int,
    description: str,
    error: str | None,
    now: datetime,
) -> CommitRecord:
    """Finish a commit and forget its deltas."""
    tx.execute(
        "UPDATE commit_record SET finished_us = :now, root = :root, files = :files, "
        "size_bytes = :size_bytes, description = :description, error = :error "
        "WHERE number = :number AND finished_us IS NULL",
        number=number,
        now=to_microseconds(now),
        root=root,
        files=files,
        size_bytes=size_bytes,
        description=description,
        error=error,
    )
    tx.execute("DELETE FROM commit_delta WHERE commit_number = :number", number=number)
    return commit_numbered(tx, number)


def remove_commit(tx: Transaction, commit: CommitRecord, parent: int | None) -> None:
    """Take a commit out of the history: its children move to its parent, one step less deep.

    Heads must have been moved away before, and what was made from it is to be removed as well.
    """
    children = (
        "WITH RECURSIVE below(number) AS (SELECT number FROM commit_record WHERE parent = :number "
        "UNION ALL SELECT c.number FROM commit_record c JOIN below ON c.parent = below.number) "
    )
    for statement in (
        "UPDATE commit_record SET depth = depth - 1 "
        f"WHERE number IN ({children} SELECT number FROM below)",
        "UPDATE commit_record SET parent = :parent WHERE parent = :number",
        # Any ancestor is a right jump; a longer one would only save steps.
        "UPDATE commit_record SET jump = parent WHERE jump = :number",
        "DELETE FROM commit_provenance WHERE derived = :number OR source = :number",
        "DELETE FROM commit_delta WHERE commit_number = :number",
        "DELETE FROM commit_record WHERE number = :number",
        "DELETE FROM run WHERE id = :id AND NOT EXISTS "
        "(SELECT 1 FROM commit_record WHERE id = :id)",
    ):
        tx.execute(statement, number=commit.number, parent=parent, id=commit.id)


def commit_numbered(tx: Transaction, number: int) -> CommitRecord:
    row = tx.row(f"{COMMIT_ROW} WHERE c.number = :number", number=number)
    if row is None:
        raise Corrupt("the catalog", f"commit number {number}, which is named in it", "none")
    return commit_record(row)


def commit_exists(tx: Transaction, number: int) -> bool:
    return tx.row("SELECT 1 FROM commit_record WHERE number = :number", number=number) is not None


def find_commit(tx: Transaction, repo: RepoRow, commit: str) -> CommitRecord | None:
    row = tx.row(f"{COMMIT_ROW} WHERE c.id = :id AND c.repo = :repo", id=commit, repo=repo.number)
    return None if row is None else commit_record(row)


def parent_number(tx: Transaction, commit: int) -> int | None:
    row = tx.row("SELECT parent FROM commit_record WHERE number = :commit", commit=commit)
    return None if row is None else row[0]


def children_of(tx: Transaction, commit: int) -> list[CommitRecord]:
    """The commits that were made on top of one, oldest first."""
    rows = tx.rows(f"{COMMIT_ROW} WHERE c.parent = :commit ORDER BY c.number", commit=commit)
    return [commit_record(row) for row in rows]


def depth_of(tx: Transaction, commit: int) -> int:
    """How many ancestors a commit has."""
    rows = tx.rows("SELECT depth FROM commit_record WHERE number = :commit", commit=commit)
    return int(rows[0][0])


def ancestor_at(tx: Transaction, commit: int, depth: int) -> CommitRecord:
    """The commit itself or the ancestor of it that has `depth` ancestors (which must exist)."""
    rows = tx.rows(
        "WITH RECURSIVE climb(number, parent, jump, depth) AS ("
        " SELECT number, parent, jump, depth FROM commit_record WHERE number = :commit"
        " UNION ALL"
        " SELECT c.number, c.parent, c.jump, c.depth FROM climb"
        " JOIN commit_record j ON j.number = climb.jump JOIN commit_record c"
        " ON c.number = CASE WHEN j.depth >= :depth THEN climb.jump ELSE climb.parent END"
        " WHERE climb.depth > :depth) "
        f"{COMMIT_ROW} WHERE c.number = (SELECT number FROM climb WHERE depth = :depth)",
        commit=commit,
        depth=depth,
    )
    return commit_record(rows[0])


def commits_newest_first(
    tx: Transaction, repo: RepoRow, *, before: int | None, down_to: int | None
) -> Iterator[CommitRecord]:
    """The commits of a repo older than `before` and newer than `down_to`, page by page."""
    while True:
        rows = tx.rows(
            f"{COMMIT_ROW} WHERE c.repo = :repo AND c.number < :before AND c.number > :after "
            "ORDER BY c.number DESC LIMIT :page",
            repo=repo.number,
            before=2**62 if before is None else before,
            after=down_to or 0,
            page=_PAGE,
        )
        yield from map(commit_record, rows)
        if len(rows) < _PAGE:
            return
        before = rows[-1][0]


def newest_everywhere(
    tx: Transaction, *, before: int | None, most: int, system: bool
) -> list[CommitRecord]:
    rows = tx.rows(
        f"{COMMIT_ROW} WHERE c.number < :before AND r.system <= :system "
        "ORDER BY c.number DESC LIMIT :most",
        before=2**62 if before is None else before,
        system=int(system),
        most=most,
    )
    return [commit_record(row) for row in rows]


def ancestors(tx: Transaction, commit: int) -> Iterator[CommitRecord]:
    """A commit, its parent and so on to the root, page by page."""
    start: int | None = commit
    while start is not None:
        rows = tx.rows(
            "WITH RECURSIVE line(number, parent, step) AS ("
            " SELECT number, parent, 1 FROM commit_record WHERE number = :start"
            " UNION ALL SELECT c.number, c.parent, line.step + 1 FROM line"
            " JOIN commit_record c ON c.number = line.parent WHERE line.step < :page) "
            f"SELECT {FIELDS} FROM line JOIN commit_record c ON c.number = line.number {JOINS} "
            "ORDER BY line.step",
            start=start,
            page=_PAGE,
        )
        yield from map(commit_record, rows)
        start = parent_number(tx, rows[-1][0]) if len(rows) == _PAGE else None


def commit_record(row: Row) -> CommitRecord:
    """The record in a row; raises Corrupt for values that no record has."""
    try:
        return _commit_record(row)
    except (ValueError, TypeError, OverflowError) as error:
        raise Corrupt("the catalog", "commits with values that can be", str(error)) from error


def _commit_record(row: Row) -> CommitRecord:
    (number, repo, commit_id, branch, origin, parent, description, started_us, finished_us) = row[
        :9
    ]
    root, size_bytes, files, error = row[9:]
    return CommitRecord(
        repo=repo,
        id=commit_id,
        branch=branch,
        origin=Origin(origin),
        parent=parent,
        description=description,
        started=from_microseconds(started_us),
        finished=None if finished_us is None else from_microseconds(finished_us),
        root=root,
        size_bytes=size_bytes,
        files=files,
        error=error,
        number=number,
    )
