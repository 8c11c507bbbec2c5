"""The start: how the pipelines are, what runs, what fails, what came last, what it takes up."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from trunkline.model.jobs import JobInfo, JobState
from trunkline.model.pipelines import PipelineInfo, PipelineState
from trunkline.model.versions import RepoInfo
from trunkline.server.console.page import Answer, Navigation, Route, Show, Visit

_JOBS = 400  # that are looked at for the outcomes of all pipelines
_OUTCOMES = 20  # of a pipeline that are shown
_ROWS = 10
_BAD = (JobState.FAILURE, JobState.UNRUNNABLE)
_BAD_PIPELINES = (PipelineState.FAILURE, PipelineState.CRASHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a pipeline is."""

    pipeline: PipelineInfo
    jobs: tuple[JobInfo, ...]  # the last ones, oldest first

    @property
    def latest(self) -> JobInfo | None:
        return self.jobs[-1] if self.jobs else None

    @property
    def running(self) -> bool:
        return any(not job.state.ended for job in self.jobs)

    @property
    def failing(self) -> bool:
        ended = [job for job in self.jobs if job.state.ended]
        failed = bool(ended) and ended[-1].state in _BAD
        return failed or self.pipeline.state in _BAD_PIPELINES

    @property
    def why(self) -> str:
        """Why it fails, in a sentence."""
        failed = [job.reason for job in self.jobs if job.state in _BAD and job.reason]
        return self.pipeline.reason or (failed[-1] if failed else self.pipeline.recent_error)


def health_of(pipelines: Iterable[PipelineInfo], jobs: Iterable[JobInfo]) -> list[Health]:
    """How each pipeline is: those that fail first, then those that run."""
    by_pipeline: dict[str, list[JobInfo]] = defaultdict(list)
    for job in jobs:  # newest first
        if len(by_pipeline[job.pipeline]) < _OUTCOMES:
            by_pipeline[job.pipeline].append(job)
    found = [
        Health(pipeline=pipeline, jobs=tuple(reversed(by_pipeline[pipeline.name])))
        for pipeline in pipelines
    ]
    return sorted(found, key=lambda one: (not one.failing, not one.running))


def home(visit: Visit) -> Answer:
    operations = visit.operations
    project = visit.query.get("project") or None
    repos = operations.repos.list_repos(project=project)
    pipelines = operations.pipelines.list_pipelines(project=project)
    jobs = list(operations.jobs.list_jobs(project=project, number=_JOBS)) if pipelines else []
    health = health_of(pipelines, jobs)
    running = [job for job in jobs if not job.state.ended]
    names = {repo.name for repo in repos}
    commits = [
        commit
        for commit in operations.commits.list_all_commits(number=8 * _ROWS if project else _ROWS)
        if commit.repo in names
    ]
    return Show(
        template="home/home.html",
        title="Overview",
        live=("jobs", "commits", "repos", "pipelines"),
        context={
            "project": project,
            "projects": operations.projects.list_projects(),
            "status": operations.admin.status(),
            "repos": repos,
            "largest": _largest(repos),
            "files_bytes": sum(repo.size_bytes for repo in repos),
            "health": health[:_ROWS],
            "pipelines": len(pipelines),
            "failing": [one for one in health if one.failing],
            "running": running[:_ROWS],
            "running_total": len(running),
            "commits": commits[:_ROWS],
        },
    )


def _largest(repos: list[RepoInfo]) -> list[RepoInfo]:
    by_size = sorted(repos, key=lambda repo: repo.size_bytes, reverse=True)
    return [repo for repo in by_size if repo.size_bytes][:_ROWS]


ROUTES = (Route(path="/", view=home),)
NAVIGATION = (Navigation(title="Overview", path="/", icon="home", order=0),)
