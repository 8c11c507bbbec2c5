"""Messages between the scheduler and its workers: length-prefixed JSON over a socket pair.

scheduler → worker: `context` (a pipeline version's command), `lease`, `cancel`, `restart`, `exit`.
worker → scheduler: `ready`, `alive`, `started`, `log`, `ended` (outcomes of datums of a lease).
Every message of a lease carries its id, the fencing token. Any of them may come twice, late or not
at all without harm: `alive` tells whether its worker waits, which shows what did not arrive.
"""

import json
import socket
import struct
import threading
from typing import Any

_LENGTH = struct.Struct(">I")
_READ_BYTES = 256 * 1024
_MESSAGE_BYTES_MAX = 256 * 1024 * 1024

Message = dict[str, Any]


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of a connection, which sends or offers. Both are thread-safe; one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(True)
        self._send_lock = threading.Lock()
        self._buffer = bytearray()
        self._offered = bytearray()  # and not taken by the other side, from `_taken` on
        self._taken = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send one message whole; waits for the other side to take it. Raises ChannelClosed."""
        try:
            with self._send_lock:
                self._socket.sendall(_packed(message))
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def offer(self, message: Message) -> None:
        """Send a message without waiting: `poll` sends what is left. Raises ChannelClosed."""
        with self._send_lock:
            del self._offered[: self._taken]
            self._taken = 0
            self._offered += _packed(message)
        self._push()

    @property
    def owes(self) -> bool:
        """Whether the other side has not taken all that it was offered."""
        return self._taken < len(self._offered)

    def receive(self) -> Message:
        """The next message; blocks. Raises ChannelClosed."""
        while (message := self._take()) is None:
            self._fill(0)
        return message

    def poll(self) -> list[Message]:
        """The messages that have arrived, without blocking. Raises ChannelClosed."""
        if self.owes:
            self._push()
        try:
            self._fill(socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        found = []
        while (message := self._take()) is not None:
            found.append(message)
        return found

    def close(self) -> None:
        self._socket.close()

    def _push(self) -> None:
        try:
            with self._send_lock, memoryview(self._offered) as offered:
                while self._taken < len(offered):
                    rest = offered[self._taken :]
                    self._taken += self._socket.send(rest, socket.MSG_DONTWAIT)
                    rest.release()
        except BlockingIOError:
            pass
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def _fill(self, flags: int) -> None:
        try:
            data = self._socket.recv(_READ_BYTES, flags)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if not data:
            raise ChannelClosed("the other side closed the connection")
        self._buffer += data

    def _take(self) -> Message | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._buffer)
        if size > _MESSAGE_BYTES_MAX:
            raise ChannelClosed(f"a message of {size} bytes is too long")
        end = _LENGTH.size + size
        if len(self._buffer) < end:
            return None
        message: Message = json.loads(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return message


def _packed(message: Message) -> bytes:
    data = json.dumps(message, separators=(",", ":")).encode("utf-8")
    return _LENGTH.pack(len(data)) + data
