"""One datum: what it was given, what it printed, what it wrote; why it was run; run it again."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from trunkline.errors import InvalidInput
from trunkline.model.jobs import DatumInfo, DatumState, JobInfo, LogLine
from trunkline.server.console import urls
from trunkline.server.console.ansi import parts
from trunkline.server.console.page import Answer, Content, Redirect, Route, Show, Visit
from trunkline.server.console.pages.job import job_name
from trunkline.server.console.words import clock

_INPUTS = 200
_OUTPUTS = 200
_EXPLAINED = 50_000  # datums of a job; of more, it takes seconds and is told when asked for
_LINES = 500  # of a log that are shown at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Some lines of a log, the first of them being number `first` (from 0) of `total`."""

    lines: tuple[LogLine, ...]
    first: int
    total: int

    @property
    def earlier(self) -> int | None:
        return max(0, self.first - _LINES) if self.first else None

    @property
    def later(self) -> int | None:
        end = self.first + len(self.lines)
        return end if end < self.total else None


def datum(visit: Visit) -> Answer:
    operations = visit.operations
    job = operations.jobs.inspect_job(job_name(visit))
    name = f"{job.pipeline}@{job.id}"
    info = operations.datums.inspect_datum(name, visit.arguments["datum"])
    find = visit.query.get("find", "")
    outputs = list(islice(operations.datums.list_outputs(name, info.id), _OUTPUTS + 1))
    waits = info.state is DatumState.STARTING and not job.state.ended
    explained = job.total <= _EXPLAINED or "explain" in visit.query
    working = waits and any(
        one.datum == info.id for one in operations.jobs.list_workers(pipeline=job.pipeline)
    )
    return Show(
        template="datums/datum.html",
        title=f"Datum {info.id[:8]} of {job.pipeline}@{job.id[:8]}",
        live=("jobs", "workers") if waits else (),
        context={
            "job": job,
            "name": name,
            "datum": info,
            "working": working,
            "inputs": info.inputs[:_INPUTS],
            "more_inputs": max(0, len(info.inputs) - _INPUTS),
            "input_bytes": sum(given.size_bytes for given in info.inputs),
            "outputs": outputs[:_OUTPUTS],
            "more_outputs": len(outputs) > _OUTPUTS,
            "reason": operations.lineage.explain_datum(name, info.id) if explained else None,
            "log": _excerpt(visit, name, info, find),
            "find": find,
            "begin": visit.query.get("from", ""),
            "follows": working and not find and "from" not in visit.query,
            "retry": _retry(job, info, working=working),
        },
    )


def _retry(job: JobInfo, info: DatumInfo, *, working: bool) -> str:
    """How a datum can be run again: `restart` it while it runs, `rerun` what failed; or not."""
    if working:
        return "restart"
    failed = info.state in (DatumState.FAILED, DatumState.QUARANTINED)
    return "rerun" if failed and job.state.ended else ""


def _excerpt(visit: Visit, name: str, info: DatumInfo, find: str) -> Excerpt:
    """The lines from `from` on, or the last ones; `find` leaves out those without it."""
    lines = visit.operations.datums.get_logs(job=name, datum=info.id, text=find or None)
    if "from" in visit.query:
        begin = visit.whole_number("from", 0, most=10**15)
        before = sum(1 for _ in islice(lines, begin))
        shown = tuple(islice(lines, _LINES))
        return Excerpt(lines=shown, first=before, total=before + len(shown) + sum(1 for _ in lines))
    total, last = 0, deque[LogLine](maxlen=_LINES)
    for line in lines:
        total += 1
        last.append(line)
    return Excerpt(lines=tuple(last), first=total - len(last), total=total)


def log(visit: Visit) -> Answer:
    """The whole log, to be saved; or with `follow`, as lines of JSON, what is still printed."""
    name, key = job_name(visit), visit.arguments["datum"]
    datums = visit.operations.datums
    if visit.query.get("follow"):
        skip = visit.whole_number("skip", 0, most=10**15)
        lines = datums.get_logs(job=name, datum=key, follow=True)
        return Content(
            pieces=lambda: map(_as_json, islice(lines, skip, None)),
            media_type="application/x-ndjson",
        )
    find = visit.query.get("find", "")
    whole = datums.get_logs(job=name, datum=key, text=find or None)
    return Content(
        pieces=lambda: _as_text(whole),
        media_type="text/plain; charset=utf-8",
        headers=(("content-disposition", f'attachment; filename="{key[:12]}.log"'),),
    )


def _as_text(lines: Iterator[LogLine]) -> Iterator[bytes]:
    for line in lines:
        yield f"{line.time.isoformat(timespec='milliseconds')} {line.message}\n".encode()


def _as_json(line: LogLine) -> bytes:
    said = {"time": clock(line.time), "stream": line.stream, "parts": list(parts(line.message))}
    return json.dumps(said).encode() + b"\n"


def retry(visit: Visit) -> Answer:
    """Run it again: by itself while it runs, else with all of its pipeline's that failed."""
    operations, name = visit.operations, job_name(visit)
    info = operations.datums.inspect_datum(name, visit.arguments["datum"])
    pipeline, run = visit.full_name("pipeline"), visit.arguments["run"]
    if info.state is DatumState.STARTING:
        if not operations.datums.restart_datums(name, [given.path for given in info.inputs]):
            raise InvalidInput("nobody works on this datum now, so it can't start again")
        return Redirect(to=urls.datum(pipeline, run, info.id))
    operations.pipelines.rerun_pipeline(pipeline)
    newest = next(iter(operations.jobs.list_jobs(pipeline=pipeline, number=1)))
    return Redirect(to=urls.job(pipeline, newest.id))


_DATUM = "/projects/{project}/jobs/{pipeline}@{run}/datums/{datum}"
ROUTES = (
    Route(path=_DATUM, view=datum),
    Route(path=f"{_DATUM}/log", view=log),
    Route(path=f"{_DATUM}/retry", view=retry, method="POST"),
)
