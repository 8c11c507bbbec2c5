"""Why the datums of a job were run or skipped: each against the nearest earlier run of its paths.

Cost: for one datum a look through the plans of earlier jobs until one has the same paths, each
segment once; for a job see `engine.causes`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.engine.causes import Causes
from trunkline.engine.datum_previews import file_inputs
from trunkline.engine.differing import (
    changed_inputs,
    changed_pipeline,
    differing_parts,
    places_of,
)
from trunkline.engine.pipeline_versions import VersionsOfJobs
from trunkline.engine.services import Services
from trunkline.errors import NotFound
from trunkline.jobs import ledger
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.search import FoundDatum, PlanReader
from trunkline.jobs.segments import as_stored
from trunkline.jobs.writers import has_reference, ran_by, references_read
from trunkline.model.jobs import DatumState
from trunkline.model.lineage import Cause, CauseCount, ChangedPart, DatumReason
from trunkline.model.versions import is_spec_repo
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import DatumFile
from trunkline.versions import provenance

_JOBS_BACK = 50  # that are looked through for an earlier run
_CARRIED = "it failed in an earlier job, and is quarantined until its data or the pipeline change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A datum in the plan of an earlier job."""

    job: JobRecord
    found: FoundDatum


class Reasons:
    """Answers one question of `explain`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.plans = PlanReader(services.database, services.chunks)
        self._versions = VersionsOfJobs(services)

    # --- one datum --------------------------------------------------------------------------------

    def of_datum(self, job: JobRecord, found: FoundDatum) -> DatumReason:
        earlier = self._earlier(job, found)
        changes = () if earlier is None else self._changes(job, found, earlier)
        state = self._state(job, found)
        carried = found.position in self._carried(job)
        with self._services.database.read() as tx:
            maker, _ = ran_by(tx, job, found)
        made_by = "" if maker is None or found.position is not None else maker.name
        if carried:
            cause, sentence = Cause.SKIPPED, _CARRIED
        elif found.position is None:
            cause, sentence = Cause.SKIPPED, self._skipped(job, found, maker)
        elif earlier is None:
            cause, sentence = Cause.NEW, self._new(job)
        elif changes:
            cause, sentence = Cause.CHANGED, f"it differs from its run in job {earlier.job.name}"
        else:
            cause, sentence = Cause.AGAIN, self._again(job, earlier)
        return DatumReason(
            job=job.name,
            datum=found.planned.key,
            state=state or ("skipped" if found.position is None else "starting"),
            inputs=file_inputs(found.planned.datum),
            cause=cause,
            made_by=made_by,
            before="" if earlier is None else earlier.job.name,
            changes=changes,
            sentence=sentence,
        )

    def _skipped(self, job: JobRecord, found: FoundDatum, maker: JobRecord | None) -> str:
        if maker is None:
            return "its result was remembered; the job that ran it has been deleted"
        parts = differing_parts(self._versions.of(job), self._versions.of(maker))
        references = self._references_changed(found, maker)
        sentence = f"its result is that of job {maker.name}, which ran it on the same content"
        if not parts and not references:
            return f"{sentence} and code"
        if parts:
            sentence += f", but with another {' and '.join(parts)} (kept by `--keep-results`)"
        if references:
            sentence += (
                f"; of {' and '.join(references)}, whose content does not count (`reference`), it "
                "read another"
            )
        return sentence

    def _references_changed(self, found: FoundDatum, maker: JobRecord) -> list[str]:
        """The inputs of a skipped datum that had other content when it was run."""
        was = references_read(self.plans, maker, found) if has_reference(found) else None
        changed = {
            file.name
            for file in found.planned.datum.files
            if file.reference
            and was is not None
            and (file.name, file.path) in was
            and self._digest(file) != self._digest(was[file.name, file.path])
        }
        return sorted(changed)

    def _digest(self, file: DatumFile) -> str:
        entry = self._services.trees.entry(file.root, file.path, digest=True)
        return "" if entry is None else entry.digest

    def _earlier(self, job: JobRecord, found: FoundDatum) -> Earlier | None:
        """The datum of the same places in the newest job before that has one."""
        places = places_of(found)
        words = [as_stored(path) for _, path in places]
        seen: set[str] = set()
        looked_through: set[str] = set()  # chunks of segments
        for earlier in self._jobs_before(job):
            if earlier.datums_digest in seen:
                continue
            seen.add(earlier.datums_digest)
            for other in self.plans.datums(
                earlier,
                may_hold=lambda raw: all(word in raw for word in words),
                but=looked_through,
            ):
                if places_of(other) == places:
                    return Earlier(job=earlier, found=other)
            looked_through.update(segment.chunk for segment in self.plans.segments(earlier))
        return None

    def _carried(self, job: JobRecord) -> set[int]:
        """The positions of datums whose failure a job took over from the one before."""
        if not lifecycle.spec_of(self._versions.of(job)).quarantined_max:
            return set()
        with self._services.database.read() as tx:
            failed = ledger.failed_datums(tx, job.number)
        return {record.position for record in failed if record.finished < job.created}

    def _jobs_before(self, job: JobRecord) -> Iterator[JobRecord]:
        """The jobs of the pipeline before one that had datums, newest first."""
        with self._services.database.read() as tx:
            page = ledger.list_jobs(
                tx, pipeline=job.pipeline, run=None, before=job.number, number=_JOBS_BACK
            )
        return (earlier for earlier in page if earlier.total)

    def _changes(
        self, job: JobRecord, found: FoundDatum, earlier: Earlier
    ) -> tuple[ChangedPart, ...]:
        trees = self._services.trees
        new, old = self._versions.of(job), self._versions.of(earlier.job)
        return (
            *changed_inputs(trees, found, earlier.found),
            *changed_pipeline(trees, new, old),
        )

    def _new(self, job: JobRecord) -> str:
        jobs = list(self._jobs_before(job))
        if not jobs:
            return f"no job of pipeline '{job.pipeline}' before had datums"
        if len(jobs) == _JOBS_BACK:
            return f"none of the {_JOBS_BACK} jobs before had a datum of these paths"
        return "no job before had a datum of these paths"

    def _again(self, job: JobRecord, earlier: Earlier) -> str:
        name = earlier.job.name
        if lifecycle.spec_of(self._versions.of(job)).reprocess_every_job:
            return "nothing differs; its reprocess_spec says that every job runs all datums"
        state = self._state(earlier.job, earlier.found)
        if state in (DatumState.FAILED, DatumState.QUARANTINED):
            return f"nothing differs; it failed in job {name}, and is tried again"
        if state == DatumState.RECOVERED:
            return f"nothing differs; in job {name} it was recovered, which leaves no result"
        if earlier.found.position is not None and not state:
            return f"nothing differs; job {name} ended before it was run"
        return f"nothing differs from job {name}, but its result is not remembered any more"

    def _state(self, job: JobRecord, found: FoundDatum) -> str:
        """How a datum ended that a job had to run; empty for another one, and before its end."""
        if found.position is None:
            return ""
        with self._services.database.read() as tx:
            record = ledger.datum_at(tx, job.number, found.position)
        if record is None:
            return ""
        quarantined = record.state is DatumState.FAILED and job.quarantined
        return (DatumState.QUARANTINED if quarantined else record.state).value

    # --- all datums of a job ----------------------------------------------------------------------

    def before(self, job: JobRecord) -> JobRecord | None:
        """The job that one is compared with."""
        return next(self._jobs_before(job), None)

    def causes(
        self, job: JobRecord, before: JobRecord | None, *, whole: bool
    ) -> tuple[CauseCount, ...]:
        """How many datums of a job were run or skipped for which cause; see `engine.causes`."""
        parts = tuple(dict.fromkeys(change.part for change in self.of_pipeline(job, before)))
        carried = self._carried(job)
        return Causes(self.plans, job, before, parts=parts, carried=carried).counted(whole=whole)

    def of_pipeline(self, job: JobRecord, before: JobRecord | None) -> list[ChangedPart]:
        """What of the pipeline differs from an earlier job that results depend on."""
        if before is None or before.version == job.version:
            return []
        return changed_pipeline(
            self._services.trees, self._versions.of(job), self._versions.of(before)
        )

    def set_off_by(self, job: JobRecord, before: JobRecord | None) -> list[ChangedPart]:
        """Which commits and which version a job has that the one before had not."""
        now = self._inputs(job)
        was = {} if before is None else self._inputs(before)
        found = [
            ChangedPart(part="commit", name=name, before=was.get(name, ""), after=now.get(name, ""))
            for name in sorted({*now, *was})
            if was.get(name) != now.get(name)
        ]
        version = "" if before is None else str(before.version)
        if version != str(job.version):
            found.append(
                ChangedPart(part="version", name="", before=version, after=str(job.version))
            )
        return found

    def _inputs(self, job: JobRecord) -> dict[str, str]:
        """The commits that a job reads, by branch; nothing of its spec, or if it was deleted."""
        with self._services.database.read() as tx:
            try:
                found = provenance.input_commits(tx, job.output_repo, job.id)
            except NotFound:
                return {}
        return {str(b): record.id for b, record in found.items() if not is_spec_repo(b.repo)}
