"""The start: how the pipelines are, what runs, what fails, what came last, what it takes up."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from trunkline.api.connection import Operations
from trunkline.model.jobs import JobInfo, JobState
from trunkline.model.pipelines import PipelineInfo, PipelineState
from trunkline.model.versions import RepoInfo
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Navigation, Route, Show, Visit

_OUTCOMES = 10  # of a pipeline that are shown
_ROWS = 10
_BAD_PIPELINES = (PipelineState.FAILURE, PipelineState.CRASHING)
_ENDED = frozenset(state.value for state in JobState if state.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a pipeline is: all but `jobs` is known without looking at these."""

    pipeline: PipelineInfo
    jobs: tuple[JobInfo, ...] = ()  # the last ones, oldest first

    @property
    def latest(self) -> JobInfo | None:
        return self.jobs[-1] if self.jobs else None

    @property
    def running(self) -> int:
        """How many jobs have not ended."""
        counts = self.pipeline.job_counts.items()
        return sum(count for state, count in counts if state not in _ENDED)

    @property
    def failing(self) -> bool:
        """Whether it can't work, or its newest job has failed."""
        return self.pipeline.state in _BAD_PIPELINES or bool(self.pipeline.recent_error)

    @property
    def why(self) -> str:
        """Why it fails, in a sentence."""
        return self.pipeline.reason or self.pipeline.recent_error


def health_of(pipelines: Iterable[PipelineInfo]) -> list[Health]:
    """How each pipeline is: those that fail first, then those that run."""
    found = [Health(pipeline=pipeline) for pipeline in pipelines]
    return sorted(found, key=lambda one: (not one.failing, not one.running))


def with_jobs(
    operations: Operations, health: Iterable[Health], number: int = _OUTCOMES
) -> list[Health]:
    """The same with the last jobs of each, which takes some time: for those that are shown."""
    found = []
    for one in health:
        jobs: list[JobInfo] = []
        if one.pipeline.job_counts:
            name = one.pipeline.name
            jobs = list(operations.jobs.list_jobs(pipeline=name, number=number))
        found.append(replace(one, jobs=tuple(reversed(jobs))))
    return found


def home(visit: Visit) -> Answer:
    operations = visit.operations
    project = visit.query.get("project") or None
    repos = operations.repos.list_repos(project=project)
    health = health_of(operations.pipelines.list_pipelines(project=project))
    failing = [one for one in health if one.failing]
    begin = visit.whole_number("from", 0, most=len(health))
    end = begin + _ROWS
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
            "health": with_jobs(operations, health[begin:end]),
            "pipelines": len(health),
            "failing": with_jobs(operations, failing[:_ROWS], 1),
            "failing_total": len(failing),
            "next": urls.home(project or "", begin=end) if end < len(health) else None,
            "running": _running(operations, health),
            "running_total": sum(one.running for one in health),
            "commits": commits[:_ROWS],
        },
    )


def _running(operations: Operations, health: Iterable[Health]) -> list[JobInfo]:
    """Jobs that have not ended, of the pipelines that have some."""
    found: list[JobInfo] = []
    for one in health:
        if one.running and len(found) < _ROWS:
            jobs = operations.jobs.list_jobs(pipeline=one.pipeline.name, number=one.running)
            found += [job for job in jobs if not job.state.ended]
    return sorted(found, key=lambda job: job.created, reverse=True)[:_ROWS]


def _largest(repos: list[RepoInfo]) -> list[RepoInfo]:
    by_size = sorted(repos, key=lambda repo: repo.size_bytes, reverse=True)
    return [repo for repo in by_size if repo.size_bytes][:_ROWS]


ROUTES = (Route(path="/", view=home),)
NAVIGATION = (Navigation(title="Overview", path="/", icon="home", order=0),)
