"""Where a file came from: back from a file to the datums that wrote it, to what they read, and on.

The tree is given out line by line while it is walked, deepest first; a place that was told before
is referred to. Memory: the keys and paths that were told. Cost: for each datum a look through the
plan of its job (`jobs.search`), for each file of a user the history back to its put.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from trunkline.engine.file_history import file_info, file_versions
from trunkline.engine.pipeline_versions import VersionsOfJobs
from trunkline.engine.services import Services
from trunkline.errors import CommitOpen, FileNotFoundInCommit, InvalidInput, NotFound, shown
from trunkline.files.manifest import RootId
from trunkline.files.tree import Entry
from trunkline.jobs import ledger
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.remembered import unremembered
from trunkline.jobs.search import FoundDatum, PlanReader
from trunkline.jobs.writers import (
    has_reference,
    merged_writers,
    ran_by,
    references_read,
    writers_below,
    writing,
)
from trunkline.model.lineage import DatumOrigin, PutOrigin, WhyStep
from trunkline.model.names import check_path
from trunkline.model.versions import FileInfo, FileType
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import DatumFile
from trunkline.versions import commits, purges
from trunkline.versions.commits import CommitRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file or directory of a finished commit."""

    record: CommitRecord
    entry: Entry

    @property
    def info(self) -> FileInfo:
        return file_info(self.record, self.entry)


def asked_file(services: Services, repo: str, commit: str, path: str, *, asked: str) -> Place:
    """The file that a question is about; `asked` says what is to be found out.

    Raises CommitOpen, FileNotFoundInCommit, FilePurged, and InvalidInput for a directory.
    """
    canonical = check_path(path, root_allowed=True)
    with services.database.read() as tx:
        record = commits.resolve(tx, repo, commit)
    if record.finished is None:
        with services.database.read() as tx:
            job = ledger.job_of_output(tx, record.repo, record.id)
        raise CommitOpen(record.repo, record.id, f"{asked}; its job writes it" if job else asked)
    if record.error is not None:
        raise NotFound(f"{record.repo}@{record.id} has no files: {record.error}")
    entry = services.trees.entry(RootId(record.root), canonical, digest=True)
    if entry is None:
        with services.database.read() as tx:
            purged = purges.missing(tx, services.trees, record, canonical)
        raise purged or FileNotFoundInCommit(record.repo, record.id, path)
    if entry.type is FileType.DIR:
        raise InvalidInput(
            f"{shown(path)} is a directory in {record.repo}@{record.id}; ask about one of its "
            f"files, which `list file {record.repo}@{record.id}:/{canonical}` shows"
        )
    return Place(record=record, entry=entry)


