"""The operations of a server, of which those that change something only plan it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from trunkline.api.connection import NOUNS, Operations
from trunkline.connect.transactions import waiting_commit, waiting_pipeline
from trunkline.errors import NotSupported
from trunkline.model.plans import Plan

if TYPE_CHECKING:
    from trunkline.api.changes import FileChange
    from trunkline.model.versions import CommitInfo

_PLANNED = frozenset({"modify_files", "create_pipeline", "delete_pipeline", "delete_repo"})
_HARMLESS = frozenset({"validate_specs", "create_file_set"})


class Planning:
    """Collects what a program would do through `operations`; `plans` then tells what of it comes.

    Pipelines that are created or updated one after the other are planned together. Each other
    change is planned for itself, as if those before it were not made.
    """

    def __init__(self, operations: Operations) -> None:
        self._real = operations
        self._plans: list[Plan] = []
        self._pipelines: list[tuple[dict[str, object], str, dict[str, Any]]] = []

    @property
    def operations(self) -> Operations:
        return cast("Operations", _Nouns(self))

    def plans(self, *, count: bool = True) -> list[Plan]:
        """One for each change; raises what making it would. `count` the datums of pipelines."""
        if self._pipelines:
            specs, codes, options = zip(*self._pipelines, strict=True)
            together = self._real.plans.plan_pipelines(
                list(specs), codes=list(codes), count=count, **options[0]
            )
            self._plans.append(together)
            self._pipelines.clear()
        return self._plans

    def noun(self, name: str) -> Any:
        return getattr(self._real, name)

    def modify_files(
        self,
        repo: str,
        commit: str,
        changes: Iterable[FileChange],
        *,
        description: str = "",
        **_: object,
    ) -> CommitInfo:
        self._plans.append(self._real.plans.plan_files(repo, commit, changes))
        return waiting_commit(repo, commit, description=description)

    def create_pipeline(
        self, spec: dict[str, object], *, code: str | None = None, **options: Any
    ) -> Any:
        self._pipelines.append((spec, code or "", options))
        return waiting_pipeline(spec, "it is only planned")

    def delete_pipeline(self, name: str, *, force: bool = False, keep_repo: bool = False) -> None:
        plans = self._real.plans
        self._plans.append(plans.plan_pipeline_deletion(name, force=force, keep_repo=keep_repo))

    def delete_repo(self, name: str, *, force: bool = False) -> None:
        self._plans.append(self._real.plans.plan_repo_deletion(name, force=force))


class _Nouns:
    def __init__(self, planning: Planning) -> None:
        self._planning = planning

    def __getattr__(self, name: str) -> Any:
        real = self._planning.noun(name)
        return _Operations(self._planning, NOUNS[name], real) if name in NOUNS else real


class _Operations:
    def __init__(self, planning: Planning, protocol: type, real: object) -> None:
        self._planning = planning
        self._protocol = protocol
        self._real = real

    def __getattr__(self, name: str) -> Any:
        from trunkline.api.operation import operation_of

        if name in _PLANNED:
            return getattr(self._planning, name)
        declared = operation_of(self._protocol, name)
        if declared is None or declared.method == "GET" or name in _HARMLESS:
            return getattr(self._real, name)
        raise NotSupported(f"`{name.replace('_', ' ')}` can't be planned; nothing was changed")
