"""Progress of long transfers and waits: shown on a terminal's stderr, absent everywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_BAR_FROM_BYTES = 8 * 1024 * 1024  # less than this is over before a bar would be read


@contextmanager
def transfer(label: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """What to call with each number of bytes that went; `total_bytes` None means unknown."""
    small = total_bytes is not None and total_bytes < _BAR_FROM_BYTES
    if small or not sys.stderr.isatty() or (sys.stdin.isatty() and total_bytes is None):
        yield lambda _: None
        return
    from trunkline.cli.terminal import byte_bar

    with byte_bar(label, total_bytes) as advance:
        yield advance


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Shows that a command waits for something, and for how long it has."""
    if not sys.stderr.isatty():
        yield
        return
    from trunkline.cli.terminal import spinner

    with spinner(label):
        yield
