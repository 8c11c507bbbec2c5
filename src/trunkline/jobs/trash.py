"""Jobs in the trash: they go and come back with the commits that they wrote."""

from collections.abc import Sequence
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.jobs import tables
from trunkline.jobs.records import apply_event
from trunkline.jobs.state import Stopped
from trunkline.model.jobs import JobState
from trunkline.model.versions import CommitName
from trunkline.pipelines import lifecycle

_WHILE_COPIED = "deleted while its output was copied; `rerun pipeline` copies it again"


def keep_jobs_of(tx: Transaction, entry: int, outputs: Sequence[CommitName]) -> None:
    """Move the jobs that wrote these commits (or should have) into an entry of the trash.

    What a worker still does for one of them is not heard any more.
    """
    for name in outputs:
        job = tables.job_of_output(tx, name.repo, name.id)
        if job is not None:
            tables.trash_job(tx, entry, job.number)


def keep_jobs_of_pipeline(tx: Transaction, entry: int, pipeline: str) -> None:
    """Move all jobs of a pipeline into an entry of the trash."""
    for number in tables.numbers_of_jobs(tx, pipeline):
        tables.trash_job(tx, entry, number)


def put_back(tx: Transaction, entry: int, *, now: datetime) -> None:
    """Bring back the jobs of an entry, those that were open from their start.

    Not one whose output was being copied: its commit is finished, and it ends as it is.

    Call it before the versions of the entry are restored, which forgets the entry. The record of a
    job whose version of the pipeline is gone for good stays away.
    """
    for number, pipeline, spec_commit, version, state in tables.trashed_jobs(tx, entry):
        if lifecycle.find_version(tx, pipeline, spec_commit) != version:
            continue
        if state.ended or state is JobState.EGRESSING:
            tables.put_back_job(tx, entry, number)
            if not state.ended:
                apply_event(tx, number, Stopped(reason=_WHILE_COPIED), now=now)
        else:
            tables.begin_job_again(tx, number)
