"""What the record of pipelines keeps alive: the code and the locks of all their versions,
deleted ones too."""

from collections.abc import Iterator

from trunkline.db.database import Transaction
from trunkline.files.reach import Kind, Name
from trunkline.pipelines import tables
from trunkline.versions import trash


def names(tx: Transaction) -> Iterator[Name]:
    """Everything in the record of pipelines that names chunks."""
    yield from (Name(Kind.TREE, code) for code in tables.codes(tx))
    yield from (Name(Kind.CHUNK, lock) for lock in tables.locks(tx))
    for row in trash.all_kept_rows(tx, "pipeline_version"):
        code = tables.code_in_row(row)
        if code:
            yield Name(Kind.TREE, code)
        lock = tables.lock_in_row(row)
        if lock:
            yield Name(Kind.CHUNK, lock)


def newest_locks(tx: Transaction) -> set[str]:
    """The chunks of the locks of the newest versions of all pipelines."""
    return set(tables.newest_locks(tx))


def has_code(tx: Transaction, root: str) -> bool:
    """Whether a version of a pipeline has this code."""
    return root in tables.codes(tx)
