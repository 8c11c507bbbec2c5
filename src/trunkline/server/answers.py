"""Head and body of a short answer in one write, though the HTTP library makes two of them.

Each write is a call of the system that wakes the caller up, who finds half of what he waits for.
"""

import asyncio
import re
from typing import Any

_HEAD_OF_KNOWN_LENGTH = re.compile(rb"HTTP/1\.1 \d{3} .*?\r\ncontent-length: ", re.DOTALL)
_TOGETHER_BYTES_MAX = 64 * 1024  # of a body; a larger one is not worth the copy


class Answers:
    """A transport as the response to one request uses it.

    A head that tells the length of its body waits for the next write, which is the body; it waits
    no longer than to the next turn of the event loop. Other bodies pass through at once: whoever
    sends them may go around the transport (`rest.bodies`).
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._begun = False

    def write(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if head:
            if len(data) <= _TOGETHER_BYTES_MAX:
                data = head + data
            else:
                self._transport.write(head)
        elif not self._begun and _HEAD_OF_KNOWN_LENGTH.match(data):
            self._head, self._begun = data, True
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
