"""All SQL on repos, branches and commits; one function is one statement or one small step.

Rows are named by number inside the catalog and by name outside of it. No rule is decided here.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.versions import BranchName, CommitName, Origin
from trunkline.versions.records import BranchRow, CommitRecord, NewCommit, RepoRow, Source

_PAGE = 500  # rows held at once while a long list is walked


def next_number(tx: Transaction) -> int:
    """A number above all those given out before."""
    rows = tx.rows("UPDATE change_number SET value = value + 1 RETURNING value")
    return int(rows[0][0])


# --- repos ----------------------------------------------------------------------------------------

_REPO = "SELECT number, name, description, created_us FROM repo"


def insert_repo(
    tx: Transaction, name: str, *, description: str, system: bool, now: datetime
) -> None:
    tx.execute(
        "INSERT INTO repo (number, name, description, system, created_us, changed) "
        "VALUES (:number, :name, :description, :system, :now, :number)",
        number=next_number(tx),
        name=name,
        description=description,
        system=int(system),
        now=to_microseconds(now),
    )


def find_repo(tx: Transaction, name: str) -> RepoRow | None:
    row = tx.row(f"{_REPO} WHERE project = 'default' AND name = :name", name=name)
    return None if row is None else _repo(row)


def all_repos(tx: Transaction) -> list[RepoRow]:
    """All but the system ones, last changed first; what changed at once, by name."""
    rows = tx.rows(f"{_REPO} WHERE system = 0 ORDER BY changed DESC, name")
    return [_repo(row) for row in rows]


def describe_repo(tx: Transaction, repo: RepoRow, description: str) -> None:
    tx.execute(
        "UPDATE repo SET description = :description WHERE number = :repo",
        repo=repo.number,
        description=description,
    )


def touch_repos(tx: Transaction, repos: Sequence[int]) -> None:
    """Mark repos as changed now, all at once."""
    changed = next_number(tx)
    for repo in repos:
        tx.execute(
            "UPDATE repo SET changed = :changed WHERE number = :repo", repo=repo, changed=changed
        )


def delete_repo(tx: Transaction, repo: RepoRow) -> None:
    """Remove a repo, its branches and commits, and every trace of them in provenance."""
    mine = "(SELECT number FROM commit_record WHERE repo = :repo)"
    branches = "(SELECT number FROM branch WHERE repo = :repo)"
    for statement in (
        f"DELETE FROM branch_provenance WHERE derived IN {branches} OR source IN {branches}",
        "DELETE FROM branch WHERE repo = :repo",
        f"DELETE FROM commit_delta WHERE commit_number IN {mine}",
        f"DELETE FROM commit_provenance WHERE derived IN {mine} OR source IN {mine}",
        "DELETE FROM run WHERE id IN (SELECT id FROM commit_record WHERE repo = :repo) AND NOT "
        "EXISTS (SELECT 1 FROM commit_record c WHERE c.id = run.id AND c.repo <> :repo)",
        "DELETE FROM commit_record WHERE repo = :repo",
        "DELETE FROM repo WHERE number = :repo",
    ):
        tx.execute(statement, repo=repo.number)


def sizes_of_heads(tx: Transaction, repo: RepoRow) -> list[tuple[str, int, int]]:
    """For each branch: its name, and number and bytes of the newest finished commit on its line."""
    return [
        (str(branch), int(number), int(size))
        for branch, number, size in tx.rows(
            "WITH RECURSIVE line(branch, number, parent, finished_us, size_bytes) AS ("
            " SELECT b.name, c.number, c.parent, c.finished_us, c.size_bytes"
            " FROM branch b JOIN commit_record c ON c.number = b.head WHERE b.repo = :repo"
            " UNION ALL"
            " SELECT l.branch, c.number, c.parent, c.finished_us, c.size_bytes"
            " FROM line l JOIN commit_record c ON c.number = l.parent WHERE l.finished_us IS NULL) "
            "SELECT branch, number, size_bytes FROM line WHERE finished_us IS NOT NULL",
            repo=repo.number,
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


def _repo(row: Row) -> RepoRow:
    number, name, description, created_us = row
    return RepoRow(
        number=number, name=name, description=description, created=from_microseconds(created_us)
    )


# --- branches -------------------------------------------------------------------------------------

_BRANCH = (
    "SELECT b.number, b.name, b.head, b.created_us, r.number, r.name, r.description, r.created_us "
    "FROM branch b JOIN repo r ON r.number = b.repo"
)


def insert_branch(tx: Transaction, repo: RepoRow, name: str, now: datetime) -> None:
    tx.execute(
        "INSERT INTO branch (number, repo, name, created_us, changed) "
        "VALUES (:number, :repo, :name, :now, :number)",
        number=next_number(tx),
        repo=repo.number,
        name=name,
        now=to_microseconds(now),
    )


def find_branch(tx: Transaction, repo: RepoRow, name: str) -> BranchRow | None:
    row = tx.row(f"{_BRANCH} WHERE b.repo = :repo AND b.name = :name", repo=repo.number, name=name)
    return None if row is None else _branch(row)


def branches_of(tx: Transaction, repo: RepoRow) -> list[BranchRow]:
    """The branches of a repo, last moved first."""
    rows = tx.rows(f"{_BRANCH} WHERE b.repo = :repo ORDER BY b.changed DESC", repo=repo.number)
    return [_branch(row) for row in rows]


def branches_at(tx: Transaction, commit: int) -> list[BranchRow]:
    """The branches that have a commit as their head."""
    rows = tx.rows(f"{_BRANCH} WHERE b.head = :commit ORDER BY b.number", commit=commit)
    return [_branch(row) for row in rows]


def move_branch(tx: Transaction, branch: int, head: int | None) -> None:
    tx.execute(
        "UPDATE branch SET head = :head, changed = :changed WHERE number = :branch",
        branch=branch,
        head=head,
        changed=next_number(tx),
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


def replace_sources(tx: Transaction, branch: int, sources: Sequence[int]) -> None:
    tx.execute("DELETE FROM branch_provenance WHERE derived = :branch", branch=branch)
    tx.execute_many(
        "INSERT INTO branch_provenance (derived, source, position) "
        "VALUES (:branch, :source, :position)",
        [{"branch": branch, "source": s, "position": i} for i, s in enumerate(sources)],
    )
    tx.execute(
        "UPDATE branch SET changed = :changed WHERE number = :branch",
        branch=branch,
        changed=next_number(tx),
    )


_UPSTREAM = (
    "WITH RECURSIVE up(number) AS (SELECT :branch UNION "
    "SELECT e.source FROM branch_provenance e JOIN up ON e.derived = up.number) "
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
        "JOIN reach ON e.source = reach.number) "
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
        repo=_repo(tuple(repo)),
        branch=name,
        head=head,
        created=from_microseconds(created_us),
    )


# --- commits --------------------------------------------------------------------------------------

_FIELDS = (
    "c.number, r.name, c.id, c.branch, c.origin, p.id, c.description, c.started_us, c.finished_us, "
    "c.root, c.size_bytes, c.files, c.error"
)
_JOINS = "JOIN repo r ON r.number = c.repo LEFT JOIN commit_record p ON p.number = c.parent"
_COMMIT = f"SELECT {_FIELDS} FROM commit_record c {_JOINS}"


def insert_commit(tx: Transaction, repo: RepoRow, new: NewCommit, now: datetime) -> CommitRecord:
    number = next_number(tx)
    tx.execute(
        "INSERT INTO run (number, id, created_us) VALUES (:number, :id, :now) "
        "ON CONFLICT (id) DO NOTHING",
        number=number,
        id=new.id,
        now=to_microseconds(now),
    )
    depth, jump = _place_below(tx, new.parent)
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


def _place_below(tx: Transaction, parent: int | None) -> tuple[int, int | None]:
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
    return _commit(tx.rows(f"{_COMMIT} WHERE c.number = :number", number=number)[0])


def find_commit(tx: Transaction, repo: RepoRow, commit: str) -> CommitRecord | None:
    row = tx.row(f"{_COMMIT} WHERE c.id = :id AND c.repo = :repo", id=commit, repo=repo.number)
    return None if row is None else _commit(row)


def parent_number(tx: Transaction, commit: int) -> int | None:
    row = tx.row("SELECT parent FROM commit_record WHERE number = :commit", commit=commit)
    return None if row is None else row[0]


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
        f"{_COMMIT} WHERE c.number = (SELECT number FROM climb WHERE depth = :depth)",
        commit=commit,
        depth=depth,
    )
    return _commit(rows[0])


def commits_newest_first(
    tx: Transaction, repo: RepoRow, *, before: int | None, down_to: int | None
) -> Iterator[CommitRecord]:
    """The commits of a repo older than `before` and newer than `down_to`, page by page."""
    while True:
        rows = tx.rows(
            f"{_COMMIT} WHERE c.repo = :repo AND c.number < :before AND c.number > :after "
            "ORDER BY c.number DESC LIMIT :page",
            repo=repo.number,
            before=2**62 if before is None else before,
            after=down_to or 0,
            page=_PAGE,
        )
        yield from map(_commit, rows)
        if len(rows) < _PAGE:
            return
        before = rows[-1][0]


def ancestors(tx: Transaction, commit: int) -> Iterator[CommitRecord]:
    """A commit, its parent and so on to the root, page by page."""
    start: int | None = commit
    while start is not None:
        rows = tx.rows(
            "WITH RECURSIVE line(number, parent, step) AS ("
            " SELECT number, parent, 1 FROM commit_record WHERE number = :start"
            " UNION ALL SELECT c.number, c.parent, line.step + 1 FROM line"
            " JOIN commit_record c ON c.number = line.parent WHERE line.step < :page) "
            f"SELECT {_FIELDS} FROM line JOIN commit_record c ON c.number = line.number {_JOINS} "
            "ORDER BY line.step",
            start=start,
            page=_PAGE,
        )
        yield from map(_commit, rows)
        start = parent_number(tx, rows[-1][0]) if len(rows) == _PAGE else None


def _commit(row: Row) -> CommitRecord:
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


# --- deltas, provenance of commits, runs ----------------------------------------------------------


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
        f"SELECT e.branch, {_FIELDS} FROM commit_record c {_JOINS} "
        "JOIN commit_provenance e ON e.source = c.number "
        "WHERE e.derived = :commit ORDER BY e.position",
        commit=commit,
    )
    return [(str(row[0]), _commit(row[1:])) for row in rows]


def provenance_of(tx: Transaction, commit: int) -> list[tuple[CommitName, bool]]:
    """All that a commit was made from, nearest first, and whether it is finished.

    The distance is that of the longest way, which makes the order topological: a commit comes
    before all that it was made from itself. Ties are in the order of repo and branch name.
    """
    rows = tx.rows(
        "WITH RECURSIVE up(number, distance) AS ("
        " SELECT source, 1 FROM commit_provenance WHERE derived = :commit UNION"
        " SELECT e.source, up.distance + 1 FROM up JOIN commit_provenance e"
        " ON e.derived = up.number),"
        "far(number, distance) AS (SELECT number, MAX(distance) FROM up GROUP BY number) "
        "SELECT r.name, c.id, c.finished_us IS NOT NULL FROM far "
        "JOIN commit_record c ON c.number = far.number JOIN repo r ON r.number = c.repo "
        "ORDER BY far.distance, r.name, c.branch, c.number",
        commit=commit,
    )
    return [(CommitName(repo=repo, id=commit_id), bool(done)) for repo, commit_id, done in rows]


def made_from(tx: Transaction, commit: int) -> list[CommitRecord]:
    """All commits that were made from one, transitively, oldest first (so upstream first)."""
    rows = tx.rows(
        "WITH RECURSIVE down(number) AS ("
        " SELECT derived FROM commit_provenance WHERE source = :commit UNION"
        " SELECT e.derived FROM commit_provenance e JOIN down ON e.source = down.number) "
        f"{_COMMIT} WHERE c.number IN (SELECT number FROM down) ORDER BY c.number",
        commit=commit,
    )
    return [_commit(row) for row in rows]


def sources_of_commit(tx: Transaction, commit: int) -> frozenset[Source]:
    """What a commit was directly made from, and by which branches."""
    rows = tx.rows(
        "SELECT source, branch FROM commit_provenance WHERE derived = :commit", commit=commit
    )
    return frozenset(Source(commit=source, branch=branch) for source, branch in rows)


def commits_of_run(tx: Transaction, run: str) -> list[CommitRecord]:
    """The commits of a run, oldest first (so upstream first)."""
    return [
        _commit(row) for row in tx.rows(f"{_COMMIT} WHERE c.id = :id ORDER BY c.number", id=run)
    ]


def find_run(tx: Transaction, run: str) -> datetime | None:
    """When a run began, or None if there is no such run."""
    row = tx.row("SELECT created_us FROM run WHERE id = :id", id=run)
    return None if row is None else from_microseconds(row[0])


def runs_newest_first(tx: Transaction, number: int) -> list[str]:
    """Ids of the newest runs; 0 means all."""
    rows = tx.rows(
        "SELECT id FROM run ORDER BY number DESC LIMIT :most", most=number if number else 2**62
    )
    return [str(run) for (run,) in rows]
