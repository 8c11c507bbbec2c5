"""What a change would set off; see `api.plans`.

The change is made for real, in a transaction of the catalog that is taken back: so which jobs it
causes, in which order and on which commits, is decided by the code that decides it when it is made.
What their datums are is then told by the code that plans jobs. Cost: where that goes on from the
last good job, what changed, else that of planning each job and one pass over the plan of its last
good one, with some 100 bytes per datum of that in memory. Where inputs are not known yet, a pass
over what they were.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import median

from trunkline.api.changes import FileChange
from trunkline.api.waiting import check_wanted
from trunkline.db.database import Transaction
from trunkline.engine.change import Change, rehearsed, single
from trunkline.engine.commits import written_by_hand
from trunkline.engine.differing import places_of
from trunkline.engine.files import EngineFiles
from trunkline.engine.pipelines import create_pipeline, delete_pipeline, prepare
from trunkline.engine.repos import delete_repo
from trunkline.engine.services import Services
from trunkline.errors import Conflict, DatumTooLarge, HeadMoved, TooManyDatums, TrunklineError
from trunkline.files.manifest import RootId
from trunkline.jobs import ledger, quarantine
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.planning import planned_segments
from trunkline.jobs.replanning import Changes, changes
from trunkline.jobs.search import FoundDatum, PlanReader
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PfsInput, PipelineSpec
from trunkline.model.plans import Plan, PlannedJob
from trunkline.model.versions import BranchName, DeletedInfo
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import Head
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.pipelines.spec import worker_count
from trunkline.store.digests import Digest
from trunkline.versions import commits, provenance
from trunkline.versions.commits import CommitRecord

_HISTORY_JOBS = 20  # that tell how long a datum takes
_PLACE_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What a job would read from a branch. `root` is None while that is open, and not known."""

    commit: str
    root: RootId | None
    last: RootId | None  # what it was before, if it is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A job as the change would open it."""

    record: JobRecord
    pipeline: PipelineSpec
    version: PipelineRecord
    sources: dict[BranchName, _Source]
    failed: str  # a commit that it would read and that has failed
    before: JobRecord | None  # its last good one
    carried: frozenset[str]  # keys of datums whose failure it takes over
    made: RootId | None  # what that one made
    merged_alike: bool
    datum_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effects:
    jobs: tuple[_Job, ...]
    stopped: tuple[str, ...]
    deleted: tuple[DeletedInfo, ...]


@dataclass(slots=True, kw_only=True)
class _Counts:
    total: int = 0
    new: int = 0
    changed: int = 0
    removed: int = 0
    skipped: int = 0
    quarantined: int = 0
    may_change: int = 0
    size_bytes: int = 0
    same: bool = False  # the datums of the last good job


