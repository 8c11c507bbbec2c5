"""The seal of a commit's row: a checksum of what the commit is, compared whenever it is read.

So a changed byte in the catalog never makes one commit's files appear under the name of another.
Where a commit stands (`parent` and what follows from it) changes when others are removed, and is no
part of it.
"""

from collections.abc import Iterator

from trunkline.db.database import Transaction, Value
from trunkline.db.seals import row_seal, same_head

_TREE = ("number", "root", "size_bytes", "files")  # what the first half of a seal is of
SEALED = (*(*_TREE, "id", "branch", "origin", "description", "started_us", "finished_us", "error"),)
_COLUMNS = ", ".join(SEALED)
_PAGE = 1000
# Columns that need no second copy of their own, by table: see `db.guards`.
APART: dict[str, tuple[str, ...]] = {
    "commit_record": (*SEALED, "seal"),
    "trash_commit": (*SEALED, "seal"),
}


def seal_of(*values: Value) -> int:
    """The seal of a row with these values, in the order of `SEALED`."""
    return row_seal(len(_TREE), *values)


def seal_row(tx: Transaction, number: int, *, table: str = "commit_record") -> None:
    """Seal a commit's row as it is now: after every change of one that `SEALED` covers.

    The seal is computed here and not in SQL, where each database would need a function for it.
    """
    row = tx.row(f"SELECT {_COLUMNS} FROM {table} WHERE number = :number", number=number)
    if row is not None:
        tx.execute(
            f"UPDATE {table} SET seal = :seal WHERE number = :number",
            seal=seal_of(*row),
            number=number,
        )


def has_its_tree(tx: Transaction, number: int) -> bool:
    """Whether the tree that a commit's row names is the one that it was given."""
    row = tx.row(
        f"SELECT seal, {_COLUMNS} FROM commit_record WHERE number = :number", number=number
    )
    return row is not None and same_head(row[0], seal_of(*row[1:]))


def broken_seals(tx: Transaction) -> list[tuple[int, str, str]]:
    """(number, repo, id) of commits whose row was not written by us as it is."""
    found = []
    for number in _unsealed(tx, "commit_record"):
        row = tx.row(
            "SELECT COALESCE(r.name, '?'), c.id FROM commit_record c "
            "LEFT JOIN repo r ON r.number = c.repo WHERE c.number = :number",
            number=number,
        )
        if row is not None:
            found.append((number, str(row[0]), str(row[1])))
    return found


def broken_seals_in_trash(tx: Transaction) -> list[str]:
    """Ids of deleted commits whose row was not written by us as it is."""
    found = []
    for number in _unsealed(tx, "trash_commit"):
        row = tx.row("SELECT id FROM trash_commit WHERE number = :number", number=number)
        found += [] if row is None else [str(row[0])]
    return found


def _unsealed(tx: Transaction, table: str) -> Iterator[int]:
    """The numbers of rows whose seal is that of other values, in order, page by page."""
    after = -(2**63)
    while True:
        rows = tx.rows(
            f"SELECT seal, {_COLUMNS} FROM {table} WHERE number > :after ORDER BY number "
            "LIMIT :page",
            after=after,
            page=_PAGE,
        )
        for seal, *values in rows:
            if seal_of(*values) != seal:
                yield values[0]
        if len(rows) < _PAGE:
            return
        after = rows[-1][1]


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
