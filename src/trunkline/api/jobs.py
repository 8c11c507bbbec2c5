"""Operations on jobs.

A job is named `pipeline@id`; `pipeline/id` and, if unique, `id` do too. `pipeline@ref` is the job
that made this commit of the pipeline's output repo, and `pipeline` alone its newest job.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.jobs import JobInfo, JobProfile, WorkerInfo


class Jobs(Protocol):
    @operation("GET", "/jobs", READER)
    def list_jobs(
        self,
        *,
        pipeline: str | None = None,
        run: str | None = None,
        project: str | None = None,
        output: str | None = None,
        inputs: list[str] | None = None,
        states: list[str] | None = None,
        before: str | None = None,
        newest: bool = False,
        number: int = 0,
    ) -> Iterator[JobInfo]:
        """The jobs (of a project), newest first; of a run, the most derived first.

        `output` and `inputs` are commits (`repo@ref`) that the jobs wrote or read; `states` leaves
        out the jobs in all others, `before` those that are not older than a job, `newest` all but
        the newest of each pipeline. Raises JobNotFound, and InvalidInput for a state that there is
        not.
        """

    @operation("GET", "/jobs/{job}", READER)
    def inspect_job(
        self, job: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> JobInfo:
        """One job; with `wait`, once it has ended. Raises TimedOut."""

    @operation("GET", "/jobs/{job}/profile", READER)
    def profile_job(self, job: str) -> JobProfile:
        """How the datums of a job went: how long each took, what failed, who worked when.

        While a job runs, this may lag behind by ten times what it takes to find out. Raises
        JobNotFound.
        """

    @operation("POST", "/jobs/{job}/stop", WRITER)
    def stop_job(self, job: str) -> None:
        """Stop a job: it is killed, its output commit finished empty; no error if it has ended."""

    @operation("POST", "/runs/{run}/stop", WRITER)
    def stop_run(self, run: str) -> None:
        """Stop all jobs of a run at once, as `stop_job` does each; no error if all have ended."""

    @operation("DELETE", "/jobs/{job}", WRITER)
    def delete_job(self, job: str) -> None:
        """Stop a job and forget its record; its output commit and remembered results stay."""

    @operation("GET", "/flush/jobs", READER)
    def flush_jobs(
        self,
        commits: list[str],
        *,
        pipelines: list[str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[JobInfo]:
        """Each ended job that the given commits (`repo@ref`) caused; blocks until all ended.

        Raises TimedOut, `timeout_s` after the call.
        """

    @operation("GET", "/workers", READER)
    def list_workers(self, *, pipeline: str | None = None) -> list[WorkerInfo]:
        """The workers there are now, by name."""
