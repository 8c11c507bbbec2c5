"""Handles on projects."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from trunkline.api.connection import Operations
from trunkline.connect.jobs import JobHandle
from trunkline.connect.pipelines import PipelineHandle
from trunkline.connect.repos import RepoHandle
from trunkline.connect.specs import Spec, create_one
from trunkline.errors import ProjectNotFound
from trunkline.model.names import in_project, job_in_project

if TYPE_CHECKING:
    from trunkline.model.versions import ProjectInfo


class ProjectHandle:
    """A project of a server; names without a project are names in this one."""

    def __init__(self, operations: Operations, name: str) -> None:
        self._operations = operations
        self.name = name

    def create(self, *, description: str = "", exist_ok: bool = False) -> Self:
        """Create the project; raises AlreadyExists unless `exist_ok`."""
        if not (exist_ok and self.exists()):
            self._operations.projects.create_project(self.name, description=description)
        return self

    def exists(self) -> bool:
        try:
            self._operations.projects.inspect_project(self.name)
        except ProjectNotFound:
            return False
        return True

    @property
    def info(self) -> ProjectInfo:
        """What the server says of it now; raises ProjectNotFound."""
        return self._operations.projects.inspect_project(self.name)

    def delete(self, *, force: bool = False) -> None:
        """Delete it; raises InUse while it has repos or pipelines, unless `force`."""
        self._operations.projects.delete_project(self.name, force=force)

    def repo(self, name: str) -> RepoHandle:
        """A handle on a repo of the project, whether it is there yet or not."""
        return RepoHandle(self._operations, in_project(self.name, name))

    def repos(self) -> list[RepoHandle]:
        """Its repos, last changed first."""
        found = self._operations.repos.list_repos(project=self.name)
        return [RepoHandle(self._operations, info.name) for info in found]

    def pipeline(self, name: str) -> PipelineHandle:
        """A handle on a pipeline of the project, whether it is there yet or not."""
        return PipelineHandle(self._operations, in_project(self.name, name))

    def pipelines(self) -> list[PipelineHandle]:
        """Its pipelines, last changed first."""
        found = self._operations.pipelines.list_pipelines(project=self.name)
        return [PipelineHandle(self._operations, info.name) for info in found]

    def create_pipeline(
        self,
        spec: Spec,
        *,
        code: str | os.PathLike[str] | None = None,
        update: bool = False,
        reprocess: bool = False,
        keep_results: bool = False,
        renew_packages: bool = False,
    ) -> PipelineHandle:
        """Create a pipeline here, as `Connection.create_pipeline` does in `default`.

        A spec that names a project itself is created there.
        """
        info = create_one(
            self._operations,
            spec,
            project=self.name,
            code=code,
            update=update,
            reprocess=reprocess,
            keep_results=keep_results,
            renew_packages=renew_packages,
        )
        return PipelineHandle(self._operations, info.name)

    def update_pipeline(
        self, spec: Spec, *, reprocess: bool = False, keep_results: bool = False
    ) -> PipelineHandle:
        """Change a pipeline; its code is what the spec names, or that of the function."""
        return self.create_pipeline(
            spec, update=True, reprocess=reprocess, keep_results=keep_results
        )

    def job(self, name: str) -> JobHandle:
        """A handle on a job of the project, named `pipeline@id`.

        One named by a branch (`pipeline@master^`) or by its pipeline alone (the newest job) is at
        each call the job that this means then.
        """
        return JobHandle(self._operations, job_in_project(self.name, name))

    def __repr__(self) -> str:
        return f"<project {self.name}>"
