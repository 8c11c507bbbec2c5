"""Progress of long transfers and waits: shown on a terminal's stderr, absent everywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trunkline.cli.session import current

_BAR_FROM_BYTES = 8 * 1024 * 1024  # less than this is over before a bar would be read


@contextmanager
def transfer(label: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """What to call with each number of bytes that went; `total_bytes` None means unknown."""
    typing = total_bytes is None and sys.stdin.isatty()  # a bar would run over the typed words
    if typing or not _is_much(total_bytes) or not sys.stderr.isatty():
        yield lambda _: None
        return
    from trunkline.cli.terminal import byte_bar

    with byte_bar(label, total_bytes, color=current().color) as advance:
        yield advance


@contextmanager
def waiting(label: str, *, for_bytes: Callable[[], int | None] | None = None) -> Iterator[None]:
    """Shows that a command waits for something, and for how long it has.

    With `for_bytes` only if there are many of them; they are counted for a terminal only.
    """
    if not sys.stderr.isatty() or (for_bytes is not None and not _is_much(for_bytes())):
        yield
        return
    from trunkline.cli.terminal import spinner

    with spinner(label, color=current().color):
        yield


def _is_much(total_bytes: int | None) -> bool:
    return total_bytes is None or total_bytes >= _BAR_FROM_BYTES
