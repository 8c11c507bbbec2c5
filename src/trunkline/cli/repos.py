"""Commands on repos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trunkline.cli.arguments import all_projects, full_name, of_project
from trunkline.cli.command import command, option
from trunkline.cli.confirm import confirm
from trunkline.cli.output import Table, show_all, show_one, size, when
from trunkline.cli.session import current, deeds, operations
from trunkline.cli.trash import tell
from trunkline.errors import InvalidInput
from trunkline.model.names import bare_name, project_of

if TYPE_CHECKING:
    from trunkline.model.versions import RepoInfo

_CLASSIC: Table[RepoInfo] = Table(
    titles=("NAME", "CREATED", "SIZE"),
    cells=lambda repo: (repo.name, when(repo.created), size(repo.size_bytes)),
)
_SPACED: Table[RepoInfo] = Table(
    titles=("PROJECT", "NAME", "CREATED", "SIZE (MASTER)", "DESCRIPTION"),
    cells=lambda repo: (
        *(project_of(repo.name), bare_name(repo.name), when(repo.created)),
        *(size(repo.size_bytes), repo.description),
    ),
    width=0,
    padding=1,
)


@command(examples=["create repo training -d 'measured flowers'"])
@click.argument("repo")
@option("-d", "--description", default="", metavar="TEXT", help="What is in it.")
def create_repo(repo: str, description: str) -> None:
    """Create a repo."""
    deeds().repos.create_repo(full_name(repo), description=description)


@command(examples=["update repo training -d 'measured flowers'"])
@click.argument("repo")
@option("-d", "--description", default="", metavar="TEXT", help="What is in it.")
def update_repo(repo: str, description: str) -> None:
    """Change the description of a repo."""
    deeds().repos.create_repo(full_name(repo), description=description, update=True)


@command(shows=True, examples=["inspect repo training"])
@click.argument("repo")
def inspect_repo(repo: str) -> None:
    """Show one repo."""
    show_one(operations().repos.inspect_repo(full_name(repo)), _block)


def _block(repo: RepoInfo) -> str:
    lines = [f"Name: {repo.name}"]
    if repo.description:
        lines.append(f"Description: {repo.description}")
    lines += [f"Created: {when(repo.created)}", f"Size: {size(repo.size_bytes)}"]
    return "\n".join(lines)


@command(shows=True, examples=["list repo", "list repo --project vision", "list repo -A -o json"])
@all_projects
def list_repo(everywhere: bool) -> None:
    """List the repos of the project, last changed first."""
    listed = operations().repos.list_repos(project=None if everywhere else current().project)
    show_all(listed, _CLASSIC if current().classic else _SPACED)


@command(examples=["delete repo training", "delete repo --all --yes"])
@click.argument("repo", required=False)
@option("--all", "everything", is_flag=True, help="Delete all repos of the project.")
@option("-f", "--force", is_flag=True, help="Even if others are derived from it.")
@option("-y", "--yes", is_flag=True, help="Do not ask before deleting all.")
def delete_repo(repo: str | None, everything: bool, force: bool, yes: bool) -> None:
    """Delete a repo with its commits."""
    if everything and repo is not None:
        raise InvalidInput("cannot use the --all flag with an argument")
    if repo is None and not everything:
        raise InvalidInput("either a repo name or the --all flag needs to be provided")
    repos = operations().repos
    if repo is not None:
        tell(repos.delete_repo(full_name(repo), force=force))
        return
    names = [info.name for info in repos.list_repos(project=current().project)]
    if not names:
        return
    confirm(
        f"This deletes all repos{of_project()} ({len(names)}) with their commits and files.",
        yes=yes,
    )
    # Last changed first puts derived repos before most of what they are derived from.
    while names:
        refused = _delete_what_is_free(names, force=force)
        if len(refused) == len(names):
            tell(repos.delete_repo(names[0], force=force))  # says why it can't be deleted
        names = refused


def _delete_what_is_free(names: list[str], *, force: bool) -> list[str]:
    """Delete the repos that nothing is derived from any more; gives those that are left."""
    from trunkline.errors import InUse

    refused: list[str] = []
    for name in names:
        try:
            tell(operations().repos.delete_repo(name, force=force))
        except InUse:
            refused.append(name)
    return refused
