"""TLS for a worker that comes from elsewhere: what it writes and reads stays a plain socket.

Lines of messages are read without waiting, and written by more than one thread; neither can be done
with a socket of the `ssl` module. So a thread with a loop of its own stands between.
"""

import asyncio
import socket
import ssl
import threading
from pathlib import Path

from trunkline.jobs.door import BUFFER_BYTES, pass_on

_HANDSHAKE_S = 20.0
_FAREWELL_S = 5.0  # for what was said last to get there


class Tunnel:
    """Any number of lines to servers whose certificate is for one name. Thread-safe."""

    def __init__(self, name: str, ca_file: Path | None) -> None:
        """The file says who is trusted; without one, or where it is not there, the machine does.

        Raises OSError for one that can't be used.
        """
        trusted = str(ca_file) if ca_file is not None and ca_file.exists() else None
        self._name = name
        self._context = ssl.create_default_context(cafile=trusted)
        self._loop = asyncio.new_event_loop()
        self._lines: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="trunkline-tls", daemon=True
        )
        self._thread.start()

    def enter(self, connection: socket.socket) -> socket.socket:
        """What stands for a connection from now on, once the server has shown who it is.

        Raises OSError.
        """
        connection.setblocking(False)
        return asyncio.run_coroutine_threadsafe(self._enter(connection), self._loop).result()

    def close(self) -> None:
        """Wait until what was said last has got there; the other ends have been closed."""
        asyncio.run_coroutine_threadsafe(self._flush(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _enter(self, connection: socket.socket) -> socket.socket:
        reader, writer = await asyncio.open_connection(
            sock=connection,
            limit=BUFFER_BYTES,
            ssl=self._context,
            server_hostname=self._name,
            ssl_handshake_timeout=_HANDSHAKE_S,
            ssl_shutdown_timeout=_FAREWELL_S,
        )
        far, near = socket.socketpair()
        from_worker, to_worker = await asyncio.open_connection(sock=near, limit=BUFFER_BYTES)

        async def serve() -> None:
            there = asyncio.ensure_future(pass_on(from_worker, writer))
            back = asyncio.ensure_future(pass_on(reader, to_worker))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
                to_worker.close()  # what the server said last is read before that is noticed
                writer.close()
                async with asyncio.timeout(_FAREWELL_S):
                    await writer.wait_closed()
            except (OSError, TimeoutError):
                pass  # it has heard all that it is going to hear
            finally:
                there.cancel()
                back.cancel()
                writer.transport.abort()

        task = asyncio.ensure_future(serve())
        self._lines.add(task)
        task.add_done_callback(self._lines.discard)
        return far

    async def _flush(self) -> None:
        if self._lines:
            await asyncio.wait(self._lines, timeout=2 * _FAREWELL_S)
        for line in list(self._lines):  # of servers that do not take it
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
