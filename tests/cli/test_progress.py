"""Progress is for the person at the terminal: on stderr, only there, only when it takes long."""

import os
import pty
import subprocess
import sys

MIB = 1024 * 1024
SEND = """
import sys
import click
from trunkline.cli.progress import transfer, waiting
from trunkline.cli.session import Session
session = Session(program="trunkline", open_link=lambda _: None)
with click.Context(click.Command("x"), obj=session):
    with transfer("training@master", {total}) as advance:
        advance(1024)
        print("data")
    with waiting("waiting for a job", for_bytes=lambda: {total}):
        pass
print("rich" in sys.modules)
"""


def seen_on_a_terminal(total: int | None) -> tuple[str, str]:
    """What a run prints to stdout (a pipe) and to stderr (a terminal)."""
    terminal, stderr = pty.openpty()
    # What is not from a person must not wait for one: stdin is no terminal here.
    done = subprocess.run(
        [sys.executable, "-c", SEND.format(total=total)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "TERM": "xterm-256color"},
        text=True,
    )
    os.write(stderr, b"\n.")  # so that there is something to read in any case
    os.close(stderr)
    shown = os.read(terminal, 65536).decode("utf-8")
    os.close(terminal)
    return done.stdout, shown


def test_a_long_transfer_has_a_bar_on_the_terminal_and_none_in_the_data():
    out, err = seen_on_a_terminal(20 * MIB)

    assert out == "data\nTrue\n"
    assert "training@master" in err
    assert "20.0 MiB" in err
    assert "waiting for a job" in err


def test_a_transfer_of_unknown_length_has_a_bar_too():
    _, err = seen_on_a_terminal(None)

    assert "training@master" in err


def test_a_short_transfer_has_no_bar_and_does_not_even_load_what_draws_it():
    out, err = seen_on_a_terminal(MIB)

    assert out == "data\nFalse\n"
    assert err.strip() == "."


def test_without_a_terminal_nothing_is_drawn():
    done = subprocess.run(
        [sys.executable, "-c", SEND.format(total=20 * MIB)], capture_output=True, text=True
    )

    assert (done.stdout, done.stderr) == ("data\nFalse\n", "")
