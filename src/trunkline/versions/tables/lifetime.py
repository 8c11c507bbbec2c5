"""SQL on what the history keeps alive, file sets, and names that left the catalog.

Long lists are read in pages, each with the key of its last row to go on from.
"""

from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.versions import is_spec_repo


def stored_roots(tx: Transaction, after: int = -1, most: int = 1000) -> list[tuple[int, str]]:
    """The next (number, root) of commits that have a tree, oldest first."""
    rows = tx.rows(
        "SELECT number, root FROM commit_record WHERE number > :after AND root <> ''"
        " ORDER BY number LIMIT :most",
        after=after,
        most=most,
    )
    return [(int(number), str(root)) for number, root in rows]


def stored_deltas(tx: Transaction) -> list[str]:
    """The deltas of all open commits."""
    rows = tx.rows("SELECT delta FROM commit_delta ORDER BY commit_number, position")
    return [str(delta) for (delta,) in rows]


def batch_names(tx: Transaction) -> list[tuple[str, str]]:
    """What the steps of transactions have stored: (roots, deltas), each joined by commas."""
    rows = tx.rows("SELECT roots, deltas FROM batch_step ORDER BY batch, position")
    return [(str(roots), str(deltas)) for roots, deltas in rows]


def batch_roots(tx: Transaction) -> list[tuple[str, str]]:
    """The trees that steps of transactions name: (id of the transaction, roots by commas)."""
    rows = tx.rows(
        "SELECT b.id, s.roots FROM batch_step s JOIN batch b ON b.number = s.batch"
        " WHERE s.roots <> '' ORDER BY s.batch, s.position"
    )
    return [(str(name), str(roots)) for name, roots in rows]


# --- what is under way, in a catalog of any age ---------------------------------------------------


def count_open_commits(tx: Transaction) -> int:
    return _count(tx, "commit_record", "SELECT COUNT(*) FROM commit_record WHERE root = ''")


def count_batches(tx: Transaction) -> int:
    return _count(tx, "batch", "SELECT COUNT(*) FROM batch")


def _count(tx: Transaction, table: str, sql: str) -> int:
    return int(tx.rows(sql)[0][0]) if table in tx.tables() else 0


# --- file sets ------------------------------------------------------------------------------------


def keep_file_set(tx: Transaction, root: str, now: datetime) -> None:
    tx.execute(
        "INSERT INTO file_set (root, created_us) VALUES (:root, :now)"
        " ON CONFLICT (root) DO UPDATE SET created_us = excluded.created_us",
        root=root,
        now=to_microseconds(now),
    )


def file_sets(tx: Transaction) -> list[str]:
    return [str(root) for (root,) in tx.rows("SELECT root FROM file_set ORDER BY created_us")]


def has_file_set(tx: Transaction, root: str) -> bool:
    return tx.row("SELECT 1 FROM file_set WHERE root = :root", root=root) is not None


def has_root(tx: Transaction, root: str) -> bool:
    """Whether a commit has this tree. Reads the list of commits."""
    return tx.row("SELECT 1 FROM commit_record WHERE root = :root LIMIT 1", root=root) is not None


def forget_file_sets(tx: Transaction, before: datetime) -> int:
    """Forget those that were made (again) before a time; returns how many."""
    return tx.change(
        "DELETE FROM file_set WHERE created_us < :before", before=to_microseconds(before)
    )


def oldest_file_set(tx: Transaction) -> datetime | None:
    row = tx.row("SELECT MIN(created_us) FROM file_set")
    return None if row is None or row[0] is None else from_microseconds(row[0])


def oldest_deletion(tx: Transaction) -> datetime | None:
    row = tx.row("SELECT MIN(deleted_us) FROM trash")
    return None if row is None or row[0] is None else from_microseconds(row[0])


# --- names that left ------------------------------------------------------------------------------


def is_watched(tx: Transaction) -> bool:
    """Whether names that leave the catalog are written down."""
    return tx.row("SELECT 1 FROM collection") is not None


def watch(tx: Transaction, now: datetime) -> None:
    tx.execute("INSERT INTO collection (started_us) VALUES (:now)", now=to_microseconds(now))


def unwatch(tx: Transaction) -> None:
    tx.execute("DELETE FROM collection")


