"""One job: how far it is, who worked when, what failed and why; and what to do about it."""

from dataclasses import dataclass

from trunkline.model.jobs import DatumState, JobInfo, JobState
from trunkline.model.lineage import Cause, JobReason
from trunkline.model.roles import READER
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Begin, Redirect, Route, Show, Visit
from trunkline.server.console.pages.spec_inputs import inputs_in
from trunkline.server.console.pages.timeline import timeline_of

_FAILURES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many datums of a job are in a state, with the word for it."""

    word: str
    state: DatumState
    datums: int


def outcomes_of(job: JobInfo) -> list[Outcome]:
    """All datums of a job by their state; what there is none of is left out."""
    done = job.processed + job.skipped + job.recovered + job.failed
    bad = DatumState.QUARANTINED if job.quarantined else DatumState.FAILED
    found = [
        Outcome(word="processed", state=DatumState.SUCCESS, datums=job.processed),
        Outcome(word="skipped", state=DatumState.SKIPPED, datums=job.skipped),
        Outcome(word="recovered", state=DatumState.RECOVERED, datums=job.recovered),
        Outcome(word=bad.value, state=bad, datums=job.failed),
        Outcome(
            word="not run" if job.state.ended else "to do",
            state=DatumState.STARTING,
            datums=max(0, job.total - done),
        ),
    ]
    return [one for one in found if one.datums]


def job_name(visit: Visit) -> str:
    """The job that the address names, as operations take it."""
    return f"{visit.full_name('pipeline')}@{visit.arguments['run']}"


def job(visit: Visit) -> Answer:
    operations = visit.operations
    info = operations.jobs.inspect_job(job_name(visit))
    profile = operations.jobs.profile_job(f"{info.pipeline}@{info.id}")
    workers = [
        one
        for one in operations.jobs.list_workers(pipeline=info.pipeline)
        if one.job == profile.job
    ]
    took = profile.quantiles_s
    return Show(
        template="jobs/job.html",
        title=f"Job {info.id[:8]} of {info.pipeline}",
        live=() if info.state.ended else ("jobs", "workers"),
        context={
            "job": info,
            "name": profile.job,
            "outcomes": outcomes_of(info),
            "timeline": timeline_of(info, profile.spans, visit.now),
            "took": {"Half took at most": took[10], "95 %": took[19], "The longest": took[20]}
            if took
            else {},
            "failures": profile.failures[:_FAILURES],
            "failures_read": profile.failures_read,
            "failed_badly": info.state in (JobState.FAILURE, JobState.KILLED, JobState.UNRUNNABLE),
            "inputs": list(inputs_in(info.spec.get("input"))),
            "workers": workers,
            "now": visit.now,
        },
    )


def explain(visit: Visit) -> Answer:
    """Why there is a job, and why its datums were run or skipped.

    Of very many, a part is compared with the job before, and the whole when somebody asks for it.
    """
    name = job_name(visit)
    operations = visit.operations
    comparison = visit.chores.last(_comparison(name))
    whole = None if comparison is None else comparison.result
    reason = whole if isinstance(whole, JobReason) else operations.lineage.explain_job(name)
    return Show(
        template="jobs/explain.html",
        title=f"Why job {visit.arguments['run'][:8]}",
        live=("upkeep",) if comparison is not None and comparison.running else (),
        context={
            "job": operations.jobs.inspect_job(name),
            "name": name,
            "reason": reason,
            "partly": any(one.cause is Cause.RUN for one in reason.causes),
            "comparison": comparison,
            "here": urls.explain_job(visit.full_name("pipeline"), visit.arguments["run"]),
        },
    )


def compare(visit: Visit) -> Answer:
    """Compare all datums of a job with those of the one before, however many."""
    name = job_name(visit)
    return Begin(
        name=_comparison(name),
        work=lambda: visit.operations.lineage.explain_job(name, whole=True),
        to=urls.explain_job(visit.full_name("pipeline"), visit.arguments["run"]),
    )


def _comparison(job: str) -> str:
    """What the chore is called."""
    return f"explain {job}"


def stop(visit: Visit) -> Answer:
    visit.operations.jobs.stop_job(job_name(visit))
    return Redirect(to=urls.job(visit.full_name("pipeline"), visit.arguments["run"]))


def retry(visit: Visit) -> Answer:
    """One more job of the pipeline: what succeeded is taken over, what failed is run."""
    pipeline = visit.full_name("pipeline")
    visit.operations.pipelines.rerun_pipeline(pipeline)
    newest = next(iter(visit.operations.jobs.list_jobs(pipeline=pipeline, number=1)))
    return Redirect(to=urls.job(pipeline, newest.id))


_JOB = "/projects/{project}/jobs/{pipeline}@{run}"
ROUTES = (
    Route(path=_JOB, view=job),
    Route(path=f"{_JOB}/explain", view=explain),
    Route(path=f"{_JOB}/explain", view=compare, method="POST", role=READER),
    Route(path=f"{_JOB}/stop", view=stop, method="POST"),
    Route(path=f"{_JOB}/retry", view=retry, method="POST"),
)
