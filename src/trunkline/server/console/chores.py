"""Work that a page begins and does not wait for: a check, a collection, a measurement.

One of each name at a time. What came of the last one is shown until the next is begun, or the
server's process ends.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from trunkline.server.pool import call_in_loop
from trunkline.server.reports import described
from trunkline.server.threads import Outflow, Threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """One piece of work; it is over once it has taken some time."""

    begun: datetime
    took_s: float | None = None
    result: object = None  # what the operation gave; None: it failed, or is under way
    problem: str = ""  # why it failed, a sentence

    @property
    def running(self) -> bool:
        return self.took_s is None


class Chores:
    """The chores of one server."""

    def __init__(self, threads: Threads, told: Callable[[], None]) -> None:
        """`told` is called in the event loop when one has ended."""
        self._threads = threads
        self._told = told
        self._chores: dict[str, Chore] = {}

    def last(self, name: str) -> Chore | None:
        """The last one of a name; may be called in any thread."""
        return self._chores.get(name)

    def begin(self, name: str, work: Callable[[], object]) -> None:
        """Begin one, unless one of that name is under way. Called in the event loop."""
        last = self._chores.get(name)
        if last is not None and last.running:
            return
        loop, chore = asyncio.get_running_loop(), Chore(begun=datetime.now(UTC))
        began = time.monotonic()

        def run(_: Outflow) -> None:
            try:
                ended = replace(chore, result=work())
            except Exception as error:
                ended = replace(chore, problem=described(error)[2])
            self._chores[name] = replace(ended, took_s=time.monotonic() - began)
            call_in_loop(loop, self._told)

        self._chores[name] = chore
        try:
            self._threads.start(run, patient=False)
        except Exception as error:
            self._chores[name] = replace(chore, took_s=0.0, problem=described(error)[2])
