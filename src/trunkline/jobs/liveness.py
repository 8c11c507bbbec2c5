"""What the record of jobs keeps alive, and which remembered results are forgotten.

A result is forgotten when it is old, or its job is gone (deleted with its pipeline or its commit),
and neither a job that has not ended nor the last good job of any pipeline has its datum: the first
would come out short, and the second is what the next output tree is made from.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from trunkline.db.database import Database, Transaction
from trunkline.files.reach import Chunks, Kind, Name, Reach
from trunkline.jobs import tables
from trunkline.jobs.segments import decode_segment, keys_of_segment
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.live import LiveSet

_BATCH = 1000


def names(tx: Transaction) -> Iterator[Name]:
    """Everything in the record of jobs that names chunks."""
    place = (-1, -1)
    while segments := tables.stored_segments(tx, place):
        for segment in segments:
            yield Name(Kind.OPEN_DATUMS if segment.reads else Kind.DATUMS, segment.chunk)
        place = (segments[-1].job, segments[-1].number)
    number = -1
    while logs := tables.stored_logs(tx, number):
        for _, chunks in logs:
            yield from (Name(Kind.CHUNK, chunk) for chunk in chunks.split(","))
        number = logs[-1][0]
    key = ""
    while results := tables.stored_results(tx, key):
        for result in results:
            yield from (Name(Kind.DELTA, delta) for delta in result.output.split(",") if delta)
            yield from (Name(Kind.CHUNK, chunk) for chunk in result.log.split(",") if chunk)
        key = results[-1].key
    yield from (Name(Kind.CHUNK, chunk) for chunk in tables.chunks_in_trash(tx))


def read_datums(chunks: ChunkStore, segment: str) -> None:
    """Raises Corrupt for a segment that can't be read."""
    decode_segment(chunks.get(ChunkId(segment)))


def reach_datums(chunks: Chunks, reach: Reach, segment: str) -> None:
    """Note the trees that the datums of a job read."""
    for planned in decode_segment(chunks.get(ChunkId(segment))):
        for file in planned.datum.files:
            reach.tree(bytes.fromhex(file.root))


class Plans:
    """Says whether a job was planned meanwhile: its datums may count on remembered results."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = 0
        self._open = 0

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Around everything from the first look at results until the plan is recorded."""
        with self._lock:
            self._begun += 1
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1

    def begun(self) -> int | None:
        """How many plans were begun; None while one is being made."""
        with self._lock:
            return None if self._open else self._begun

    @contextmanager
    def none_since(self, begun: int) -> Iterator[bool]:
        """Whether no plan was begun since then; while inside, none is."""
        with self._lock:
            yield self._begun == begun


def oldest_result(tx: Transaction, *, since: datetime) -> datetime | None:
    """When the oldest result was made, of those that were not made before a time."""
    return tables.oldest_result(tx, since=since)


def forget_results(
    database: Database,
    chunks: ChunkStore,
    plans: Plans,
    needed: LiveSet,
    *,
    made_before: datetime,
    pace: Callable[[], None],
) -> int:
    """Forget the results that no job needs; returns how many.

    `needed` is an empty set to use. Stops early when a job is planned meanwhile: there is a next
    time.
    """
    begun = plans.begun()
    if begun is None:
        return 0
    with database.read() as tx:
        if not tables.forgettable_results(tx, made_before=made_before, after="", most=1):
            return 0
        jobs = tables.jobs_that_need_results(tx)
    for job in jobs:
        with database.read() as tx:
            segments = tables.segments_of(tx, job)
        for segment in segments:
            pace()
            keys = keys_of_segment(chunks.get(ChunkId(segment.chunk)))
            needed.add(bytes.fromhex(key) for key in keys)
    forgotten = 0
    after = ""
    while True:
        pace()
        with database.read() as tx:
            keys = tables.forgettable_results(tx, made_before=made_before, after=after, most=_BATCH)
        if not keys:
            return forgotten
        after = keys[-1]
        kept = needed.among([bytes.fromhex(key) for key in keys])
        gone = [key for key in keys if bytes.fromhex(key) not in kept]
        with plans.none_since(begun) as unchanged:
            if not unchanged:
                return forgotten
            with database.write() as tx:
                tables.delete_results(tx, gone)
        forgotten += len(gone)
