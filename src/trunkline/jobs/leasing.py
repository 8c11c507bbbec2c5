"""Makes leases: which datums of a job workers get next, and how many each.

Leases are recorded before they are handed out, those for all who wait in one transaction. What was
lost goes first, then what nobody had yet.
"""

from collections.abc import Iterator, Sequence
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
from trunkline.versions.counter import next_numbers_soon

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
        groups = _record(tx, job, sizes, wish, names[:most])
    leases = []
    for group, segments, ended in groups:
        for record in group:
            datums, end = _datums_of(trees, segments, record.first, record.until, ended)
            if end < record.until:
                with database.write() as tx:
                    record = tables.shorten_lease(tx, record, end)
            leases.append((record, datums))
    return leases


def _record(
    tx: Transaction, job: JobRecord, sizes: Sizes, wish: int | None, names: Sequence[str]
) -> list[tuple[list[LeaseRecord], list[SegmentRecord], set[int]]]:
    """Leases that are recorded now, those together that are side by side.

    With the segments that their datums are in, and positions that have outcomes.
    """
    lost_soon = tables.take_lost_leases_soon(tx, job.number, len(names))
    now_soon = tables.job_by_number_soon(tx, job.number)
    leased_soon = tables.leases_ahead_soon(tx, job.number)
    ended_soon = tables.ended_ahead_soon(tx, job.number)
    again = [(lease.first, lease.until) for lease in lost_soon()]
    new: list[Span] = []
    now, count = now_soon(), len(names) - len(again)
    if now is not None and now.state is JobState.RUNNING and now.leased < now.fresh and count:
        # What was run ahead of the job's turn has an outcome, or a lease.
        ended = ((position, position + 1) for position in ended_soon())
        taken = sorted([*leased_soon(), *again, *ended])
        new, until = _next_spans(now, sizes, wish, taken, count)
        tables.advance_leased(tx, job.number, until)
    groups = [[span] for span in again] + ([new] if new else [])
    if not groups:
        return []
    ids_soon = next_numbers_soon(tx, len(again) + len(new))  # the fencing tokens
    planned = []
    for spans in groups:
        span = (spans[0][0], spans[-1][1])
        segments = tables.segments_between_soon(tx, job.number, *span)
        planned.append((segments, tables.ended_positions_soon(tx, job.number, *span)))
    ids, workers = iter(ids_soon()), iter(names)
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
    return [
        (group, segments(), ended())
        for group, (segments, ended) in zip(records, planned, strict=True)
    ]


def _next_spans(
    job: JobRecord, sizes: Sizes, wish: int | None, taken: list[Span], count: int
) -> tuple[list[Span], int]:
    """Positions that nobody had yet, in at most so many spans, in order, and where they end.

    Beside the spans that are `taken`, which are in order too.
    """
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
    return spans, first


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
