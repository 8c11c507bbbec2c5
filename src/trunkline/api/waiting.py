"""How an operation that waits learns that nobody wants its answer any more.

A follower may sit in a wait for hours. When its caller hangs up, or the server stops, the thread
must come free: whoever runs an operation says with `wanted_while` how to ask, and every loop that
waits calls `check_wanted` at least once a second.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from trunkline.errors import Unavailable

_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("wanted", default=None)


@contextmanager
def wanted_while(wanted: Callable[[], bool]) -> Iterator[None]:
    """Operations called inside are wanted for as long as `wanted()` is true."""
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def check_wanted() -> None:
    """Raise Unavailable if the caller has hung up or the server is stopping."""
    wanted = _wanted.get()
    if wanted is not None and not wanted():
        raise Unavailable("the wait was given up: the caller hung up, or the server is stopping")
