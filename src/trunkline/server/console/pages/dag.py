"""The graph of repos and pipelines, as it is now or as it was in one run.

A pipeline and the repo that it writes are one node. The page has all nodes as a table, and the same
as data for `static/graph.js`, which draws them.
"""

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from markupsafe import Markup

from trunkline.errors import NotFound
from trunkline.model.jobs import JobInfo, JobState
from trunkline.model.names import project_of
from trunkline.model.pipelines import PipelineInfo, PipelineState
from trunkline.model.runs import RunDetails
from trunkline.model.versions import CommitInfo, RepoInfo, is_spec_repo
from trunkline.server.console import urls
from trunkline.server.console.page import PAGE_ROWS, Answer, Navigation, Route, Show, Visit
from trunkline.server.console.pages.spec_inputs import read_by

_COMMITS = 500  # newest of all, that tell when repos changed last
_FEW = 20  # repos of which that is asked one by one at once
_LOOKED_UP = 200  # of all others
_RUNS = 15  # that one can go back to by a menu
_SIZED = 100  # nodes of a run whose size is told
_BAD_JOBS = (JobState.FAILURE, JobState.UNRUNNABLE)
_BAD_PIPELINES = (PipelineState.FAILURE, PipelineState.CRASHING)
_FILTERS = ("failing", "stale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A repo of users, or a pipeline with the repo that it writes."""

    name: str  # full name
    pipeline: bool
    state: str  # a word for people; empty for a repo about which there is nothing to say
    tone: str  # good, bad, busy, wait or off
    reads: tuple[str, ...]  # names of nodes
    size_bytes: int | None = None
    changed: datetime | None = None
    run: str = ""  # of the job and commit that it shows
    processed: int = 0
    skipped: int = 0
    failed: int = 0
    total: int = 0
    reason: str = ""
    stale: bool = False  # its output is not made of what its inputs have now
    outside: bool = False  # it is only there because another one reads it

    @property
    def project(self) -> str:
        return project_of(self.name)

    def as_data(self) -> dict[str, object]:
        """What the browser draws; fields that are empty are left out."""
        known: dict[str, object] = {
            "name": self.name,
            "pipeline": self.pipeline,
            "state": self.state,
            "tone": self.tone,
            "reads": self.reads,
            "changed": "" if self.changed is None else self.changed.isoformat(timespec="seconds"),
            "run": self.run,
            "processed": self.processed,
            "skipped": self.skipped,
            "failed": self.failed,
            "total": self.total,
            "reason": self.reason,
            "stale": self.stale,
            "outside": self.outside,
        }
        data = {key: value for key, value in known.items() if value}
        return data if self.size_bytes is None else {**data, "size_bytes": self.size_bytes}


class Graph:
    """Nodes, each behind those that it reads."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = _sorted(nodes)

    def as_json(self) -> Markup:
        """All of it for the browser, as the text of an element that is not looked into."""
        text = json.dumps([node.as_data() for node in self.nodes], separators=(",", ":"))
        return _inert(text)

    def only(self, wanted: Callable[[Node], bool]) -> "Graph":
        """The nodes that are wanted, with what they read."""
        kept = {node.name for node in self.nodes if wanted(node)}
        read = {name for node in self.nodes if node.name in kept for name in node.reads} - kept
        return Graph(
            node if node.name in kept else replace(node, outside=True, reads=())
            for node in self.nodes
            if node.name in kept or node.name in read
        )


def _inert(text: str) -> Markup:
    """JSON that nothing in it can end, or turn into anything else."""
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c"))  # noqa: S704 it can't


def _links(answers: Callable[[str], bool]) -> Markup:
    """Where the side panel of a node leads to: what is there, what it is of, and its address with
    words for what the browser fills in. `answers` tells whether an address has a page.
    """
    node = "PROJECT/NAME"
    known = (
        ("Pipeline", "pipeline", urls.pipeline(node)),
        ("Output repo", "pipeline", urls.repo(node)),
        ("Repo", "repo", urls.repo(node)),
        ("Job", "pipeline run", urls.job(node, "RUN")),
        ("Commit", "run", urls.commit(node, "RUN")),
        ("Provenance", "run", urls.provenance(node, "RUN")),
        ("Run", "run", urls.run("RUN")),
    )
    return _inert(json.dumps([link for link in known if answers(link[2])]))


def dag(visit: Visit) -> Answer:
    """The graph, of all projects or one; `run` says as of when, `only` what is left in it."""
    project = visit.query.get("project", "")
    run = visit.query.get("run", "")
    only = visit.query.get("only", "")
    details = visit.operations.commits.inspect_run(run) if run else None
    whole = Graph(_now(visit, project) if details is None else _of_run(visit, details))
    if project and details is not None:
        whole = whole.only(lambda node: node.project == project)
    shown = whole
    if only in _FILTERS:
        shown = shown.only(lambda node: node.tone == "bad" if only == "failing" else node.stale)
    begin = visit.whole_number("from", 0, most=len(shown.nodes))
    end = begin + PAGE_ROWS
    following = _address(project, run, only, end) if end < len(shown.nodes) else None
    recent = visit.operations.commits.list_runs(number=_RUNS)
    return Show(
        template="dag/dag.html",
        title="Graph",
        live=() if begin or (details and details.finished) else _topics(details),
        context={
            "graph": shown,
            "links": _links,
            "rows": shown.nodes[begin:end],
            "next": following,
            "project": project,
            "projects": visit.operations.projects.list_projects(),
            "only": only,
            "run": details,
            "runs": [one for one in recent if one.jobs],
            "failing": sum(node.tone == "bad" for node in whole.nodes),
            "stale": sum(node.stale for node in whole.nodes),
            "total": len(whole.nodes),
            "address": lambda project, run, only: _address(project, run, only, 0),
        },
    )


def _topics(run: RunDetails | None) -> tuple[str, ...]:
    return ("jobs", "commits") if run is not None else ("jobs", "commits", "pipelines", "repos")


def _address(project: str, run: str, only: str, begin: int) -> str:
    address = urls.dag(project, run)
    more = [f"only={only}"] * bool(only) + [f"from={begin}"] * bool(begin)
    return address + ("&" if "?" in address else "?") * bool(more) + "&".join(more)


def _sorted(nodes: Iterable[Node]) -> list[Node]:
    """In an order in which each comes behind those that it reads; otherwise by name."""
    by_name = {node.name: node for node in sorted(nodes, key=lambda node: node.name)}
    found: dict[str, Node] = {}
    begun: set[str] = set()  # repos may read each other in a circle, by different branches
    waiting = list(reversed(by_name.values()))
    while waiting:
        node = waiting.pop()
        if node.name in found:
            continue
        begun.add(node.name)
        before = [by_name[name] for name in node.reads if name in by_name and name not in begun]
        if before:
            waiting += [node, *reversed(before)]
        else:
            found[node.name] = node
    return list(found.values())


# --- now ------------------------------------------------------------------------------------------


def _now(visit: Visit, project: str) -> list[Node]:
    operations, given = visit.operations, project or None
    repos = operations.repos.list_repos(project=given)
    pipelines = {one.name: one for one in operations.pipelines.list_pipelines(project=given)}
    jobs = {job.pipeline: job for job in operations.jobs.list_jobs(project=given, newest=True)}
    changed = _changed(visit, [repo for repo in repos if repo.name not in pipelines])
    nodes = []
    for repo in repos:
        pipeline = pipelines.get(repo.name)
        if pipeline is None:
            nodes.append(_of_repo(repo, changed.get(repo.name)))
        else:
            nodes.append(_of_pipeline(repo, pipeline, jobs.get(repo.name)))
    return _with_staleness([*nodes, *_elsewhere(nodes)])


def _elsewhere(nodes: list[Node]) -> list[Node]:
    """What is read of other projects than that which is shown."""
    names = {node.name for node in nodes}
    read = dict.fromkeys(name for node in nodes for name in node.reads if name not in names)
    return [
        Node(name=name, pipeline=False, state="", tone="off", reads=(), outside=True)
        for name in read
    ]


def _of_repo(repo: RepoInfo, head: CommitInfo | None) -> Node:
    return Node(
        name=repo.name,
        pipeline=False,
        state="open" if head is not None and head.finished is None else "",
        tone="wait" if head is not None and head.finished is None else "off",
        reads=(),
        size_bytes=repo.size_bytes,
        changed=None if head is None else head.finished or head.started,
        run="" if head is None else head.id,
    )


def _of_pipeline(repo: RepoInfo, pipeline: PipelineInfo, job: JobInfo | None) -> Node:
    state, tone = _condition(pipeline, job)
    node = Node(
        name=repo.name,
        pipeline=True,
        state=state,
        tone=tone,
        reads=tuple(read_by(pipeline.spec.get("input"))),
        size_bytes=repo.size_bytes,
        reason=pipeline.reason,
    )
    return node if job is None else _with_job(node, job)


def _with_job(node: Node, job: JobInfo) -> Node:
    return replace(
        node,
        changed=job.finished or job.started or job.created,
        run=job.id,
        processed=job.processed,
        skipped=job.skipped,
        failed=job.failed,
        total=job.total,
        reason=job.reason if job.state in _BAD_JOBS else node.reason,
    )


def _condition(pipeline: PipelineInfo, job: JobInfo | None) -> tuple[str, str]:
    if pipeline.state in _BAD_PIPELINES:
        return pipeline.state, "bad"
    if pipeline.state is PipelineState.PAUSED:
        return pipeline.state, "off"
    return ("no job yet", "off") if job is None else _job_condition(job.state)


def _job_condition(state: str) -> tuple[str, str]:
    tones = {
        JobState.SUCCESS: "good",
        JobState.KILLED: "off",
        JobState.CREATED: "wait",
        JobState.STARTING: "wait",
    }
    found = JobState(state)
    return state, "bad" if found in _BAD_JOBS else tones.get(found, "busy")


def _changed(visit: Visit, repos: list[RepoInfo]) -> dict[str, CommitInfo]:
    """The newest commit of each repo."""
    found: dict[str, CommitInfo] = {}
    if len(repos) > _FEW:
        for commit in visit.operations.commits.list_all_commits(number=_COMMITS, origin="user"):
            found.setdefault(commit.repo, commit)
    for repo in [repo for repo in repos if repo.name not in found][:_LOOKED_UP]:
        with contextlib.suppress(NotFound):
            for commit in visit.operations.commits.list_commits(repo.name, number=1):
                found[repo.name] = commit
    return found


def _with_staleness(nodes: list[Node]) -> list[Node]:
    stale: dict[str, bool] = {}
    found = []
    for node in _sorted(nodes):
        stale[node.name] = node.pipeline and (
            node.tone != "good" or any(stale.get(name, False) for name in node.reads)
        )
        found.append(replace(node, stale=True) if stale[node.name] else node)
    return found


# --- in a run -------------------------------------------------------------------------------------


def _of_run(visit: Visit, run: RunDetails) -> list[Node]:
    """The steps of a run, and what their jobs read that had not changed."""
    jobs = {job.output_repo: job for job in visit.operations.jobs.list_jobs(run=run.id)}
    nodes: dict[str, Node] = {}
    read: dict[str, str] = {}
    for step in run.steps:
        if is_spec_repo(step.repo):
            continue
        job = jobs.get(step.repo)
        inputs = {name.repo: name.id for name in step.reads if not is_spec_repo(name.repo)}
        if job is not None:
            inputs |= read_by(job.spec.get("input"))
            read |= inputs
        state, tone = (step.state, "off") if job is None else _job_condition(job.state)
        node = Node(
            name=step.repo,
            pipeline=job is not None,
            state=state,
            tone={"failed": "bad", "open": "wait"}.get(state, tone),
            reads=tuple(inputs),
            changed=step.finished or step.created,
            run=run.id,
        )
        nodes[step.repo] = node if job is None else _with_job(node, job)
    for name, commit in read.items():
        if name not in nodes:
            nodes[name] = Node(
                name=name,
                pipeline=False,
                state="as it was",
                tone="off",
                reads=(),
                run=commit,
                outside=True,
            )
    sized = list(nodes.values())[:_SIZED]
    return [*(_with_size(visit, node) for node in sized), *list(nodes.values())[_SIZED:]]


def _with_size(visit: Visit, node: Node) -> Node:
    with contextlib.suppress(NotFound):
        if node.run:
            commit = visit.operations.commits.inspect_commit(node.name, node.run)
            changed = commit.finished or commit.started
            size_bytes = commit.size_bytes if commit.finished else None
            return replace(node, size_bytes=size_bytes, changed=changed)
    return node


ROUTES = (Route(path="/dag", view=dag),)
NAVIGATION = (Navigation(title="Graph", path="/dag", icon="graph", order=5),)
