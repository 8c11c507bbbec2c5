"""Asking before something that can't be undone."""

import sys

import click

from trunkline.cli.output import note
from trunkline.errors import InvalidInput


def confirm(consequence: str, *, yes: bool, done: str = "deleted") -> None:
    """Go on only with `--yes` or an answer that begins with `y`.

    The answer is read from stdin, terminal or not, as 1.7 reads it. Raises InvalidInput when there
    is nobody to answer; leaves with status 1 on any other answer.
    """
    if yes:
        return
    note(f"{consequence} Are you sure? yN")
    answer = sys.stdin.readline()
    if not answer:
        raise InvalidInput(f"nobody answered the question, so nothing was {done}; use --yes")
    if answer.strip()[:1].lower() != "y":
        note(f"Nothing was {done}.")
        raise click.exceptions.Exit(1)
