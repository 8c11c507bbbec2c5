"""Commands on what was deleted."""

import click

from trunkline.cli.command import command, option
from trunkline.cli.output import Table, note, show_all, span, warn, when
from trunkline.cli.session import current, operations
from trunkline.model.versions import DeletedInfo

_DELETED: Table[DeletedInfo] = Table(
    titles=("NUMBER", "KIND", "NAME", "COMMITS", "DELETED", "LEFT", "BY"),
    cells=lambda deleted: (
        *(str(deleted.number), deleted.kind, deleted.name, str(deleted.commits)),
        *(when(deleted.deleted), _left(deleted), deleted.how),
    ),
    width=0,
    padding=2,
)


def _left(deleted: DeletedInfo) -> str:
    return span(max((deleted.expires - current().clock()).total_seconds(), 0))


def tell(deleted: DeletedInfo | None) -> None:
    """Say how a deletion can be undone; nothing for one that only waits in a transaction."""
    if deleted is None:
        return
    kept_s = (deleted.expires - deleted.deleted).total_seconds()
    if kept_s <= 0:
        note(f"{deleted.kind} {deleted.name} is gone for good: TRUNKLINE_TRASH_S is 0")
        return
    undo = f"{current().program} undelete {deleted.kind} {deleted.name}"
    note(f"for {span(kept_s)}, this brings it back: {undo}")


@command(shows=True, examples=["list deleted"])
def list_deleted() -> None:
    """List what was deleted and can still be brought back, newest first."""
    show_all(operations().trash.list_deleted(), _DELETED)


_number = option(
    "--number", type=int, metavar="N", help="Which deletion of that name (default: the newest)."
)


def _undelete(kind: str, name: str, number: int | None) -> None:
    done = operations().trash.undelete(kind, name, number=number)
    for sentence in done.notes:
        warn(sentence)


@command(examples=["undelete repo training"])
@click.argument("repo")
@_number
def undelete_repo(repo: str, number: int | None) -> None:
    """Bring back a deleted repo with its branches, commits and files."""
    from trunkline.cli.arguments import full_name

    _undelete("repo", full_name(repo), number)


@command(examples=["undelete branch training@staging"])
@click.argument("branch", metavar="REPO@BRANCH")
@_number
def undelete_branch(branch: str, number: int | None) -> None:
    """Bring back a deleted branch with its head and what it is derived from."""
    from trunkline.cli.arguments import branch_of

    _undelete("branch", "@".join(branch_of(branch)), number)


@command(examples=["undelete tag training@v1"])
@click.argument("tag", metavar="REPO@TAG")
@_number
def undelete_tag(tag: str, number: int | None) -> None:
    """Bring back a deleted tag."""
    from trunkline.cli.arguments import branch_of

    _undelete("tag", "@".join(branch_of(tag)), number)


@command(examples=["undelete commit training@4f2a…", "undelete commit 4f2a…"])
@click.argument("commit", metavar="REPO@ID|ID")
@_number
def undelete_commit(commit: str, number: int | None) -> None:
    """Bring back a deleted, squashed or dropped commit, and all that went with it."""
    from trunkline.cli.arguments import commit_of
    from trunkline.model.names import is_commit_id

    name = commit if is_commit_id(commit) else "@".join(commit_of(commit))
    _undelete("commit", name, number)


@command(examples=["undelete pipeline inference"])
@click.argument("pipeline")
@_number
def undelete_pipeline(pipeline: str, number: int | None) -> None:
    """Bring back a deleted pipeline with its versions, jobs and output."""
    from trunkline.cli.arguments import full_name

    _undelete("pipeline", full_name(pipeline), number)
