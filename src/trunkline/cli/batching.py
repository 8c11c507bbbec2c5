"""The command by which user code in a pipeline asks for its next datum."""

from trunkline.cli.command import command, option
from trunkline.config import datum_door
from trunkline.errors import InvalidInput, OperationFailed
from trunkline.runtimes.asking import Asker


@command(examples=["next datum", "next datum --error 'no header in the file'"])
@option("--error", default="", metavar="TEXT", help="Why the datum at hand can't be processed.")
def next_datum(error: str) -> None:
    """In a pipeline with datum_batching: wait for the files of the next datum.

    When it returns they are below /pfs, and their variables in /pfs/.env; the datum before is done.
    After the last datum the pipeline's command is ended.
    """
    door = datum_door()
    if not door:
        raise InvalidInput(
            "`next datum` is for the code of a pipeline whose transform has "
            '`"datum_batching": true`; there is none around this command'
        )
    try:
        Asker(door).next_datum(error)
    except OSError as failure:
        raise OperationFailed(str(failure)) from failure
