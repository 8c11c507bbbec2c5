"""Makes the plan of a job out of that of the last good one: only the changes are looked at.

For pipelines with one pfs input, which is what most have. Segments in which nothing changed are
taken over by the name of their chunk: what they say of commits and of fresh datums is what was true
then, and `segments.in_job` says what they mean now. That all their datums have a result is known
without a look-up: those of the last good job are never forgotten.

Cost: what differs between the input trees, the segments that hold a changed datum, and a record per
segment.
"""

from bisect import bisect_right
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
    PlannedDatum,
    as_remembered,
    decode_segment,
    first_path,
)
from trunkline.jobs.tables import JobRecord, SegmentRecord
from trunkline.model.pipelines import PfsInput
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums, identity, lifecycle
from trunkline.pipelines.datums import Head, Heads
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import Digest
from trunkline.versions import commits, provenance, purges

_SMALL = 8  # segments that a plan may have beyond those that its datums need
_DIFFERING_LEAST = 1000  # files that may differ, whatever the size of the job


Pair = tuple[PlannedDatum | None, PlannedDatum | None]  # what goes and what comes at a path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """The last good job, whose plan holds for this one too but for the changes of the input."""

    job: JobRecord
    head: Head
    segments: list[SegmentRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How the datums of a job differ from those of the last good one, all of which have results."""

    before: int  # datums of the last good job
    pairs: Iterator[Pair]  # at each path where something may differ


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
    return found[0].plan(found[1]) if found is not None else None


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
) -> "tuple[_Replanning, list[str]] | None":
    """What goes on from the last good job, and the sorted paths at which datums may differ."""
    spec = lifecycle.spec_of(record)
    leaf = spec.input
    if not isinstance(leaf, PfsInput) or spec.reprocess_every_job:
        return None
    head = heads.get(BranchName(repo=leaf.repo, branch=leaf.branch))
    if head is None:
        return None
    with database.read() as tx:
        basis = _basis(tx, job, record, leaf)
    if basis is None or basis.job.total > datums_max:
        return None
    most = _DIFFERING_LEAST + basis.job.total // 4
    changed = datums.touched(leaf, head, basis.head, trees, most=most)
    if changed is None or "" in changed:
        return None
    return _Replanning(database, trees, record, leaf, head, basis), sorted(changed)


def _basis(
    tx: Transaction, job: JobRecord, record: PipelineRecord, leaf: PfsInput
) -> _Basis | None:
    before = tables.good_job_before(tx, job.pipeline, job.number)
    if before is None or before.processed + before.skipped != before.total:
        return None  # some datum has no result
    version = lifecycle.get(tx, job.pipeline, version=before.version)
    if version.salt != record.salt or lifecycle.spec_of(version).input != leaf:
        return None
    try:
        output = commits.get_commit(tx, before.output_repo, before.id)
    except NotFound:  # deleted since
        return None
    sources = provenance.input_commits(tx, before.output_repo, before.id)
    source = sources.get(BranchName(repo=leaf.repo, branch=leaf.branch))
    segments = tables.segments_of(tx, before.number)
    if source is None or not source.root or not _is_dense(segments):
        return None
    if purges.marks_of(tx, source.number) or purges.marks_of(tx, output.number):
        return None  # its plan is not any more what its input would give
    return _Basis(
        job=before, head=Head(commit=source.id, root=RootId(source.root)), segments=segments
    )


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
        leaf: PfsInput,
        head: Head,
        basis: _Basis,
    ) -> None:
        self._database = database
        self._trees = trees
        self._record = record
        self._leaf = leaf
        self._head = head
        self._basis = basis
        self._firsts: dict[int, str] = {}

    @property
    def before(self) -> int:
        return self._basis.job.total

    def pairs(self, changed: list[str]) -> Iterator[Pair]:
        """What goes and what comes at some sorted paths; a segment in memory at a time."""
        for number, paths in sorted(self._by_segment(changed).items()):
            yield from self._change(self._datums(self._basis.segments[number]), paths)

    def plan(self, changed: list[str]) -> Plan:
        """The plan, given the sorted paths at which datums may differ."""
        before = self._basis.job.datums_digest
        digest = Digest(before.encode("ascii"))
        writer = PlanWriter(self._trees)
        at = self._by_segment(changed)
        for number, segment in enumerate(self._basis.segments):
            if number not in at:
                writer.take_over(segment)
                continue
            datums_there = self._datums(segment)
            for gone, come in self._change(datums_there, at[number]):
                digest.update(f"-{gone.key}".encode("ascii") if gone is not None else b"")
                digest.update(f"+{come.key}".encode("ascii") if come is not None else b"")
            after = [datums_there[path] for path in sorted(datums_there)]
            parts = -(-len(after) // SEGMENT_DATUMS)
            for part in range(parts):
                start, end = (len(after) * n // parts for n in (part, part + 1))
                writer.add(after[start:end])
        return writer.plan(digest.hexdigest() if at else before)

    def _by_segment(self, changed: list[str]) -> dict[int, list[str]]:
        """The paths by the number of the segment whose span each falls into."""
        found: dict[int, list[str]] = {}
        for path in changed:
            place = bisect_right(range(len(self._basis.segments)), path, key=self._first) - 1
            found.setdefault(max(0, place), []).append(path)
        return found

    def _first(self, number: int) -> str:
        """The path of the first datum of a segment."""
        known = self._firsts.get(number)
        if known is None:
            chunk = self._trees.chunks.get(ChunkId(self._basis.segments[number].chunk))
            known = self._firsts[number] = first_path(chunk)
        return known

    def _datums(self, segment: SegmentRecord) -> dict[str, PlannedDatum]:
        """The datums of a segment by path, as remembered ones of the present job."""
        planned = decode_segment(self._trees.chunks.get(ChunkId(segment.chunk)))
        return {_path(one): as_remembered(one, self._head) for one in planned}

    def _change(self, found: dict[str, PlannedDatum], paths: list[str]) -> list[Pair]:
        """Bring datums up to date at some paths; gives what goes and comes at each."""
        gone = {path: found.pop(path, None) for path in paths}
        come: dict[str, PlannedDatum] = {}
        for path in paths:
            datum = datums.datum_at(self._leaf, self._head, self._trees, path)
            if datum is not None:
                key = identity.datum_key(self._record.name, datum, self._record.salt)
                come[path] = PlannedDatum(key=key, fresh=True, datum=datum)
        with self._database.read() as tx:
            known = tables.results_of(tx, [planned.key for planned in come.values()])
        for path, planned in come.items():
            found[path] = replace(planned, fresh=planned.key not in known)
        return [(gone[path], found.get(path)) for path in paths]


def _path(planned: PlannedDatum) -> str:
    (file,) = planned.datum.files
    return file.path
