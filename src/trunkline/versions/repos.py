"""Repos: create, describe, list, delete."""

from collections.abc import Sequence
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import AlreadyExists, InUse, InvalidName, RepoNotFound
from trunkline.model.names import check_full_name, project_of
from trunkline.model.versions import DEFAULT_BRANCH, BranchName, RepoInfo, is_spec_repo
from trunkline.versions import tables
from trunkline.versions.projects import require_project
from trunkline.versions.records import RepoRow, listed


def create_repo(tx: Transaction, name: str, *, description: str, now: datetime) -> None:
    """Make an empty repo without branches; raises AlreadyExists, InvalidName, ProjectNotFound."""
    if is_spec_repo(check_full_name("repo", name)):
        raise InvalidName("repo", name, "it is a system repo, which is there by itself")
    require_project(tx, project_of(name))
    if tables.find_repo(tx, name) is not None:
        raise AlreadyExists("repo", name)
    tables.insert_repo(tx, name, description=description, system=False, now=now)


def update_repo(tx: Transaction, name: str, *, description: str, now: datetime) -> None:
    """Change the description of a repo; raises RepoNotFound."""
    del now  # handed to every change; none is recorded here
    repo = require_repo(tx, name)
    tables.describe_repo(tx, repo, description)
    tables.touch_repos(tx, [repo.number])


def repo_names(tx: Transaction) -> list[str]:
    """All repos but the system ones, last changed first."""
    return [repo.name for repo in tables.all_repos(tx)]


def spec_repos(tx: Transaction, project: str | None = None) -> list[str]:
    """The system repos that there are, of all projects or of one."""
    return [repo.name for repo in tables.system_repos(tx, project)]


def repo_exists(tx: Transaction, name: str) -> bool:
    """Whether there is such a repo, a system one included."""
    return tables.find_repo(tx, name) is not None


def repo_info(tx: Transaction, name: str) -> RepoInfo:
    """One repo; raises RepoNotFound."""
    [info] = _infos(tx, [require_repo(tx, name)])
    return info


def list_repos(tx: Transaction, project: str | None = None) -> list[RepoInfo]:
    """All repos (of a project) but the system ones, last changed first; else by name.

    A repo changes with its description, branches and commits, and when a branch is newly derived
    from one of its branches. Raises ProjectNotFound.
    """
    if project is not None:
        require_project(tx, project)
    return _infos(tx, tables.all_repos(tx, project))


def delete_repo(tx: Transaction, name: str, *, force: bool, now: datetime) -> None:
    """Delete a repo with its branches and commits.

    Raises InUse when branches or commits of other repos are derived from it. With `force`, those
    stay and lose this part of their provenance.
    """
    del now  # as above
    repo = require_repo(tx, name)
    branches = [
        branch.name
        for source in tables.branches_of(tx, repo)
        for branch in tables.derived_from(tx, source.number)
        if branch.repo != repo
    ]
    if not force:
        refuse_if_used(f"repo '{name}'", sorted(set(branches), key=str))
        if derived := tables.repos_made_from(tx, repo):
            raise InUse(
                f"repo '{name}' can't be deleted: commits of {listed(derived)} were made from "
                "commits of it; delete those first, or use --force"
            )
    tables.delete_repo(tx, repo)


def require_repo(tx: Transaction, name: str, *, now: datetime | None = None) -> RepoRow:
    """The row of a repo; raises RepoNotFound, ProjectNotFound, InvalidName.

    With `now`, makes the system repo of the project on demand.
    """
    repo = tables.find_repo(tx, name)
    if repo is not None:
        return repo
    if "/" in name:
        check_full_name("repo", name)  # no name at all, rather than none that is known
    require_project(tx, project_of(name))
    if is_spec_repo(name) and now is not None:
        tables.insert_repo(tx, name, description="", system=True, now=now)
        repo = tables.find_repo(tx, name)
    if repo is None:
        raise RepoNotFound(name, repo_names(tx))
    return repo


def refuse_if_used(what: str, derived: Sequence[BranchName], *, how: str = "derived from") -> None:
    """Raise InUse if there are branches derived from (or `how`) `what`, naming them."""
    if derived:
        is_or_are = "is" if len(derived) == 1 else "are"
        raise InUse(
            f"{what} can't be deleted: {listed([str(branch) for branch in derived])} {is_or_are} "
            f"{how} it; delete that first, or use --force"
        )


def _infos(tx: Transaction, repos: Sequence[RepoRow]) -> list[RepoInfo]:
    """The size is that of the newest finished commit of `master`, else of any branch."""
    one = repos[0] if len(repos) == 1 else None
    heads: dict[int, list[tuple[str, int | None, int]]] = {}
    for number, branch, head, size_bytes in tables.sizes_of_heads(tx, one):
        heads.setdefault(number, []).append((branch, head, size_bytes))
    return [_info(repo, heads.get(repo.number, [])) for repo in repos]


def _info(repo: RepoRow, heads: list[tuple[str, int | None, int]]) -> RepoInfo:
    ranked = [
        (branch == DEFAULT_BRANCH, head, size_bytes)
        for branch, head, size_bytes in heads
        if head is not None
    ]
    return RepoInfo(
        name=repo.name,
        description=repo.description,
        created=repo.created,
        size_bytes=max(ranked)[2] if ranked else 0,
        branches=tuple(branch for branch, _, _ in heads),
    )
