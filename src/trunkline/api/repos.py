"""Operations on repos.

A repo is named by its full name: `name` in the project `default`, else `project/name`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.versions import DeletedInfo, RepoInfo


class Repos(Protocol):
    @operation("POST", "/repos", WRITER)
    def create_repo(self, name: str, *, description: str = "", update: bool = False) -> None:
        """Create a repo; with `update`, change the description of an existing one.

        Raises AlreadyExists, RepoNotFound (update), ProjectNotFound, InvalidName.
        """

    @operation("GET", "/repos/{name}", READER)
    def inspect_repo(self, name: str) -> RepoInfo:
        """One repo."""

    @operation("GET", "/repos", READER)
    def list_repos(self, *, project: str | None = None) -> list[RepoInfo]:
        """The repos of a project (None: of all) but the system ones, last changed first."""

    @operation("DELETE", "/repos/{name}", WRITER)
    def delete_repo(self, name: str, *, force: bool = False) -> DeletedInfo:
        """Delete a repo with its commits.

        Raises InUse when another branch is derived from it or a pipeline writes it, unless `force`.
        """
