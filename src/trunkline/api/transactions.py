"""Operations on transactions: several changes that are made at once, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.api.changes import FileChange
    from trunkline.model.versions import RunInfo, TransactionInfo


# What can be a step of a transaction, besides changes to files.
STEPS = frozenset(
    {
        *("create_repo", "delete_repo", "create_branch", "delete_branch"),
        *("start_commit", "finish_commit", "delete_commit", "squash_commit", "drop_commit"),
        *("create_tag", "delete_tag", "delete_run", "squash_run", "drop_run"),
        *("create_pipeline", "delete_pipeline"),
    }
)

# What is done at once beside a transaction: nothing of it is a change that could be taken back.
BESIDE = frozenset(
    {
        *("start_transaction", "add_step", "add_files", "finish_transaction"),
        *("delete_transaction", "validate_specs", "preview_datums", "plan_files", "plan_pipelines"),
        *("plan_pipeline_deletion", "plan_repo_deletion", "create_file_set"),
        *("disk_usage", "fsck", "backup", "pull_image", "build_image"),
    }
)
# What would be done at once, and stay although the transaction is given up: refused.
NEVER = frozenset(
    {
        *("create_project", "delete_project", "delete_all", "set_defaults"),
        *("set_retention", "delete_retention", "apply_retention", "create_secret", "delete_secret"),
        *("create_token", "delete_token"),
        *("start_pipeline", "stop_pipeline", "rerun_pipeline", "run_cron", "run_git"),
        *("restart_datums", "hand_in"),
        *("stop_job", "stop_run", "delete_job", "undelete", "purge", "gc"),
    }
)


class Transactions(Protocol):
    @operation("POST", "/transactions", WRITER)
    def start_transaction(self, *, description: str = "") -> TransactionInfo:
        """Begin a transaction; it waits, over restarts too, until it is finished or deleted."""

    @operation("GET", "/transactions", READER)
    def list_transactions(self) -> list[TransactionInfo]:
        """The transactions that wait, newest first."""

    @operation("GET", "/transactions/{transaction}", READER)
    def inspect_transaction(self, transaction: str) -> TransactionInfo:
        """One transaction with its steps."""

    @operation("POST", "/transactions/{transaction}/steps", WRITER)
    def add_step(self, transaction: str, operation: str, arguments: dict[str, object]) -> None:
        """Add a step: an operation that changes something, with its arguments by name.

        Nothing is changed yet. A transaction of few steps is rehearsed, so that a step that can't
        succeed is refused at once. Raises what the operation raises, naming the step.
        """

    @operation(
        "POST", "/transactions/{transaction}/files/{repo}/{commit}", WRITER, upload="changes"
    )
    def add_files(
        self,
        transaction: str,
        repo: str,
        commit: str,
        changes: Iterable[FileChange],
        *,
        description: str = "",
    ) -> None:
        """Add changes to files as a step; their content is stored now, and applied at the end.

        `commit` is a branch or an open commit, also one that an earlier step starts. All changes to
        one branch become one commit.
        """

    @operation("POST", "/transactions/{transaction}/finish", WRITER)
    def finish_transaction(self, transaction: str) -> RunInfo:
        """Carry out all steps in order, in one step for everybody else and as one run.

        What is derived from several changed branches gets one commit and one job. When a step
        fails, nothing is changed and the transaction stays; the error names the step.
        """

    @operation("DELETE", "/transactions/{transaction}", WRITER)
    def delete_transaction(self, transaction: str) -> None:
        """Give up a transaction; nothing of it happens."""
