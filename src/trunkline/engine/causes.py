"""How many datums of a job were run or skipped for which cause.

How many were skipped is in the records of its segments. Those that were run are compared with the
job before: the plans of both are read side by side, but for the segments that they share. A datum
mostly meets its partner at about the same place, so few wait for theirs at a time.

Cost: at most COMPARED datums of each plan are read, and as many are in memory; those of others it
is only said that they were run. Who wants the whole has both plans read to their ends, and once
more for each AT_ONCE datums whose partners are far away.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple, TypeVar

from trunkline.engine.differing import Places
from trunkline.jobs.ledger import JobRecord, SegmentRecord
from trunkline.jobs.search import PlanReader
from trunkline.jobs.segments import Given, outlines_of_segment
from trunkline.model.lineage import Cause, CauseCount

COMPARED = 10_000
AT_ONCE = 100_000

_Contents = tuple[
    tuple[str, str, str | None, str | None], ...
]  # path, digest and keys of each file
_Value = TypeVar("_Value")


@dataclass(slots=True, kw_only=True)
class _Tally:
    """Datums by cause and by what differs, with one of each as an example."""

    counts: dict[tuple[Cause, tuple[str, ...]], int] = field(default_factory=dict)
    examples: dict[tuple[Cause, tuple[str, ...]], str] = field(default_factory=dict)

    def add(self, cause: Cause, parts: tuple[str, ...], key: str, datums: int = 1) -> None:
        if datums:
            self.counts[cause, parts] = self.counts.get((cause, parts), 0) + datums
            self.examples.setdefault((cause, parts), key)

    def result(self) -> tuple[CauseCount, ...]:
        found = [
            CauseCount(cause=which[0], parts=which[1], datums=n, example=self.examples[which])
            for which, n in self.counts.items()
        ]
        return tuple(sorted(found, key=lambda count: (-count.datums, count.cause, count.parts)))


class _Outline(NamedTuple):
    """A datum as it is compared."""

    key: str
    run: bool
    places: Places
    contents: _Contents


class Causes:
    """Counts those of one job."""

    def __init__(
        self,
        plans: PlanReader,
        job: JobRecord,
        before: JobRecord | None,
        *,
        parts: tuple[str, ...],
        carried: set[int],
    ) -> None:
        """`parts` are those of the pipeline that differ; `carried` are the positions of datums
        whose failure was taken over, which were not run.
        """
        self._plans = plans
        self._parts = parts
        self._positions = carried
        self._carried = sorted(carried)
        self._segments = plans.segments(job)
        own = {one.chunk for one in self._segments if not one.fresh}
        # What all datums of are remembered has the places of none that was run.
        self._old = [] if before is None else plans.segments(before)
        self._old = [one for one in self._old if one.chunk not in own]
        self._tally = _Tally()
        # Of this job, without their partners yet, and of the job before, likewise. Inputs of a
        # union may have one name, and then several datums the same places.
        self._waiting: dict[Places, list[_Outline]] = {}
        self._partners: dict[Places, list[_Contents]] = {}
        self._lost = False  # whether partners that nobody had asked for yet were forgotten

    def counted(self, *, whole: bool) -> tuple[CauseCount, ...]:
        run = [one for one in self._segments if self._run(one)]
        self._count_skipped()
        if not self._old:
            for segment in run:
                example = "" if (Cause.NEW, ()) in self._tally.counts else self._example(segment)
                self._tally.add(Cause.NEW, (), example, self._run(segment))
            return self._tally.result()
        left, ended = self._compare(run, None if whole else COMPARED)
        if self._lost and ended:
            self._look_through()
        self._give_up(Cause.NEW if ended else Cause.RUN)
        for segment in left:
            example = "" if (Cause.RUN, ()) in self._tally.counts else self._example(segment)
            self._tally.add(Cause.RUN, (), example, self._run(segment))
        return self._tally.result()

    def _run(self, segment: SegmentRecord) -> int:
        """How many datums of a segment the job had to run."""
        first, until = segment.first, segment.first + segment.fresh
        carried = bisect_left(self._carried, until) - bisect_left(self._carried, first)
        return segment.fresh - carried

    def _count_skipped(self) -> None:
        for segment in self._segments:
            skipped = segment.total - self._run(segment)
            known = not skipped or (Cause.SKIPPED, ()) in self._tally.counts
            example = "" if known else self._example(segment, run=False)
            self._tally.add(Cause.SKIPPED, (), example, skipped)

    def _example(self, segment: SegmentRecord, *, run: bool = True) -> str:
        return next(one.key for one in self._outlines(segment) if one.run is run)

    def _compare(
        self, run: list[SegmentRecord], most: int | None
    ) -> tuple[list[SegmentRecord], bool]:
        """Compare datums until `most` of either plan were read.

        Gives the segments that are left, and whether all of the plan before was read.
        """
        now = was = 0  # segments that were read
        read_now = read_was = 0  # datums of these
        while now < len(run) or (was < len(self._old) and self._waiting):
            more_now = now < len(run) and (most is None or read_now < most)
            more_was = was < len(self._old) and (most is None or read_was < most)
            if more_now and (read_now <= read_was or not more_was):
                for one in self._outlines(run[now]):
                    self._meet(one)
                read_now += run[now].total
                now += 1
            elif more_was:
                for places, contents in self._outlines_before(self._old[was]):
                    self._meet_partner(places, contents)
                read_was += self._old[was].total
                was += 1
            else:
                break
        return run[now:], was == len(self._old) or not self._waiting

    def _meet(self, one: _Outline) -> None:
        partner = _take(self._partners, one.places)
        if partner is not None:
            self._judge(one, partner)
            return
        self._waiting.setdefault(one.places, []).append(one)
        if len(self._waiting) == AT_ONCE:
            self._look_through()
            self._give_up(Cause.NEW)

    def _meet_partner(self, places: Places, contents: _Contents) -> None:
        one = _take(self._waiting, places)
        if one is not None:
            self._judge(one, contents)
            return
        self._partners.setdefault(places, []).append(contents)
        if len(self._partners) == AT_ONCE:
            self._partners.clear()
            self._lost = True

    def _look_through(self) -> None:
        """Look for the partners of those that wait in all of the plan before."""
        for segment in self._old:
            for places, contents in self._outlines_before(segment):
                one = _take(self._waiting, places)
                if one is not None:
                    self._judge(one, contents)

    def _give_up(self, cause: Cause) -> None:
        """Count those that still wait."""
        for one in chain.from_iterable(self._waiting.values()):
            if one.run:
                self._tally.add(cause, (), one.key)
        self._waiting.clear()

    def _judge(self, one: _Outline, before: _Contents) -> None:
        if one.run:
            changed = ("input", *self._parts) if one.contents != before else self._parts
            self._tally.add(Cause.CHANGED if changed else Cause.AGAIN, changed, one.key)

    def _outlines(self, segment: SegmentRecord) -> Iterator[_Outline]:
        """The datums of a segment of the job; it has some that were run, or all are remembered."""
        position = segment.first
        for key, fresh, files in outlines_of_segment(self._plans.bytes_of(segment)):
            run = fresh and segment.fresh > 0
            yield _Outline(key, run and position not in self._positions, *_compared(files))
            position += run

    def _outlines_before(self, segment: SegmentRecord) -> Iterator[tuple[Places, _Contents]]:
        for _, _, files in outlines_of_segment(self._plans.bytes_of(segment)):
            yield _compared(files)


def _take(kept: dict[Places, list[_Value]], places: Places) -> _Value | None:
    """Take the first of those with some places out of what is kept."""
    found = kept.get(places)
    if found is None:
        return None
    if len(found) == 1:
        del kept[places]
    return found.pop(0)


def _compared(files: list[Given]) -> tuple[Places, _Contents]:
    """What a datum is known by (see `differing.places_of`), and what it was given there."""
    if len(files) == 1:
        [(name, path, _, digest, join_on, group_by)] = files
        place = path if group_by is None else group_by
        return ((name, place),), ((path, digest, join_on, group_by),)
    files = sorted(files, key=lambda file: file[:4])
    places = dict.fromkeys((one[0], one[1] if one[5] is None else one[5]) for one in files)
    return tuple(places), tuple((one[1], *one[3:]) for one in files)
