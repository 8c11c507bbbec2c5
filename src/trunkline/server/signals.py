"""What the signals that end a process do, for as long as a part of the server has them."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator

log = logging.getLogger("trunkline.server")


@contextlib.contextmanager
def ended_by_signals(end: Callable[[], None]) -> Iterator[None]:
    """While inside, SIGTERM and SIGINT call `end`; elsewhere than in the main thread nothing is
    changed, as signals are the affair of whoever embeds us.
    """

    def handle(number: int, _: object) -> None:
        log.info("received %s", signal.Signals(number).name)
        end()

    try:
        before = {n: signal.signal(n, handle) for n in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
