"""A run with its steps: what one change set off, and where the time went."""

from collections.abc import Sequence
from datetime import datetime

from trunkline.model.versions import CommitName
from trunkline.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """One commit of a run, with the job that writes it if a pipeline does.

    `reads` are the commits of the same run that it is made from, so of another step each. It was
    `ready` when the last of them was finished. Times are those of the server's clock.
    """

    repo: str
    branch: str | None
    pipeline: str | None  # None: no job writes it
    state: str  # of the job; without one: open, finished or failed
    reason: str
    created: datetime
    ready: datetime | None  # None: something that it reads is still open
    started: datetime | None  # when its datums were counted; of a commit, when it was started
    finished: datetime | None
    waited_s: float  # from ready (created, if it is not) to its start, its end, or now
    ran_s: float  # from its start to its end or now
    total: int
    processed: int
    skipped: int
    failed: int
    recovered: int
    reads: tuple[CommitName, ...]
    waits_for: tuple[str, ...]  # open commits (repo@id) and jobs (pipeline@id) before it


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """A run, its steps in an order in which each comes after those that it reads.

    `critical_path` are the repos of the steps that each waited for the one before: of a run that
    is finished up to the step that ended last, else up to one that holds up the rest.
    """

    id: str
    state: str  # running, success, or failure once all is finished and a job did not succeed
    created: datetime
    finished: datetime | None
    duration_s: float  # up to its end or now
    commits: tuple[CommitName, ...]
    jobs: tuple[str, ...]  # names of pipelines
    steps: tuple[RunStep, ...]
    critical_path: tuple[str, ...]


def critical_path(steps: Sequence[RunStep]) -> tuple[str, ...]:
    """The repos of the steps whose time is the time of the run, first to last."""
    by_repo = {step.repo: step for step in steps}
    ready = [step for step in steps if step.finished is None and step.ready is not None]
    ended = [step for step in steps if step.finished is not None]
    if ready:
        at = min(ready, key=lambda step: step.ready or step.created)
    elif ended:
        at = max(ended, key=lambda step: step.finished or step.created)
    else:
        return ()
    path = [at.repo]
    while at.reads:
        before = [by_repo[name.repo] for name in at.reads]
        at = max(before, key=lambda step: step.finished or step.created)
        path.append(at.repo)
    return tuple(reversed(path))
