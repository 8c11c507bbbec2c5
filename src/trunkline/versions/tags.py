"""Tags: names for finished commits that do not move; a commit that has one is not removed.

They share one set of names with the branches of their repo, so that a reference means one thing.
"""

from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import AlreadyExists, CommitOpen, Conflict, InUse, NotFound
from trunkline.model.names import check_branch
from trunkline.model.versions import TagInfo, is_spec_repo
from trunkline.versions import tables
from trunkline.versions.records import CommitRecord, RepoRow, TagRow
from trunkline.versions.repos import require_repo


def create_tag(
    tx: Transaction, commit: CommitRecord, name: str, *, force: bool, now: datetime
) -> TagInfo:
    """Name a finished commit; a tag of that name stays unless `force` moves it.

    Naming the same commit again changes nothing. Raises InvalidName, CommitOpen, AlreadyExists, and
    Conflict for the spec of a pipeline.
    """
    repo = require_repo(tx, commit.repo)
    check_branch(name, kind="tag")
    if is_spec_repo(repo.name):
        raise Conflict(f"commit {commit.name} is a version of a pipeline; those can't be tagged")
    if commit.finished is None:
        raise CommitOpen(repo.name, commit.id, "tag it")
    if tables.find_branch(tx, repo, name) is not None:
        raise AlreadyExists("branch", f"{repo.name}@{name}", "give the tag another name")
    found = tables.find_tag(tx, repo, name)
    if found is None:
        tables.insert_tag(tx, repo, name, commit.number, now)
    elif found.commit != commit.number:
        if not force:
            at = tables.commit_numbered(tx, found.commit).id
            hint = f"it names commit {at}; --force moves it"
            raise AlreadyExists("tag", f"{repo.name}@{name}", hint)
        tables.move_tag(tx, found.number, commit.number, now)
    tables.touch_repos(tx, [repo.number])
    return tag_info(tx, repo.name, name)


def tag_info(tx: Transaction, repo: str, name: str) -> TagInfo:
    """One tag; raises NotFound, RepoNotFound."""
    owner = require_repo(tx, repo)
    return _info(tx, owner, _require(tx, owner, name))


def list_tags(tx: Transaction, repo: str) -> list[TagInfo]:
    """The tags of a repo by name; raises RepoNotFound."""
    owner = require_repo(tx, repo)
    return [_info(tx, owner, tag) for tag in tables.tags_of(tx, owner)]


def delete_tag(tx: Transaction, repo: str, name: str) -> None:
    """Delete a tag; its commit stays. Raises NotFound, RepoNotFound.

    Whoever wants it kept in the trash does that before, see `number_of`.
    """
    owner = require_repo(tx, repo)
    tables.delete_tag(tx, _require(tx, owner, name).number)
    tables.touch_repos(tx, [owner.number])


def number_of(tx: Transaction, repo: str, name: str) -> int:
    """The number that a tag is kept by; raises NotFound, RepoNotFound."""
    return _require(tx, require_repo(tx, repo), name).number


def refuse_branch(tx: Transaction, repo: RepoRow, name: str) -> None:
    """Raises AlreadyExists where the name of a branch is that of a tag."""
    if tables.find_tag(tx, repo, name) is not None:
        raise AlreadyExists("tag", f"{repo.name}@{name}", "a branch can't have its name")


def refuse_removal(tx: Transaction, commit: CommitRecord) -> None:
    """Raises InUse for a commit that has tags."""
    names = [f"{commit.repo}@{name}" for name in tables.tags_at(tx, commit.number)]
    if names:
        raise InUse(
            f"commit {commit.name} can't be removed: it is tagged {', '.join(names)}; "
            f"to let it go, `delete tag {names[0]}` first"
        )


def _require(tx: Transaction, repo: RepoRow, name: str) -> TagRow:
    found = tables.find_tag(tx, repo, name)
    if found is None:
        raise NotFound(f"repo '{repo.name}' has no tag '{name}'; see `list tag {repo.name}`")
    return found


def _info(tx: Transaction, repo: RepoRow, tag: TagRow) -> TagInfo:
    commit = tables.commit_numbered(tx, tag.commit).id
    return TagInfo(repo=repo.name, name=tag.name, commit=commit, created=tag.created)
