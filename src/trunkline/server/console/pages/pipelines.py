"""Pipelines: all of them, those that fail first, with how their last jobs ended."""

from dataclasses import dataclass

from trunkline.model.pipelines import PipelineInfo
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Navigation, Route, Show, Visit
from trunkline.server.console.pages.home import health_of, with_jobs

_ROWS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """How many of the jobs that ended did so well."""

    good: int
    ended: int

    @property
    def share(self) -> float:
        return self.good / self.ended if self.ended else 0.0


def success_of(pipeline: PipelineInfo) -> Success:
    counts = pipeline.job_counts
    good = counts.get("success", 0)
    return Success(
        good=good, ended=good + sum(counts.get(s, 0) for s in ("failure", "unrunnable", "killed"))
    )


def pipelines(visit: Visit) -> Answer:
    """Those (of a project) whose name or description has a text; a page from `from` on."""
    project, find = visit.query.get("project") or None, visit.query.get("find", "")
    operations = visit.operations
    listed = operations.pipelines.list_pipelines(project=project)
    found = [one for one in listed if find.lower() in f"{one.name} {one.description}".lower()]
    health = health_of(found)
    begin = visit.whole_number("from", 0, most=len(health))
    end = begin + _ROWS
    further = None
    if end < len(health):
        further = urls.pipelines(project or "", find=find, **{"from": end})
    return Show(
        template="pipelines/list.html",
        title="Pipelines",
        live=("jobs", "pipelines") if not begin else (),
        context={
            "project": project,
            "projects": operations.projects.list_projects(),
            "find": find,
            "total": len(listed),
            "health": with_jobs(operations, health[begin:end]),
            "success": {one.pipeline.name: success_of(one.pipeline) for one in health[begin:end]},
            "next": further,
        },
    )


ROUTES = (Route(path="/pipelines", view=pipelines),)
NAVIGATION = (Navigation(title="Pipelines", path="/pipelines", icon="pipeline", order=20),)