class EnginePlans:
    def __init__(self, services: Services, files: EngineFiles) -> None:
        self._services = services
        self._files = files

    def plan_files(self, repo: str, commit: str, changes: Iterable[FileChange]) -> Plan:
        with self._services.chunks.hold():
            head, root = self._files.tree_after(repo, commit, changes)

            def put(change: Change) -> tuple[DeletedInfo, ...]:
                try:
                    _put(change, repo, commit, head, root)
                except HeadMoved as error:
                    raise Conflict(
                        f"branch {repo}@{commit} moved while the plan was made; ask again"
                    ) from error
                return ()

            return self._plan(put, run=None if head is None or head.finished else head.id)

    def plan_pipelines(
        self,
        specs: list[dict[str, object]],
        *,
        codes: list[str] | None = None,
        update: bool | None = False,
        reprocess: bool = False,
        keep_results: bool = False,
        renew_packages: bool = False,
        count: bool = True,
    ) -> Plan:
        services = self._services
        given = [code or None for code in codes or [""] * len(specs)]
        prepared = [
            prepare(services, spec, code, renew_packages=renew_packages, store=False)
            for spec, code in zip(specs, given, strict=True)
        ]

        def create(change: Change) -> tuple[DeletedInfo, ...]:
            for one in prepared:
                name = one.pipeline.name
                there = lifecycle.find(change.tx, name) is not None
                try:
                    create_pipeline(
                        *(change, one),
                        update=there if update is None else update,
                        reprocess=reprocess,
                        keep_results=keep_results,
                    )
                except TrunklineError as error:
                    if f"'{name}'" not in str(error):
                        error.args = (f"pipeline '{name}': {error}",)
                    raise
            return ()

        return self._plan(create, count=count)

    def plan_pipeline_deletion(
        self, name: str, *, force: bool = False, keep_repo: bool = False
    ) -> Plan:
        return self._plan(
            lambda change: (delete_pipeline(change, name, force=force, keep_repo=keep_repo),)
        )

    def plan_repo_deletion(self, name: str, *, force: bool = False) -> Plan:
        return self._plan(lambda change: (delete_repo(change, name, force=force),))

    def _plan(
        self,
        act: Callable[[Change], tuple[DeletedInfo, ...]],
        *,
        run: str | None = None,
        count: bool = True,
    ) -> Plan:
        """What an act would do; `run` is that of the jobs that wait for it already."""

        def carried_out(tx: Transaction) -> _Effects:
            change = replace(single(self._services, tx), later=[])
            going_on = ledger.open_jobs(tx)
            deleted = act(change)
            change.settle()
            opened = ledger.jobs_of_run(tx, run or change.run_id)
            left = {job.number for job in ledger.open_jobs(tx)}
            return _Effects(
                jobs=tuple(_job(tx, job) for job in opened if job.number in left),
                stopped=tuple(job.name for job in going_on if job.number not in left),
                deleted=deleted,
            )

        effects = rehearsed(self._services, carried_out)
        jobs = _Foresight(self._services).of(effects.jobs) if count else ()
        return Plan(
            jobs=tuple(jobs),
            stopped=effects.stopped,
            deleted=effects.deleted,
            expected_s=_expected(effects.jobs, jobs) if count else None,
            work=any(job.work for job in jobs) or bool(effects.stopped or effects.deleted),
        )


def _put(change: Change, repo: str, branch: str, head: CommitRecord | None, root: RootId) -> None:
    """As a put into a branch, or one into its open commit that is finished then."""
    if head is not None and head.finished is None:
        tx = change.tx
        files, size = change.services.trees.totals(root)
        finished = commits.finish_commit(
            *(tx, repo, head.id),
            root=root,
            files=files,
            size_bytes=size,
            output=written_by_hand(tx, head),
            now=change.now,
            later=change.later,
        )
        change.opened(finished.opened)
        return
    change.opened(change.put(repo, branch, head=head, root=root).opened)


def _job(tx: Transaction, job: JobRecord) -> _Job:
    record = lifecycle.get(tx, job.pipeline, version=job.version)
    pipeline = lifecycle.spec_of(record)
    inputs = provenance.input_commits(tx, job.output_repo, job.id)
    before = ledger.good_job_before(tx, job.pipeline, job.number)
    merged_alike = before is not None and (
        lifecycle.spec_of(lifecycle.get(tx, job.pipeline, version=before.version)).output_merge
        == pipeline.output_merge
    )
    return _Job(
        record=job,
        pipeline=pipeline,
        version=record,
        sources={branch: _source(tx, found) for branch, found in inputs.items()},
        failed=next((str(found.name) for found in inputs.values() if found.error is not None), ""),
        before=before,
        carried=frozenset(quarantine.carried(tx, job, pipeline).known),
        made=None if before is None else _made(tx, before),
        merged_alike=merged_alike,
        datum_s=_datum_s(tx, job),
    )


def _source(tx: Transaction, found: CommitRecord) -> _Source:
    if found.finished is not None:
        return _Source(commit=found.id, root=RootId(found.root), last=None)
    last: RootId | None = None
    job = ledger.job_of_output(tx, found.repo, found.id)
    if job is not None:
        good = ledger.good_job_before(tx, job.pipeline, job.number)
        last = None if good is None else _made(tx, good)
    elif found.parent is not None:
        parent = commits.get_commit(tx, found.repo, found.parent)
        last = RootId(parent.root) if parent.finished is not None else None
    return _Source(commit=found.id, root=None, last=last)


