"""What came of a file: forward to the datums that read it, to what they wrote, and on.

Goes through the commits that were made from the one with the file, upstream first. The content of a
`reference` input does not count in the key of a datum: what it was is told by the job that ran the
datum, so such a result is followed to the later jobs that took it over, whatever these have there.

Memory: the paths that are reached in those commits (about 150 bytes each), and the keys of the
datums of one job, and of all that read it as a reference. Cost: one look through the plan of each
job (behind a reference, of all later jobs of the pipeline), and through the tree of each commit.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trunkline.engine.file_history import file_info
from trunkline.engine.origins import Place
from trunkline.engine.services import Services
from trunkline.errors import NotFound
from trunkline.files.manifest import RootId
from trunkline.jobs import ledger
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.remembered import unremembered
from trunkline.jobs.search import FoundDatum, PlanReader
from trunkline.jobs.segments import as_stored
from trunkline.jobs.writers import files_of, merged_files, ran_by, silent, touches
from trunkline.model.lineage import ImpactStep
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import DatumFile
from trunkline.versions import commits, provenance
from trunkline.versions.commits import CommitRecord

_LOOKED_FOR_MAX = 16  # of more paths and keys than this, most segments have one

_DATUMS_AT_ONCE = 1000  # whose runs are looked up in one read
_JOBS_AT_ONCE = 100

_Commit = tuple[str, str]  # repo and id


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The files of a commit that the answer has reached; never empty, sorted."""

    paths: list[str]
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The datums that a job ran while what was reached was there as a reference."""

    keys: set[str]
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Derived:
    record: CommitRecord
    job: JobRecord
    sources: dict[_Commit, Reached]
    runs: dict[int, _Run]  # those of its pipeline that read what was reached as a reference
    merged: bool  # its files may be of several datums each


@dataclass(slots=True, kw_only=True)
class _Readers:
    """The datums of a job that read what was reached."""

    keys: set[str] = field(default_factory=set)
    skipped: int = 0
    referring: set[str] = field(default_factory=set)  # run by the job itself, as a reference
    unknown: int = 0  # may have read it: there is no record of the run
    depth: int = 0

    def add(self, found: FoundDatum, depth: int) -> None:
        self.keys.add(found.planned.key)
        self.skipped += found.position is None
        self.depth = min(self.depth or depth, depth)


class Consequences:
    """Answers one question of `impact`, over `depth` jobs behind one another (0: all)."""

    def __init__(self, services: Services, *, depth: int, files: bool) -> None:
        self._services = services
        self._depth = depth
        self._files = files
        self._plans = PlanReader(services.database, services.chunks)
        self._reached: dict[_Commit, Reached] = {}
        self._runs: dict[str, dict[int, _Run]] = {}  # by pipeline and number of the job
        self._waiting: list[tuple[int, _Commit]] = []  # commits by number, so upstream first
        self._seen: set[int] = set()

    def of_file(self, place: Place) -> Iterator[ImpactStep]:
        """The whole answer: each job, and behind it (if they were asked for) its files."""
        start = place.record
        self._reached[start.repo, start.id] = Reached(paths=[place.entry.path], depth=0)
        self._follow(start)
        while self._waiting:
            derived = self._derived(heapq.heappop(self._waiting)[1])
            if derived is not None:
                yield from self._of_job(derived)

    def _follow(self, start: CommitRecord) -> None:
        """Look at all that was made from a commit."""
        with self._services.database.read() as tx:
            for record in provenance.made_from(tx, start):
                self._look_at(record)

    def _follow_results(self, job: JobRecord) -> None:
        """Look at all later jobs of a pipeline: they may have taken over what this one ran."""
        before = None
        while True:
            with self._services.database.read() as tx:
                page = ledger.list_jobs(
                    tx, pipeline=job.pipeline, run=None, before=before, number=_JOBS_AT_ONCE
                )
                for later in page:
                    if later.number <= job.number:
                        return
                    try:
                        self._look_at(commits.get_commit(tx, later.output_repo, later.id))
                    except NotFound:  # deleted since
                        continue
            if not page:
                return
            before = page[-1].number

    def _look_at(self, record: CommitRecord) -> None:
        if record.number not in self._seen:
            self._seen.add(record.number)
            heapq.heappush(self._waiting, (record.number, (record.repo, record.id)))

    def _derived(self, name: _Commit) -> _Derived | None:
        """A commit that a job made of what was reached; None for another one."""
        with self._services.database.read() as tx:
            try:
                record = commits.get_commit(tx, *name)
            except NotFound:  # deleted since
                return None
            job = ledger.job_of_output(tx, *name)
            inputs = [(source.repo, source.id) for source in provenance.inputs_of(tx, record)]
            reached = {place: self._reached[place] for place in inputs if place in self._reached}
            sources = {
                place: source
                for place, source in reached.items()
                if not self._depth or source.depth < self._depth
            }
            runs = {} if job is None else self._runs.get(job.pipeline, {})
            if job is None or not (sources or runs):
                return None
            spec = lifecycle.get(tx, job.pipeline, version=job.version).spec
        merged = spec.get("output_merge") == "concat"
        return _Derived(record=record, job=job, sources=sources, runs=runs, merged=merged)

    def _of_job(self, derived: _Derived) -> Iterator[ImpactStep]:
        job, record = derived.job, derived.record
        readers = self._readers(derived)
        keys = readers.keys
        if not keys:
            return
        if readers.referring:
            runs = self._runs.setdefault(job.pipeline, {})
            runs[job.number] = _Run(keys=readers.referring, depth=readers.depth)
            self._follow_results(job)
        places: list[tuple[str, str]] = []
        sizes: dict[str, int] = {}
        remarks: list[str] = []
        if readers.unknown:
            remarks.append(
                f"what {readers.unknown} of these datums read as a reference is not known any more"
            )
        database = self._services.database
        if record.finished is not None and record.error is None:
            wrote = keys - silent(database, job)
            places, sizes = self._outputs(derived, wrote)
            if derived.merged and (lost := sum(1 for _ in unremembered(database, wrote))):
                remarks.append(f"what {lost} of these datums wrote is not remembered any more")
        if sizes:
            reached = Reached(paths=sorted(sizes), depth=readers.depth)
            self._reached[record.repo, record.id] = reached
            if not derived.sources:
                self._follow(record)
        whole = ImpactStep(
            job=job.name,
            pipeline_version=job.version,
            state=job.state,
            depth=readers.depth,
            datums=len(keys),
            datums_total=job.total,
            skipped=readers.skipped,
            files=len(sizes),
            size_bytes=sum(sizes.values()),
            datum="",
            file=None,
            remark="; ".join(remarks),
        )
        yield whole
        if self._files:
            for path, key in places:
                yield self._of_output(whole, record, path, key)

    def _of_output(
        self, whole: ImpactStep, record: CommitRecord, path: str, key: str
    ) -> ImpactStep:
        entry = self._services.trees.entry(RootId(record.root), path, digest=True)
        assert entry is not None, "it was found in this tree"
        return ImpactStep(
            job=whole.job,
            pipeline_version=whole.pipeline_version,
            state=whole.state,
            depth=whole.depth,
            datums=0,
            datums_total=0,
            skipped=0,
            files=1,
            size_bytes=entry.size_bytes,
            datum=key,
            file=file_info(record, entry),
            remark="",
        )

    def _readers(self, derived: _Derived) -> _Readers:
        sources, runs = derived.sources, derived.runs
        depth = 1 + min((source.depth for source in sources.values()), default=0)
        taken_over = set().union(*(run.keys for run in runs.values()))
        readers = _Readers()
        in_question: list[FoundDatum] = []  # by whom they were run says whether they read it
        for found in self._plans.datums(derived.job, may_hold=_filter(sources, taken_over)):
            reading = _touched(sources, found)
            ran = found.position is not None
            if any(ran or not file.reference for file in reading):
                readers.add(found, depth)
                if ran and any(file.reference for file in reading):
                    readers.referring.add(found.planned.key)
            elif not ran and (reading or found.planned.key in taken_over):
                in_question.append(found)
                if len(in_question) == _DATUMS_AT_ONCE:
                    self._ask(derived, in_question, readers, depth)
        self._ask(derived, in_question, readers, depth)
        return readers

    def _ask(
        self, derived: _Derived, in_question: list[FoundDatum], readers: _Readers, depth: int
    ) -> None:
        """Add those of some skipped datums that read it when they were run; none are left then."""
        with self._services.database.read() as tx:
            for found in in_question:
                maker, _ = ran_by(tx, derived.job, found)
                run = None if maker is None else derived.runs.get(maker.number)
                if run is not None and found.planned.key in run.keys:
                    readers.add(found, run.depth)
                elif maker is None and _touched(derived.sources, found):
                    readers.unknown += 1
                    readers.add(found, depth)
        in_question.clear()

    def _outputs(
        self, derived: _Derived, keys: set[str]
    ) -> tuple[list[tuple[str, str]], dict[str, int]]:
        """(path, key) of what datums wrote, as far as it is asked for; the size of each path."""
        trees, root = self._services.trees, RootId(derived.record.root)
        places: list[tuple[str, str]] = []
        sizes: dict[str, int] = {}
        if derived.merged:
            for path, key in merged_files(self._services.database, trees, keys):
                entry = trees.entry(root, path)
                if entry is not None:
                    sizes[path] = entry.size_bytes
                    places.append((path, key))
            return places, sizes
        for path, key, size in files_of(trees, root, keys):
            sizes[path] = size
            if self._files:
                places.append((path, key))
        return places, sizes


def _touched(sources: dict[_Commit, Reached], found: FoundDatum) -> list[DatumFile]:
    """What of a datum's files is, or has, something that was reached."""
    return [
        file
        for file in found.planned.datum.files
        if (source := sources.get((file.repo, file.commit))) is not None
        and touches(source.paths, file.path, file.type)
    ]


def _filter(sources: dict[_Commit, Reached], keys: set[str]) -> Callable[[bytes], bool] | None:
    """Whether a stored segment may hold a datum that reads something, or that has one of some keys;
    None: too much to look for.
    """
    paths = [path for source in sources.values() for path in source.paths]
    if len(paths) + len(keys) > _LOOKED_FOR_MAX:
        return None
    above = {path[:i] for path in paths for i, letter in enumerate(path) if letter == "/"}
    wanted = [as_stored(path) for path in {*paths, *above, *([""] if paths else [])}]
    wanted += [key.encode("ascii") for key in keys]
    return lambda raw: any(text in raw for text in wanted)
