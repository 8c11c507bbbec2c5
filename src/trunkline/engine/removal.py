"""How commits are deleted, squashed and dropped, with the jobs that wrote them."""

from collections.abc import Sequence
from typing import Literal

from trunkline.engine.change import Change, deleted_info, drop_expired
from trunkline.errors import Conflict, InvalidInput
from trunkline.jobs import trash as jobs_trash
from trunkline.model.versions import DeletedInfo, Origin
from trunkline.versions import commits, removal
from trunkline.versions.records import CommitRecord

Way = Literal["squash", "drop"]


def delete_commit(change: Change, repo: str, commit: str) -> DeletedInfo:
    record = commits.resolve(change.tx, repo, commit)
    drop_expired(change)
    return _gone(
        change,
        removal.delete_commit(
            change.tx,
            record,
            how=f"delete commit {record.name}",
            now=change.now,
            run_id=change.run_id,
            later=change.later,
        ),
    )


def remove_commit(change: Change, way: Way, repo: str, ref: str, *, recursive: bool) -> DeletedInfo:
    record = commits.resolve(change.tx, repo, ref)
    return _remove(change, way, [record], name=str(record.name), recursive=recursive)


def remove_run(change: Change, way: Way, run: str, *, recursive: bool) -> DeletedInfo:
    """All commits of a run."""
    return _remove(
        change, way, commits.get_run(change.tx, run).commits, name=run, recursive=recursive
    )


def delete_run(change: Change, run: str) -> DeletedInfo:
    """What users made in a run, and all that was made from it; raises InvalidInput for neither."""
    made = commits.get_run(change.tx, run).commits
    if not any(commit.origin is Origin.USER for commit in made):
        raise InvalidInput(f"run {run} has no commit that a user made, so none can be deleted")
    drop_expired(change)
    return _gone(
        change,
        removal.delete_run(
            change.tx,
            made,
            name=run,
            how=f"delete commit {run}",
            now=change.now,
            run_id=change.run_id,
            later=change.later,
        ),
    )


def squash_kept_by_nothing(
    change: Change, records: Sequence[CommitRecord], *, how: str
) -> DeletedInfo:
    """Squash these commits, with all that was made from them, as one deletion."""
    return _remove(change, "squash", records, name=str(records[0].name), recursive=False, how=how)


def _remove(
    change: Change,
    way: Way,
    records: Sequence[CommitRecord],
    *,
    name: str,
    recursive: bool,
    how: str = "",
) -> DeletedInfo:
    if not records:
        raise Conflict(f"run {name} has no commits")
    drop_expired(change)
    remove = removal.squash if way == "squash" else removal.drop
    return _gone(
        change,
        remove(
            change.tx,
            records,
            recursive=recursive,
            name=name,
            how=how or f"{way} commit {name}{' -r' if recursive else ''}",
            now=change.now,
            run_id=change.run_id,
            later=change.later,
        ),
    )


def _gone(change: Change, deleted: removal.Deleted) -> DeletedInfo:
    jobs_trash.keep_jobs_of(change.tx, deleted.entry, deleted.removed)
    change.opened(deleted.opened)
    change.deletions.append(deleted.entry)
    return deleted_info(change, deleted.entry)
