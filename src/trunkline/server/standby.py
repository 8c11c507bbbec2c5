"""A server that stands by: another one has the data directory, and it takes over when that ends.

Until then it passes every connection on to the other one, byte by byte, without a look into it: so
any of several servers may be asked, and one of them decides. A connection breaks with the server
that answers it; new ones get an answer of 503 until somebody has the data directory. The sockets
that are listened on stay open meanwhile: who connects while one takes over waits for it.
"""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from trunkline.errors import Unavailable
from trunkline.server.reports import report
from trunkline.server.signals import ended_by_signals

PEERS = "peers"  # in server.json: where other servers reach this one
_CONNECT_S = 5.0
_PIECE_BYTES = 64 * 1024
_BACKLOG = 1024
_TURNS = 10  # of the loop, within which a connection that is being closed is
_LOOK_S = 0.2  # whether the data directory is free


class Standby:
    """Passes connections on in a thread of its own, from entering the context to leaving it."""

    def __init__(self, home: Path, sockets: Sequence[socket.socket]) -> None:
        self._home = home
        self._sockets = sockets
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="trunkline-standby")
        self._listens = threading.Event()
        self._stop: asyncio.Event | None = None
        self._ended = threading.Event()

    def __enter__(self) -> "Standby":
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None, "it listens"
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def pause(self) -> bool:
        """Wait for a moment; False once the process was told to end."""
        return not self._ended.wait(_LOOK_S)

    def signals(self) -> contextlib.AbstractContextManager[None]:
        """SIGTERM and SIGINT end the standing by."""
        return ended_by_signals(self._ended.set)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        passing: dict[asyncio.Task[None], socket.socket] = {}
        for bound in self._sockets:
            bound.setblocking(False)
            bound.listen(_BACKLOG)
            self._loop.add_reader(bound, self._accept, bound, passing)
        self._listens.set()
        await self._stop.wait()
        for bound in self._sockets:
            self._loop.remove_reader(bound)
        left = dict(passing)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for client in left.values():  # a task that had not begun does not close it
            client.close()

    def _accept(
        self, bound: socket.socket, passing: dict[asyncio.Task[None], socket.socket]
    ) -> None:
        """Take a connection: not by a server of asyncio, which forgets those of its last moment."""
        try:
            client, _ = bound.accept()
        except OSError as error:
            if not isinstance(error, BlockingIOError | InterruptedError):  # no files left, say
                self._loop.remove_reader(bound)
                self._loop.call_later(1, self._loop.add_reader, bound, self._accept, bound, passing)
            return
        task = self._loop.create_task(self._pass_on(client))
        passing[task] = client
        task.add_done_callback(passing.pop)

    async def _pass_on(self, client: socket.socket) -> None:
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=client, limit=_PIECE_BYTES)
        try:
            other = await self._connect()
            if other is None:
                await _refuse(reader, writer)
                return
            try:
                await asyncio.gather(_pump(reader, other[1]), _pump(other[0], writer))
            finally:
                other[1].close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one of the two is gone, and so is the other one now
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the server that has the data directory; None if nobody answers there."""
        own = {reachable(bound) for bound in self._sockets}  # of an earlier life, in its record
        for host, port in _peers(self._home, but=own):
            with contextlib.suppress(OSError, TimeoutError):
                return await asyncio.wait_for(
                    asyncio.open_connection(host, port, limit=_PIECE_BYTES), _CONNECT_S
                )
        return None


def reachable(bound: socket.socket) -> str:
    """Where another machine reaches a listening socket, as host:port."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 what it is compared with
        host = _own_address()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _own_address() -> str:
    """The address of this machine on the way to others; its name, where there is no way.

    Nothing is looked up or sent: where nobody answers for names that would hold up each start.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.connect(("192.0.2.1", 9))  # that is nobody's
        return str(door.getsockname()[0])
    return socket.gethostname()


def _peers(home: Path, *, but: set[str]) -> list[tuple[str, int]]:
    try:
        document = json.loads((home / "server.json").read_text("utf-8"))
        pairs = [str(peer).rpartition(":") for peer in document[PEERS] if peer not in but]
        return [(host.strip("[]"), int(port)) for host, _, port in pairs]
    except (OSError, ValueError, KeyError, TypeError):
        return []


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request of which nothing but its head is read."""
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _CONNECT_S)
    _, body = report(
        Unavailable("no server has the data directory just now; one is about to take it over")
    )
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode("ascii") + body)
    await writer.drain()