class Origins:
    """Answers one question of `why`, down to `depth` datums behind one another (0: all)."""

    def __init__(self, services: Services, *, depth: int) -> None:
        self._services = services
        self._depth = depth
        self._plans = PlanReader(services.database, services.chunks)
        self._number = 0
        self._told: dict[tuple[str, str, str], int] = {}  # file or datum: number of its step
        self._versions = VersionsOfJobs(services)

    def of_file(self, place: Place) -> Iterator[WhyStep]:
        """The whole answer, beginning with the file."""
        return self._of_file(place.info, source="", parent=0, depth=0)

    def datums_of(self, place: Place) -> tuple[JobRecord, list[FoundDatum]] | PutOrigin | None:
        """The datums that wrote a file, or the put of a user; None if the job's record is gone."""
        record, job, put = self._maker(place.info, place.record)
        if job is None:
            return put
        keys = self._writers(place.info, record, job)
        return job, list(self._plans.with_keys(job, keys))

    # --- files ------------------------------------------------------------------------------------

    def _of_file(
        self, file: FileInfo, *, source: str, parent: int, depth: int
    ) -> Iterator[WhyStep]:
        name = (file.repo, file.commit, file.path)
        step = replace(self._next(parent, depth), file=file, input=source)
        if name in self._told:
            yield replace(step, same_as=self._told[name])
            return
        self._told[name] = step.number
        with self._services.database.read() as tx:
            try:
                record = commits.get_commit(tx, file.repo, file.commit)
            except NotFound:
                record = None
        if record is None:
            yield replace(step, remark=f"commit {file.repo}@{file.commit} has been deleted")
        elif self._services.trees.entry(RootId(record.root), file.path) is None:
            yield replace(step, remark=self._what_took(record, file.path))
        else:
            yield from self._made(step, file, record)

    def _what_took(self, record: CommitRecord, path: str) -> str:
        with self._services.database.read() as tx:
            purged = purges.missing(tx, self._services.trees, record, path)
        return "it is not in the commit any more" if purged is None else str(purged)

    def _maker(
        self, file: FileInfo, record: CommitRecord
    ) -> tuple[CommitRecord, JobRecord | None, PutOrigin | None]:
        """The commit that gave a file its content, with its job, or else with the user's put.

        That of a user may have taken a file over from a commit that a job made.
        """
        with self._services.database.read() as tx:
            job = ledger.job_of_output(tx, record.repo, record.id)
        if job is not None:
            return record, job, None
        version = next(file_versions(self._services, record, file.path, number=1))
        with self._services.database.read() as tx:
            job = ledger.job_of_output(tx, version.repo, version.commit)
            record = commits.get_commit(tx, version.repo, version.commit)
        if job is not None or file.datum:
            return record, job, None
        put = PutOrigin(
            repo=version.repo,
            commit=version.commit,
            finished=version.finished,
            description=version.description,
        )
        return record, None, put

    def _made(self, step: WhyStep, file: FileInfo, record: CommitRecord) -> Iterator[WhyStep]:
        origin, job, put = self._maker(file, record)
        if job is not None:
            yield from self._written(step, file, origin, job)
        elif put is not None:
            yield replace(step, put=put)
        else:
            remark = f"datum {file.datum} wrote it; the record of its job has been deleted"
            yield replace(step, remark=remark)

    def _written(
        self, step: WhyStep, file: FileInfo, record: CommitRecord, job: JobRecord
    ) -> Iterator[WhyStep]:
        if self._depth and step.depth >= self._depth:
            self._told.pop((file.repo, file.commit, file.path))  # it may come again, less deep
            yield replace(step, remark="not followed any further")
            return
        yield step
        keys = self._writers(file, record, job)
        left = set(keys)
        if self._merged(job):
            yield from self._not_remembered(step, job)
        for found in self._plans.with_keys(job, keys):
            left.discard(found.planned.key)
            yield from self._of_datum(job, found, parent=step.number, depth=step.depth)
        for key in sorted(left):
            yield replace(
                self._next(step.number, step.depth),
                remark=f"datum {key}, which is not in the record of job {job.name} any more",
            )

    def _not_remembered(self, step: WhyStep, job: JobRecord) -> Iterator[WhyStep]:
        keys = writing(self._services.database, self._plans, job)
        if lost := sum(1 for _ in unremembered(self._services.database, keys)):
            yield replace(
                self._next(step.number, step.depth),
                remark=f"what {lost} datums of job {job.name} wrote is not remembered any more",
            )

    def _merged(self, job: JobRecord) -> bool:
        """Whether a file may be of several datums."""
        return self._versions.of(job).spec.get("output_merge") == "concat"

    def _writers(self, file: FileInfo, record: CommitRecord, job: JobRecord) -> set[str]:
        services = self._services
        if self._merged(job):
            keys = writing(services.database, self._plans, job)
            return merged_writers(services.database, services.trees, keys, file.path, file.type)
        return writers_below(services.trees, RootId(record.root), file.path)

    # --- datums -----------------------------------------------------------------------------------

    def _of_datum(
        self, job: JobRecord, found: FoundDatum, *, parent: int, depth: int
    ) -> Iterator[WhyStep]:
        datum = found.planned
        step = self._next(parent, depth)
        with self._services.database.read() as tx:
            ran, made = ran_by(tx, job, found)
        origin = self._origin(job, found, ran, made)
        known = self._told.setdefault((job.name, datum.key, ""), step.number)
        if known != step.number:
            yield replace(step, datum=origin, same_as=known)
            return
        yield replace(step, datum=origin)
        taken_over = found.position is None and has_reference(found)
        references = references_read(self._plans, ran, found) if taken_over else None
        for given in datum.datum.files:
            file: DatumFile | None = given
            if taken_over and given.reference:
                file = (references or {}).get((given.name, given.path))
            if file is None:
                yield replace(
                    self._next(step.number, depth),
                    input=given.name,
                    remark=f"{given.name}: what was read of this reference is not known any more; "
                    "the record of the job that ran the datum has been deleted",
                )
                continue
            yield from self._of_file(
                self._info(file), source=given.name, parent=step.number, depth=depth + 1
            )

    def _origin(
        self, job: JobRecord, found: FoundDatum, ran: JobRecord | None, made: datetime | None
    ) -> DatumOrigin:
        maker = ran or job
        version = self._versions.of(maker)
        transform = lifecycle.spec_of(version).transform
        image = version.placement.image
        return DatumOrigin(
            id=found.planned.key,
            job=job.name,
            skipped=found.position is None,
            made_by=ran.name if ran is not None else "",
            made=made,
            pipeline_version=maker.version,
            spec_commit=maker.spec_commit,
            code=version.code,
            image=transform.image if image is None else image.named,
            cmd=transform.cmd,
            stdin=transform.stdin,
        )

    @staticmethod
    def _info(given: DatumFile) -> FileInfo:
        return FileInfo(
            repo=given.repo,
            commit=given.commit,
            path=given.path,
            type=given.type,
            size_bytes=given.size_bytes,
            digest=given.digest,
        )

    def _next(self, parent: int, depth: int) -> WhyStep:
        self._number += 1
        return WhyStep(
            number=self._number,
            parent=parent,
            depth=depth,
            file=None,
            input="",
            datum=None,
            put=None,
            same_as=0,
            remark="",
        )
