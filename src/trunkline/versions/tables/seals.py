"""The seal of a commit's row: a checksum of what the commit is, compared whenever it is read.

So a changed byte in the catalog never makes one commit's files appear under the name of another.
Where a commit stands (`parent` and what follows from it) changes when others are removed, and is no
part of it.
"""

from trunkline.db.database import Transaction, Value
from trunkline.db.seals import FUNCTION, row_seal, same_head

_TREE = ("number", "root", "size_bytes", "files")  # what the first half of a seal is of
SEALED = (*(*_TREE, "id", "branch", "origin", "description", "started_us", "finished_us", "error"),)
# Columns that need no second copy of their own, by table: see `db.guards`.
APART: dict[str, tuple[str, ...]] = {
    "commit_record": (*SEALED, "seal"),
    "trash_commit": (*SEALED, "seal"),
}


def seal_of(*values: Value) -> int:
    """The seal of a row with these values, in the order of `SEALED`."""
    return row_seal(len(_TREE), *values)


def seal_over(*given: str) -> str:
    """The SQL of a seal in a statement that sets the columns `given` by parameters of their names.

    The others are taken from the row.
    """
    columns = (f":{column}" if column in given else column for column in SEALED)
    return f"{FUNCTION}({len(_TREE)}, {', '.join(columns)})"


SEAL = seal_over()


def seal_commit(tx: Transaction, number: int) -> None:
    """Seal a commit's row as it is now: after every change of one that `SEALED` covers."""
    tx.execute(f"UPDATE commit_record SET seal = {SEAL} WHERE number = :number", number=number)


def has_its_tree(tx: Transaction, number: int) -> bool:
    """Whether the tree that a commit's row names is the one that it was given."""
    row = tx.row(f"SELECT seal, {SEAL} FROM commit_record WHERE number = :number", number=number)
    return row is not None and same_head(*row)


def broken_seals(tx: Transaction) -> list[tuple[int, str, str]]:
    """(number, repo, id) of commits whose row was not written by us as it is."""
    rows = tx.rows(
        "SELECT c.number, COALESCE(r.name, '?'), c.id FROM (SELECT number, id, repo "
        f"FROM commit_record WHERE seal <> {SEAL}) c LEFT JOIN repo r ON r.number = c.repo "
        "ORDER BY c.number"
    )
    return [(number, str(repo), str(commit)) for number, repo, commit in rows]


def broken_seals_in_trash(tx: Transaction) -> list[str]:
    """Ids of deleted commits whose row was not written by us as it is."""
    rows = tx.rows(f"SELECT t.id FROM trash_commit t WHERE t.seal <> {SEAL} ORDER BY t.number")
    return [str(commit) for (commit,) in rows]


def name_of_row(tx: Transaction, table: str, row: int) -> str | None:
    """What the n-th row of a table is called by users, where they call it anything."""
    query = _NAMED.get(table)
    if query is None or row < 1:
        return None
    found = tx.row(f"{query} ORDER BY t.number LIMIT 1 OFFSET :before", before=row - 1)
    return None if found is None else str(found[0])


_NAMED = {
    "repo": "SELECT 'repo ' || t.name FROM repo t",
    "project": "SELECT 'project ' || t.name FROM project t",
    "run": "SELECT 'run ' || t.id FROM run t",
    "branch": "SELECT 'branch ' || COALESCE(r.name, '?') || '@' || t.name FROM branch t "
    "LEFT JOIN repo r ON r.number = t.repo",
    "tag": "SELECT 'tag ' || COALESCE(r.name, '?') || '@' || t.name FROM tag t "
    "LEFT JOIN repo r ON r.number = t.repo",
    "commit_record": "SELECT 'commit ' || COALESCE(r.name, '?') || '@' || t.id "
    "FROM commit_record t LEFT JOIN repo r ON r.number = t.repo",
}
