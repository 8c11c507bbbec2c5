"""One pipeline: how it does, why it does nothing, what it reads and runs; and to steer it."""

import json
from itertools import islice
from statistics import median

from trunkline.errors import TrunklineError
from trunkline.model.jobs import DatumInfo, JobInfo
from trunkline.model.pipelines import PipelineInfo, PipelineState
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Redirect, Route, Show, Visit
from trunkline.server.console.pages.pipelines import success_of
from trunkline.server.console.pages.spec_inputs import inputs_in

_JOBS = 30
_SHOWN_JOBS = 8
_VERSIONS = 20
_DATUMS = 8
_COUNTED = 1000  # datums of a preview; more are "more than"
_LOOKED_AT = 50_000  # datums of its newest job; of more, a preview takes seconds
_MATCHED = ("join", "group")  # inputs that have to be read as a whole for the first datum


def pipeline(visit: Visit) -> Answer:
    name = visit.full_name("pipeline")
    operations = visit.operations
    versions = operations.pipelines.list_pipelines(name=name, history=_VERSIONS)
    info = operations.pipelines.inspect_pipeline(name)
    jobs = list(operations.jobs.list_jobs(pipeline=name, number=_JOBS))
    inputs = list(inputs_in(info.spec.get("input")))
    costly = _is_matched(info.spec.get("input")) or any(job.total > _LOOKED_AT for job in jobs[:1])
    preview = not costly or bool(visit.query.get("preview"))
    return Show(
        template="pipelines/pipeline.html",
        title=name,
        live=("jobs", "pipelines", "workers"),
        context={
            "pipeline": info,
            "paused": info.state is PipelineState.PAUSED,
            "reason": operations.lineage.explain_pipeline(name),
            "versions": versions,
            "jobs": jobs[:_SHOWN_JOBS],
            "ended": list(reversed(jobs)),
            "success": success_of(info),
            "inputs": inputs,
            "is_clock": any(one.kind == "cron" for one in inputs),
            "preview": _preview(visit, info) if inputs and preview else None,
            "workers": operations.jobs.list_workers(pipeline=name),
            "spec": json.dumps(info.user_spec, indent=2, ensure_ascii=False),
            "now": visit.now,
            **_figures(jobs),
        },
    )


def _figures(jobs: list[JobInfo]) -> dict[str, object]:
    """Of the last jobs: how long they took, and how much they could skip."""
    took = [
        (job.finished - job.started).total_seconds()
        for job in jobs
        if job.started is not None and job.finished is not None
    ]
    datums = sum(job.total for job in jobs)
    return {
        "median_s": median(took) if took else None,
        "longest_s": max(took, default=0.0),
        "datums": datums,
        "skipped": sum(job.skipped for job in jobs),
    }


def _is_matched(part: object) -> bool:
    """Whether a part of a spec's input has a join or group in it."""
    if isinstance(part, list):
        return any(map(_is_matched, part))
    if not isinstance(part, dict):
        return False
    return any(kind in part for kind in _MATCHED) or any(map(_is_matched, part.values()))


def _preview(visit: Visit, info: PipelineInfo) -> dict[str, object]:
    """The datums that it would have on what its inputs are now: the first, and how many."""
    try:
        found = visit.operations.datums.preview_datums(info.spec)
        first: list[DatumInfo] = list(islice(found, _DATUMS))
        count = len(first) + sum(1 for _ in islice(found, _COUNTED + 1 - len(first)))
    except TrunklineError as error:  # an input that is gone, or too many
        return {"problem": str(error), "datums": [], "count": 0, "more": False}
    return {"problem": "", "datums": first, "count": min(count, _COUNTED), "more": count > _COUNTED}


def version(visit: Visit) -> Answer:
    """A version with its spec, and what differs from the one before it (or `against`)."""
    name = visit.full_name("pipeline")
    number = int(visit.arguments["version"]) if visit.arguments["version"].isdecimal() else 0
    pipelines = visit.operations.pipelines
    info = pipelines.inspect_pipeline(name, version=number or None)
    newest = pipelines.inspect_pipeline(name)
    against = visit.whole_number("against", info.version - 1, most=10**9)
    difference = None
    if against >= 1:
        difference = pipelines.diff_pipeline(name, old_version=against, new_version=info.version)
    return Show(
        template="pipelines/version.html",
        title=f"Version {info.version} of {name}",
        context={
            "pipeline": info,
            "newest": newest.version,
            "against": against,
            "difference": difference,
            "spec": json.dumps(info.user_spec, indent=2, ensure_ascii=False),
        },
    )


def stop(visit: Visit) -> Answer:
    visit.operations.pipelines.stop_pipeline(visit.full_name("pipeline"))
    return Redirect(to=urls.pipeline(visit.full_name("pipeline")))


def start(visit: Visit) -> Answer:
    visit.operations.pipelines.start_pipeline(visit.full_name("pipeline"))
    return Redirect(to=urls.pipeline(visit.full_name("pipeline")))


def rerun(visit: Visit) -> Answer:
    """One more job; with `reprocess` in the form it runs all datums."""
    name = visit.full_name("pipeline")
    visit.operations.pipelines.rerun_pipeline(name, reprocess="reprocess" in visit.form)
    return Redirect(to=urls.pipeline(name))


def tick(visit: Visit) -> Answer:
    visit.operations.pipelines.run_cron(visit.full_name("pipeline"))
    return Redirect(to=urls.pipeline(visit.full_name("pipeline")))


_PIPELINE = "/projects/{project}/pipelines/{pipeline}"
ROUTES = (
    Route(path=_PIPELINE, view=pipeline),
    Route(path=f"{_PIPELINE}/versions/{{version}}", view=version),
    Route(path=f"{_PIPELINE}/stop", view=stop, method="POST"),
    Route(path=f"{_PIPELINE}/start", view=start, method="POST"),
    Route(path=f"{_PIPELINE}/rerun", view=rerun, method="POST"),
    Route(path=f"{_PIPELINE}/tick", view=tick, method="POST"),
)