def _made(tx: Transaction, job: JobRecord) -> RootId | None:
    """The tree that a good job made, if its commit is still there."""
    if not commits.has_commit(tx, job.output_repo, job.id):
        return None
    return RootId(commits.get_commit(tx, job.output_repo, job.id).root)


def _datum_s(tx: Transaction, job: JobRecord) -> float | None:
    earlier = ledger.list_jobs(
        tx, pipeline=job.pipeline, run=None, before=job.number, number=_HISTORY_JOBS
    )
    means = [
        (one.download_us + one.process_us + one.upload_us) / one.processed / 1e6
        for one in earlier
        if one.processed and one.state is JobState.SUCCESS
    ]
    return median(means) if means else None


class _Foresight:
    """Counts what jobs would do, upstream first."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._plans = PlanReader(services.database, services.chunks)
        self._outputs: dict[tuple[str, str], RootId] = {}  # those that are known to stay the same
        self._failing: set[tuple[str, str]] = set()

    def of(self, jobs: Iterable[_Job]) -> list[PlannedJob]:
        return [self._job(job) for job in jobs]

    def _job(self, job: _Job) -> PlannedJob:
        heads: dict[BranchName, Head | None] = {}
        unknown: dict[BranchName, str] = {}
        reason = f"its input {job.failed} has failed" if job.failed else ""
        for branch, source in job.sources.items():
            place = (branch.repo, source.commit)
            root = source.root or self._outputs.get(place)
            if place in self._failing:
                reason = f"the job of its input {branch.repo} would not succeed"
            if root is None:
                unknown[branch] = source.commit
                root = source.last
            heads[branch] = None if root is None else Head(commit=source.commit, root=root)
        counts = _Counts()
        if not reason:
            try:
                counts = self._counted(job, heads, {(b.repo, c) for b, c in unknown.items()})
            except (TooManyDatums, DatumTooLarge) as error:
                reason = str(error)
        output = (job.record.output_repo, job.record.id)
        if reason:
            self._failing.add(output)
        elif not unknown and job.made is not None and self._same(job, counts):
            self._outputs[output] = job.made
        return self._told(job, counts, unknown, reason)

    def _counted(
        self, job: _Job, heads: dict[BranchName, Head | None], unknown: set[tuple[str, str]]
    ) -> _Counts:
        services = self._services
        found = changes(
            *(services.database, services.trees, job.record, job.version, heads),
            datums_max=services.config.datums_max,
        )
        if found is None:
            return self._of_all(job, heads, unknown)
        if not unknown:
            return _of_changes(found)
        if not isinstance(job.pipeline.input, PfsInput):  # some of its datums may be known
            return self._of_all(job, heads, unknown)
        if any(True for _ in found.pairs):  # it has not been processed yet what the input was
            return self._of_all(job, heads, unknown)
        return self._of_unknown(job, heads, found.before)

    def _of_unknown(self, job: _Job, heads: dict[BranchName, Head | None], total: int) -> _Counts:
        """The counts of a job whose one input was as its last good job has seen it."""
        leaf = job.pipeline.input
        assert isinstance(leaf, PfsInput)
        head = heads[BranchName(repo=leaf.repo, branch=leaf.branch)]
        assert head is not None
        size = sum(entry.size_bytes for entry in self._services.trees.glob(head.root, leaf.glob))
        return _Counts(total=total, may_change=total, size_bytes=size)

    def _last_plan(self, job: _Job) -> tuple[dict[bytes, bool], str]:
        """Where the last good job had datums, none of which has been met again yet, and the digest
        of their keys.
        """
        places: dict[bytes, bool] = {}
        digest = Digest()
        if job.before is not None:
            for found in self._plans.datums(job.before):
                places[_place(found)] = False
                digest.update(found.planned.key.encode("ascii"))
        return places, digest.hexdigest()

    def _of_all(
        self, job: _Job, heads: dict[BranchName, Head | None], unknown: set[tuple[str, str]]
    ) -> _Counts:
        services = self._services
        counts, digest = _Counts(), Digest()
        before, keys_before = self._last_plan(job)
        for segment in planned_segments(
            *(services.database, services.trees, job.pipeline, heads),
            salt=job.version.salt,
            datums_max=services.config.datums_max,
        ):
            check_wanted()
            digest.update(segment.keys)
            counts.total += len(segment.datums)
            for planned in segment.datums:
                place = _place(FoundDatum(planned=planned, position=None))
                known = place in before
                if known:
                    before[place] = True
                files = planned.datum.files
                if any((file.repo, file.commit) in unknown for file in files):
                    counts.may_change += 1
                elif not planned.fresh:
                    counts.skipped += 1
                    continue
                elif planned.key in job.carried:
                    counts.quarantined += 1
                    continue
                elif known:
                    counts.changed += 1
                else:
                    counts.new += 1
                counts.size_bytes += sum(file.size_bytes for file in files)
        counts.removed = sum(not met for met in before.values())
        counts.same = digest.hexdigest() == keys_before
        return counts

    def _same(self, job: _Job, counts: _Counts) -> bool:
        """Whether the output would be that of the last good job: the same datums, none to run."""
        return (
            job.before is not None
            and job.merged_alike
            and counts.skipped + counts.quarantined == counts.total
            and counts.same
        )

    def _told(
        self,
        job: _Job,
        counts: _Counts,
        unknown: dict[BranchName, str],
        reason: str,
    ) -> PlannedJob:
        workers = worker_count(job.pipeline.parallelism, os.cpu_count() or 1)
        runs = counts.new + counts.changed + counts.may_change
        expected = None
        if not reason:
            known = job.datum_s is not None and not (unknown and not counts.total)
            expected = 0.0 if not runs and not unknown else None
            if known and job.datum_s is not None:
                expected = job.datum_s * runs / max(1, min(workers, runs))
        return PlannedJob(
            pipeline=job.record.pipeline,
            version=job.record.version,
            total=counts.total,
            new=counts.new,
            changed=counts.changed,
            removed=counts.removed,
            skipped=counts.skipped,
            quarantined=counts.quarantined,
            may_change=counts.may_change,
            size_bytes=counts.size_bytes,
            workers=workers,
            datum_s=job.datum_s,
            expected_s=expected,
            reads_unknown=tuple(str(branch) for branch in unknown),
            reason=reason,
        )


def _of_changes(found: Changes) -> _Counts:
    """The counts of a job that has the datums of the last good one but for some changes."""
    counts = _Counts(total=found.before, skipped=found.before, same=True)
    for gone, come in found.pairs:
        check_wanted()
        counts.total += (come is not None) - (gone is not None)
        counts.skipped -= gone is not None
        counts.removed += gone is not None and come is None
        counts.same &= gone is not None and come is not None and gone.key == come.key
        if come is None:
            continue
        if not come.fresh:
            counts.skipped += 1
            continue
        counts.changed += gone is not None
        counts.new += gone is None
        counts.size_bytes += sum(file.size_bytes for file in come.datum.files)
    return counts


def _place(found: FoundDatum) -> bytes:
    """What a datum is known by from one job to the next, small."""
    return Digest(repr(places_of(found)).encode("utf-8")).digest()[:_PLACE_BYTES]


def _expected(jobs: Iterable[_Job], told: Iterable[PlannedJob]) -> float | None:
    """When the last job would end, if each starts once those that it reads from have ended."""
    ends: dict[tuple[str, str], float] = {}
    for job, planned in zip(jobs, told, strict=True):
        if planned.expected_s is None:
            return None
        reads = [(branch.repo, source.commit) for branch, source in job.sources.items()]
        start = max((ends.get(place, 0.0) for place in reads), default=0.0)
        ends[job.record.output_repo, job.record.id] = start + planned.expected_s
    return max(ends.values(), default=0.0)
