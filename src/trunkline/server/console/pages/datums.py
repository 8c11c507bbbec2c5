"""The datums of a job: by state, by a part of a path, page by page."""

from itertools import islice

from trunkline.model.jobs import DatumState
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Route, Show, Visit
from trunkline.server.console.pages.job import job_name, outcomes_of

_ROWS = 100
_INPUTS = 3  # of a datum that are shown
_PAGE_MAX = 10**9


def datums(visit: Visit) -> Answer:
    """One page of them; `page` in the query counts from 0."""
    state, find = visit.query.get("state", ""), visit.query.get("find", "")
    page = visit.whole_number("page", 0, most=_PAGE_MAX)
    operations = visit.operations
    job = operations.jobs.inspect_job(job_name(visit))
    name = f"{job.pipeline}@{job.id}"
    listed = operations.datums.list_datums(
        name, states=[state] if state else None, text=find or None, page=page, page_size=_ROWS
    )
    found = list(islice(listed, _ROWS))
    further = None
    if len(found) == _ROWS:  # a page with nothing on it may follow, which costs little
        further = urls.datums(job.pipeline, job.id, state=state, find=find, page=page + 1)
    command = f"trunkline list datum {name}"
    command += f" --state {state}" if state else ""
    return Show(
        template="datums/list.html",
        title=f"Datums of {job.pipeline}@{job.id[:8]}",
        live=("jobs",) if not (job.state.ended or page) else (),
        context={
            "job": job,
            "state": state,
            "find": find,
            "page": page,
            "outcomes": outcomes_of(job),
            "states": list(DatumState),
            "datums": found,
            "inputs_shown": _INPUTS,
            "next": further,
            "command": command,
        },
    )


ROUTES = (Route(path="/projects/{project}/jobs/{pipeline}@{run}/datums", view=datums),)
