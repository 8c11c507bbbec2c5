"""Ports of this machine whose connections go on to a process, which may be another one tomorrow.

A connection that comes while there is no process to go on to is held for a while, so that whoever
connects while one takes over from another notices nothing. One thread with a loop of its own does
it all; other threads ask it.
"""

import asyncio
import threading
import weakref
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

HELD_S = 30.0  # a connection waits so long for somebody to take it
LINGER_S = 10.0  # for a caller to hang up once the process has
CONNECTIONS_MAX = 1000  # of one door; more are closed at once
_RETRY_S = 0.05
_TURNS = 5  # of the loop, within which what is closed or accepted has been dealt with
_BUFFER_BYTES = 256 * 1024
_ANSWER_S = 5.0
_HERE = "127.0.0.1"  # where the processes listen


@dataclass(slots=True, kw_only=True, eq=False)
class _Door:
    host: str
    port: int
    to: int | None = None
    server: asyncio.Server | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Forwarder:
    """The doors of a server, by name. Thread-safe; the thread begins with the first door."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._doors: dict[str, _Door] = {}
        self._going: Counter[int] = Counter()  # connections, by where they go on to
        # All that is connected, or has been hung up and still has something to send.
        self._lines: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()

    def open(self, name: str, host: str, port: int) -> None:
        """Listen there, instead of where the door of that name listened; raises OSError."""
        self._ask(self._open(name, host, port))

    def point(self, name: str, to: int | None) -> None:
        """Have new connections go on to this port of the machine; None: hold them."""
        self._ask(self._point(name, to))

    def connections(self, to: int) -> int:
        """How many connections go on to a port now."""
        return self._going[to]

    def shut(self, name: str) -> None:
        """Listen no more; what is connected goes on as long as both sides want."""
        if self._loop is not None:
            self._ask(self._shut(name))

    def close(self) -> None:
        """Shut all doors and end all connections."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result(_ANSWER_S)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="trunkline-forward", daemon=True
                )
                self._thread.start()
            loop = self._loop
        asyncio.run_coroutine_threadsafe(work, loop).result(_ANSWER_S)

    # --- in the loop ------------------------------------------------------------------------------

    async def _open(self, name: str, host: str, port: int) -> None:
        before = self._doors.get(name)
        if before is not None and (before.host, before.port) == (host, port):
            return
        door = _Door(host=host, port=port)

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._take(door, reader, writer)

        door.server = await asyncio.start_server(take, host, port, limit=_BUFFER_BYTES)
        self._doors[name] = door
        if before is not None:
            door.to = before.to
            await _close(before)

    async def _point(self, name: str, to: int | None) -> None:
        door = self._doors.get(name)
        if door is not None:
            door.to = to
            door.changed.set()
            door.changed = asyncio.Event()

    async def _shut(self, name: str) -> None:
        door = self._doors.pop(name, None)
        if door is not None:
            await _close(door)

    async def _end(self) -> None:
        for name in list(self._doors):
            await self._shut(name)
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for line in list(self._lines):
            line.abort()
        await _let_others_run()

    async def _take(
        self, door: _Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is taken by a task"
        door.tasks.add(task)
        self._lines.add(writer.transport)
        try:
            if len(door.tasks) <= CONNECTIONS_MAX:
                async with asyncio.timeout(HELD_S) as patience:
                    await self._go_on(door, reader, writer, patience)
        except (OSError, TimeoutError):
            pass  # one side is gone, or nobody came to take it
        finally:
            door.tasks.discard(task)
            _hang_up(writer)

    async def _go_on(
        self,
        door: _Door,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        patience: asyncio.Timeout,
    ) -> None:
        """Connect to whoever is there, and pass bytes on until both sides have ended."""
        while True:
            to = door.to
            if to is None:
                await door.changed.wait()
                continue
            self._going[to] += 1  # before anything is waited for: it counts from now on
            try:
                theirs, ours = await asyncio.open_connection(_HERE, to, limit=_BUFFER_BYTES)
            except OSError:  # it has just ended; another one may come
                self._going[to] -= 1
                await asyncio.sleep(_RETRY_S)
                continue
            except BaseException:
                self._going[to] -= 1
                raise
            break
        patience.reschedule(None)
        self._lines.add(ours.transport)
        asking = asyncio.ensure_future(_pass_on(reader, ours))
        try:
            try:
                await _pass_on(theirs, writer)
            finally:
                self._going[to] -= 1  # the process has said all that it had to say
            patience.reschedule(asyncio.get_running_loop().time() + LINGER_S)
            await asking
        finally:
            asking.cancel()
            _hang_up(ours)


async def _close(door: _Door) -> None:
    """Listen there no more."""
    assert door.server is not None, "a door that is known listens"
    for listening in door.server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    # What was accepted in this turn of the loop would find its server closed, and stay open.
    await _let_others_run()
    door.server.close()


def _hang_up(writer: asyncio.StreamWriter) -> None:
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        writer.transport.abort()  # nobody will wait for what it still has to send
    else:
        writer.close()


async def _let_others_run() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(_BUFFER_BYTES):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
    except OSError:  # one side is gone; the other hears of it
        target.transport.abort()
