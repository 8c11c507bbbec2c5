"""Operations on projects: what repos and pipelines are in; the project `default` always exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.versions import ProjectInfo


class Projects(Protocol):
    @operation("POST", "/projects", WRITER)
    def create_project(self, name: str, *, description: str = "", update: bool = False) -> None:
        """Create a project; with `update`, change the description of an existing one.

        Raises AlreadyExists, ProjectNotFound (update), InvalidName.
        """

    @operation("GET", "/projects/{name}", READER)
    def inspect_project(self, name: str) -> ProjectInfo:
        """One project."""

    @operation("GET", "/projects", READER)
    def list_projects(self) -> list[ProjectInfo]:
        """All projects, last created or described first."""

    @operation("DELETE", "/projects/{name}", WRITER)
    def delete_project(self, name: str, *, force: bool = False) -> None:
        """Delete an empty project; with `force`, with all its pipelines and repos, at once.

        Raises InUse for one that has any, unless `force`, and for `default`.
        """