def removed_names(tx: Transaction, after: int = -1, most: int = 1000) -> list[tuple[int, int, str]]:
    """The next (number, kind, names joined by commas) that left the catalog."""
    rows = tx.rows(
        "SELECT number, kind, names FROM removed_name WHERE number > :after"
        " ORDER BY number LIMIT :most",
        after=after,
        most=most,
    )
    return [(int(number), int(kind), str(names)) for number, kind, names in rows]


def last_removed_name(tx: Transaction) -> int:
    row = tx.row("SELECT COALESCE(MAX(number), -1) FROM removed_name")
    assert row is not None, "an aggregate always has a row"
    return int(row[0])


def forget_removed_names(tx: Transaction, until: int) -> None:
    tx.execute("DELETE FROM removed_name WHERE number <= :until", until=until)


# --- rules that must hold -------------------------------------------------------------------------


def commits_out_of_line(tx: Transaction) -> list[tuple[str, str, str]]:
    """(problem, repo, id) of commits that no series of operations leaves like that."""
    name = "COALESCE(r.name, '?'), c.id FROM commit_record c LEFT JOIN repo r ON r.number = c.repo"
    queries = (
        f"SELECT 'its repo is gone', {name} WHERE r.number IS NULL",
        f"SELECT 'its parent is gone', {name} WHERE c.parent IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM commit_record p WHERE p.number = c.parent)",
        f"SELECT 'its parent is in another repo', {name}"
        " JOIN commit_record p ON p.number = c.parent WHERE p.repo <> c.repo",
        f"SELECT 'it is not on top of the commit before it on its line', {name}"
        " JOIN (SELECT number, LAG(number) OVER (PARTITION BY line ORDER BY number) AS before"
        " FROM commit_record) l ON l.number = c.number"
        " WHERE l.before IS NOT NULL AND l.before <> COALESCE(c.parent, 0)",
        f"SELECT 'it is older than its parent', {name} WHERE c.parent >= c.number",
        f"SELECT 'it is on no line', {name} WHERE c.line = 0",
        f"SELECT 'it is finished and has no tree', {name}"
        " WHERE c.finished_us IS NOT NULL AND c.root = ''",
        f"SELECT 'it is finished and has changes left', {name} WHERE c.finished_us IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM commit_delta d WHERE d.commit_number = c.number)",
        f"SELECT 'its run is gone', {name} WHERE NOT EXISTS"
        " (SELECT 1 FROM run WHERE run.id = c.id)",
        f"SELECT 'what it was made from is gone', {name}"
        " JOIN commit_provenance e ON e.derived = c.number WHERE NOT EXISTS"
        " (SELECT 1 FROM commit_record s WHERE s.number = e.source)",
        f"SELECT 'it was made from a later commit', {name}"
        " JOIN commit_provenance e ON e.derived = c.number WHERE e.source >= c.number",
    )
    return [(str(p), str(repo), str(i)) for query in queries for p, repo, i in tx.rows(query)]


def heads_out_of_line(tx: Transaction) -> list[tuple[str, str, str]]:
    """(problem, repo, branch) of branches whose head can't be one."""
    rows = tx.rows(
        "SELECT r.name, b.name, c.number FROM branch b JOIN repo r ON r.number = b.repo"
        " LEFT JOIN commit_record c ON c.number = b.head"
        " WHERE b.head IS NOT NULL AND (c.number IS NULL OR c.repo <> b.repo)"
    )
    return [
        ("its head is gone" if number is None else "its head is in another repo", repo, branch)
        for repo, branch, number in rows
    ]


def rules_out_of_place(tx: Transaction) -> list[tuple[str, str]]:
    """(repo, branch) of branches that have retention rules and are derived from others."""
    rows = tx.rows(
        "SELECT r.name, b.name FROM branch_retention t JOIN branch b ON b.number = t.branch"
        " JOIN repo r ON r.number = b.repo WHERE EXISTS"
        " (SELECT 1 FROM branch_provenance e WHERE e.derived = b.number)"
    )
    return [(str(repo), str(branch)) for repo, branch in rows]


def has_derived_branch(tx: Transaction, repo: str) -> bool:
    """Whether a branch of the repo is derived from another that holds data, and no specs."""
    rows = tx.rows(
        "SELECT o.name FROM branch_provenance e JOIN branch b ON b.number = e.derived"
        " JOIN repo r ON r.number = b.repo JOIN branch s ON s.number = e.source"
        " JOIN repo o ON o.number = s.repo WHERE r.name = :repo",
        repo=repo,
    )
    return not all(is_spec_repo(str(name)) for (name,) in rows)
