"""Operations on branches; see `api.branches`."""

from trunkline.db.database import Transaction
from trunkline.engine.change import Change, begin_deletion, deleted_info, single
from trunkline.engine.services import Services
from trunkline.errors import InUse, InvalidInput, OutputBranch
from trunkline.files.manifest import EMPTY
from trunkline.jobs import ledger
from trunkline.model.names import full_name, parse_address, project_of
from trunkline.model.versions import (
    DEFAULT_BRANCH,
    BranchInfo,
    BranchName,
    BranchTrigger,
    DeletedInfo,
    is_spec_repo,
)
from trunkline.pipelines import crons, gits, lifecycle
from trunkline.versions import branches, commits, trash


class EngineBranches:
    def __init__(self, services: Services) -> None:
        self._services = services

    def create_branch(
        self,
        repo: str,
        branch: str,
        *,
        head: str | None = None,
        provenance: list[str] | None = None,
        trigger: BranchTrigger | None = None,
    ) -> BranchInfo:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            return create_branch(
                change, repo, branch, head=head, provenance=provenance, trigger=trigger
            )

    def inspect_branch(self, repo: str, branch: str) -> BranchInfo:
        with self._services.database.read() as tx:
            return branches.branch_info(tx, repo, branch)

    def list_branches(self, repo: str) -> list[BranchInfo]:
        with self._services.database.read() as tx:
            return branches.list_branches(tx, repo)

    def delete_branch(self, repo: str, branch: str, *, force: bool = False) -> DeletedInfo:
        with self._services.database.write() as tx:
            return delete_branch(single(self._services, tx), repo, branch, force=force)


def create_branch(
    change: Change,
    repo: str,
    branch: str,
    *,
    head: str | None,
    provenance: list[str] | None,
    trigger: BranchTrigger | None,
) -> BranchInfo:
    tx = change.tx
    pipeline = lifecycle.find(tx, repo)
    if pipeline is not None and pipeline.output_branch == branch:
        raise OutputBranch(repo, branch)
    opened = branches.create_branch(
        tx,
        repo,
        branch,
        head=commits.resolve(tx, repo, head) if head is not None else None,
        provenance=None if provenance is None else [_branch_name(text) for text in provenance],
        trigger=trigger,
        now=change.now,
        run_id=change.run_id,
        later=change.later,
    )
    change.opened(opened)
    return branches.branch_info(tx, repo, branch)


def delete_branch(change: Change, repo: str, branch: str, *, force: bool) -> DeletedInfo:
    tx = change.tx
    pipeline = full_name(project_of(repo), branch)
    if is_spec_repo(repo) and lifecycle.find(tx, pipeline) is not None:
        raise InUse(f"branch {repo}@{branch} holds the specs of pipeline '{pipeline}'")
    _refuse_written(tx, repo, branch)
    name = BranchName(repo=repo, branch=branch)
    how = f"delete branch {name}{' --force' if force else ''}"
    entry = begin_deletion(change, "branch", str(name), how=how)
    _end_open(change, name)
    trash.keep_branch(tx, entry, name)
    branches.delete_branch(tx, repo, branch, force=force)
    return deleted_info(change, entry)


def _end_open(change: Change, name: BranchName) -> None:
    """End the commits that were due on a branch which goes, as nobody is to make them any more.

    The branch that is kept stands below them: if it comes back, its commit is due again. Those with
    changes stay open, for whoever put these, and those of a job are the job's.
    """
    tx = change.tx
    due = branches.open_alone(tx, name.repo, name.branch)
    if any(
        commits.deltas_of(tx, commit.repo, commit.id)
        or ledger.job_of_output(tx, commit.repo, commit.id) is not None
        for commit in due
    ):
        return
    for commit in due:
        finished = commits.finish_commit(
            tx,
            commit.repo,
            commit.id,
            root=EMPTY,
            files=0,
            size_bytes=0,
            error=f"branch {name} was deleted",
            output=True,
            now=change.now,
            later=change.later,
        )
        change.opened(finished.opened)
    if due:
        branches.leave_failed_head(tx, name.repo, name.branch)


def _refuse_written(tx: Transaction, repo: str, branch: str) -> None:
    """Raise InUse, even by force, for a branch that a pipeline writes: it could not go on."""
    written = lifecycle.find(tx, repo)
    if written is not None and written.output_branch == branch:
        raise InUse(
            f"branch {repo}@{branch} holds the output of pipeline '{repo}'; "
            f"delete that first with `delete pipeline {repo}`"
        )
    cron = crons.cron_writing(tx, repo)
    if cron is not None and branch == DEFAULT_BRANCH:
        raise InUse(
            f"branch {repo}@{branch} holds the ticks of pipeline '{cron.pipeline}'; "
            f"delete that first with `delete pipeline {cron.pipeline}`"
        )
    for git in gits.gits_writing(tx, repo) if branch == DEFAULT_BRANCH else []:
        raise InUse(
            f"branch {repo}@{branch} holds the checkouts of pipeline '{git.pipeline}'; "
            f"delete that first with `delete pipeline {git.pipeline}`"
        )


def _branch_name(text: str) -> BranchName:
    address = parse_address(text)
    if address.path is not None:
        raise InvalidInput(f"{text!r} names a file; write repo@branch")
    return BranchName(repo=address.repo, branch=address.ref or DEFAULT_BRANCH)
