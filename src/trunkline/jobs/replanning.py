"""Makes the plan of a job out of that of the last good one: only the changes are looked at.

For pipelines whose datums have places (`pipelines.places`): one pfs input, unions and crosses. One
with joins or groups goes on from a plan if none of its inputs sees a change, and only then.
Segments in which nothing changed are taken over by the name of their chunk: what they say of
commits and of fresh datums is what was true then, and `segments.segment_in_job` says what they mean
now. That all their datums have a result is known without a look-up: those of the last good job are
not forgotten for as long as it is that.

Cost: what differs between the input trees, the datums that are made of it, the segments that hold
such a datum, and a record per segment.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

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
    first_datum,
    remembered_of_segment,
)
from trunkline.jobs.tables import JobRecord, SegmentRecord
from trunkline.model.pipelines import Input
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums, identity, lifecycle, places
from trunkline.pipelines.datums import Head, Heads
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.pipelines.places import DatumsAt, Place
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import Digest
from trunkline.versions import commits, provenance, purges

_SMALL = 8  # segments that a plan may have beyond those that its datums need
_DIFFERING_LEAST = 1000  # files that may differ, whatever the size of the job

Pair = tuple[PlannedDatum | None, PlannedDatum | None]  # what goes and what comes at a place


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
    replanning, changed = found
    plan = replanning.plan(changed)
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
    replanning, changed = found
    return Changes(before=replanning.before, pairs=replanning.pairs(changed))


def _replanning(
    database: Database,
    trees: Trees,
    job: JobRecord,
    record: PipelineRecord,
    heads: Heads,
    *,
    datums_max: int,
) -> "tuple[_Replanning, list[Place]] | None":
    """What goes on from the last good job, and the sorted places at which datums may differ."""
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
    most = _DIFFERING_LEAST + basis.job.total // 4
    touched: dict[str, frozenset[str]] = {}
    for leaf in leaves:
        branch = BranchName(repo=leaf.repo, branch=leaf.branch)
        paths = datums.touched(leaf, now[branch], basis.heads[branch], trees, most=most)
        if paths is None:
            return None
        touched[leaf.name] = touched.get(leaf.name, frozenset()) | paths
    if not any(touched.values()):
        changed: set[Place] | None = set()
    elif places.has_places(spec.input):
        datums_most = most // len(leaves)  # what comes into one segment is in memory, all files
        changed = places.affected(spec.input, now, trees, touched, most=datums_most)
    else:
        changed = None
    if changed is None:
        return None
    return _Replanning(database, trees, record, spec.input, now, basis), sorted(changed)


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
    if not _is_dense(segments) or purges.marks_of(tx, output.number):
        return None
    sources = provenance.input_commits(tx, before.output_repo, before.id)
    heads: dict[BranchName, Head] = {}
    for branch in branches:
        source = sources.get(branch)
        if source is None or not source.root or purges.marks_of(tx, source.number):
            return None  # its plan is not any more what its input would give
        heads[branch] = Head(commit=source.id, root=RootId(source.root))
    return _Basis(job=before, heads=heads, segments=segments)


def _is_dense(segments: list[SegmentRecord]) -> bool:
    """Whether there are about as few segments as there could be."""
    total = sum(segment.total for segment in segments)
    return bool(segments) and len(segments) <= _SMALL + 4 * (total // SEGMENT_DATUMS)


class _Replanning:
    def __init__(
        self,
        database: Database,
        trees: Trees,
        record: PipelineRecord,
        root: Input,
        heads: dict[BranchName, Head],
        basis: _Basis,
    ) -> None:
        self._database = database
        self._trees = trees
        self._record = record
        self._root = root
        self._sources = {branch.repo: head for branch, head in heads.items()}
        self._datums_at = DatumsAt(root, heads, trees)
        self._basis = basis
        self._firsts: dict[int, Place] = {}

    @property
    def before(self) -> int:
        return self._basis.job.total

    def pairs(self, changed: list[Place]) -> Iterator[Pair]:
        """What goes and what comes at some sorted places; a segment in memory at a time."""
        for number, there in sorted(self._by_segment(changed).items()):
            yield from self._change(self._datums(self._basis.segments[number]), there)

    def plan(self, changed: list[Place]) -> Plan:
        """The plan, given the sorted places at which datums may differ."""
        before = self._basis.job.datums_digest
        digest = Digest(before.encode("ascii"))
        writer = PlanWriter(self._trees)
        at = self._by_segment(changed)
        for number, segment in enumerate(self._basis.segments):
            if number not in at:
                writer.take_over(segment)
                continue
            found = self._datums(segment)
            for gone, come in self._change(found, at[number]):
                digest.update(f"-{gone.key}".encode("ascii") if gone is not None else b"")
                digest.update(f"+{come.key}".encode("ascii") if come is not None else b"")
            after = [found[place] for place in sorted(found)]
            files = sum(len(planned.datum.files) for planned in after)
            parts = max(-(-len(after) // SEGMENT_DATUMS), -(-files // SEGMENT_FILES))
            for part in range(parts):
                start, end = (len(after) * n // parts for n in (part, part + 1))
                writer.add(after[start:end])
        return writer.plan(digest.hexdigest() if at else before)

    def _by_segment(self, changed: list[Place]) -> dict[int, list[Place]]:
        """The places by the number of the segment whose span each falls into."""
        found: dict[int, list[Place]] = {}
        for place in changed:
            number = bisect_right(range(len(self._basis.segments)), place, key=self._first) - 1
            found.setdefault(max(0, number), []).append(place)
        return found

    def _first(self, number: int) -> Place:
        """The place of the first datum of a segment."""
        known = self._firsts.get(number)
        if known is None:
            chunk = self._trees.chunks.get(ChunkId(self._basis.segments[number].chunk))
            known = self._firsts[number] = places.place_of(self._root, first_datum(chunk))
        return known

    def _datums(self, segment: SegmentRecord) -> dict[Place, PlannedDatum]:
        """The datums of a segment by place, as remembered ones of the present job."""
        data = self._trees.chunks.get(ChunkId(segment.chunk))
        planned = remembered_of_segment(data, self._sources)
        return {places.place_of(self._root, one.datum): one for one in planned}

    def _change(self, found: dict[Place, PlannedDatum], there: list[Place]) -> list[Pair]:
        """Bring datums up to date at some places; gives what goes and comes at each."""
        gone = {place: found.pop(place, None) for place in there}
        come: dict[Place, PlannedDatum] = {}
        for place in there:
            datum = self._datums_at.get(place)
            if datum is not None:
                key = identity.datum_key(self._record.name, datum, self._record.salt)
                come[place] = PlannedDatum(key=key, fresh=True, datum=datum)
        with self._database.read() as tx:
            known = tables.results_of(tx, [planned.key for planned in come.values()])
        for place, planned in come.items():
            found[place] = replace(planned, fresh=planned.key not in known)
        pairs = [(gone[place], found.get(place)) for place in there]
        return [pair for pair in pairs if pair != (None, None)]
