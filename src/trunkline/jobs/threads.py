"""Threads for work that may hang on somebody else: nobody waits for them without a limit."""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue


class Threads:
    """At most so many threads, which end with the process whatever they do."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, task: Callable[[], None]) -> None:
        """Have a task done, in order as threads are free. From one thread, and not after `close`.

        What it raises is a defect of its own.
        """
        if len(self._threads) < self._most:
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._tasks.put(task)

    def close(self, timeout_s: float) -> list[str]:
        """Wait until all tasks are done, or the time is over; the threads that are left then."""
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
