"""Makes the plan of a job out of that of the last good one: only the changes are looked at.

For pipelines whose datums have places (`pipelines.places`). Another one goes on from a plan if none
of its inputs sees a change, and only then.
Segments in which nothing changed are taken over by the name of their chunk: what they say of
commits and of fresh datums is what was true then, and `segments.segment_in_job` says what they mean
now. That all their datums have a result is known without a look-up: those of the last good job are
not forgotten for as long as it is that.

Cost: what differs between the input trees, the datums that are made of it, in joins and groups all
that have its keys, the segments that hold such a datum, and a record per segment.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from trunkline.db.database import Database, Transaction
from trunkline.errors import NotFound
from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.plan_writer import Plan, PlanWriter
from trunkline.jobs.segments import (
    SEGMENT_DATUMS,
    SEGMENT_FILES,
    PlannedDatum,
    StoredDatum,
    StoredDatums,
    first_datum,
)
from trunkline.jobs.tables import JobRecord, SegmentRecord
from trunkline.model.pipelines import Input, PfsInput
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums, identity, lifecycle, places
from trunkline.pipelines.datums import Head, Heads
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.pipelines.places import Affected, Place
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import Digest
from trunkline.versions import commits, provenance, purges

_SMALL = 8  # segments that a plan may have beyond those that its datums need
_DIFFERING_LEAST = 1000  # files or datums that may differ, whatever the size of the job

Pair = tuple[PlannedDatum | None, PlannedDatum | None]  # what goes and what comes at a place
_Written = PlannedDatum | StoredDatum


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """The last good job, whose plan holds for this one too but for the changes of the input."""

    job: JobRecord
    heads: dict[BranchName, Head]  # what it read
    segments: list[SegmentRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How the datums of a job differ from those of the last good one, all of which have results."""

    before: int  # datums of the last good job
    pairs: Iterator[Pair]  # at each place where something may differ


def replan(
    database: Database,
    trees: Trees,
    job: JobRecord,
    record: PipelineRecord,
    heads: Heads,
    *,
    datums_max: int,
) -> Plan | None:
    """The plan of a job; None where it has to be made anew."""
    found = _replanning(database, trees, job, record, heads, datums_max=datums_max)
    if found is None:
        return None
    plan = found.plan()
    return plan if plan.total <= datums_max else None


def changes(
    database: Database,
    trees: Trees,
    job: JobRecord,
    record: PipelineRecord,
    heads: Heads,
    *,
    datums_max: int,
) -> Changes | None:
    """What `replan` would make of the last good job's plan; None where it has to be made anew.

    Nothing is recorded, and the job need not be.
    """
    found = _replanning(database, trees, job, record, heads, datums_max=datums_max)
    if found is None:
        return None
    return Changes(before=found.before, pairs=found.pairs())


