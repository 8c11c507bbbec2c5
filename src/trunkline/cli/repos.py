"""Commands on repos."""

import click

from trunkline.cli.command import command
from trunkline.cli.confirm import confirm
from trunkline.cli.output import Table, show_all, show_one, size, when
from trunkline.cli.session import current, operations
from trunkline.errors import InvalidInput
from trunkline.model.versions import RepoInfo

_CLASSIC: Table[RepoInfo] = Table(
    titles=("NAME", "CREATED", "SIZE"),
    cells=lambda repo: (repo.name, when(repo.created), size(repo.size_bytes)),
)
_SPACED: Table[RepoInfo] = Table(
    titles=("PROJECT", "NAME", "CREATED", "SIZE (MASTER)", "DESCRIPTION"),
    cells=lambda repo: (
        *("default", repo.name, when(repo.created)),
        *(size(repo.size_bytes), repo.description),
    ),
    width=0,
    padding=1,
)


@command(examples=["create repo training -d 'measured flowers'"])
@click.argument("repo")
@click.option("-d", "--description", default="", metavar="TEXT", help="What is in it.")
def create_repo(repo: str, description: str) -> None:
    """Create a repo."""
    operations().repos.create_repo(repo, description=description)


@command(examples=["update repo training -d 'measured flowers'"])
@click.argument("repo")
@click.option("-d", "--description", default="", metavar="TEXT", help="What is in it.")
def update_repo(repo: str, description: str) -> None:
    """Change the description of a repo."""
    operations().repos.create_repo(repo, description=description, update=True)


@command(shows=True, examples=["inspect repo training"])
@click.argument("repo")
def inspect_repo(repo: str) -> None:
    """Show one repo."""
    show_one(operations().repos.inspect_repo(repo), _block)


def _block(repo: RepoInfo) -> str:
    lines = [f"Name: {repo.name}"]
    if repo.description:
        lines.append(f"Description: {repo.description}")
    lines += [f"Created: {when(repo.created)}", f"Size: {size(repo.size_bytes)}"]
    return "\n".join(lines)


@command(shows=True, examples=["list repo", "list repo -o json"])
def list_repo() -> None:
    """List the repos, last changed first."""
    show_all(operations().repos.list_repos(), _CLASSIC if current().classic else _SPACED)


@command(examples=["delete repo training", "delete repo --all --yes"])
@click.argument("repo", required=False)
@click.option("--all", "everything", is_flag=True, help="Delete all repos.")
@click.option("-f", "--force", is_flag=True, help="Even if others are derived from it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before deleting all.")
def delete_repo(repo: str | None, everything: bool, force: bool, yes: bool) -> None:
    """Delete a repo with its commits."""
    if everything and repo is not None:
        raise InvalidInput("cannot use the --all flag with an argument")
    if repo is None and not everything:
        raise InvalidInput("either a repo name or the --all flag needs to be provided")
    repos = operations().repos
    if repo is not None:
        repos.delete_repo(repo, force=force)
        return
    names = [info.name for info in repos.list_repos()]
    if not names:
        return
    confirm(f"This deletes all repos ({len(names)}) with their commits and files.", yes=yes)
    # Last changed first puts derived repos before most of what they are derived from.
    while names:
        refused = _delete_what_is_free(names, force=force)
        if len(refused) == len(names):
            repos.delete_repo(names[0], force=force)  # says why it can't be deleted
        names = refused


def _delete_what_is_free(names: list[str], *, force: bool) -> list[str]:
    """Delete the repos that nothing is derived from any more; gives those that are left."""
    from trunkline.errors import InUse

    refused: list[str] = []
    for name in names:
        try:
            operations().repos.delete_repo(name, force=force)
        except InUse:
            refused.append(name)
    return refused
