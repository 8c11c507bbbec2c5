"""What came of a file: forward to the datums that read it, to what they wrote, and on.

Goes through the commits that were made from the one with the file, upstream first. Memory: the
paths that are reached in those commits (about 150 bytes each), and the keys of the datums of one
job. Cost: one look through the plan of each job, and through the tree of each commit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trunkline.engine.file_history import file_info
from trunkline.engine.origins import Place
from trunkline.engine.services import Services
from trunkline.errors import NotFound
from trunkline.files.manifest import RootId
from trunkline.jobs import ledger
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.remembered import unremembered
from trunkline.jobs.search import PlanReader
from trunkline.jobs.segments import as_stored
from trunkline.jobs.writers import files_of, merged_files, silent, touches
from trunkline.model.lineage import ImpactStep
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import DatumFile
from trunkline.versions import commits, provenance
from trunkline.versions.commits import CommitRecord

_PATHS_LOOKED_FOR_MAX = 16  # of more paths than this, most segments have one

_Commit = tuple[str, str]  # repo and id


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The files of a commit that the answer has reached; never empty, sorted."""

    paths: list[str]
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Derived:
    record: CommitRecord
    job: JobRecord
    sources: dict[_Commit, Reached]
    merged: bool  # its files may be of several datums each


class Consequences:
    """Answers one question of `impact`, over `depth` jobs behind one another (0: all)."""

    def __init__(self, services: Services, *, depth: int, files: bool) -> None:
        self._services = services
        self._depth = depth
        self._files = files
        self._plans = PlanReader(services.database, services.chunks)
        self._reached: dict[_Commit, Reached] = {}

    def of_file(self, place: Place) -> Iterator[ImpactStep]:
        """The whole answer: each job, and behind it (if they were asked for) its files."""
        start = place.record
        self._reached[start.repo, start.id] = Reached(paths=[place.entry.path], depth=0)
        with self._services.database.read() as tx:
            names = provenance.subvenance_of(tx, start)
        for name in names:
            derived = self._derived((name.repo, name.id))
            if derived is not None:
                yield from self._of_job(derived)

    def _derived(self, name: _Commit) -> _Derived | None:
        """A commit that a job made of what was reached; None for another one."""
        with self._services.database.read() as tx:
            try:
                record = commits.get_commit(tx, *name)
            except NotFound:  # deleted since
                return None
            job = ledger.job_of_output(tx, *name)
            inputs = [(source.repo, source.id) for source in provenance.inputs_of(tx, record)]
            sources = {place: self._reached[place] for place in inputs if place in self._reached}
            if job is None or not sources:
                return None
            spec = lifecycle.get(tx, job.pipeline, version=job.version).spec
        depth = min(source.depth for source in sources.values())
        if self._depth and depth >= self._depth:
            return None
        merged = spec.get("output_merge") == "concat"
        return _Derived(record=record, job=job, sources=sources, merged=merged)

    def _of_job(self, derived: _Derived) -> Iterator[ImpactStep]:
        job, record = derived.job, derived.record
        depth = 1 + min(source.depth for source in derived.sources.values())
        keys, skipped = self._readers(derived)
        if not keys:
            return
        places: list[tuple[str, str]] = []
        sizes: dict[str, int] = {}
        remark = ""
        database = self._services.database
        if record.finished is not None and record.error is None:
            wrote = keys - silent(database, job)
            places, sizes = self._outputs(derived, wrote)
            if derived.merged and (lost := sum(1 for _ in unremembered(database, wrote))):
                remark = f"what {lost} of these datums wrote is not remembered any more"
        if sizes:
            self._reached[record.repo, record.id] = Reached(paths=sorted(sizes), depth=depth)
        whole = ImpactStep(
            job=job.name,
            pipeline_version=job.version,
            state=job.state,
            depth=depth,
            datums=len(keys),
            datums_total=job.total,
            skipped=skipped,
            files=len(sizes),
            size_bytes=sum(sizes.values()),
            datum="",
            file=None,
            remark=remark,
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

    def _readers(self, derived: _Derived) -> tuple[set[str], int]:
        """The keys of the datums that read what was reached, and how many of them were skipped."""
        sources = derived.sources
        keys: set[str] = set()
        skipped = 0
        for found in self._plans.datums(derived.job, may_hold=_filter(sources)):
            if any(_reads(sources, file) for file in found.planned.datum.files):
                keys.add(found.planned.key)
                skipped += found.position is None
        return keys, skipped

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


def _reads(sources: dict[_Commit, Reached], file: DatumFile) -> bool:
    source = sources.get((file.repo, file.commit))
    return source is not None and touches(source.paths, file.path, file.type)


def _filter(sources: dict[_Commit, Reached]) -> Callable[[bytes], bool] | None:
    """Whether a stored segment may hold a datum that reads something; None: too many to look."""
    paths = [path for source in sources.values() for path in source.paths]
    if len(paths) > _PATHS_LOOKED_FOR_MAX:
        return None
    above = {path[:i] for path in paths for i, letter in enumerate(path) if letter == "/"}
    wanted = [as_stored(path) for path in {*paths, *above, ""}]
    return lambda raw: any(text in raw for text in wanted)
