"""Operations on jobs and workers; see `api.jobs`."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from trunkline.db.database import Transaction
from trunkline.engine.commits import derived_from_all, named_commit
from trunkline.engine.profiles import Profiles
from trunkline.engine.services import Services
from trunkline.errors import InvalidInput, JobNotFound, NotFound, shown
from trunkline.jobs import ledger
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.records import stop_jobs
from trunkline.model.jobs import JobInfo, JobProfile, JobState, WorkerInfo
from trunkline.model.names import is_commit_id, parse_job
from trunkline.model.versions import BranchName
from trunkline.pipelines import lifecycle
from trunkline.pipelines.inputs import resolved_document
from trunkline.versions import commits, projects, provenance

_PAGE = 200
_FIRST_PAGE = 4  # most ask for the newest only


class EngineJobs:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._profiles = Profiles(services)

    def list_jobs(
        self,
        *,
        pipeline: str | None = None,
        run: str | None = None,
        project: str | None = None,
        output: str | None = None,
        inputs: list[str] | None = None,
        states: list[str] | None = None,
        before: str | None = None,
        newest: bool = False,
        number: int = 0,
    ) -> Iterator[JobInfo]:
        with self._services.database.read() as tx:
            if pipeline is not None:
                lifecycle.get(tx, pipeline)
            if project is not None:
                projects.require_project(tx, project)
            wanted: set[int] | None = None
            if output is not None:
                job = ledger.job_of_output(tx, *_name(tx, output))
                wanted = {job.number} if job is not None else set()
            if inputs:
                derived = derived_from_all(tx, inputs)
                jobs = [ledger.job_of_output(tx, name.repo, name.id) for name in derived]
                found = {job.number for job in jobs if job is not None}
                wanted = found if wanted is None else wanted & found
            below = None if before is None else find_job(tx, before).number
        known = [_state(state) for state in states or ()]
        page = partial(
            ledger.list_jobs,
            pipeline=pipeline,
            run=run,
            project=project,
            states=known,
            newest=newest,
        )
        return self._pages(page, wanted, below, number)

    def _pages(
        self,
        next_page: Callable[..., list[JobRecord]],
        wanted: set[int] | None,
        before: int | None,
        number: int,
    ) -> Iterator[JobInfo]:
        given = 0
        size = _PAGE if wanted is not None else min(number or _FIRST_PAGE, _FIRST_PAGE)
        while True:
            with self._services.database.read() as tx:
                page = next_page(tx, before=before, number=size)
                infos = job_infos(
                    tx, [job for job in page if wanted is None or job.number in wanted]
                )
            for info in infos:
                yield info
                given += 1
                if given == number:
                    return
            if len(page) < size:
                return
            before = page[-1].number
            size = min(_PAGE, number - given) if number and wanted is None else _PAGE

    def inspect_job(
        self, job: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> JobInfo:
        services = self._services
        with services.database.read() as tx:
            record = find_job(tx, job)
            info = job_info(tx, record)
        if not wait or info.state.ended:
            if trouble := services.scheduler.trouble(record):
                return replace(info, reason=trouble)
            waiting = services.scheduler.waiting(record.pipeline)
            idle = info.state is JobState.RUNNING and not info.reason
            return replace(info, reason=waiting) if idle else info
        for _ in services.waits(timeout_s, f"job {record.name}"):
            with services.database.read() as tx:
                current = ledger.job_by_number(tx, record.number)
                if current is None:
                    raise JobNotFound(record.name)
                info = job_info(tx, current)
            if info.state.ended:
                break
        return info

    def profile_job(self, job: str) -> JobProfile:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        return self._profiles.of_job(record)

    def stop_job(self, job: str) -> None:
        services = self._services
        with services.database.write() as tx:
            record = find_job(tx, job)
            stop_jobs(tx, [record], reason="stopped by a user", now=services.now())

    def stop_run(self, run: str) -> None:
        services = self._services
        with services.database.write() as tx:
            jobs = ledger.jobs_of_run(tx, commits.get_run(tx, run).id)
            stop_jobs(tx, jobs, reason="stopped by a user", now=services.now())

    def delete_job(self, job: str) -> None:
        services = self._services
        with services.database.write() as tx:
            record = find_job(tx, job)
            stop_jobs(tx, [record], reason="deleted by a user", now=services.now())
            ledger.delete_job(tx, record.number)

    def flush_jobs(
        self,
        commits: list[str],
        *,
        pipelines: list[str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[JobInfo]:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        with self._services.database.read() as tx:
            names = derived_from_all(tx, commits)
            jobs = [ledger.job_of_output(tx, name.repo, name.id) for name in names]
        found = [
            job.name
            for job in jobs
            if job is not None and (pipelines is None or job.pipeline in pipelines)
        ]
        return self._flushed(found, until)

    def _flushed(self, names: list[str], until: float | None) -> Iterator[JobInfo]:
        for name in names:
            left = None if until is None else max(until - time.monotonic(), 0.0)
            yield self.inspect_job(name, wait=True, timeout_s=left)

    def list_workers(self, *, pipeline: str | None = None) -> list[WorkerInfo]:
        return sorted(self._services.scheduler.workers(pipeline), key=lambda w: w.name)


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        known = ", ".join(JobState)
        raise InvalidInput(f"there is no job state {shown(text)}; there are {known}") from None


def find_job(tx: Transaction, text: str) -> JobRecord:
    """The job that a text names, as `model.names.parse_job` reads it, with full names.

    Raises JobNotFound, InvalidReference, and InvalidInput for what names no job and for the id of a
    run with several.
    """
    pipeline, ref = parse_job(text)
    if not pipeline:
        return _only_job(tx, run=ref)
    if is_commit_id(ref):
        job, why = ledger.job_by_name(tx, pipeline, ref), ""
    else:
        try:
            lifecycle.get(tx, pipeline)
            job, why = _job_at(tx, pipeline, ref) if ref else _newest_job(tx, pipeline)
        except NotFound as error:
            raise JobNotFound(text, str(error)) from error
    if job is None:
        raise JobNotFound(text, why)
    return job


def _only_job(tx: Transaction, *, run: str) -> JobRecord:
    jobs = ledger.jobs_of_run(tx, run)
    if not jobs:
        raise JobNotFound(run)
    if len(jobs) > 1:
        names = ", ".join(job.name for job in jobs)
        raise InvalidInput(f"run {run} has {len(jobs)} jobs: name one of {names}")
    return jobs[0]


def _job_at(tx: Transaction, pipeline: str, ref: str) -> tuple[JobRecord | None, str]:
    """The job that made a commit of the output repo, or else why there is none."""
    commit = commits.resolve(tx, pipeline, ref)
    job = ledger.job_of_output(tx, commit.repo, commit.id)
    return job, f"no job made commit {commit.repo}@{commit.id}, or its record has been deleted"


def _newest_job(tx: Transaction, pipeline: str) -> tuple[JobRecord | None, str]:
    newest = ledger.list_jobs(tx, pipeline=pipeline, run=None, before=None, number=1)
    return next(iter(newest), None), f"pipeline '{pipeline}' has none"


def job_info(tx: Transaction, job: JobRecord) -> JobInfo:
    """The job as users see it, its spec with the commits that it reads."""
    [info] = job_infos(tx, [job])
    return info


def job_infos(tx: Transaction, jobs: Sequence[JobRecord]) -> list[JobInfo]:
    """The same of some jobs, in their order: a few statements for hundreds of them."""
    versions = lifecycle.records_of(tx, {(job.pipeline, job.version) for job in jobs})
    inputs = provenance.inputs_of_all(tx, [(job.output_repo, job.id) for job in jobs])
    parents = ledger.jobs_before(tx, [job.number for job in jobs])
    return [
        _info(
            job,
            versions[job.pipeline, job.version],
            inputs.get((job.output_repo, job.id), {}),
            parents.get(job.number),
        )
        for job in jobs
    ]


def _info(
    job: JobRecord,
    record: lifecycle.PipelineRecord,
    inputs: Mapping[BranchName, str],
    parent: str | None,
) -> JobInfo:
    return JobInfo(
        id=job.id,
        pipeline=job.pipeline,
        pipeline_version=job.version,
        state=job.state,
        reason=job.reason,
        output_repo=job.output_repo,
        output_branch=job.output_branch,
        spec_commit=job.spec_commit,
        parent=parent,
        created=job.created,
        started=job.started,
        finished=job.finished,
        restarts=job.restarts,
        processed=job.processed,
        skipped=job.skipped,
        failed=job.failed,
        recovered=job.recovered,
        total=job.total,
        quarantined=job.quarantined,
        downloaded_bytes=job.downloaded_bytes,
        uploaded_bytes=job.uploaded_bytes,
        download_s=job.download_us / 1e6,
        process_s=job.process_us / 1e6,
        upload_s=job.upload_us / 1e6,
        spec=resolved_document(record.spec, inputs),
        packages=record.packages,
        image=record.placement.image,
    )


def _name(tx: Transaction, text: str) -> tuple[str, str]:
    record = named_commit(tx, text)
    return record.repo, record.id
