"""Finds datums in what jobs planned, without reading what can't hold them.

A plan is segments of 1000 datums each. Which of them to decode is told by a look for the bytes of
what is searched: a million datums cost a look through about 250 MB of text, and little memory.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trunkline.db.database import Database
from trunkline.jobs import tables
from trunkline.jobs.planning import input_sources
from trunkline.jobs.segments import PlannedDatum, segment_in_job, with_positions
from trunkline.jobs.tables import JobRecord, SegmentRecord
from trunkline.pipelines.datums import Head
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import raw

_RAW_MAX = 64  # segments whose bytes stay at hand
_READ_AHEAD_MAX = 32  # segments that are read at once
_DECODED_MAX = 8
_KEYS_LOOKED_FOR_MAX = 16  # of more keys than this, most segments have one


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDatum:
    planned: PlannedDatum
    position: int | None  # among those that the job had to process; None for a remembered one


class PlanReader:
    """The plans of jobs, for one question; what was read last stays at hand. For one thread."""

    def __init__(self, database: Database, chunks: ChunkStore) -> None:
        self._database = database
        self._chunks = chunks
        self._segments: OrderedDict[int, list[SegmentRecord]] = OrderedDict()
        self._raw: OrderedDict[str, bytes] = OrderedDict()
        self._decoded: OrderedDict[tuple[int, int], list[FoundDatum]] = OrderedDict()
        self._sources: OrderedDict[int, Mapping[str, Head]] = OrderedDict()

    def datums(
        self,
        job: JobRecord,
        *,
        may_hold: Callable[[bytes], bool] | None = None,
        but: Collection[str] = (),
    ) -> Iterator[FoundDatum]:
        """The datums of a job in order, without those of segments of which `may_hold` is false, or
        whose chunk is in `but`.
        """
        wanted = [segment for segment in self.segments(job) if segment.chunk not in but]
        for segment in wanted if may_hold is None else self.read_ahead(wanted):
            if may_hold is None or may_hold(self._bytes(segment.chunk)):
                yield from self.found(job, segment)

    def read_ahead(self, segments: Sequence[SegmentRecord]) -> Iterator[SegmentRecord]:
        """Some segments, whose bytes will be asked for: read several at once, ever more of them.

        That takes half the time for each, and who soon has what he looks for pays for few.
        """
        start, size = 0, 1
        while start < len(segments):
            part = segments[start : start + size]
            digests = {raw(ChunkId(one.chunk)): one.chunk for one in part}
            digests = {key: chunk for key, chunk in digests.items() if chunk not in self._raw}
            for digest, data in self._chunks.read_many(list(digests)).items():
                self._keep(digests[digest], data)
            yield from part
            start, size = start + size, min(2 * size, _READ_AHEAD_MAX)

    def segments(self, job: JobRecord) -> list[SegmentRecord]:
        """The segments of a job's plan in order."""
        if job.number not in self._segments:
            with self._database.read() as tx:
                self._segments[job.number] = tables.segments_of(tx, job.number)
            if len(self._segments) > _DECODED_MAX:
                self._segments.popitem(last=False)
        return self._segments[job.number]

    def with_keys(self, job: JobRecord, keys: Collection[str]) -> Iterator[FoundDatum]:
        """The datums of a job that have one of some keys, in order."""
        wanted = [key.encode("ascii") for key in keys]
        few = len(wanted) <= _KEYS_LOOKED_FOR_MAX
        left = len(wanted)
        for found in self.datums(
            job, may_hold=(lambda raw: any(key in raw for key in wanted)) if few else None
        ):
            if found.planned.key in keys:
                yield found
                left -= 1
                if not left:
                    return

    def bytes_of(self, segment: SegmentRecord) -> bytes:
        """A segment as it is stored."""
        return self._bytes(segment.chunk)

    def _bytes(self, chunk: str) -> bytes:
        data = self._raw.get(chunk)
        if data is None:
            data = self._chunks.get(ChunkId(chunk))
            self._keep(chunk, data)
        return data

    def _keep(self, chunk: str, data: bytes) -> None:
        self._raw[chunk] = data
        if len(self._raw) > _RAW_MAX:
            self._raw.popitem(last=False)

    def found(self, job: JobRecord, segment: SegmentRecord) -> list[FoundDatum]:
        """The datums of one of its segments."""
        place = (job.number, segment.number)
        known = self._decoded.get(place)
        if known is None:
            planned = segment_in_job(
                self._bytes(segment.chunk),
                fresh=segment.fresh,
                sources=self._sources_of(job),
            )
            known = self._decoded[place] = [
                FoundDatum(planned=datum, position=position)
                for datum, position in with_positions(planned, segment.first)
            ]
            if len(self._decoded) > _DECODED_MAX:
                self._decoded.popitem(last=False)
        return known

    def _sources_of(self, job: JobRecord) -> Mapping[str, Head]:
        if job.number not in self._sources:
            with self._database.read() as tx:
                self._sources[job.number] = input_sources(tx, job)
            if len(self._sources) > _DECODED_MAX:
                self._sources.popitem(last=False)
        return self._sources[job.number]
