"""The datums of a job as lists of them: those that failed first, in some states, page by page.

A page costs what is on it, not what is before it: how many datums of a segment are asked for is
told by the catalog, and those of pages before are not decoded. A text is looked for in the bytes
of segments, so only those that may have it are decoded.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trunkline.engine.datum_previews import file_inputs
from trunkline.engine.services import Services
from trunkline.errors import InvalidInput, shown
from trunkline.jobs import ledger
from trunkline.jobs.ledger import DatumRecord, JobRecord, SegmentRecord
from trunkline.jobs.search import PlanReader
from trunkline.jobs.segments import PlannedDatum, as_stored
from trunkline.model.jobs import DatumInfo, DatumState, JobState

# States whose datums are known without a look at what has ended.
_APART = frozenset({DatumState.SKIPPED, DatumState.FAILED, DatumState.QUARANTINED})
_RECORDED = frozenset({DatumState.SUCCESS, DatumState.RECOVERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which datums of a job. No states: in any; an empty text: whatever they read."""

    states: frozenset[DatumState] = frozenset()
    text: str = ""  # a part of a path that they read, or the beginning of their id

    def has(self, info: DatumInfo) -> bool:
        if self.states and info.state not in self.states:
            return False
        return (
            not self.text
            or info.id.startswith(self.text)
            or any(self.text in f"/{given.path}" for given in info.inputs)
        )


def wanted(states: list[str] | None, text: str | None) -> Wanted:
    """What an operation was asked for; raises InvalidInput for a state that there is not."""
    try:
        known = frozenset(DatumState(state) for state in states or ())
    except ValueError as error:
        there_are = ", ".join(DatumState)
        raise InvalidInput(f"{shown(str(error))}; datums are {there_are}") from error
    return Wanted(states=known, text=text or "")


class DatumList:
    """The datums of a job that are wanted."""

    def __init__(self, services: Services, job: JobRecord, which: Wanted) -> None:
        self._services = services
        self._job = job
        self._which = which
        self._plans = PlanReader(services.database, services.chunks)
        with services.database.read() as tx:
            self._failed = ledger.failed_positions(tx, job.number)
        success = job.state is JobState.SUCCESS
        # Of those that have no outcome: a service that succeeded has none, its code still runs.
        self._bare = DatumState.SUCCESS if success else DatumState.STARTING
        self._bad = DatumState.QUARANTINED if success else DatumState.FAILED

    def datums(self, *, start: int = 0) -> Iterator[DatumInfo]:
        """From so many on, failed ones first, then in datum order; a segment in memory at once."""
        for failed in (True, False):
            for segment in self._segments(failed=failed):
                count = self._count(segment, failed=failed, exact=start > 0)
                if count is not None and start >= count:
                    start -= count
                    continue
                for info in self._in_segment(segment, failed=failed):
                    if start:
                        start -= 1
                    else:
                        yield info

    def _segments(self, *, failed: bool) -> Iterable[SegmentRecord]:
        segments = self._plans.segments(self._job)
        each = bool(self._which.text) and not (self._which.states or failed)  # is looked into
        return self._plans.read_ahead(segments) if each else segments

    def _count(self, segment: SegmentRecord, *, failed: bool, exact: bool) -> int | None:
        """How many of a segment there are; None where it takes a look, or need not be `exact`.

        Nothing that is wanted at all is always told by 0.
        """
        states, until = self._which.states, segment.first + segment.fresh
        bad = bisect_left(self._failed, until) - bisect_left(self._failed, segment.first)
        if failed:
            count: int | None = bad if not states or self._bad in states else 0
        elif not states:
            count = segment.total - bad
        else:
            count = segment.total - segment.fresh if DatumState.SKIPPED in states else 0
            if segment.fresh and states - _APART:
                count = count + self._ended(segment) if exact else None
        if self._which.text and count != 0:
            return None if self._may_hold(segment) else 0
        return count

    def _ended(self, segment: SegmentRecord) -> int:
        """How many of the datums that the job has to process are in a state that is wanted.

        Those that failed apart, which come first.
        """
        states, job = self._which.states, self._job.number
        until = segment.first + segment.fresh
        count = 0
        with self._services.database.read() as tx:
            for state in states & _RECORDED:
                count += ledger.count_ended(tx, job, segment.first, until, state)
            if self._bare in states:
                count += segment.fresh - ledger.count_ended(tx, job, segment.first, until)
        return count

    def _may_hold(self, segment: SegmentRecord) -> bool:
        text = self._which.text
        inside = as_stored(text.removeprefix("/"))[1:-1]
        return inside in self._plans.bytes_of(segment)

    def _in_segment(self, segment: SegmentRecord, *, failed: bool) -> Iterator[DatumInfo]:
        with self._services.database.read() as tx:
            ended = ledger.datums_at(
                tx, self._job.number, segment.first, segment.first + segment.fresh
            )
        for found in self._plans.found(self._job, segment):
            record = None if found.position is None else ended.get(found.position)
            if (record is not None and record.state is DatumState.FAILED) is failed:
                info = datum_info(self._job, found.planned, record)
                if self._which.has(info):
                    yield info


def datum_info(job: JobRecord, planned: PlannedDatum, record: DatumRecord | None) -> DatumInfo:
    """A datum as users see it; `record` is what came of it in this job."""
    state = DatumState.STARTING if planned.fresh else DatumState.SKIPPED
    if planned.fresh and job.state is JobState.SUCCESS:  # of a service, whose code still runs
        state = DatumState.SUCCESS
    if record is not None:
        state = record.state
        if state is DatumState.FAILED and job.quarantined:
            state = DatumState.QUARANTINED
    return DatumInfo(
        job=job.name,
        id=planned.key,
        state=state,
        inputs=file_inputs(planned.datum),
        tries=record.tries if record is not None else 0,
        worker=record.worker if record is not None else "",
        started=record.started if record is not None else None,
        finished=record.finished if record is not None else None,
        downloaded_bytes=record.downloaded_bytes if record is not None else 0,
        uploaded_bytes=record.uploaded_bytes if record is not None else 0,
        download_s=record.download_us / 1e6 if record is not None else 0.0,
        process_s=record.process_us / 1e6 if record is not None else 0.0,
        upload_s=record.upload_us / 1e6 if record is not None else 0.0,
        reason=record.reason if record is not None else "",
    )
