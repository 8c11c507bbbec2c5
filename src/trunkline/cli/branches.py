"""Commands on branches."""

import click

from trunkline.cli.arguments import branch_of, commit_of, full_name
from trunkline.cli.command import command
from trunkline.cli.output import Table, show_all, show_one, when
from trunkline.cli.session import current, operations
from trunkline.cli.trash import tell
from trunkline.errors import InvalidInput
from trunkline.model.versions import BranchInfo

_CLASSIC: Table[BranchInfo] = Table(
    titles=("BRANCH", "HEAD"), cells=lambda branch: (branch.name, branch.head or "-")
)
_SPACED: Table[BranchInfo] = Table(
    titles=("BRANCH", "HEAD", "PROVENANCE", "CREATED"),
    cells=lambda branch: (
        *(branch.name, branch.head or "-"),
        *(", ".join(map(str, branch.provenance)) or "-", when(branch.created)),
    ),
    width=0,
    padding=1,
)


@command(
    examples=[
        "create branch training@staging",
        "create branch training@master --head staging",
        "create branch model@master -p training@master",
    ]
)
@click.argument("branch")
@click.option("--head", metavar="REF", help="A branch or commit of the same repo.")
@click.option(
    "-p",
    "--provenance",
    multiple=True,
    metavar="REPO@BRANCH",
    help="A branch that it is derived from; repeat for more.",
)
def create_branch(branch: str, head: str | None, provenance: tuple[str, ...]) -> None:
    """Create a branch, or move its head or change what it is derived from."""
    repo, name = branch_of(branch)
    operations().branches.create_branch(
        repo,
        name,
        head=_in_repo(repo, head) if head else None,
        provenance=["@".join(branch_of(text)) for text in provenance] or None,
    )


def _in_repo(repo: str, head: str) -> str:
    """The reference of a head that may be written with its repo in front."""
    if "@" not in head:
        return head
    other, ref = commit_of(head)
    if other != repo:
        raise InvalidInput(f"a head of a branch in '{repo}' can't be {head}, of another repo")
    return ref


@command(examples=["set branch training@staging master"])
@click.argument("commit")
@click.argument("branch")
def set_branch(commit: str, branch: str) -> None:
    """Let BRANCH begin at COMMIT (repo@branch or repo@id) of the same repo."""
    repo, ref = commit_of(commit)
    operations().branches.create_branch(repo, branch, head=ref)


@command(shows=True, examples=["inspect branch training@master"])
@click.argument("branch")
def inspect_branch(branch: str) -> None:
    """Show one branch."""
    show_one(operations().branches.inspect_branch(*branch_of(branch)), _block)


def _block(branch: BranchInfo) -> str:
    lines = [f"Name: {branch.repo}@{branch.name}", f"Head Commit: {branch.head or '-'}"]
    if branch.provenance:
        lines.append(f"Provenance: {', '.join(map(str, branch.provenance))}")
    return "\n".join([*lines, f"Created: {when(branch.created)}"])


@command(shows=True, examples=["list branch training"])
@click.argument("repo")
def list_branch(repo: str) -> None:
    """List the branches of a repo, last moved first."""
    show_all(
        operations().branches.list_branches(full_name(repo)),
        _CLASSIC if current().classic else _SPACED,
    )


@command(examples=["delete branch training@staging"])
@click.argument("branch")
@click.option("-f", "--force", is_flag=True, help="Even if others are derived from it.")
def delete_branch(branch: str, force: bool) -> None:
    """Delete a branch; its commits stay."""
    tell(operations().branches.delete_branch(*branch_of(branch), force=force))
