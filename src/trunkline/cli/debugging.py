"""`debug datum`: a command run where the code of a datum runs."""

import sys

import click

from trunkline.cli.command import command, option
from trunkline.cli.job_names import one_job
from trunkline.cli.output import counted, note
from trunkline.cli.session import current, operations
from trunkline.errors import NotSupported
from trunkline.model.jobs import DatumRecipe

_ID_SHOWN = 12
_LINES_SHOWN = 10  # of what the datum last printed to stderr


@command(
    examples=[
        "debug datum inference@4f2a… 9c1b --command 'ls -l /pfs/attributes'",
        "debug datum inference@4f2a… 9c1b --command '$TRUNKLINE_DATUM_COMMAND'",
    ]
)
@click.argument("job")
@click.argument("datum")
@option(
    "--command", "command_", required=True, metavar="TEXT", help="What to run, written for a shell."
)
def debug_datum(job: str, datum: str, command_: str) -> None:
    """Run a command where a datum's code runs: its inputs (read-only), code, variables and limits.

    /pfs/out is empty, and nothing that is written there is stored. What the pipeline runs is in the
    program that $TRUNKLINE_DATUM_COMMAND names (where user code has a /pfs of its own, and without
    datum_batching), what the datum last printed to stderr in the file of $TRUNKLINE_DATUM_STDERR.
    The exit status is that of the command. Values of secrets that it prints are not masked.
    """
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
        sys.stdout.flush()
        status = here.run(command_)
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
