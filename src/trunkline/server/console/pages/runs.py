"""Runs: everything that one change set off, when each step of it ran, and what came of it."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from trunkline.errors import NotFound
from trunkline.model.jobs import JobInfo, JobState
from trunkline.model.lineage import Cause, ChangedPart, JobReason
from trunkline.model.runs import RunDetails, RunStep
from trunkline.model.versions import CommitInfo, RunInfo
from trunkline.server.console import urls
from trunkline.server.console.page import (
    PAGE_ROWS,
    Answer,
    Navigation,
    Redirect,
    Route,
    Show,
    Visit,
)

_RUNS = 50
_PLANS = 40  # jobs whose plan is told on one page
_PLAN_DATUMS_MAX = 20_000  # of a job whose datums are looked at to tell why they ran
_EARLIER = 10  # jobs of a pipeline that say how long one usually takes
_SHARE_MIN = 0.004  # of the time line: what is shorter would not be seen
_TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A run in the list, with the change that it began with."""

    run: RunInfo
    cause: CommitInfo | None
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of a bar: from where to where on a line of 1000, and what took the time."""

    kind: str  # queue, download, process, upload, or all where it isn't known
    begin: float
    width: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A step of the run on the time line."""

    step: RunStep
    job: JobInfo | None
    pieces: tuple[Piece, ...]
    critical: bool

    @property
    def took_s(self) -> float:
        return self.step.waited_s + self.step.ran_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job had to do and why, and what it came to."""

    job: JobInfo
    reason: JobReason | None  # None: it has too many datums to look at for a page
    usually_s: float | None
    took_s: float | None

    def planned(self, *causes: str) -> int:
        """How many datums were to be run, or skipped, for these causes."""
        assert self.reason is not None
        wanted = {Cause(cause) for cause in causes}
        return sum(found.datums for found in self.reason.causes if found.cause in wanted)

    @property
    def changes(self) -> tuple[ChangedPart, ...]:
        return self.reason.changes if self.reason is not None else ()

    @property
    def parts(self) -> list[str]:
        """What differed in the datums that ran because something did."""
        causes = self.reason.causes if self.reason is not None else ()
        return sorted({part for found in causes for part in found.parts})


def runs(visit: Visit) -> Answer:
    """The runs, newest first; `before` in the query is where a further page begins."""
    before = visit.query.get("before") or None
    found = visit.operations.commits.list_runs(number=_RUNS + 1, before=before)
    shown = found[:_RUNS]
    return Show(
        template="runs/list.html",
        title="Runs",
        live=() if before else ("commits", "jobs"),
        context={
            "rows": [_row(visit, run) for run in shown],
            "next": urls.runs(shown[-1].id) if len(found) > _RUNS else None,
        },
    )


def _row(visit: Visit, run: RunInfo) -> Row:
    end = run.finished or visit.now
    return Row(run=run, cause=_cause(visit, run), duration_s=(end - run.created).total_seconds())


def _cause(visit: Visit, run: RunInfo | RunDetails) -> CommitInfo | None:
    """The commit that a run began with."""
    with contextlib.suppress(NotFound):
        if run.commits:
            first = run.commits[0]
            return visit.operations.commits.inspect_commit(first.repo, first.id)
    return None


def run(visit: Visit) -> Answer:
    """One run: its steps on a time line, or (`view=plan`) what was to be done and what was."""
    details = visit.operations.commits.inspect_run(visit.arguments["run"])
    jobs = {job.output_repo: job for job in visit.operations.jobs.list_jobs(run=details.id)}
    view = visit.query.get("view", "")
    begin = visit.whole_number("from", 0, most=len(details.steps))
    end = begin + PAGE_ROWS
    older = visit.operations.commits.list_runs(number=1, before=details.id)
    context: dict[str, object] = {
        "run": details,
        "cause": _cause(visit, details),
        "view": view,
        "older": older[0].id if older else None,
        "counted": _counted(jobs.values()),
        "pipelines": _states(details.steps),
        "moved": _moved(jobs.values()),
    }
    if view == "plan":
        context["outcomes"] = _outcomes(visit, list(jobs.values()))
        context["more_outcomes"] = len(jobs) > _PLANS
    else:
        context["bars"] = _bars(details, jobs, visit.now)[begin:end]
        context["ticks"] = _ticks(details.duration_s)
        context["next"] = (
            urls.run(details.id, **{"from": end}) if end < len(details.steps) else None
        )
    return Show(
        template="runs/plan.html" if view == "plan" else "runs/run.html",
        title=f"Run {details.id[:8]}",
        live=("commits", "jobs") if details.finished is None and not begin else (),
        context=context,
    )


def stop(visit: Visit) -> Answer:
    """Stop all jobs of a run."""
    visit.operations.jobs.stop_run(visit.arguments["run"])
    return Redirect(to=urls.run(visit.arguments["run"]))


# --- the time line --------------------------------------------------------------------------------


def _bars(run: RunDetails, jobs: Mapping[str, JobInfo], now: datetime) -> list[Bar]:
    critical = set(run.critical_path)
    whole_s = max(run.duration_s, 1e-3)
    return [
        Bar(
            step=step,
            job=jobs.get(step.repo),
            pieces=_pieces(run, step, jobs.get(step.repo), whole_s, now),
            critical=step.repo in critical and len(critical) > 1,
        )
        for step in run.steps
    ]


def _pieces(
    run: RunDetails, step: RunStep, job: JobInfo | None, whole_s: float, now: datetime
) -> tuple[Piece, ...]:
    """What a step's time went to. Where it ran, it is split as the time of its datums is."""
    end_s = ((step.finished or now) - run.created).total_seconds()
    ran_s, waited_s = step.ran_s, step.waited_s
    parts: list[tuple[str, float, float]] = []  # kind, share of the bar in seconds, seconds to tell
    if step.pipeline is not None and waited_s > 0:
        parts.append(("queue", waited_s, waited_s))
    spent_s = 0.0 if job is None else job.download_s + job.process_s + job.upload_s
    if job is None or spent_s <= 0:
        parts.append(("all", ran_s, ran_s))
    else:
        split = (("download", job.download_s), ("process", job.process_s), ("upload", job.upload_s))
        parts += [(kind, ran_s * part_s / spent_s, part_s) for kind, part_s in split if part_s > 0]
    at = max(0.0, end_s - sum(share for _, share, _ in parts)) / whole_s
    pieces = []
    for kind, share, seconds in parts:
        width = max(share / whole_s, _SHARE_MIN if kind in ("all", "process") else 0.0)
        begin = min(at, 1 - width)
        pieces.append(
            Piece(
                kind=kind,
                begin=round(1000 * begin, 2),
                width=round(1000 * width, 2),
                seconds=seconds,
            )
        )
        at = begin + width
    return tuple(pieces)


