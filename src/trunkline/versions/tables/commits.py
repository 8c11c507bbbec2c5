"""SQL on commits."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from trunkline.db.database import Row, Soon, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.errors import Corrupt
from trunkline.model.names import project_of
from trunkline.model.versions import Origin
from trunkline.versions.records import CommitRecord, NewCommit, NewTree, RepoRow
from trunkline.versions.tables.numbers import LATEST, give_out, next_number
from trunkline.versions.tables.seals import seal_of

PAGES = (16, 64, 256, 500)  # rows held at once while a long list is walked: few are often enough
FIELDS = (
    "c.number, r.name, c.id, c.branch, c.origin, p.id, c.description, c.started_us, c.finished_us, "
    "c.root, c.size_bytes, c.files, c.error, c.seal, "
    # So that nothing is asked about the many commits for which there is no answer.
    "EXISTS (SELECT 1 FROM commit_provenance d WHERE d.derived = c.number), "
    "EXISTS (SELECT 1 FROM tombstone d WHERE d.commit_number = c.number)"
)
JOINS = "JOIN repo r ON r.number = c.repo LEFT JOIN commit_record p ON p.number = c.parent"
# The line that a new child of :parent goes on with; nothing if it has to begin one.
LINE_BELOW = (
    "SELECT p.line FROM commit_record p WHERE p.number = :parent AND NOT EXISTS "
    "(SELECT 1 FROM commit_record c WHERE c.line = p.line AND c.number > p.number)"
)
COMMIT_ROW = f"SELECT {FIELDS} FROM commit_record c {JOINS}"
_INSERT = (
    "INSERT INTO commit_record (number, repo, id, branch, origin, parent, line, description, "
    "started_us, finished_us, root, size_bytes, files, seal) VALUES "
    f"(:number, :repo, :id, :branch, :origin, :parent, COALESCE(({LINE_BELOW}), :number), "
    ":description, :started_us, :finished_us, :root, :size_bytes, :files, :seal)"
)


def insert_commit(tx: Transaction, repo: RepoRow, new: NewCommit, now: datetime) -> CommitRecord:
    """An open commit."""
    return commit_numbered(tx, _insert(tx, repo, new, None, next_number(tx), now))


def insert_child(
    tx: Transaction,
    repo: RepoRow,
    new: NewCommit,
    parent: CommitRecord | None,
    tree: NewTree | None,
    number: int,
    now: datetime,
) -> CommitRecord:
    """A commit that has its tree from the beginning, or an open one; `new` names its parent.

    `number` was given out for it.
    """
    assert new.parent == (None if parent is None else parent.number), "the record of its parent"
    _insert(tx, repo, new, tree, number, now)
    root, size_bytes, files = _facts(tree)
    return CommitRecord(
        repo=repo.name,
        id=new.id,
        branch=new.branch,
        origin=new.origin,
        parent=None if parent is None else parent.id,
        description=new.description,
        started=now,
        finished=None if tree is None else now,
        root=root,
        size_bytes=size_bytes,
        files=files,
        error=None,
        number=number,
        derived=bool(new.sources),
        purged=False,
    )


def _insert(
    tx: Transaction, repo: RepoRow, new: NewCommit, tree: NewTree | None, number: int, now: datetime
) -> int:
    """Insert a commit, an open one without a tree; returns its number, which is the given one."""
    at = to_microseconds(now)
    tx.execute(
        "INSERT INTO run (number, id, created_us) VALUES (:number, :id, :now) "
        "ON CONFLICT (id) DO NOTHING",
        number=number,
        id=new.id,
        now=at,
    )
    root, size_bytes, files = _facts(tree)
    origin, finished_us = new.origin.value, None if tree is None else at
    tx.execute(
        _INSERT,
        number=number,
        repo=repo.number,
        id=new.id,
        branch=new.branch,
        origin=origin,
        parent=new.parent,
        description=new.description,
        started_us=at,
        finished_us=finished_us,
        root=root,
        size_bytes=size_bytes,
        files=files,
        seal=seal_of(
            *(number, root, size_bytes, files, new.id, new.branch, origin, new.description),
            *(at, finished_us, None),
        ),
    )
    if new.sources:
        tx.execute_many(
            "INSERT INTO commit_provenance (derived, source, branch, position) "
            "VALUES (:number, :source, :branch, :position)",
            [
                {"number": number, "source": s.commit, "branch": s.branch, "position": position}
                for position, s in enumerate(new.sources)
            ],
        )
    return number


def _facts(tree: NewTree | None) -> tuple[str, int, int]:
    return ("", 0, 0) if tree is None else (tree.root, tree.size_bytes, tree.files)


def close_commit(
    tx: Transaction,
    commit: CommitRecord,
    *,
    root: str,
    files: int,
    size_bytes: int,
    description: str,
    error: str | None,
    now: datetime,
) -> CommitRecord:
    """Finish an open commit, as it was just read, and forget its deltas; its repo has changed."""
    tx.execute(
        "UPDATE commit_record SET finished_us = :finished_us, root = :root, files = :files, "
        "size_bytes = :size_bytes, description = :description, error = :error, seal = :seal "
        "WHERE number = :number AND finished_us IS NULL",
        number=commit.number,
        finished_us=to_microseconds(now),
        root=root,
        files=files,
        size_bytes=size_bytes,
        description=description,
        error=error,
        seal=seal_of(
            *(commit.number, root, size_bytes, files, commit.id, commit.branch),
            *(commit.origin.value, description, to_microseconds(commit.started)),
            *(to_microseconds(now), error),
        ),
    )
    tx.execute("DELETE FROM commit_delta WHERE commit_number = :number", number=commit.number)
    give_out(tx)
    tx.execute(
        f"UPDATE repo SET changed = {LATEST} "
        "WHERE number = (SELECT repo FROM commit_record WHERE number = :number)",
        number=commit.number,
    )
    return replace(
        commit,
        finished=now,
        root=root,
        files=files,
        size_bytes=size_bytes,
        description=description,
        error=error,
    )


def remove_commit(tx: Transaction, commit: CommitRecord, parent: int | None) -> None:
    """Take a commit out of the history: its children move to its parent, and are in line there.

    Heads must have been moved away before, and what was made from it is to be removed as well.
    """
    for statement in (
        "UPDATE commit_record SET parent = :parent WHERE parent = :number",
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


def commit_named(tx: Transaction, repo: str, commit: str) -> CommitRecord | None:
    row = tx.row(
        f"{COMMIT_ROW} WHERE r.project = :project AND r.name = :repo AND c.id = :id",
        project=project_of(repo),
        repo=repo,
        id=commit,
    )
    return None if row is None else commit_record(row)


def watched_soon(tx: Transaction, repo: str, commit: str) -> Soon[list[str]]:
    """The branches with a trigger, or followed by one, that finishing a commit is a change of.

    Those are the ones whose head it is, and the one that it was started on; by name. Asked for now
    and told later.
    """
    around = (
        "EXISTS (SELECT 1 FROM branch_trigger t WHERE t.branch = b.number OR t.source = b.number)"
    )
    answer = tx.ask(
        "WITH it AS (SELECT c.number, c.repo, c.branch FROM commit_record c "
        "JOIN repo r ON r.number = c.repo "
        "WHERE r.project = :project AND r.name = :repo AND c.id = :id) "
        f"SELECT b.name FROM branch b WHERE b.head = (SELECT number FROM it) AND {around} "
        "UNION SELECT b.name FROM branch b WHERE b.repo = (SELECT repo FROM it) "
        f"AND b.name = (SELECT branch FROM it) AND {around} ORDER BY 1",
        project=project_of(repo),
        repo=repo,
        id=commit,
    )
    return lambda: [str(name) for (name,) in answer()]


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


def open_children(tx: Transaction, repo: RepoRow) -> list[tuple[int, str]]:
    """Commits of a repo that an open one was made on top of, and the id of that one."""
    rows = tx.rows(
        "SELECT parent, id FROM commit_record WHERE repo = :repo AND finished_us IS NULL "
        "AND parent IS NOT NULL",
        repo=repo.number,
    )
    return [(int(parent), str(commit)) for parent, commit in rows]


def commits_newest_first(
    tx: Transaction, repo: RepoRow, *, before: int | None, down_to: int | None, number: int
) -> Iterator[CommitRecord]:
    """The commits of a repo older than `before` and newer than `down_to`, page by page.

    The first page has as many as are said to be wanted, if that is not 0.
    """
    wanted = min(number, PAGES[-1])
    pages = (page for page in PAGES if page >= wanted)
    page = wanted or next(pages)
    while True:
        rows = tx.rows(
            f"{COMMIT_ROW} WHERE c.repo = :repo AND c.number < :before AND c.number > :after "
            "ORDER BY c.number DESC LIMIT :page",
            repo=repo.number,
            before=2**62 if before is None else before,
            after=down_to or 0,
            page=page,
        )
        yield from map(commit_record, rows)
        if len(rows) < page:
            return
        before = rows[-1][0]
        page = next(pages, page)


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


def commits_as_they_lie(
    tx: Transaction, repo: str, after: int, most: int
) -> tuple[list[CommitRecord], int | None]:
    """The next commits of a repo, oldest first, whatever their seals say, and where to go on.

    Those that can't even be read are left out.
    """
    rows = tx.rows(
        f"{COMMIT_ROW} WHERE r.name = :repo AND c.number > :after ORDER BY c.number LIMIT :most",
        repo=repo,
        after=after,
        most=most,
    )
    found = []
    for row in rows:
        with contextlib.suppress(Corrupt, ValueError, TypeError, OverflowError):
            found.append(_commit_record(row))
    return found, rows[-1][0] if len(rows) == most else None


def commit_record(row: Row) -> CommitRecord:
    """The record in a row; raises Corrupt where the row is not as it was written."""
    number, repo, commit_id, branch, origin, _, description, started_us, finished_us = row[:9]
    root, size_bytes, files, error, seal = row[9:14]
    tree = (number, root, size_bytes, files)
    rest = (commit_id, branch, origin, description, started_us, finished_us, error)
    if seal_of(*tree, *rest) != seal:
        name = f"commit {repo}@{commit_id} in the catalog"
        raise Corrupt(name, "a record that fits its seal", "one that was changed")
    return _commit_record(row)


def _commit_record(row: Row) -> CommitRecord:
    (number, repo, commit_id, branch, origin, parent, description, started_us, finished_us) = row[
        :9
    ]
    root, size_bytes, files, error = row[9:13]
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
        derived=bool(row[14]),
        purged=bool(row[15]),
    )
