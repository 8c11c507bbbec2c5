"""Questions about results; see `api.lineage`."""

from collections.abc import Iterator

from trunkline.engine import waits
from trunkline.engine.conditions import condition_of
from trunkline.engine.consequences import Consequences
from trunkline.engine.datums import named_datum
from trunkline.engine.gits import git_infos
from trunkline.engine.images import moved
from trunkline.engine.jobs import find_job
from trunkline.engine.origins import Origins, asked_file
from trunkline.engine.reasons import Reasons
from trunkline.engine.services import Services
from trunkline.errors import InvalidInput, NotFound, shown
from trunkline.model.lineage import (
    DatumReason,
    ImpactStep,
    JobReason,
    PipelineReason,
    PutOrigin,
    WhyStep,
)
from trunkline.pipelines import lifecycle


class EngineLineage:
    def __init__(self, services: Services) -> None:
        self._services = services

    def why_file(self, repo: str, commit: str, path: str, *, depth: int = 0) -> Iterator[WhyStep]:
        _check(depth)
        place = asked_file(self._services, repo, commit, path, asked="tell where a file came from")
        return Origins(self._services, depth=depth).of_file(place)

    def impact_of_file(
        self, repo: str, commit: str, path: str, *, depth: int = 0, files: bool = False
    ) -> Iterator[ImpactStep]:
        _check(depth)
        place = asked_file(self._services, repo, commit, path, asked="tell what came of a file")
        return Consequences(self._services, depth=depth, files=files).of_file(place)

    def explain_job(self, job: str, *, whole: bool = False) -> JobReason:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
            sentences = waits.of_job(tx, record)
        if trouble := self._services.scheduler.trouble(record):
            sentences.append(trouble)
        reasons = Reasons(self._services)
        before = reasons.before(record)
        return JobReason(
            job=record.name,
            pipeline_version=record.version,
            state=record.state,
            before="" if before is None else before.name,
            changes=(
                *reasons.set_off_by(record, before),
                *reasons.of_pipeline(record, before),
            ),
            causes=reasons.causes(record, before, whole=whole),
            sentences=tuple(sentences),
        )

    def explain_datum(self, job: str, datum: str) -> DatumReason:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        reasons = Reasons(self._services)
        begin = datum.encode("utf-8")
        datums = reasons.plans.datums(record, may_hold=lambda raw: begin in raw)
        found = named_datum(record, datum, datums, lambda found: found.planned.key)
        return reasons.of_datum(record, found)

    def explain_file(self, repo: str, commit: str, path: str) -> list[DatumReason]:
        services = self._services
        place = asked_file(services, repo, commit, path, asked="explain a file of it")
        found = Origins(services, depth=0).datums_of(place)
        name = f"{shown(path)} of {place.record.repo}@{place.record.id}"
        if found is None:
            raise NotFound(f"{name}: the record of the job that made it has been deleted")
        if isinstance(found, PutOrigin):
            moment = found.finished.isoformat(timespec="seconds")
            raise InvalidInput(
                f"{name} was not computed: it was put in commit {found.repo}@{found.commit} at "
                f"{moment}; `impact` shows what came of it"
            )
        job, datums = found
        reasons = Reasons(services)
        return [reasons.of_datum(job, datum) for datum in datums]

    def explain_pipeline(self, name: str) -> PipelineReason:
        with self._services.database.read() as tx:
            record = lifecycle.get(tx, name)
            state, reason = condition_of(self._services, tx, record)
            infos = git_infos(self._services, tx, record.name)
            newest, sentences = waits.of_pipeline(tx, record, state, reason, infos)
        if told := moved(self._services, record):
            sentences.append(told)
        return PipelineReason(
            pipeline=record.name,
            state=state,
            job="" if newest is None else newest.name,
            sentences=tuple(sentences),
        )


def _check(depth: int) -> None:
    if depth < 0:
        raise InvalidInput(f"a depth of {depth} can't be; write 1 or more, or 0 for all")
