"""The one list of what keeps stored bytes alive, and the walk from there.

Whoever makes a new place in the catalog that names chunks adds a function to `SOURCES`, and (so
that nothing is lost between two looks) a trigger like those of migration 0007 to every way in which
a name can leave that place.
"""

from collections.abc import Callable, Iterator

from trunkline.db.database import Database, Transaction
from trunkline.errors import Corrupt
from trunkline.files.manifest import EMPTY
from trunkline.files.reach import Chunks, Kind, Name, Reach
from trunkline.jobs import liveness as jobs
from trunkline.pipelines import liveness as pipelines
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import raw
from trunkline.store.live import LiveSet
from trunkline.versions import liveness as versions

Source = Callable[[Transaction], Iterator[Name]]

SOURCES: tuple[Source, ...] = (
    versions.names,  # commits, open ones, file sets, trash, and what left the catalog lately
    pipelines.names,  # code, also of deleted versions
    jobs.names,  # plans, logs, remembered results, also of deleted jobs
)


def mark(database: Database, chunks: Chunks, live: LiveSet, *, pace: Callable[[], None]) -> int:
    """Note every chunk that the catalog needs; returns the number for `versions.end_watch`.

    One read of the catalog gives all names at one moment; the walk comes after it. Raises Corrupt
    if something on the way can't be read, because nobody knows then what it needs.
    """
    try:
        with database.read() as tx:
            until = versions.last_removed(tx)
            names = (name for source in SOURCES for name in source(tx))
            live.begin_at((name.kind, raw(name.digest)) for name in names)
        walk(chunks, live, pace=pace)
    except Corrupt as error:
        for transaction, problem in broken_transactions(database, chunks):
            raise Corrupt(
                f"transaction {transaction}, which `delete transaction {transaction}` gives up,",
                "the code that it names to be stored",
                problem,
            ) from error
        raise
    return until


def broken_transactions(database: Database, chunks: Chunks) -> Iterator[tuple[str, str]]:
    """Transactions with a step whose code can't be read, and why."""
    with database.read() as tx:
        named = versions.roots_of_transactions(tx)
    for transaction, root in named:
        try:
            if root != EMPTY:
                chunks.get(ChunkId(raw(ChunkId(root)).hex()))
        except Corrupt as error:
            yield transaction, str(error)


def read_plan(chunks: ChunkStore, segment: str) -> None:
    """Raises Corrupt for a list of datums that can't be read."""
    jobs.read_datums(chunks, segment)


def walk(chunks: Chunks, live: LiveSet, *, pace: Callable[[], None]) -> None:
    """Note all that is reached from where the set begins."""
    reach = Reach(chunks, live)
    for kind, digest in live.starts():
        pace()
        if kind == Kind.TREE:
            reach.tree(digest)
        elif kind == Kind.DELTA:
            reach.delta(digest)
        else:
            live.add([digest])
        if kind == Kind.OPEN_DATUMS:
            try:
                jobs.reach_datums(chunks, reach, digest.hex())
            except Corrupt as error:
                raise Corrupt(
                    f"the plan of a job (chunk {digest.hex()})", "it to be readable", str(error)
                ) from error
