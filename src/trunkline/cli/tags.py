"""Commands on tags."""

import click

from trunkline.cli.arguments import branch_of, commit_of, full_name
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, show_all, show_one, when
from trunkline.cli.session import operations
from trunkline.cli.trash import tell
from trunkline.model.versions import TagInfo

_TAGS: Table[TagInfo] = Table(
    titles=("TAG", "COMMIT", "CREATED"),
    cells=lambda tag: (tag.name, tag.commit, when(tag.created)),
    width=0,
    padding=1,
)


@command(examples=["create tag training@master v1", "create tag training@master^ v1 --force"])
@click.argument("commit")
@click.argument("tag")
@option("-f", "--force", is_flag=True, help="Move a tag that names another commit.")
def create_tag(commit: str, tag: str, force: bool) -> None:
    """Name a finished commit; it can't be deleted while it has a tag."""
    repo, ref = commit_of(commit)
    operations().tags.create_tag(repo, tag, commit=ref, force=force)


@command(shows=True, examples=["inspect tag training@v1"])
@click.argument("tag")
def inspect_tag(tag: str) -> None:
    """Show one tag."""
    show_one(operations().tags.inspect_tag(*branch_of(tag)), _block)


def _block(tag: TagInfo) -> str:
    return f"Name: {tag.repo}@{tag.name}\nCommit: {tag.commit}\nCreated: {when(tag.created)}"


@command(shows=True, examples=["list tag training"])
@click.argument("repo")
def list_tag(repo: str) -> None:
    """List the tags of a repo."""
    show_all(operations().tags.list_tags(full_name(repo)), _TAGS)


@command(examples=["delete tag training@v1"])
@click.argument("tag")
def delete_tag(tag: str) -> None:
    """Delete a tag; its commit stays."""
    tell(operations().tags.delete_tag(*branch_of(tag)))
