"""`python -m trunkline` is the command line."""

from trunkline.cli.start import run

if __name__ == "__main__":
    run()