def _ticks(duration_s: float) -> list[float]:
    return [duration_s * place / (_TICKS - 1) for place in range(_TICKS)]


# --- figures --------------------------------------------------------------------------------------


def _counted(jobs: Iterable[JobInfo]) -> dict[str, int]:
    found = list(jobs)
    return {
        "processed": sum(job.processed for job in found),
        "skipped": sum(job.skipped for job in found),
        "failed": sum(job.failed for job in found),
        "recovered": sum(job.recovered for job in found),
        "total": sum(job.total for job in found),
    }


def _moved(jobs: Iterable[JobInfo]) -> dict[str, int]:
    found = list(jobs)
    return {
        "downloaded": sum(job.downloaded_bytes for job in found),
        "uploaded": sum(job.uploaded_bytes for job in found),
    }


def _states(steps: Iterable[RunStep]) -> dict[str, int]:
    """How many steps with a pipeline are in each state."""
    states: dict[str, int] = {}
    for step in steps:
        if step.pipeline is not None:
            states[step.state] = states.get(step.state, 0) + 1
    return states


# --- plan and outcome -----------------------------------------------------------------------------


def _outcomes(visit: Visit, jobs: Sequence[JobInfo]) -> list[Outcome]:
    """Of each job (most derived first), those first that the others wait for."""
    found = []
    for job in list(reversed(jobs))[:_PLANS]:
        reason = None
        if job.total <= _PLAN_DATUMS_MAX:
            with contextlib.suppress(NotFound):
                reason = visit.operations.lineage.explain_job(f"{job.pipeline}@{job.id}")
        found.append(
            Outcome(job=job, reason=reason, usually_s=_usually(visit, job), took_s=_took_s(job))
        )
    return found


def _took_s(job: JobInfo) -> float | None:
    if job.started is None or job.finished is None:
        return None
    return (job.finished - job.started).total_seconds()


def _usually(visit: Visit, job: JobInfo) -> float | None:
    """How long a job of the pipeline takes, as the good ones among the last show."""
    last = visit.operations.jobs.list_jobs(pipeline=job.pipeline, number=2 * _EARLIER)
    took = [
        took_s
        for one in last
        if one.id != job.id and one.state is JobState.SUCCESS
        if (took_s := _took_s(one)) is not None
    ]
    return median(took[:_EARLIER]) if took else None


ROUTES = (
    Route(path="/runs", view=runs),
    Route(path="/runs/{run}", view=run),
    Route(path="/runs/{run}/stop", view=stop, method="POST"),
)
NAVIGATION = (Navigation(title="Runs", path="/runs", icon="run", order=30),)
