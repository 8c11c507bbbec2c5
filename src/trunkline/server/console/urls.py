"""The addresses of all pages, those that are still to come included; templates call them `url`.

Names are full names. A page that links to another one asks `render.link`, which makes a text of the
link where nobody answers the address yet.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from trunkline.model.names import bare_name, project_of
from trunkline.server.console.page import PLACE


def _query(path: str, query: Mapping[str, object]) -> str:
    given = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(given)}" if given else path


def home(project: str = "", begin: int = 0) -> str:
    return _query(f"{PLACE}/", {"project": project, "from": begin or ""})


def repos(project: str = "") -> str:
    return _query(f"{PLACE}/repos", {"project": project})


def repo(name: str) -> str:
    return f"{PLACE}/projects/{project_of(name)}/repos/{bare_name(name)}"


def upload(name: str) -> str:
    """Where a form with files is sent."""
    return f"{repo(name)}/upload"


def commits(name: str, branch: str = "", **query: object) -> str:
    return _query(f"{repo(name)}/commits", {"branch": branch, **query})


def commit(name: str, ref: str) -> str:
    return f"{repo(name)}@{quote(ref, safe='')}"


def files(name: str, ref: str, path: str = "", **query: object) -> str:
    return _query(f"{commit(name, ref)}/files/{quote(path)}", query)


def raw(name: str, ref: str, path: str, **query: object) -> str:
    """The content of a file as it is."""
    return _query(f"{commit(name, ref)}/raw/{quote(path)}", query)


def history(name: str, ref: str, path: str, **query: object) -> str:
    return _query(f"{commit(name, ref)}/history/{quote(path)}", query)


def provenance(name: str, ref: str, path: str = "") -> str:
    return f"{commit(name, ref)}/provenance/{quote(path)}"


def diff(name: str, ref: str, path: str = "", **query: object) -> str:
    return _query(f"{commit(name, ref)}/diff/{quote(path)}", query)


def pipelines(project: str = "", **query: object) -> str:
    return _query(f"{PLACE}/pipelines", {"project": project, **query})


def pipeline(name: str) -> str:
    return f"{PLACE}/projects/{project_of(name)}/pipelines/{bare_name(name)}"


def new_pipeline() -> str:
    return f"{PLACE}/new/pipeline"


def edit_pipeline(name: str) -> str:
    return f"{pipeline(name)}/edit"


def pipeline_version(name: str, version: int, against: int | None = None) -> str:
    """A version, compared to the one before it, or to another one."""
    return _query(f"{pipeline(name)}/versions/{version}", {"against": against})


def jobs(pipeline: str = "", **query: object) -> str:
    return _query(f"{PLACE}/jobs", {"pipeline": pipeline, **query})


def job(pipeline: str, run: str) -> str:
    return f"{PLACE}/projects/{project_of(pipeline)}/jobs/{bare_name(pipeline)}@{quote(run)}"


def explain_job(pipeline: str, run: str) -> str:
    return f"{job(pipeline, run)}/explain"


def datums(pipeline: str, run: str, **query: object) -> str:
    return _query(f"{job(pipeline, run)}/datums", query)


def datum(pipeline: str, run: str, key: str) -> str:
    return f"{job(pipeline, run)}/datums/{quote(key)}"


def runs(before: str = "") -> str:
    return _query(f"{PLACE}/runs", {"before": before})


def run(name: str, **query: object) -> str:
    return _query(f"{PLACE}/runs/{quote(name, safe='')}", query)


def schedules() -> str:
    return f"{PLACE}/schedules"


def workers() -> str:
    return f"{PLACE}/workers"


def storage(action: str = "") -> str:
    """The page; with an action, where its form goes."""
    return f"{PLACE}/storage/{action}" if action else f"{PLACE}/storage"


def settings() -> str:
    return f"{PLACE}/settings"


def tokens() -> str:
    """Where the form is sent that makes one."""
    return f"{settings()}/tokens"


def delete_token(name: str) -> str:
    return f"{tokens()}/{quote(name, safe='')}/delete"


def audit(**query: object) -> str:
    return _query(f"{PLACE}/settings/audit", query)


def search(**query: object) -> str:
    return _query(f"{PLACE}/search", query)


def dag(project: str = "", run: str = "") -> str:
    return _query(f"{PLACE}/dag", {"project": project, "run": run})
