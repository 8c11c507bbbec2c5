"""Where synchronous operations run, and how bytes pass between their threads and the event loop.

Operations are plain blocking functions. Short ones take turns on a small pool, and so do uploads
of a few small files, on one of their own: they may have to wait for a long commit of their repo.
Whatever can last
(a stream, an upload, a wait) gets a thread of its own, so that a hundred followers never keep a
`list repo` waiting; their number is bounded, and one more than that is refused, not queued.

Both directions pass through a buffer bounded in bytes. The other side is woken only when it
sleeps, so a fast producer is handed over in batches while a single item is seen at once.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from starlette.types import Message, Receive

from trunkline.api.waiting import wanted_while
from trunkline.errors import Unavailable
from trunkline.server.pool import Pool, call_in_loop

SHORT_MAX = 32  # operations at a time on the pool; more wait their turn
BRIEF_MAX = 64  # small uploads at a time on their pool; more wait their turn
LONG_MAX = 512  # streams, uploads and waits at a time, one thread each; more are refused
BUFFER_BYTES_MAX = 8 * 1024 * 1024  # on the way in one direction of one request

Result = TypeVar("Result")


class Abandoned(Exception):
    """Raised in a working thread whose result nobody will take."""


class Outflow:
    """Pieces on their way from one working thread to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = threading.Condition()
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._error: BaseException | None = None
        self._finished = False
        self._abandoned = False
        self._sleeping = False
        self._arrived = asyncio.Event()

    def put(self, piece: bytes) -> None:
        """Called by the thread; blocks while the buffer is full, raises Abandoned."""
        with self._changed:
            while self._size_bytes >= BUFFER_BYTES_MAX and not self._abandoned:
                self._changed.wait()
            if self._abandoned:
                raise Abandoned
            self._pieces.append(piece)
            self._size_bytes += len(piece)
            wake, self._sleeping = self._sleeping, False
        if wake:
            call_in_loop(self._loop, self._arrived.set)

    def finish(self, error: BaseException | None = None) -> None:
        """Called by the thread when it is done, with the error that ended it if there was one."""
        with self._changed:
            self._finished = True
            if self._error is None:
                self._error = error
        call_in_loop(self._loop, self._arrived.set)

    def abandon(self, error: BaseException | None = None) -> None:
        """Tell both sides that this is over: the thread stops, `take` raises the error."""
        with self._changed:
            if self._finished or self._abandoned:
                return
            self._abandoned = True
            self._error = error
            self._changed.notify_all()
        call_in_loop(self._loop, self._arrived.set)

    def wanted(self) -> bool:
        return not self._abandoned

    async def take(self, timeout_s: float | None = None) -> list[bytes] | None:
        """All pieces that have arrived, at least one; none after the time; None at the end.

        Raises the error of the thread once all pieces before it have been taken.
        """
        while True:
            with self._changed:
                if self._pieces:
                    pieces, self._pieces = self._pieces, []
                    self._size_bytes = 0
                    self._changed.notify_all()
                    return pieces
                if self._error is not None:
                    raise self._error
                if self._finished or self._abandoned:
                    return None
                self._sleeping = True
                self._arrived.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
            except TimeoutError:
                return []


