"""The command that brings output of a datum to the server, for objects of a cluster."""

import os
import sys
from collections.abc import Iterator

import click

from trunkline.api.changes import PutFile
from trunkline.cli.command import command, option
from trunkline.cli.job_names import one_job
from trunkline.cli.session import operations
from trunkline.errors import InvalidInput

_PIECE_BYTES = 1024 * 1024


@command(
    examples=[
        "put output train@4f2a… 9c1b… model.pt -f model.pt",
        "put output train@4f2a… 9c1b… metrics.json -f -",
    ]
)
@click.argument("job")
@click.argument("datum")
@click.argument("path")
@option("-f", "--file", required=True, metavar="FILE", help="What to put; - for stdin.")
def put_output(job: str, datum: str, path: str, file: str) -> None:
    """Put a file into the output of a datum that an object of a cluster works on.

    The object itself has an address for that: {{output.url}} in its manifest.
    """
    operations().datums.hand_in(one_job(job), datum, [PutFile(path=path, content=_content(file))])


def _content(file: str) -> Iterator[bytes]:
    if file != "-" and not os.path.isfile(file):
        raise InvalidInput(f"{file} is no file")
    with sys.stdin.buffer if file == "-" else open(file, "rb") as opened:
        while piece := opened.read(_PIECE_BYTES):
            yield piece
