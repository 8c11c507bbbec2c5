"""Large pieces of a body straight into the socket of its connection.

The way through the HTTP library and the transport of asyncio copies each piece several times, and
moves what is left of it after every write. Large pieces go around them, framed as chunks of a
chunked body, which the library knows nothing of and need not: it writes the head before and the
last chunk behind them.
"""

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self

DIRECT_FROM_BYTES = 128 * 1024
_DRAINED_S = 0.001  # between two looks whether the transport has written its last byte


class DirectBody:
    """The way around, for one response with a chunked body; use in a `with` statement."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self._socket: socket.socket | None = None

    async def send(self, piece: bytes) -> bool:
        """Send a piece; false if there is no such way, and nothing was sent.

        Raises ConnectionError when the other side has gone.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if self._socket is None:
            bound = transport.get_extra_info("socket")
            if bound is None or transport.get_extra_info("sslcontext") is not None:
                self._transport = None
                return False
            # A descriptor of our own: asyncio does not share those of its transports.
            self._socket = socket.fromfd(bound.fileno(), bound.family, bound.type)
            self._socket.setblocking(False)
        while transport.get_write_buffer_size():
            await asyncio.sleep(_DRAINED_S)
            if transport.is_closing():
                raise ConnectionAbortedError("the caller has hung up")
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, b"%x\r\n" % len(piece))
        await loop.sock_sendall(self._socket, piece)
        await loop.sock_sendall(self._socket, b"\r\n")
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
