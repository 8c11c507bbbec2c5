"""Small uploads of one caller, one after the other, past the event loop.

Through the loop such a request is read and answered in five turns of it and changes threads twice,
which took a third as long as the commit itself. Here the connection is lent to the thread that
carries the request out. It sends the answer itself and waits a moment for the next request, which
comes at once from who makes many small commits. All else goes back to the loop as it came.

A request is brief if it came whole and alone, and is an upload of a few small files. What is less
simple (another operation, a chunked body, half a request, two of them) is not for here.
"""

import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any

import httptools

from trunkline.api.waiting import wanted_while
from trunkline.server.reports import report, whole_answer
from trunkline.server.rest.routes import PREFIX, RestDoor
from trunkline.server.threads import Threads

REQUEST_BYTES_MAX = 32 * 1024  # of head and body: it is read in the loop
LINGER_MS = 10  # until the next request has come; a client that has one at hand takes less than one

_BEGIN = f"POST {PREFIX}/".encode()
_APART = (b"transfer-encoding", b"expect", b"upgrade", b"connection")  # ask for more than an answer

Deed = Callable[[], bytes]  # gives the body of the answer
Headers = Callable[[], list[tuple[bytes, bytes]]]  # of each answer, with the date of now
GiveBack = Callable[[bytes], None]


class Lane:
    """The way for brief requests. Thread-safe."""

    def __init__(self, door: RestDoor, threads: Threads) -> None:
        self._door = door
        self._threads = threads

    def read(self, data: bytes) -> Deed | None:
        """What a request asks for, ready to be done; None for one that is not brief."""
        if len(data) > REQUEST_BYTES_MAX or not data.startswith(_BEGIN):
            return None
        request = _Request()
        if not request.take(data):
            return None
        path, _, query = request.url.partition(b"?")
        return self._door.brief_upload(path, query, b"".join(request.body))

    def begin(self, own: socket.socket, deed: Deed, headers: Headers, give_back: GiveBack) -> None:
        """Have a deed done, and those that follow on the same connection; called in the loop.

        `own` is the thread's own descriptor of it. In the end the thread calls `give_back` with
        what it has read and nobody has answered.
        """

        def work() -> None:
            unread = b""
            try:
                with own:
                    unread = self._serve(own, deed, headers)
            finally:
                give_back(unread)

        self._threads.begin_brief(work)

    def _serve(self, own: socket.socket, deed: Deed | None, headers: Headers) -> bytes:
        own.setblocking(False)
        coming = select.poll()
        coming.register(own, select.POLLIN)
        data = b""
        try:
            while deed is not None:
                # Nothing else is on its way to the caller, so the system takes all of it at once.
                own.sendall(_answer(own, deed, headers))
                data = b""
                if self._threads.brief_is_wanted or not coming.poll(LINGER_MS):
                    break
                data = own.recv(2 * REQUEST_BYTES_MAX)
                deed = self.read(data)
        except OSError:  # the caller has gone, or does not read: so does the loop then
            with contextlib.suppress(OSError):
                own.shutdown(socket.SHUT_RDWR)
        return data


def _answer(own: socket.socket, deed: Deed, headers: Headers) -> bytes:
    try:
        with wanted_while(lambda: not _has_hung_up(own)):
            return whole_answer(200, deed(), headers())
    except Exception as error:
        return whole_answer(*report(error), headers())


def _has_hung_up(own: socket.socket) -> bool:
    try:
        return not own.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


class _Request:
    """A request as llhttp reads it; the parser calls the methods that begin with `on`."""

    def __init__(self) -> None:
        self.url = b""
        self.body: list[bytes] = []
        self._plain = True
        self._begun = 0
        self._ended = 0
        self._parser: Any = httptools.HttpRequestParser(self)

    def take(self, data: bytes) -> bool:
        """Whether that is one whole request with nothing behind it, and nothing special in it."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return self._plain and self._begun == self._ended == 1

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, _: bytes) -> None:
        if name.lower() in _APART:
            self._plain = False

    def on_headers_complete(self) -> None:
        if self._parser.get_http_version() != "1.1":
            self._plain = False

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self._ended += 1
