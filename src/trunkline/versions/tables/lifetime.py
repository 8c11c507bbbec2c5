"""SQL on what the history keeps alive, file sets, and names that left the catalog.

Long lists are read in pages, each with the key of its last row to go on from.
"""

from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.db.times import to_microseconds


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
    return tx.execute(
        "DELETE FROM file_set WHERE created_us < :before", before=to_microseconds(before)
    )


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
