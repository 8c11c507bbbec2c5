"""A transaction as seen by its user: the operations, of which those that change something wait."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trunkline.api.connection import NOUNS, Operations
from trunkline.api.transactions import NEVER, STEPS
from trunkline.errors import NotSupported, OperationFailed
from trunkline.model.names import DEFAULT_PROJECT, full_name
from trunkline.model.pipelines import PipelineInfo, PipelineState
from trunkline.model.versions import BranchInfo, BranchName, CommitInfo, Origin

if TYPE_CHECKING:
    from trunkline.api.changes import FileChange


def queued(operations: Operations, transaction: str) -> Operations:
    """The operations of a server, those that change something as steps of a transaction.

    A step that starts a commit gives it as it will be; what else has no result yet gives None.
    """
    return cast("Operations", _Queued(operations, transaction))


class _Queued:
    def __init__(self, operations: Operations, transaction: str) -> None:
        self._operations = operations
        self._transaction = transaction

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._operations, name)
        return _QueuedNoun(self, name, real) if name in NOUNS else real

    def add(self, operation: str, arguments: dict[str, Any]) -> None:
        self._operations.transactions.add_step(self._transaction, operation, arguments)

    def add_files(
        self,
        repo: str,
        commit: str,
        changes: Iterable[FileChange],
        *,
        description: str = "",
        if_changed: bool = False,
        progress: str = "",
    ) -> CommitInfo:
        # What the branch has when the step is carried out is not known yet.
        del if_changed, progress
        self._operations.transactions.add_files(
            self._transaction, repo, commit, changes, description=description
        )
        return self.commit({"repo": repo, "branch": commit, "description": description})

    def commit(self, given: dict[str, Any]) -> CommitInfo:
        """A commit that the transaction will make."""
        return waiting_commit(
            *(given["repo"], given.get("branch")),
            run=self._transaction,
            description=given.get("description") or "",
        )


class _QueuedNoun:
    def __init__(self, owner: _Queued, noun: str, real: object) -> None:
        self._owner = owner
        self._protocol = NOUNS[noun]
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if name == "modify_files":
            return self._owner.add_files
        if name in NEVER:
            words = name.replace("_", " ")
            raise NotSupported(f"`{words}` can't be part of a transaction; finish or stop it first")
        if name not in STEPS:
            return getattr(self._real, name)
        return self._step(name, getattr(self._protocol, name))

    def _step(self, name: str, declared: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(declared)

        def call(*args: Any, **kwargs: Any) -> Any:
            given = dict(signature.bind(self, *args, **kwargs).arguments)
            del given["self"]
            self._owner.add(name, given)
            if name in ("start_commit", "finish_commit"):
                return self._owner.commit(given)
            if name == "create_pipeline":
                return waiting_pipeline(given["spec"], "it waits in a transaction")
            if name == "create_branch":
                return BranchInfo(
                    repo=given["repo"],
                    name=given["branch"],
                    head=None,
                    provenance=tuple(
                        BranchName(repo=repo, branch=branch)
                        for repo, _, branch in (
                            text.partition("@") for text in given.get("provenance") or ()
                        )
                    ),
                    created=datetime.now(UTC),
                )
            return None

        return call


def waiting_commit(repo: str, branch: str | None, *, description: str, run: str = "") -> CommitInfo:
    """A commit that is not made yet, or will not be; what only making it tells is empty."""
    return CommitInfo(
        repo=repo,
        id=run,
        branch=branch,
        origin=Origin.USER,
        parent=None,
        description=description,
        started=datetime.now(UTC),
        finished=None,
        size_bytes=0,
        files=0,
        root="",
        error=None,
        provenance=(),
    )


def waiting_pipeline(spec: dict[str, Any], reason: str) -> PipelineInfo:
    """A pipeline that is not made yet, or will not be."""
    named = spec.get("pipeline") or {}
    return PipelineInfo(
        name=full_name(named.get("project") or DEFAULT_PROJECT, named.get("name", "")),
        version=0,
        state=PipelineState.STARTING,
        reason=reason,
        description="",
        input="",
        output_branch="",
        spec_commit="",
        created=datetime.now(UTC),
        spec=spec,
        user_spec=spec,
        code="",
        salt="",
        runtime="",
        workers=0,
        job_counts={},
        recent_error="",
        warnings=(),
    )


# --- the transaction that commands take part in ---------------------------------------------------


def active_transaction(file: Path, server: str) -> str | None:
    """The transaction that the commands of this user take part in at a server, if any."""
    return _read(file).get(server)


def set_active_transaction(file: Path, server: str, transaction: str | None) -> None:
    """Let the commands to come take part in a transaction, or in none."""
    known = _read(file)
    known.pop(server, None)
    if transaction is not None:
        known[server] = transaction
    aside = _place(file).with_name(f".transactions.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
        os.replace(aside, _place(file))
    except OSError as error:
        raise OperationFailed(f"can't write {_place(file)}: {error.strerror}") from error


def _place(file: Path) -> Path:
    """Beside the contexts of the user."""
    return file.with_name("transactions.json")


def _read(file: Path) -> dict[str, str]:
    try:
        known = json.loads(_place(file).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise OperationFailed(f"can't read {_place(file)}: {error}; remove it") from error
    return {str(k): str(v) for k, v in known.items()} if isinstance(known, dict) else {}
