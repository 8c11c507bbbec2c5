"""Why something has not begun: what a job waits for, and why a pipeline has no newer job."""

from collections.abc import Sequence

from trunkline.db.database import Transaction
from trunkline.jobs import ledger
from trunkline.jobs.ledger import JobRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import GitInfo, PipelineState
from trunkline.model.versions import BranchName
from trunkline.pipelines import crons, lifecycle
from trunkline.pipelines.crons import CronRow
from trunkline.pipelines.inputs import branches_of, quiet_branches
from trunkline.versions import branches, provenance, repos, triggers
from trunkline.versions.commits import CommitRecord


def of_job(tx: Transaction, job: JobRecord) -> list[str]:
    """What an open job waits for, or why one ended as it did; nothing for a good one."""
    match job.state:
        case JobState.SUCCESS:  # it has a reason if datums were quarantined
            return [job.reason] if job.reason else []
        case JobState.CREATED | JobState.STARTING:
            return _of_starting(tx, job)
        case JobState.UNRUNNABLE:
            failed = provenance.failed_inputs(tx, job.output_repo, job.id)
            return [job.reason, *(f"{c.repo}@{c.id}: {c.error}" for c in failed)]
        case _ if job.state.ended:
            return [job.reason]
        case _:
            done = job.skipped + job.processed + job.recovered + job.failed
            return [f"{done} of {job.total} datums are done"]


def _of_starting(tx: Transaction, job: JobRecord) -> list[str]:
    found = []
    for name in provenance.unfinished_inputs(tx, job.output_repo, job.id):
        writer = ledger.job_of_output(tx, name.repo, name.id)
        if writer is None:
            found.append(f"commit {name} is open; `finish commit {name}` ends it")
        else:
            found.append(f"it waits for job {writer.name}, which is {writer.state}")
    if ahead := ledger.open_jobs_before(tx, job):
        found.append(f"it is not its turn: job {ahead[0].name} is {ahead[0].state}")
    return found or ["it is about to be planned"]


def of_pipeline(
    tx: Transaction,
    record: lifecycle.PipelineRecord,
    state: PipelineState,
    reason: str,
    infos: Sequence[GitInfo],
) -> tuple[JobRecord | None, list[str]]:
    """The newest job of a pipeline, and why there is none for what its inputs are now.

    `infos` are its git inputs as they were seen last.
    """
    name = record.name
    newest = next(iter(ledger.list_jobs(tx, pipeline=name, run=None, before=None, number=1)), None)
    found: list[str] = []
    if state is PipelineState.PAUSED:
        found.append(
            f"it is stopped: `start pipeline {name}` gives it one job for what its inputs are then"
        )
    elif reason:
        found.append(f"it is {state}: {reason}")
    read = {} if newest is None else provenance.input_commits(tx, newest.output_repo, newest.id)
    root = lifecycle.spec_of(record).input
    quiet = quiet_branches(root)
    for branch in branches_of(root):
        found += _of_input(tx, branch, read.get(branch))
        if branch in quiet:
            found.append(f"input {branch} starts no job: its propagation_spec is never")
    found += [_of_clock(row) for row in crons.crons_of(tx, record.name)]
    found += [_of_remote(info) for info in infos]
    if newest is not None:
        ended = f"its newest job {newest.name}: {newest.state}"
        said = of_job(tx, newest)
        found.append(f"{ended}, {'; '.join(said)}" if said else ended)
    return newest, found


def _of_clock(row: CronRow) -> str:
    if row.next is None:
        return f"schedule '{row.schedule}' of {row.repo} has no tick to come; `run cron` makes one"
    moment = row.next.isoformat(timespec="seconds")
    return f"schedule '{row.schedule}' of {row.repo} ticks next at {moment}"


def _of_remote(info: GitInfo) -> str:
    what = f"{info.repo} follows branch {info.branch} of {info.url}"
    if info.problem:
        return f"{what}: {info.problem}"
    at = f"is at its commit {info.commit}" if info.commit else "has none of its commits yet"
    if info.looked is None:
        return f"{what} and {at}; nobody has looked at it since the server started"
    return f"{what} and {at}; it was looked at {info.looked.isoformat(timespec='seconds')}"


def _of_input(tx: Transaction, branch: BranchName, read: CommitRecord | None) -> list[str]:
    """How it stands with one input: what was read of it last, and what may come."""
    if not repos.repo_exists(tx, branch.repo):
        return [f"input {branch} has been deleted"]
    head = branches.branch_head(tx, branch.repo, branch.branch)
    found: list[str] = []
    if head is None:
        found.append(f"input {branch} has no commit yet, so there is nothing to read")
    elif read is not None and head.id == read.id:
        found.append(f"input {branch}: the newest job reads its head {head.id}")
    else:
        was = "nothing" if read is None else read.id
        found.append(f"input {branch}: its head is {head.id}, the newest job reads {was}")
    if head is not None and head.error is not None:
        found.append(f"input {branch} is unusable: {head.error}")
    return found + _of_upstream(tx, branch, head)


def _of_upstream(tx: Transaction, branch: BranchName, head: CommitRecord | None) -> list[str]:
    """Why no newer commit has come to an input."""
    pending = triggers.pending(tx, branch)
    if pending is not None:
        return [pending]
    writer = lifecycle.find(tx, branch.repo)
    if writer is not None:
        if writer.state is not PipelineState.PAUSED:
            return []
        return [f"input {branch} is written by pipeline '{writer.name}', which is stopped"]
    newer = [
        info.name
        for info in branches.list_branches(tx, branch.repo)
        if info.name != branch.branch
        and (other := branches.branch_head(tx, branch.repo, info.name)) is not None
        and (head is None or other.number > head.number)
    ]
    return [
        f"branch {branch.repo}@{name} has a newer commit, which does not go to {branch} by itself: "
        f"`set branch {branch} {name}` would move it"
        for name in newer[:3]
    ]
