"""Threads for operations that end soon.

The thread that became free last gets the next work, so a caller who asks one thing after the other
has one thread at work for him, and not several in turn, which wake up in each other's way.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")


class _Task(NamedTuple):
    work: Callable[[], Any]
    settle: Callable[
        [Any, BaseException | None], None
    ]  # called by the thread, with what came of it
    given_up: Callable[[], bool]  # whether nobody wants it any more


class Pool:
    """At most so many threads; what comes when all are at work waits its turn."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Task | None]] = []  # of their threads, the latest one last
        self._waiting: deque[_Task] = deque()
        self._threads = 0
        self._closed = False

    async def run(self, work: Callable[[], Result]) -> Result:
        """What the work gives, or raises. Who stops waiting for it before its turn cancels it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            call_in_loop(loop, partial(_settle, future, result, error))

        self._add(_Task(work, settle, future.cancelled))
        return await future

    def begin(self, work: Callable[[], None]) -> None:
        """Have work done of which nobody is told the end, nor what it raises."""
        self._add(_Task(work, lambda *_: None, lambda: False))

    def _add(self, task: _Task) -> None:
        with self._lock:
            if self._idle:
                self._idle.pop().put(task)
            elif self._threads < self._most:
                begin: SimpleQueue[_Task | None] = SimpleQueue()
                begin.put(task)
                threading.Thread(
                    target=self._serve, args=(begin,), name=self._name, daemon=True
                ).start()
                self._threads += 1
            else:
                self._waiting.append(task)

    @property
    def crowded(self) -> bool:
        """Whether work waits for a thread."""
        return bool(self._waiting)

    def close(self) -> None:
        """Threads end as soon as they have nothing to do."""
        with self._lock:
            self._closed = True
            for thread in self._idle:
                thread.put(None)
            self._threads -= len(self._idle)
            self._idle.clear()

    def _serve(self, mine: "SimpleQueue[_Task | None]") -> None:
        while self._carry_out(mine.get(), mine):
            pass

    def _carry_out(self, task: _Task | None, mine: "SimpleQueue[_Task | None]") -> bool:
        """False if the thread has to end."""
        if task is None:
            return False
        result, error = None, None
        try:
            if not task.given_up():
                result = task.work()
        except BaseException as raised:
            error = raised
        # Before the result is out: that brings the next task.
        goes_on = self._is_free(mine)
        task.settle(result, error)
        return goes_on

    def _is_free(self, thread: "SimpleQueue[_Task | None]") -> bool:
        """Give a thread its next task, now or later; false if it has to end."""
        with self._lock:
            if self._waiting:
                thread.put(self._waiting.popleft())
            elif self._closed:
                self._threads -= 1
                return False
            else:
                self._idle.append(thread)
            return True


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def call_in_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Have the loop call a function soon, from any thread; a loop that is closed calls nothing."""
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        if not loop.is_closed():  # the server is gone; nobody is left to be told
            raise