def _replanning(
    database: Database,
    trees: Trees,
    job: JobRecord,
    record: PipelineRecord,
    heads: Heads,
    *,
    datums_max: int,
) -> "_Replanning | None":
    """What goes on from the last good job."""
    spec = lifecycle.spec_of(record)
    leaves = places.leaves_of(spec.input)
    if spec.reprocess_every_job:
        return None
    branches = {BranchName(repo=leaf.repo, branch=leaf.branch) for leaf in leaves}
    now = {branch: head for branch in branches if (head := heads.get(branch)) is not None}
    # By its repo a file is told which commit it is meant in.
    if len(now) < len(branches) or max(Counter(one.repo for one in branches).values()) > 1:
        return None
    with database.read() as tx:
        basis = _basis(tx, job, record, spec.input, branches)
    if basis is None or basis.job.total > datums_max:
        return None
    files = sum(trees.totals(head.root)[0] for head in basis.heads.values())
    if not _is_dense(basis, files):
        return None
    total = basis.job.total
    most = _DIFFERING_LEAST + max(total, files) // 4  # a group may have very many files
    touched: dict[PfsInput, set[str]] = {}
    for leaf in leaves:
        branch = BranchName(repo=leaf.repo, branch=leaf.branch)
        paths = datums.touched(leaf, now[branch], basis.heads[branch], trees, most=most)
        if paths is None:
            return None
        touched[leaf] = paths
    # What comes into one segment is in memory, all files.
    datums_most = (_DIFFERING_LEAST + total // 4) // len(leaves)
    affected = places.affected(spec.input, now, trees, touched, most=datums_most)
    if affected is None:
        return None
    return _Replanning(database, trees, record, spec.input, now, basis, affected)


def _basis(
    tx: Transaction,
    job: JobRecord,
    record: PipelineRecord,
    root: Input,
    branches: set[BranchName],
) -> _Basis | None:
    before = tables.good_job_before(tx, job.pipeline, job.number)
    if before is None or before.processed + before.skipped != before.total:
        return None  # some datum has no result
    if not tables.is_basis(tx, before.number):
        return None  # some result may have been forgotten
    version = lifecycle.get(tx, job.pipeline, version=before.version)
    if version.salt != record.salt or lifecycle.spec_of(version).input != root:
        return None
    try:
        output = commits.get_commit(tx, before.output_repo, before.id)
    except NotFound:  # deleted since
        return None
    segments = tables.segments_of(tx, before.number)
    if not segments or purges.marks_of(tx, output.number):
        return None
    sources = provenance.input_commits(tx, before.output_repo, before.id)
    heads: dict[BranchName, Head] = {}
    for branch in branches:
        source = sources.get(branch)
        if source is None or not source.root or purges.marks_of(tx, source.number):
            return None  # its plan is not any more what its input would give
        heads[branch] = Head(commit=source.id, root=RootId(source.root))
    return _Basis(job=before, heads=heads, segments=segments)


def _is_dense(basis: _Basis, files: int) -> bool:
    """Whether there are about as few segments as there could be, of an input with so many files.

    A group takes each file once, and so has no more segments for their sake than these fill.
    """
    needed = basis.job.total // SEGMENT_DATUMS + files // SEGMENT_FILES
    return len(basis.segments) <= _SMALL + 4 * needed


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """What a change touches in the span of one segment."""

    stems: list[Place] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)  # where there may be a datum now


