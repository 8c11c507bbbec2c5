"""`debug datum`: a command or a shell where the code of a datum runs."""

import shlex
import sys

import click

from trunkline.cli.command import command, option
from trunkline.cli.job_names import one_job
from trunkline.cli.output import counted, note
from trunkline.cli.session import current, operations
from trunkline.errors import InvalidInput, NotSupported
from trunkline.model.jobs import DatumRecipe

_ID_SHOWN = 12
_LINES_SHOWN = 10  # of what the datum last printed to stderr


@command(
    examples=[
        "debug datum inference@4f2a… 9c1b",
        "debug datum inference@4f2a… 9c1b --command 'ls -l /pfs/attributes'",
        "debug datum inference@4f2a… 9c1b --command '$TRUNKLINE_DATUM_COMMAND'",
    ]
)
@click.argument("job")
@click.argument("datum")
@option("--command", "command_", metavar="TEXT", help="What to run instead, written for a shell.")
def debug_datum(job: str, datum: str, command_: str | None) -> None:
    """Open a shell where a datum's code runs: its inputs (read-only), code, variables and limits.

    The shell is $SHELL, else /bin/sh; with --command a command is run instead. /pfs/out is empty,
    and nothing that is written there is stored. `run` (and the program that
    $TRUNKLINE_DATUM_COMMAND names) runs what the pipeline runs, where user code has a /pfs of its
    own, and without datum_batching; what the datum last printed to stderr is in the file of
    $TRUNKLINE_DATUM_STDERR. The exit status is that of the shell or command. Values of secrets that
    are printed are not masked.
    """
    if command_ is None and not sys.stdin.isatty():
        raise InvalidInput(
            "`debug datum` opens a shell, for which the standard input has to be a terminal; say "
            "with --command TEXT what to run"
        )
    if command_ is not None and not command_.strip():
        raise InvalidInput("the text of --command is empty; leave it out to open a shell")
    home = current().link.home
    if home is None:
        raise NotSupported(
            "`debug datum` reads the server's data directory, which is not here: run it on the "
            "machine of the server, without --context or TRUNKLINE_ADDRESS"
        )
    recipe = operations().datums.datum_recipe(one_job(job), datum)

    from trunkline.connect.debugging import surroundings

    with surroundings(home, recipe) as here:
        _introduce(recipe, str(here.stderr))
        if command_ is None:
            _explain(recipe)
        sys.stdout.flush()
        status = here.run(command_ or "")
    raise click.exceptions.Exit(status)


def _introduce(recipe: DatumRecipe, stderr: str) -> None:
    info = recipe.info
    reason = f": {info.reason}" if info.reason else ""
    note(f"datum {info.id[:_ID_SHOWN]} of {info.job}: {info.state.value}{reason}")
    for given in info.inputs:
        note(f"  /pfs/{given.name}/{given.path} from {given.repo}@{given.commit}")
    lines = recipe.stderr.splitlines()
    if lines:
        note(f"it last printed {counted(len(lines), 'line')} to stderr ({stderr}):")
        for line in lines[-_LINES_SHOWN:]:
            note(f"  {line}")


def _explain(recipe: DatumRecipe) -> None:
    """What somebody should know who gets a shell."""
    context = recipe.context
    note(f"it runs: {shlex.join(_words(context['cmd']))}")
    for line in _words(context["stdin"])[:_LINES_SHOWN]:
        note(f"  < {line}")
    if context["batching"]:
        note("`run` is not there, because nobody gives out the datums of a batch here")
    else:
        note("`run` runs that, where user code has a /pfs of its own (see `trunkline doctor`)")
    note("this is a shell in its place; what it writes to /pfs/out is not stored; `exit` leaves")


def _words(given: object) -> list[str]:
    return [str(word) for word in given] if isinstance(given, (list, tuple)) else []
