"""Jobs: all of them or those of a pipeline, in all states or some, newest first."""

from trunkline.model.jobs import JobState
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Navigation, Route, Show, Visit

_ROWS = 50
_CHOICES = {  # what people ask for, and the states that are meant
    "": (),
    "running": tuple(state for state in JobState if not state.ended),
    "success": (JobState.SUCCESS,),
    "failed": (JobState.FAILURE, JobState.UNRUNNABLE),
    "killed": (JobState.KILLED,),
}


def jobs(visit: Visit) -> Answer:
    """The jobs; `before` in the query is the one behind which a further page begins."""
    pipeline, chosen = visit.query.get("pipeline", ""), visit.query.get("state", "")
    states = _CHOICES.get(chosen, (chosen,))
    before = visit.query.get("before")
    operations = visit.operations
    found = list(
        operations.jobs.list_jobs(
            pipeline=pipeline or None,
            states=list(states) or None,
            before=before,
            number=_ROWS + 1,
        )
    )
    shown = found[:_ROWS]
    further = None
    if len(found) > _ROWS:
        last = f"{shown[-1].pipeline}@{shown[-1].id}"
        further = urls.jobs(pipeline, state=chosen, before=last)
    command = f" -p {pipeline}" if pipeline else " -A"
    command += "".join(f" --state {state}" for state in states)
    return Show(
        template="jobs/list.html",
        title=f"Jobs of {pipeline}" if pipeline else "Jobs",
        live=("jobs",) if before is None else (),
        context={
            "pipeline": pipeline,
            "pipelines": sorted({job.pipeline for job in shown}),
            "chosen": chosen,
            "choices": {name: name or "all" for name in _CHOICES},
            "jobs": shown,
            "next": further,
            "now": visit.now,
            "command": f"trunkline list job{command}",
        },
    )


ROUTES = (Route(path="/jobs", view=jobs),)
NAVIGATION = (Navigation(title="Jobs", path="/jobs", icon="job", order=40),)