class Inflow:
    """Pieces of a request's body on their way from the event loop to one working thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = threading.Condition()
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._ended = False
        self._ignored = False
        self._drained = asyncio.Event()
        self._all = asyncio.Event()

    async def put(self, piece: bytes) -> None:
        """Called in the loop; waits while the buffer is full."""
        with self._changed:
            if self._ignored:
                return
            self._pieces.append(piece)
            self._size_bytes += len(piece)
            self._drained.clear()
            self._changed.notify()
            full = self._size_bytes >= BUFFER_BYTES_MAX
        if full:
            await self._drained.wait()

    def ignore(self) -> None:
        """Called in the loop when nobody reads any more: what comes is dropped."""
        with self._changed:
            self._ignored = True
            self._pieces.clear()
            self._size_bytes = 0
        self._drained.set()

    async def ended(self) -> None:
        """Called in the loop; waits until no more comes."""
        await self._all.wait()

    def end(self) -> None:
        """No more comes. Whether the body is whole is for the format of the body to tell."""
        self._all.set()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                while not self._pieces and not self._ended:
                    self._changed.wait()
                if not self._pieces:
                    return
                pieces, self._pieces = self._pieces, []
                was_full = self._size_bytes >= BUFFER_BYTES_MAX
                self._size_bytes = 0
            if was_full:
                call_in_loop(self._loop, self._drained.set)
            yield from pieces


class Threads:
    """The threads of one door."""

    def __init__(self, *, short_max: int = SHORT_MAX, long_max: int = LONG_MAX) -> None:
        self._short = Pool("short", short_max)
        self._brief = Pool("brief", BRIEF_MAX)
        self._long_max = long_max
        self._lock = threading.Lock()
        self._running: dict[Outflow, bool] = {}  # to whether it is patient
        self._stopping = False

    async def short(self, work: Callable[[], Result]) -> Result:
        """Run work that ends soon."""
        return await self._short.run(work)

    async def brief(self, work: Callable[[], Result], *, wanted: Callable[[], bool]) -> Result:
        """Run work that ends soon once it has its turn, which may take a while."""

        def run() -> Result:
            with wanted_while(wanted):
                return work()

        return await self._brief.run(run)

    def begin_brief(self, work: Callable[[], None]) -> None:
        """Have work done in the same turns as `brief`; nobody is told of its end."""
        self._brief.begin(work)

    @property
    def brief_is_wanted(self) -> bool:
        """Whether somebody waits for a thread that does brief work, or for all of them."""
        return self._stopping or self._brief.crowded

    def start(self, work: Callable[[Outflow], None], *, patient: bool) -> Outflow:
        """Run work that can last; what it puts is taken from the result.

        `patient` work may wait for something to happen, and is given up when the server stops;
        other work is then left to finish. Raises Unavailable when too much is running.
        """
        outflow = Outflow(asyncio.get_running_loop())
        with self._lock:
            if self._stopping:
                raise Unavailable("the server is stopping")
            if len(self._running) >= self._long_max:
                raise Unavailable(
                    f"the server already serves {self._long_max} streams, uploads and waits, "
                    "which is the most it can; end some of them, or try again later"
                )
            self._running[outflow] = patient
        thread = threading.Thread(
            target=self._run, args=(work, outflow), name="operation", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more
            del self._running[outflow]
            raise Unavailable("the server can't start another thread now; try later") from error
        return outflow

    @property
    def stopping(self) -> bool:
        return self._stopping

    def stop(self) -> None:
        """Give up all patient work, and start no more."""
        with self._lock:
            self._stopping = True
            patient = [outflow for outflow, waits in self._running.items() if waits]
        for outflow in patient:
            outflow.abandon(Unavailable("the server is stopping"))
        self._short.close()
        self._brief.close()

    @property
    def running(self) -> int:
        """How much work that can last there is now."""
        return len(self._running)

    def _run(self, work: Callable[[Outflow], None], outflow: Outflow) -> None:
        error: BaseException | None = None
        try:
            with wanted_while(outflow.wanted):
                work(outflow)
        except BaseException as raised:
            error = raised
        finally:
            with self._lock:
                del self._running[outflow]
            outflow.finish(error)


async def feed(
    receive: Receive, inflow: Inflow, outflow: Outflow, *, first: Message | None = None
) -> None:
    """Hand on the body of a request; then, a caller that hangs up stops the work.

    `first` is what has been received of it already.
    """
    try:
        message = first if first is not None else await receive()
        while message["type"] != "http.disconnect":
            await inflow.put(message.get("body", b""))
            if not message.get("more_body", False):
                break
            message = await receive()
        else:
            return
    finally:
        inflow.end()
    while (await receive())["type"] != "http.disconnect":
        pass
    outflow.abandon()


@contextlib.contextmanager
def hanging_up(receive: Receive, outflow: Outflow) -> Iterator[None]:
    """While inside, a caller that hangs up stops the work; leaving stops it in any case."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        outflow.abandon()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        outflow.abandon()
