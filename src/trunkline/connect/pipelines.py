"""Handles on pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trunkline.api.connection import Operations
from trunkline.connect.jobs import JobHandle
from trunkline.errors import PipelineNotFound

if TYPE_CHECKING:
    from trunkline.model.jobs import LogLine
    from trunkline.model.lineage import PipelineReason
    from trunkline.model.pipelines import PipelineDifference, PipelineInfo


class PipelineHandle:
    """A pipeline of a server."""

    def __init__(self, operations: Operations, name: str) -> None:
        self._operations = operations
        self.name = name

    @property
    def info(self) -> PipelineInfo:
        """What the server says of it now; raises PipelineNotFound."""
        return self._operations.pipelines.inspect_pipeline(self.name)

    def exists(self) -> bool:
        try:
            self._operations.pipelines.inspect_pipeline(self.name)
        except PipelineNotFound:
            return False
        return True

    def versions(self) -> list[PipelineInfo]:
        """All its versions, newest first; raises PipelineNotFound."""
        return self._operations.pipelines.list_pipelines(name=self.name, history=-1)

    def diff(
        self, old_version: int | None = None, new_version: int | None = None
    ) -> PipelineDifference:
        """What differs between two of its versions; the last two unless they are said."""
        return self._operations.pipelines.diff_pipeline(
            self.name, old_version=old_version, new_version=new_version
        )

    def jobs(self, *, number: int = 0) -> Iterator[JobHandle]:
        """Its jobs, newest first; `number` of them at most unless it is 0."""
        for info in self._operations.jobs.list_jobs(pipeline=self.name, number=number):
            yield JobHandle(self._operations, f"{info.pipeline}@{info.id}")

    def logs(self, *, follow: bool = False, tail: int = 0) -> Iterator[LogLine]:
        """What its user code printed; `follow` waits for more."""
        return self._operations.datums.get_logs(pipeline=self.name, follow=follow, tail=tail)

    def explain(self) -> PipelineReason:
        """Why it has a job for what its inputs are now, or has none."""
        return self._operations.lineage.explain_pipeline(self.name)

    def start(self) -> None:
        """Resume it."""
        self._operations.pipelines.start_pipeline(self.name)

    def stop(self) -> None:
        """Stop processing new commits."""
        self._operations.pipelines.stop_pipeline(self.name)

    def delete(self, *, force: bool = False, keep_repo: bool = False) -> None:
        """Delete it with its jobs and, unless `keep_repo`, its output repo."""
        self._operations.pipelines.delete_pipeline(self.name, force=force, keep_repo=keep_repo)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"
