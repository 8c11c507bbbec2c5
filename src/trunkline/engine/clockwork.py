"""What the server does by itself when its time has come: schedules of triggers.

One thread that looks at the wall clock at least once a second, so that a clock that is set (or a
machine that slept) is noticed; the catalog is only asked when it has changed or something is due.
What was done is durable in the same transaction that does it, so nothing is done twice after a
crash, and what became due while no server ran is done at the next start, once.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from trunkline.db.database import Database
from trunkline.jobs.records import open_jobs
from trunkline.versions import triggers

_LOOK_S = 1.0  # between two looks at the clock, at most
_PAUSE_S = 0.01  # and at least

_log = logging.getLogger("trunkline.clockwork")


class Duty(Protocol):
    """Something that has its times."""

    def attend(self, now: datetime) -> datetime | None:
        """Do what is due now; returns when to call again (None: not as far as is known).

        Called at least once a second, so it must be cheap when there is nothing to do.
        """


class TriggerTicks:
    """Fires the triggers whose schedules have a tick."""

    def __init__(self, database: Database, new_id: Callable[[], str]) -> None:
        self._database = database
        self._new_id = new_id
        self._seen = -1  # revision of the catalog when `_next` was read
        self._next: datetime | None = None
        self._last: datetime | None = None

    def attend(self, now: datetime) -> datetime | None:
        set_back = self._last is not None and now < self._last
        self._last = now
        if not set_back and self._seen == self._database.revision and not self._is_due(now):
            return self._next
        self._seen = self._database.revision
        with self._database.read() as tx:
            self._next = triggers.next_tick(tx, now)
        if self._is_due(now):
            with self._database.write() as tx:
                opened = triggers.tick(tx, now=now, run_id=self._new_id())
                open_jobs(tx, opened, now=now)
            with self._database.read() as tx:
                self._next = triggers.next_tick(tx, now)
        return self._next

    def _is_due(self, now: datetime) -> bool:
        return self._next is not None and self._next <= now


class Clockwork:
    """The thread that calls duties at their times. Start once."""

    def __init__(self, duties: Sequence[Duty], *, clock: Callable[[], datetime]) -> None:
        self._duties = duties
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="trunkline-clockwork")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop; a duty that is being done is finished first."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            now = self._clock()
            times = [self._attend(duty, now) for duty in self._duties]
            soonest = min((time for time in times if time is not None), default=None)
            left = _LOOK_S if soonest is None else (soonest - now) / timedelta(seconds=1)
            pause_s = min(_LOOK_S, max(left, _PAUSE_S))

    def _attend(self, duty: Duty, now: datetime) -> datetime | None:
        """A duty that fails (on a full disk, say) is tried again at the next look."""
        try:
            return duty.attend(now)
        except Exception:
            _log.exception("%s begins again", type(duty).__name__)
            return None
