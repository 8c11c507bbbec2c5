"""What a change would set off, told before it is made.

Each operation has a twin that makes the change. Nothing is left behind but chunks that nobody
names, which garbage collection removes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import WRITER

if TYPE_CHECKING:
    from trunkline.api.changes import FileChange
    from trunkline.model.plans import Plan


class Plans(Protocol):
    @operation("POST", "/plans/repos/{repo}/files/{commit}", WRITER, upload="changes")
    def plan_files(self, repo: str, commit: str, changes: Iterable[FileChange]) -> Plan:
        """What `modify_files` would set off; of an open commit, once that were finished.

        Raises what `modify_files` does.
        """

    @operation("POST", "/plans/pipelines", WRITER)
    def plan_pipelines(
        self,
        specs: list[dict[str, object]],
        *,
        codes: list[str] | None = None,
        update: bool | None = False,
        reprocess: bool = False,
        keep_results: bool = False,
        renew_packages: bool = False,
        count: bool = True,
    ) -> Plan:
        """What `create_pipeline` would set off for each spec, in their order; checks all it does.

        `codes` are the roots of `/code`, empty where there is none. Without `count` the datums are
        not looked at, and no job is told. With `update` None, those that are there are updated.
        Raises what `create_pipeline` does.
        """

    @operation("POST", "/plans/pipelines/{name}/deletion", WRITER)
    def plan_pipeline_deletion(
        self, name: str, *, force: bool = False, keep_repo: bool = False
    ) -> Plan:
        """What `delete_pipeline` would delete and stop; raises what it does."""

    @operation("POST", "/plans/repos/{name}/deletion", WRITER)
    def plan_repo_deletion(self, name: str, *, force: bool = False) -> Plan:
        """What `delete_repo` would delete and stop; raises what it does."""
