"""SQL on what was deleted: moving rows into the trash, back out of it, and away for good."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Row, Transaction, Value
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.versions.tables.numbers import next_number

# Columns of the tables whose rows are kept; a test compares them with the schema.
KEPT_COLUMNS: dict[str, tuple[str, ...]] = {
    "repo": ("number", "project", "name", "description", "system", "created_us", "changed"),
    "branch": ("number", "repo", "name", "head", "created_us", "changed"),
    "branch_provenance": ("derived", "source", "position", "quiet"),
    "branch_trigger": (
        *("branch", "source", "size", "commits", "cron", "all_of", "evaluated_us", "next_us"),
        "tick_due",
    ),
    "branch_retention": (
        *("branch", "last", "within_s", "hourly", "daily", "weekly", "monthly", "yearly"),
        *("tagged", "derived", "created_us"),
    ),
    "tag": ("number", "repo", "name", "commit_number", "created_us"),
    "commit_record": (
        *("number", "repo", "id", "branch", "origin", "parent", "line", "description"),
        *("started_us", "finished_us", "root", "size_bytes", "files", "error", "seal"),
    ),
    "commit_provenance": ("derived", "source", "branch", "position"),
    "commit_delta": ("commit_number", "position", "delta"),
}
_SHADOWS = {
    "commit_record": "trash_commit",
    "commit_provenance": "trash_provenance",
    "commit_delta": "trash_delta",
}
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashEntry:
    """One deletion that can be undone."""

    number: int
    kind: str
    name: str
    how: str
    deleted: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashedCommit:
    """A deleted commit; all numbers, so that it can be placed again."""

    number: int
    repo: int
    id: str
    parent: int | None  # the one that it was made with


# --- entries --------------------------------------------------------------------------------------

_ENTRY = "SELECT number, kind, name, how, deleted_us FROM trash"


def insert_entry(tx: Transaction, *, kind: str, name: str, how: str, now: datetime) -> int:
    number = next_number(tx)
    tx.execute(
        "INSERT INTO trash (number, kind, name, how, deleted_us) "
        "VALUES (:number, :kind, :name, :how, :now)",
        number=number,
        kind=kind,
        name=name,
        how=how,
        now=to_microseconds(now),
    )
    return number


def entry_numbered(tx: Transaction, number: int) -> TrashEntry | None:
    row = tx.row(f"{_ENTRY} WHERE number = :number", number=number)
    return None if row is None else _entry(row)


def entries_named(tx: Transaction, kind: str, name: str) -> list[TrashEntry]:
    """Newest first."""
    rows = tx.rows(
        f"{_ENTRY} WHERE kind = :kind AND name = :name ORDER BY number DESC", kind=kind, name=name
    )
    return [_entry(row) for row in rows]


def all_entries(tx: Transaction) -> list[TrashEntry]:
    """Newest first."""
    return [_entry(row) for row in tx.rows(f"{_ENTRY} ORDER BY number DESC")]


def entries_before(tx: Transaction, moment: datetime) -> list[int]:
    """The entries that are as old as `moment` or older, oldest first."""
    rows = tx.rows(
        "SELECT number FROM trash WHERE deleted_us <= :moment ORDER BY deleted_us, number",
        moment=to_microseconds(moment),
    )
    return [int(number) for (number,) in rows]


def commits_in(tx: Transaction, entry: int) -> int:
    """How many commits an entry holds."""
    row = tx.row("SELECT COUNT(*) FROM trash_commit WHERE entry = :entry", entry=entry)
    return 0 if row is None else int(row[0])


def delete_entry(tx: Transaction, entry: int) -> None:
    """Forget an entry; what any package still has in it goes with it."""
    tx.execute("DELETE FROM trash WHERE number = :entry", entry=entry)


def _entry(row: Row) -> TrashEntry:
    number, kind, name, how, deleted_us = row
    return TrashEntry(
        number=number, kind=kind, name=name, how=how, deleted=from_microseconds(deleted_us)
    )


# --- rows kept as JSON ----------------------------------------------------------------------------


def replace_rows(tx: Transaction, entry: int, place: str, rows: Sequence[Sequence[Value]]) -> None:
    """Keep these rows instead of those that an entry has under a place."""
    tx.execute(
        "DELETE FROM trash_row WHERE entry = :entry AND place = :place", entry=entry, place=place
    )
    keep_rows(tx, entry, place, rows)


def keep_rows(tx: Transaction, entry: int, place: str, rows: Sequence[Sequence[Value]]) -> None:
    """Add rows to those that an entry has under a place."""
    there = tx.row(
        "SELECT COALESCE(MAX(position), -1) + 1 FROM trash_row "
        "WHERE entry = :entry AND place = :place",
        entry=entry,
        place=place,
    )
    start = 0 if there is None else int(there[0])
    tx.execute_many(
        "INSERT INTO trash_row (entry, place, position, content) "
        "VALUES (:entry, :place, :position, :content)",
        [
            {"entry": entry, "place": place, "position": position, "content": json.dumps(row)}
            for position, row in enumerate(rows, start=start)
        ],
    )


def kept_rows(tx: Transaction, entry: int, place: str) -> list[list[Value]]:
    rows = tx.rows(
        "SELECT content FROM trash_row WHERE entry = :entry AND place = :place ORDER BY position",
        entry=entry,
        place=place,
    )
    return [json.loads(content) for (content,) in rows]


def all_kept_rows(tx: Transaction, place: str) -> Iterator[list[Value]]:
    """The rows under a place in all entries."""
    rows = tx.rows("SELECT content FROM trash_row WHERE place = :place", place=place)
    return (json.loads(content) for (content,) in rows)


def keep_where(tx: Transaction, entry: int, table: str, where: str, **values: Value) -> None:
    """Keep the rows of a table for which the condition holds."""
    columns = ", ".join(KEPT_COLUMNS[table])
    keep_rows(tx, entry, table, tx.rows(f"SELECT {columns} FROM {table} WHERE {where}", **values))


def put_row(tx: Transaction, table: str, row: Sequence[Value]) -> None:
    """Insert a row that was kept."""
    columns = KEPT_COLUMNS[table]
    tx.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        f"({', '.join(':' + column for column in columns)})",
        **dict(zip(columns, row, strict=True)),
    )


# --- commits --------------------------------------------------------------------------------------


def keep_repo(tx: Transaction, entry: int, repo: int) -> None:
    """Keep a repo with all branches and commits, and every trace of them in provenance.

    Its commits keep the parents that they have now: they come back all together.
    """
    mine = "(SELECT number FROM commit_record WHERE repo = :repo)"
    branches = "(SELECT number FROM branch WHERE repo = :repo)"
    keep_where(tx, entry, "repo", "number = :repo", repo=repo)
    keep_where(tx, entry, "branch", "repo = :repo ORDER BY number", repo=repo)
    keep_where(
        tx,
        entry,
        "branch_provenance",
        f"derived IN {branches} OR source IN {branches} ORDER BY derived, position",
        repo=repo,
    )
    keep_where(tx, entry, "branch_trigger", f"branch IN {branches} ORDER BY branch", repo=repo)
    keep_where(tx, entry, "branch_retention", f"branch IN {branches} ORDER BY branch", repo=repo)
    keep_where(tx, entry, "tag", "repo = :repo ORDER BY number", repo=repo)
    _shadow(tx, entry, "commit_record", "repo = :repo", repo=repo)
    _shadow(
        tx,
        entry,
        "commit_provenance",
        f"derived IN {mine} OR source IN {mine}",
        repo=repo,
    )
    _shadow(tx, entry, "commit_delta", f"commit_number IN {mine}", repo=repo)


def keep_commit(tx: Transaction, entry: int, commit: int) -> None:
    """Keep a commit that is about to be removed, and note whose parent it was made as."""
    _shadow(tx, entry, "commit_record", "number = :commit", commit=commit)
    edges = "derived = :commit OR source = :commit"
    _shadow(tx, entry, "commit_provenance", edges, commit=commit)
    _shadow(tx, entry, "commit_delta", "commit_number = :commit", commit=commit)
    for statement in (
        "UPDATE trash_commit SET parent = (SELECT parent FROM lost_parent "
        "WHERE commit_number = :commit) WHERE number = :commit AND EXISTS "
        "(SELECT 1 FROM lost_parent WHERE commit_number = :commit)",
        "DELETE FROM lost_parent WHERE commit_number = :commit",
        "INSERT INTO lost_parent (commit_number, parent) "
        "SELECT c.number, :commit FROM commit_record c WHERE c.parent = :commit AND NOT EXISTS "
        "(SELECT 1 FROM lost_parent l WHERE l.commit_number = c.number)",
    ):
        tx.execute(statement, commit=commit)


def _shadow(tx: Transaction, entry: int, table: str, where: str, **values: Value) -> None:
    columns = ", ".join(KEPT_COLUMNS[table])
    tx.execute(
        f"INSERT INTO {_SHADOWS[table]} (entry, {columns}) "
        f"SELECT :entry, {columns} FROM {table} WHERE {where}",
        entry=entry,
        **values,
    )


def put_back_in_bulk(tx: Transaction, entry: int) -> None:
    """Insert the commits of a repo as they were, with the parents that they had."""
    columns = ", ".join(KEPT_COLUMNS["commit_record"])
    tx.execute(
        "INSERT INTO run (number, id, created_us) SELECT number, id, started_us FROM trash_commit "
        "WHERE entry = :entry ORDER BY number ON CONFLICT (id) DO NOTHING",
        entry=entry,
    )
    tx.execute(
        f"INSERT INTO commit_record ({columns}) SELECT {columns} FROM trash_commit "
        "WHERE entry = :entry ORDER BY number",
        entry=entry,
    )
    tx.execute("DELETE FROM trash_commit WHERE entry = :entry", entry=entry)


def put_back_commit(tx: Transaction, commit: int) -> None:
    """Insert a commit again on top of its nearest living ancestor; it is on no line yet (0).

    When all of an entry are there, `put_back_children` and `lines.put_on_lines` follow.
    """
    above = tx.rows(
        "WITH RECURSIVE up(number, step) AS ("
        " SELECT parent, 1 FROM trash_commit WHERE number = :commit UNION ALL"
        " SELECT t.parent, up.step + 1 FROM up JOIN trash_commit t ON t.number = up.number) "
        "SELECT number FROM up ORDER BY step DESC LIMIT 1",
        commit=commit,
    )
    parent = above[0][0]
    columns = ", ".join(c for c in KEPT_COLUMNS["commit_record"] if c not in _PLACE)
    tx.execute(
        "INSERT INTO run (number, id, created_us) SELECT number, id, started_us FROM trash_commit "
        "WHERE number = :commit ON CONFLICT (id) DO NOTHING",
        commit=commit,
    )
    tx.execute(
        f"INSERT INTO commit_record ({columns}, parent, line) "
        f"SELECT {columns}, :parent, 0 FROM trash_commit WHERE number = :commit",
        commit=commit,
        parent=parent,
    )
    tx.execute(
        "INSERT INTO lost_parent (commit_number, parent) SELECT number, parent FROM trash_commit "
        "WHERE number = :commit AND parent IS NOT NULL AND COALESCE(:parent, 0) <> parent",
        commit=commit,
        parent=parent,
    )
    tx.execute("DELETE FROM trash_commit WHERE number = :commit", commit=commit)


_PLACE = ("parent", "line")


def put_back_children(tx: Transaction, commit: int) -> None:
    """Hand a commit that came back the living commits that were made on it."""
    for child in _children_of_old(tx, commit):
        _attach(tx, child, commit)


def _children_of_old(tx: Transaction, commit: int) -> list[int]:
    """The living commits whose nearest living ancestor of old is this one now."""
    rows = tx.rows(
        "WITH RECURSIVE below(number) AS (SELECT :commit UNION ALL"
        " SELECT t.number FROM trash_commit t JOIN below ON t.parent = below.number) "
        "SELECT l.commit_number FROM below JOIN lost_parent l ON l.parent = below.number "
        "ORDER BY l.commit_number",
        commit=commit,
    )
    return [int(child) for (child,) in rows]


def _attach(tx: Transaction, child: int, parent: int) -> None:
    """Put a commit on top of its parent of old."""
    for statement in (
        "UPDATE commit_record SET parent = :parent WHERE number = :child",
        "DELETE FROM lost_parent WHERE commit_number = :child AND parent = :parent",
    ):
        tx.execute(statement, child=child, parent=parent)


def put_back_edges(tx: Transaction, entry: int) -> None:
    """Insert the provenance that an entry holds wherever both ends are there, and the deltas.

    What is in another entry takes the provenance that it lost along into that: as what was derived,
    or else as what something that is there was made from.
    """
    moved = (
        "INSERT INTO trash_provenance (entry, derived, source, branch, position) "
        "SELECT c.entry, t.derived, t.source, t.branch, t.position FROM trash_provenance t "
        "JOIN trash_commit c ON c.entry <> t.entry "
    )
    for held in (
        "AND c.number = t.derived WHERE t.entry = :entry",
        "AND c.number = t.source JOIN commit_record d ON d.number = t.derived "
        "WHERE t.entry = :entry",
    ):
        tx.execute(moved + held, entry=entry)
    tx.execute(
        "INSERT INTO commit_provenance (derived, source, branch, position) "
        "SELECT t.derived, t.source, t.branch, t.position FROM trash_provenance t "
        "JOIN commit_record d ON d.number = t.derived JOIN commit_record s ON s.number = t.source "
        "WHERE t.entry = :entry",
        entry=entry,
    )
    tx.execute(
        "INSERT INTO commit_delta (commit_number, position, delta) "
        "SELECT commit_number, position, delta FROM trash_delta WHERE entry = :entry",
        entry=entry,
    )


def trashed_commits(tx: Transaction, entry: int) -> list[TrashedCommit]:
    """The commits of an entry, oldest first."""
    rows = tx.rows(
        "SELECT number, repo, id, parent FROM trash_commit WHERE entry = :entry ORDER BY number",
        entry=entry,
    )
    return [_trashed(row) for row in rows]


def trashed_with_id(tx: Transaction, commit_id: str) -> list[tuple[int, TrashedCommit]]:
    """The deleted commits with an id and their entries, newest entry first."""
    rows = tx.rows(
        "SELECT entry, number, repo, id, parent FROM trash_commit WHERE id = :id "
        "ORDER BY entry DESC, number",
        id=commit_id,
    )
    return [(int(row[0]), _trashed(row[1:])) for row in rows]


def _trashed(row: Row) -> TrashedCommit:
    number, repo, commit_id, parent = row
    return TrashedCommit(number=number, repo=repo, id=commit_id, parent=parent)


def missing_sources(tx: Transaction, entry: int) -> list[tuple[int, int]]:
    """What commits of an entry were made from that is not there: (derived, source)."""
    rows = tx.rows(
        "SELECT t.derived, t.source FROM trash_provenance t "
        "JOIN trash_commit d ON d.number = t.derived AND d.entry = t.entry "
        "WHERE t.entry = :entry AND NOT EXISTS "
        "(SELECT 1 FROM commit_record c WHERE c.number = t.source) AND NOT EXISTS "
        "(SELECT 1 FROM trash_commit c WHERE c.number = t.source AND c.entry = t.entry) "
        "ORDER BY t.derived, t.position",
        entry=entry,
    )
    return [(int(derived), int(source)) for derived, source in rows]


def entry_of_commit(tx: Transaction, commit: int) -> int | None:
    row = tx.row("SELECT entry FROM trash_commit WHERE number = :commit", commit=commit)
    return None if row is None else int(row[0])


def entry_holding(tx: Transaction, place: str, number: int) -> int | None:
    """The entry that holds a deleted repo or branch; there are few such rows in all."""
    rows = tx.rows("SELECT entry, content FROM trash_row WHERE place = :place", place=place)
    found = [int(entry) for entry, content in rows if json.loads(content)[0] == number]
    return max(found, default=None)


def forget_commits(tx: Transaction, entry: int) -> None:
    """Erase single commits: what was made on them counts as made on what they were made on."""
    for commit in trashed_commits(tx, entry):
        for statement in (
            "UPDATE trash_commit SET parent = :parent WHERE parent = :commit",
            "DELETE FROM lost_parent WHERE parent = :commit AND EXISTS "
            "(SELECT 1 FROM commit_record c WHERE c.number = lost_parent.commit_number "
            "AND COALESCE(c.parent, 0) = COALESCE(:parent, 0))",
            "UPDATE lost_parent SET parent = :parent WHERE parent = :commit",
        ):
            tx.execute(statement, commit=commit.number, parent=commit.parent)


def forget_repo(tx: Transaction, entry: int) -> None:
    """Erase the notes on the commits of an entry that holds a whole repo."""
    tx.execute(
        "DELETE FROM lost_parent WHERE commit_number IN "
        "(SELECT number FROM trash_commit WHERE entry = :entry)",
        entry=entry,
    )


def forget_everything(tx: Transaction) -> None:
    for table in ("trash", "lost_parent"):
        tx.execute(f"DELETE FROM {table}")


# --- what it keeps alive --------------------------------------------------------------------------


def roots_and_deltas(tx: Transaction) -> Iterator[tuple[str, str]]:
    """("root", id) and ("delta", id) of everything in the trash, page by page."""
    after = 0
    while True:
        rows = tx.rows(
            "SELECT number, root FROM trash_commit WHERE number > :after ORDER BY number "
            "LIMIT :page",
            after=after,
            page=_PAGE,
        )
        yield from (("root", str(root)) for _, root in rows if root)
        if len(rows) < _PAGE:
            break
        after = int(rows[-1][0])
    yield from (("delta", str(delta)) for (delta,) in tx.rows("SELECT delta FROM trash_delta"))
