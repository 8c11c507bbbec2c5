"""A large body that its working thread reads off the connection by itself.

The way through the transport of asyncio, the HTTP library and a buffer between threads copies each
byte five times and takes turns with the event loop for each piece. Here the system writes it to
where it is wanted. The connection is the thread's alone while it reads; then it goes back, with
what the HTTP library needs to go on as if it had read the body itself.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

from trunkline.errors import InvalidInput
from trunkline.server.rest.chunked import ChunkedReader

PATIENCE_S = 1.0  # between two looks whether the body is still wanted

GiveBack = Callable[[bytes | None], None]


class DirectUpload:
    """One body, for one thread, which calls `leave` in the end; see `api.changes.read_changes`.

    It ends early when the connection does, or once nobody wants it.
    """

    def __init__(
        self,
        connection: socket.socket,
        begin: bytes,
        loop: asyncio.AbstractEventLoop,
        give_back: GiveBack,
    ) -> None:
        """`begin` is what of the body was read already.

        `give_back` is called in the loop, once: with the bytes to go on with, or with None where
        nobody can go on. `connection` is closed then; it must be a descriptor of its own.
        """
        self._connection = connection
        self._loop = loop
        self._give_back: GiveBack | None = give_back
        self._reader = ChunkedReader(self._receive, begin)
        self._wanted = True
        self._returned = asyncio.Event()
        connection.settimeout(PATIENCE_S)

    @property
    def broken(self) -> bool:
        """Whether no request can follow on this connection."""
        return self._reader.broken

    def __iter__(self) -> Iterator[bytes]:
        return self._reader.pieces()

    def readinto(self, view: memoryview) -> int:
        return self._reader.readinto(view)

    def finish(self) -> None:
        """Read what is left, and give the connection back; raises InvalidInput if it breaks off."""
        for _ in self._reader.pieces():
            pass
        if not self._reader.complete:
            raise InvalidInput("the request broke off before its end; nothing was changed")
        self.leave()

    def leave(self) -> None:
        """Give the connection back; nothing is read any more. May be called again."""
        give_back, self._give_back = self._give_back, None
        if give_back is None:
            return
        self._connection.close()
        unread = None if self._reader.broken else self._reader.unread()

        def give() -> None:
            give_back(unread)
            self._returned.set()

        with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the connection
            self._loop.call_soon_threadsafe(give)

    async def returned(self) -> None:
        """Wait in the loop until the connection was given back, once the thread has left."""
        await self._returned.wait()

    def end(self) -> None:
        """Called by any thread when nobody wants the body any more."""
        self._wanted = False

    def _receive(self, views: list[memoryview]) -> int:
        while self._wanted:
            try:
                return self._connection.recvmsg_into(views)[0]
            except TimeoutError:
                continue
            except OSError:  # the caller has gone
                break
        return 0
