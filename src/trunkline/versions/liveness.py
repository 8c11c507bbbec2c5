"""What the history keeps alive: trees of commits, changes of open ones and of transactions, file
sets, all that is in the trash, and names that left the catalog since the latest collection began.

The last are the reason why nothing has to stand still while garbage is collected: what was ever
named between two looks into the catalog counts as named. Triggers of the catalog write it down.
"""

from collections.abc import Iterator
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import Corrupt, NotFound
from trunkline.files.manifest import EMPTY
from trunkline.files.reach import Kind, Name
from trunkline.versions import tables
from trunkline.versions.records import listed


def names(tx: Transaction) -> Iterator[Name]:
    """Everything in the history that names chunks.

    Raises Corrupt if a commit's row was changed: nobody knows then which tree it named.
    """
    broken = [*(f"{repo}@{commit}" for _, repo, commit in tables.broken_seals(tx))]
    broken += tables.broken_seals_in_trash(tx)
    if broken:
        raise Corrupt("the catalog", "commits that fit their seals", listed(broken))
    number = -1
    while roots := tables.stored_roots(tx, number):
        yield from (Name(Kind.TREE, root) for _, root in roots)
        number = roots[-1][0]
    yield from (Name(Kind.DELTA, delta) for delta in tables.stored_deltas(tx))
    yield from (Name(Kind.TREE, root) for root in tables.file_sets(tx))
    for root, deltas in tables.batch_names(tx):
        yield from (Name(Kind.TREE, name) for name in root.split(",") if name)
        yield from (Name(Kind.DELTA, name) for name in deltas.split(",") if name)
    yield from (Name(Kind.TREE, names) for names in tables.tombstone_names(tx))
    kinds = {"root": Kind.TREE, "delta": Kind.DELTA}
    yield from (Name(kinds[kind], name) for kind, name in tables.roots_and_deltas(tx))
    yield from removed_names(tx)


def roots_of_transactions(tx: Transaction) -> list[tuple[str, str]]:
    """The trees that transactions name: (id of the transaction, root)."""
    return [(name, root) for name, roots in tables.batch_roots(tx) for root in roots.split(",")]


def removed_names(tx: Transaction) -> Iterator[Name]:
    """What left the catalog since the collection before this one looked into it."""
    number = -1
    while removed := tables.removed_names(tx, number):
        for _, kind, digests in removed:
            yield from (Name(Kind(kind), digest) for digest in digests.split(",") if digest)
        number = removed[-1][0]


def watch(tx: Transaction, *, now: datetime) -> bool:
    """Have names that leave written down; says whether they were already."""
    if tables.is_watched(tx):
        return True
    tables.forget_removed_names(tx, tables.last_removed_name(tx))
    tables.watch(tx, now)
    return False


def last_removed(tx: Transaction) -> int:
    """The number of the latest name that left, for `end_watch`."""
    return tables.last_removed_name(tx)


def end_watch(tx: Transaction, *, until: int, watching: bool) -> None:
    """Forget the names that left until then; without `watching`, write none down any more."""
    tables.forget_removed_names(tx, until)
    if not watching:
        tables.unwatch(tx)
        tables.forget_removed_names(tx, tables.last_removed_name(tx))


# --- file sets ------------------------------------------------------------------------------------


def keep_file_set(tx: Transaction, root: str, *, now: datetime) -> None:
    """A tree without a commit lives on for a while."""
    if root != EMPTY:
        tables.keep_file_set(tx, root, now)


def require_file_set(tx: Transaction, root: str) -> None:
    """Raises NotFound for a tree that may be gone, or going: nothing in the catalog names it."""
    if root == EMPTY or tables.has_file_set(tx, root) or tables.has_root(tx, root):
        return
    raise NotFound(
        f"there is no file set {root}; file sets without use are kept for a while only: "
        "upload the files again"
    )


def oldest_file_set(tx: Transaction) -> datetime | None:
    """When the oldest one was made (again)."""
    return tables.oldest_file_set(tx)


def oldest_deletion(tx: Transaction) -> datetime | None:
    """When the oldest of what is in the trash was deleted."""
    return tables.oldest_deletion(tx)


def forget_file_sets(tx: Transaction, *, before: datetime) -> int:
    """Forget file sets that nobody came to use; returns how many."""
    return tables.forget_file_sets(tx, before)
