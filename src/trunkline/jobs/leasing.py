"""Makes leases: which datums of a job workers get next, and how many each.

Leases are recorded before they are handed out, those for all who wait in one transaction. What was
lost goes first, then what nobody had yet.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from trunkline.db.database import Database, Transaction
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.plan import batch_size, lease_size
from trunkline.jobs.segments import SEGMENT_DATUMS, PlannedDatum, fresh_of_segment
from trunkline.jobs.tables import JobRecord, LeaseRecord, SegmentRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import Batches
from trunkline.store.chunks import ChunkId
from trunkline.versions.counter import next_numbers

LEASE_FILES = 100_000  # in all datums that are handed out at once, unless one has more
LEASES_AT_ONCE = 200  # in one transaction, while which nobody else writes

Span = tuple[int, int]  # positions from the first one to before the second
Lease = tuple[LeaseRecord, dict[int, PlannedDatum]]  # and its datums without outcome, by position


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What decides how many datums of a job are handed out at once."""

    workers: int  # that the job may have at once
    batches: Batches  # what its spec wishes
    batching: bool  # whether a process is started for each lease
    datum_s: float | None  # how long a datum takes, as far as known


def make_leases(
    database: Database, trees: Trees, job: JobRecord, sizes: Sizes, *, names: Sequence[str]
) -> list[Lease]:
    """New leases for workers of these names, in order; fewer where nothing is left.

    At most LEASES_AT_ONCE. Raises `Corrupt` if the job's plan can't be read.
    """
    batches = sizes.batches
    # The size of what comes next is known for one lease only, before that is made.
    most = 1 if batches.size_bytes else LEASES_AT_ONCE
    wish = batch_size(
        batches,
        fresh=job.fresh,
        workers=sizes.workers,
        sizes=lambda: _sizes_to_come(database, trees, job.number),
    )
    with database.write() as tx:
        groups = [
            (group, _planned(tx, group)) for group in _record(tx, job, sizes, wish, names[:most])
        ]
    leases = []
    for group, (segments, ended) in groups:
        for record in group:
            datums, end = _datums_of(trees, segments, record.first, record.until, ended)
            if end < record.until:
                with database.write() as tx:
                    record = tables.shorten_lease(tx, record, end)
            leases.append((record, datums))
    return leases


def _record(
    tx: Transaction, job: JobRecord, sizes: Sizes, wish: int | None, names: Sequence[str]
) -> list[list[LeaseRecord]]:
    """Leases that are recorded now, those together that are side by side."""
    lost = tables.take_lost_leases(tx, job.number, len(names))
    again = [(lease.first, lease.until) for lease in lost]
    new = _next_spans(tx, job.number, sizes, wish, again, count=len(names) - len(lost))
    groups = [[span] for span in again] + ([new] if new else [])
    if not groups:
        return []
    ids = iter(next_numbers(tx, len(lost) + len(new)))  # the fencing tokens
    workers = iter(names)
    records = [
        [
            LeaseRecord(
                id=next(ids), job=job.number, first=first, until=until, worker=next(workers)
            )
            for first, until in spans
        ]
        for spans in groups
    ]
    tables.record_leases(tx, [record for group in records for record in group])
    return records


def _planned(tx: Transaction, group: list[LeaseRecord]) -> tuple[list[SegmentRecord], set[int]]:
    """The segments that the datums of some leases are in, and positions that have outcomes."""
    job, first, until = group[0].job, group[0].first, group[-1].until
    return (
        tables.segments_between(tx, job, first, until),
        tables.ended_positions(tx, job, first, until),
    )


def _next_spans(
    tx: Transaction,
    number: int,
    sizes: Sizes,
    wish: int | None,
    again: Collection[Span],
    *,
    count: int,
) -> list[Span]:
    """Positions that nobody had yet and somebody has now, in at most so many spans, in order.

    `again` are handed out again, with these.
    """
    if not count:
        return []
    job = tables.job_by_number(tx, number)
    if job is None or job.state is not JobState.RUNNING or job.leased >= job.fresh:
        return []
    taken = _taken_ahead(tx, number, job.leased, again)
    spans: list[Span] = []
    first = job.leased
    while len(spans) < count and first < job.fresh:
        before = taken[0] if taken else (job.fresh, job.fresh)
        if before[0] <= first:
            first = max(first, before[1])
            taken.pop(0)
            continue
        size = lease_size(
            remaining=job.fresh - first,
            workers=sizes.workers,
            datum_s=sizes.datum_s,
            batching=sizes.batching,
            wish=wish,
            most=sizes.batches.most,
        )
        until = min(first + size, before[0])
        spans.append((first, until))
        first = until
    tables.advance_leased(tx, number, first)
    return spans


def _taken_ahead(tx: Transaction, number: int, first: int, again: Collection[Span]) -> list[Span]:
    """Spans from a position on that were run ahead of the job's turn, by where they begin.

    They have an outcome, or a lease. Nobody had anything else there yet.
    """
    leased = tables.leases_from(tx, number, first)
    ended = tables.ended_from(tx, number, first)
    return sorted([*leased, *again, *((position, position + 1) for position in ended)])


def _datums_of(
    trees: Trees, segments: list[SegmentRecord], first: int, until: int, ended: set[int]
) -> tuple[dict[int, PlannedDatum], int]:
    """The datums of a span that have no outcome yet, by position, and where they end.

    That is before its end where there are more than LEASE_FILES files in them.
    """
    datums: dict[int, PlannedDatum] = {}
    files = 0
    for segment in segments:
        if segment.first >= until or segment.first + segment.fresh <= first:
            continue
        stored = fresh_of_segment(trees.chunks.get(ChunkId(segment.chunk)))
        start = max(first - segment.first, 0)
        of_span = stored[start : until - segment.first]
        for position, planned in enumerate(of_span, segment.first + start):
            if position in ended:
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
