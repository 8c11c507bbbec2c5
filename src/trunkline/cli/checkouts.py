"""Commands on checkouts: commits in directories of this machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trunkline.cli.arguments import file_of, local_files
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, note, show_all, show_one
from trunkline.cli.progress import transfer
from trunkline.cli.session import Shape, current, operations
from trunkline.errors import InvalidInput

if TYPE_CHECKING:
    from trunkline.connect.checkout import LocalChange

_LETTERS = {"modified": "M", "added": "A", "deleted": "D"}
_CHANGES: "Table[LocalChange]" = Table(
    titles=("OP", "NAME"),
    cells=lambda change: (_LETTERS[change.state.value], change.path),
    width=0,
    padding=1,
)


@command(
    examples=[
        "checkout training@master data",
        "checkout training@master^:/images images",
        "checkout training@master data --force",
    ]
)
@click.argument("source", metavar="REPO@REF[:/PATH]")
@click.argument("directory", metavar="DIR", shell_complete=local_files)
@option("-f", "--force", is_flag=True, help="Give up local changes that stand in the way.")
def checkout(source: str, directory: str, force: bool) -> None:
    """Make a directory hold the files of a commit.

    Into a directory that holds another commit, only what differs is written and deleted; files
    that you changed are kept, or refused by name where the new commit has others. `status` shows
    what was changed since. An interrupted checkout is completed by repeating it.
    """
    from trunkline.connect.checkout import check_out
    from trunkline.connect.materialise import Origin

    repo, ref, path = file_of(source)
    commit = operations().commits.inspect_commit(repo, ref)
    origin = Origin(operations=operations(), home=current().link.home)
    with transfer(source, None) as advance:
        done = check_out(
            origin,
            commit,
            (path or "").strip("/"),
            Path(directory),
            force=force,
            advance=advance,
        )
    kept = f", {done.kept} with changes of yours kept" if done.kept else ""
    files = "file" if done.written == 1 else "files"
    note(
        f"{directory} holds {commit.repo}@{commit.id}: {done.written} {files} written, "
        f"{done.deleted} deleted, {done.unchanged} unchanged{kept}"
    )


@command(shows=True, examples=["status", "status data --exit-code", "status --server"])
@click.argument("directory", metavar="[DIR]", required=False, shell_complete=local_files)
@option("--exit-code", is_flag=True, help="Exit with 10 if there is a difference.")
@option("--server", is_flag=True, help="Show the server, also inside of a checkout.")
def status(directory: str | None, exit_code: bool, server: bool) -> None:
    """Show what was changed in a checkout since; elsewhere, show the server.

    DIR is a checkout; without it, the one that the current directory is in. M is a modified file,
    A an added one, D one that was deleted.
    """
    from trunkline.connect.checkout import checkout_above, local_changes

    if server and (directory is not None or exit_code):
        raise InvalidInput("--server shows the server; leave out the directory and --exit-code")
    place = Path(directory) if directory is not None else None
    if place is None and not server:
        place = checkout_above(Path.cwd())
    if place is None:
        if exit_code:
            raise InvalidInput("the current directory is in no checkout; name one")
        from trunkline.cli.admin import server_block

        show_one(operations().admin.status(), server_block)
        return
    changes = list(local_changes(place))
    if changes or current().shape != Shape.TABLE:
        show_all(changes, _CHANGES)
    else:
        note(f"nothing was changed in {place}")
    if exit_code and changes:
        raise click.exceptions.Exit(10)