class _Replanning:
    def __init__(
        self,
        database: Database,
        trees: Trees,
        record: PipelineRecord,
        root: Input,
        heads: dict[BranchName, Head],
        basis: _Basis,
        affected: Affected,
    ) -> None:
        self._database = database
        self._trees = trees
        self._record = record
        self._root = root
        self._sources = {branch.repo: head for branch, head in heads.items()}
        self._basis = basis
        self._affected = affected
        self._firsts: dict[int, Place] = {}

    @property
    def before(self) -> int:
        return self._basis.job.total

    def pairs(self) -> Iterator[Pair]:
        """What goes and what comes, by place; a segment in memory at a time."""
        for number, there in sorted(self._by_segment().items()):
            pairs, _ = self._change(self._datums(self._basis.segments[number]), there)
            yield from pairs

    def plan(self) -> Plan:
        """The plan of the job."""
        before = self._basis.job.datums_digest
        digest, differs = Digest(before.encode("ascii")), False
        writer = PlanWriter(self._trees)
        at = self._by_segment()
        for number, segment in enumerate(self._basis.segments):
            pairs: list[Pair] = []
            after: list[_Written] = []
            if number in at:
                pairs, after = self._change(self._datums(segment), at[number])
            if not pairs:
                writer.take_over(segment)
                continue
            differs = True
            for gone, come in pairs:
                digest.update(f"-{gone.key}".encode("ascii") if gone is not None else b"")
                digest.update(f"+{come.key}".encode("ascii") if come is not None else b"")
            for part in _parts(after):
                writer.add(part)
        return writer.plan(digest.hexdigest() if differs else before)

    def _by_segment(self) -> dict[int, _There]:
        """The segments that may differ, by number, with what is touched in each."""
        found: dict[int, _There] = {}
        for stem in self._affected.stems:
            number = self._segment_of(stem)
            found.setdefault(number, _There()).stems.append(stem)
            while self._begins_with(number + 1, stem):
                number += 1
                found.setdefault(number, _There()).stems.append(stem)
        for place in self._affected.places:
            found[self._segment_of(place)].places.append(place)
        return found

    def _segment_of(self, place: Place) -> int:
        """The number of the segment whose span a place falls into."""
        number = bisect_right(range(len(self._basis.segments)), place, key=self._first) - 1
        return max(0, number)

    def _begins_with(self, number: int, stem: Place) -> bool:
        """Whether there is such a segment, and its first place has the stem."""
        there = number < len(self._basis.segments)
        return there and self._first(number)[: len(stem)] == stem

    def _first(self, number: int) -> Place:
        """The place of the first datum of a segment."""
        known = self._firsts.get(number)
        if known is None:
            chunk = self._trees.chunks.get(ChunkId(self._basis.segments[number].chunk))
            known = self._firsts[number] = places.place_of(self._root, first_datum(chunk))
        return known

    def _datums(self, segment: SegmentRecord) -> StoredDatums:
        """The datums of a segment, as remembered ones of the present job."""
        data = self._trees.chunks.get(ChunkId(segment.chunk))
        return StoredDatums(data, self._sources)

    def _change(self, stored: StoredDatums, there: _There) -> tuple[list[Pair], list[_Written]]:
        """What goes and comes in a segment, by place, and all its datums then.

        Datums are in the order of their places, so that few have to be looked at.
        """
        numbers = range(len(stored))

        def place_of(i: int) -> Place:
            return places.place_of(self._root, stored[i].datum)

        gone: dict[Place, int] = {}
        for stem in there.stems:
            i = bisect_left(numbers, stem, key=place_of)
            while i < len(stored) and (place := place_of(i))[: len(stem)] == stem:
                gone[place] = i
                i += 1
        come = self._come(there.places)
        away = set(gone.values())
        after: list[_Written] = []
        start = 0
        for place in sorted(come):
            end = bisect_left(numbers, place, key=place_of)
            after += [stored.stored(i) for i in range(start, end) if i not in away]
            after.append(come[place])
            start = end
        after += [stored.stored(i) for i in range(start, len(stored)) if i not in away]
        pairs = [
            (stored[gone[place]] if place in gone else None, come.get(place))
            for place in sorted({*gone, *come})
        ]
        return pairs, after

    def _come(self, there: list[Place]) -> dict[Place, PlannedDatum]:
        """The datums that are at some places now."""
        come: dict[Place, PlannedDatum] = {}
        for place in there:
            datum = self._affected.datum(place)
            if datum is not None:
                key = identity.datum_key(self._record.name, datum, self._record.salt)
                come[place] = PlannedDatum(key=key, fresh=True, datum=datum)
        with self._database.read() as tx:
            known = tables.results_of(tx, [planned.key for planned in come.values()])
        return {
            place: replace(planned, fresh=planned.key not in known)
            for place, planned in come.items()
        }


def _parts(planned: list[_Written]) -> Iterator[list[_Written]]:
    """Datums as segments of about equal size; one with very many files has a segment of its own."""
    sizes = [max(one.file_count * SEGMENT_DATUMS, SEGMENT_FILES) for one in planned]
    full, total = SEGMENT_DATUMS * SEGMENT_FILES, sum(sizes)
    parts = -(-total // full)
    part: list[_Written] = []
    before = filled = last = 0
    for one, size in zip(planned, sizes, strict=True):
        number = before * parts // total
        if part and (number != last or filled + size > full):
            yield part
            part, filled = [], 0
        part.append(one)
        last, filled, before = number, filled + size, before + size
    if part:
        yield part
