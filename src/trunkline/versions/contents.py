"""The files of a commit, finished or still open.

In two steps, so that no file I/O happens inside a transaction: `layers_of` reads from the catalog
what the tree is made of, `content_root` makes it.
"""

from dataclasses import dataclass

from trunkline.db.database import Transaction
from trunkline.errors import CommitOpen
from trunkline.files.delta import DeltaId
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Trees
from trunkline.model.versions import Origin
from trunkline.versions import tables
from trunkline.versions.records import CommitRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What a tree is made of: a base, and changes on top of it in order."""

    base: RootId
    deltas: tuple[DeltaId, ...]


def layers_of(tx: Transaction, record: CommitRecord, *, by_hand: bool = False) -> Layers:
    """What the tree of a commit is made of now.

    A finished commit is its own tree. An open one is its parent's tree with its deltas; raises
    CommitOpen for one that a job has still to write, since that has no tree until it is finished.
    `by_hand` says that no job writes it, though propagation opened it.
    """
    if record.finished is not None:
        return Layers(base=RootId(record.root), deltas=())
    if record.origin is Origin.AUTO and not by_hand:
        raise CommitOpen(record.repo, record.id, "read its files; its job writes it")
    deltas = tuple(DeltaId(delta) for delta in tables.deltas_of(tx, record.number))
    return Layers(base=_base(tx, record), deltas=deltas)


def _base(tx: Transaction, record: CommitRecord) -> RootId:
    """The tree of the parent; above an open one (left over by a stopped job) that of the next."""
    above = tables.parent_number(tx, record.number)
    while above is not None:
        parent = tables.commit_numbered(tx, above)
        if parent.finished is not None:
            return RootId(parent.root)
        above = tables.parent_number(tx, above)
    return EMPTY


def content_root(trees: Trees, layers: Layers) -> RootId:
    """The root of the tree that is made of these layers.

    Raises PathConflict where the changes would make a path a file and a directory at once.
    """
    return trees.apply(layers.base, layers.deltas) if layers.deltas else layers.base
