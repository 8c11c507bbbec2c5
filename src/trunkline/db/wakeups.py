"""The revision of a database that others write to, too: who waits for a change is woken up.

What others have committed is heard of in a thread of its own, which begins when somebody waits for
the first time and connects again, after a moment, when it hears nothing any more.
"""

import threading
from collections.abc import Callable

_AGAIN_S = 1.0

Listen = Callable[[threading.Event, "Wakeups"], None]


class Wakeups:
    """A counter that grows, and whoever waits for that.

    `listen` calls `notify` for what others commit, until the event is set or it can't any more.
    """

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._changed = threading.Condition()
        self._revision = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def revision(self) -> int:
        with self._changed:
            return self._revision

    def notify(self) -> None:
        with self._changed:
            self._revision += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout_s: float) -> int:
        """Block until the revision is above `seen` or the time is over; returns the revision."""
        with self._changed:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(
                    target=self._follow, name="database-changes", daemon=True
                )
                self._thread.start()
            self._changed.wait_for(lambda: self._revision > seen, timeout_s)
            return self._revision

    def close(self) -> None:
        """The thread ends by itself, within the time of one look."""
        self._closing.set()
        self.notify()

    def _follow(self) -> None:
        while not self._closing.is_set():
            self._listen(self._closing, self)
            self._closing.wait(_AGAIN_S)
