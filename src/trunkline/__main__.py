"""`python -m trunkline` is the command line."""

from trunkline.cli.main import run

run()
