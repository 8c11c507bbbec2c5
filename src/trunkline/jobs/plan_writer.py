"""Writes the plan of a job down, segment by segment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trunkline.errors import DatumTooLarge
from trunkline.files.tree import Trees
from trunkline.jobs.segments import (
    SEGMENT_BYTES_MAX,
    PlannedDatum,
    StoredDatum,
    encode_segment,
)
from trunkline.jobs.tables import SegmentRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    segments: list[SegmentRecord]
    total: int
    fresh: int
    digest: str  # equal ones are of the same datums


class PlanWriter:
    """Stores segments; the plan is durable after the next flush of the store."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._segments: list[SegmentRecord] = []
        self._total = 0
        self.fresh = 0  # datums so far that have to be processed

    def add(self, datums: Sequence[PlannedDatum | StoredDatum]) -> None:
        """The next datums of the job, if there are any; raises DatumTooLarge."""
        if datums:
            data = encode_segment(datums)
            if len(data) > SEGMENT_BYTES_MAX:
                most = f"{SEGMENT_BYTES_MAX:,} bytes of names"
                raise DatumTooLarge(f"datum {datums[0].key}", most)
            chunk = self._trees.chunks.put(data)
            fresh = sum(planned.fresh for planned in datums)
            self._append(
                SegmentRecord(
                    number=len(self._segments),
                    chunk=chunk,
                    first=self.fresh,
                    fresh=fresh,
                    total=len(datums),
                )
            )

    def take_over(self, segment: SegmentRecord) -> None:
        """A segment of an earlier job, all datums of which are remembered."""
        self._append(replace(segment, number=len(self._segments), first=self.fresh, fresh=0))

    def plan(self, digest: str) -> Plan:
        """Everything so far."""
        return Plan(segments=self._segments, total=self._total, fresh=self.fresh, digest=digest)

    def _append(self, segment: SegmentRecord) -> None:
        self._segments.append(segment)
        self._total += segment.total
        self.fresh += segment.fresh
