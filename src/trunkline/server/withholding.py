"""A connection that reads the head of a request, and of its body only what somebody asks for.

The body of a chunked request is withheld from the HTTP library until the application either asks
for it in the usual way, or takes it to have it read by a thread (`rest.inbound`). In the latter
case the library is told in the end that the body was empty, and goes on behind it.
"""

import asyncio
import re
import socket
from enum import Enum
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from trunkline.server.rest.inbound import DirectUpload

_HEAD_END = re.compile(rb"\n\r?\n")  # as the HTTP library finds it
_BODY_END = b"\r\n0\r\n\r\n"


class _Body(Enum):
    PASSED_ON = 1  # to the HTTP library, as it comes
    WITHHELD = 2  # nobody reads
    TAKEN = 3  # a thread reads, or did until the body broke off


class WithholdingProtocol(H11Protocol):
    """Gives each request a way to its body: `scope["state"]["take_upload"]`.

    What is withheld is decided by what the HTTP library has understood, never by an own reading of
    the head. If the end of a head is missed, the body goes the usual way.
    """

    _body = _Body.PASSED_ON
    _withheld = b""
    _last = b""  # two bytes that were passed on

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        # Each request gets a copy of this as scope["state"].
        self.app_state: dict[str, Any] = {**self.app_state, "take_upload": self.take_upload}
        self.app = self._asked_by(self.app)

    def data_received(self, data: bytes) -> None:
        if self._body is not _Body.PASSED_ON:
            self._withheld += data
            return
        rest = b""
        begins = self.conn.their_state is h11.IDLE
        if begins:
            end = self._end_of_head(data)
            data, rest = data[:end], data[end:]
        self._last = data[-2:] if len(data) > 1 else self._last[-1:] + data
        super().data_received(data)
        if begins and self._is_withholdable():
            self._body, self._withheld = _Body.WITHHELD, rest
            # Not by `flow`, which would read on when the application waits for a hang-up.
            self.transport.pause_reading()
        elif rest and not self.transport.is_closing():
            self._last = (self._last + rest[-2:])[-2:]
            super().data_received(rest)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._body is _Body.TAKEN:
            self.transport.close()  # where the next request begins is not known
        else:
            self._pass_on()

    def take_upload(self) -> DirectUpload | None:
        """The body of the present request, to be read by a thread.

        None if there is no such way, or it is not worth it: all of the body is here already.
        """
        bound = self.transport.get_extra_info("socket")
        if (
            self._body is not _Body.WITHHELD
            or self._withheld.endswith(_BODY_END)
            or self.transport.is_closing()
            or bound is None
            or self.transport.get_extra_info("sslcontext") is not None
        ):
            return None
        # A descriptor of the thread's own: asyncio does not share those of its transports.
        own = socket.fromfd(bound.fileno(), bound.family, bound.type)
        begin, self._withheld = self._withheld, b""
        self._body = _Body.TAKEN
        return DirectUpload(own, begin, self.loop, self._given_back)

    def _given_back(self, unread: bytes | None) -> None:
        if unread is not None:
            self._body, self._withheld = _Body.WITHHELD, unread
            self._pass_on()

    def _pass_on(self) -> None:
        """Give the HTTP library what was withheld from it, and all that comes."""
        if self._body is not _Body.WITHHELD or self.transport.is_closing():
            return
        data, self._withheld = self._withheld, b""
        self._body = _Body.PASSED_ON
        if data:
            self.data_received(data)
        if not self.flow.read_paused:
            self.transport.resume_reading()

    def _asked_by(self, app: ASGIApp) -> ASGIApp:
        """The same application; what it asks for is withheld no longer."""

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            async def asking() -> Message:
                self._pass_on()
                return await receive()

            await app(scope, asking, send)

        return run

    def _end_of_head(self, data: bytes) -> int:
        """Where the head ends in these bytes, or theirs."""
        seam = _HEAD_END.search(self._last + data[:2])
        if seam and seam.end() > len(self._last):
            return seam.end() - len(self._last)
        found = _HEAD_END.search(data)
        return found.end() if found else len(data)

    def _is_withholdable(self) -> bool:
        """Whether a chunked body comes next, of which the HTTP library has nothing yet."""
        return (
            self.conn.their_state is h11.SEND_BODY
            and self.scope["http_version"] == "1.1"
            and any(name == b"transfer-encoding" for name, _ in self.headers)
            and not self.conn.trailing_data[0]
        )
