"""Makes leases: which datums of a job a worker gets next, and how many.

A lease is recorded before it is handed out. What was lost goes first, then what nobody had yet.
"""

from collections.abc import Callable, Iterator

from trunkline.db.database import Database, Transaction
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.plan import batch_size, lease_size
from trunkline.jobs.segments import SEGMENT_DATUMS, PlannedDatum, fresh_of_segment
from trunkline.jobs.tables import JobRecord, LeaseRecord, SegmentRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import Batches
from trunkline.store.chunks import ChunkId

LEASE_FILES = 100_000  # in all datums that are handed out at once, unless one has more


def make_lease(
    database: Database,
    trees: Trees,
    job: JobRecord,
    *,
    worker: str,
    workers: int,
    batches: Batches,
    batching: bool,
    datum_s: float | None,
) -> tuple[LeaseRecord, dict[int, PlannedDatum]] | None:
    """A new lease and its datums without outcome, by position; None where nothing is left.

    `workers` are those that the job may have at once; `datum_s` is how long a datum takes, in
    seconds, as far as known. Raises `Corrupt` if the job's plan can't be read.
    """

    def sizes() -> Iterator[int]:
        yield from _sizes_to_come(database, trees, job.number)

    wish = batch_size(batches, fresh=job.fresh, workers=workers, sizes=sizes)

    def size(remaining: int) -> int:
        return lease_size(
            remaining=remaining,
            workers=workers,
            datum_s=datum_s,
            batching=batching,
            wish=wish,
            most=batches.most,
        )

    with database.write() as tx:
        span = tables.take_lost_lease(tx, job.number)
        first, until = (span.first, span.until) if span else _next_span(tx, job.number, size)
        if first == until:
            return None
        lease = tables.insert_lease(tx, job.number, first=first, until=until, worker=worker)
        segments = tables.segments_between(tx, job.number, first, until)
        ended = tables.ended_positions(tx, job.number, first, until)
    datums, end = _datums_of(trees, segments, first, until, ended)
    if end < until:
        with database.write() as tx:
            lease = tables.shorten_lease(tx, lease, end)
    return lease, datums


def _next_span(tx: Transaction, number: int, size: Callable[[int], int]) -> tuple[int, int]:
    """The positions that nobody had yet and somebody has now; an empty span if there are none.

    Behind those that somebody had there may be some that were run ahead of the job's turn: they
    have an outcome, or a lease.
    """
    job = tables.job_by_number(tx, number)
    if job is None or job.state is not JobState.RUNNING or job.leased >= job.fresh:
        return 0, 0
    first = job.leased
    while True:
        lease = tables.lease_from(tx, number, first)
        if lease is not None and lease.first == first:
            first = lease.until
        elif tables.ended_positions(tx, number, first, first + 1):
            first += 1
        else:
            break
    until = min(first + size(job.fresh - first), job.fresh, lease.first if lease else job.fresh)
    tables.advance_leased(tx, number, until)
    return first, until


def _datums_of(
    trees: Trees, segments: list[SegmentRecord], first: int, until: int, ended: set[int]
) -> tuple[dict[int, PlannedDatum], int]:
    """The datums of a span that have no outcome yet, by position, and where they end.

    That is before its end where there are more than LEASE_FILES files in them.
    """
    datums: dict[int, PlannedDatum] = {}
    files = 0
    for segment in segments:
        stored = fresh_of_segment(trees.chunks.get(ChunkId(segment.chunk)))
        for position, planned in enumerate(stored, segment.first):
            if not first <= position < until or position in ended:
                continue
            files += len(planned.datum.files)
            if datums and files > LEASE_FILES:
                return datums, position
            datums[position] = planned
    return datums, until


def _sizes_to_come(database: Database, trees: Trees, number: int) -> Iterator[int]:
    """The input bytes of each datum that nobody had yet, as far as one lease can reach."""
    with database.read() as tx:
        job = tables.job_by_number(tx, number)
        first = job.leased if job is not None else 0
        segments = tables.segments_between(tx, number, first, first + SEGMENT_DATUMS)
    for segment in segments:
        stored = fresh_of_segment(trees.chunks.get(ChunkId(segment.chunk)))
        for position, planned in enumerate(stored, segment.first):
            if position >= first:
                yield sum(file.size_bytes for file in planned.datum.files)
