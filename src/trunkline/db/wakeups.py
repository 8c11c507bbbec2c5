"""The revision of a database: who waits for a change is woken up.

What other processes have committed is heard of in a thread of its own, which begins when somebody
waits for the first time and connects again, after a moment, when it hears nothing any more.
"""

import threading
from collections.abc import Callable

_AGAIN_S = 1.0

Listen = Callable[[threading.Event, "Wakeups"], None]


class Revision:
    """A counter that grows, and whoever waits for that."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0

    @property
    def number(self) -> int:
        with self._changed:
            return self._number

    def notify(self) -> None:
        with self._changed:
            self._number += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout_s: float) -> int:
        """Block until the number is above `seen` or the time is over; returns the number."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > seen, timeout_s)
            return self._number


class Wakeups:
    """A revision that grows by what others commit, too.

    `listen` calls `notify` for that, until the event is set or it can't any more.
    """

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._revision = Revision()
        self._closing = threading.Event()
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def revision(self) -> int:
        return self._revision.number

    def notify(self) -> None:
        self._revision.notify()

    def wait(self, seen: int, timeout_s: float) -> int:
        """As `Revision.wait`; whoever waits first has others listened to from then on."""
        with self._beginning:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(
                    target=self._follow, name="database-changes", daemon=True
                )
                self._thread.start()
        return self._revision.wait(seen, timeout_s)

    def close(self) -> None:
        """The thread ends by itself, within the time of one look."""
        self._closing.set()
        self.notify()

    def _follow(self) -> None:
        while not self._closing.is_set():
            self._listen(self._closing, self)
            self._closing.wait(_AGAIN_S)
