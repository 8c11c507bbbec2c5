"""HTTP/1.1 as one caller speaks it: a request, its answer, and the next one on the same connection.

Answers are read by llhttp (through httptools). The client of the standard library reads heads with
the parser of e-mails and loads TLS for every caller, which is a third of what a short command
takes, and sends head and body apart, which wakes the server twice for each small upload.

Times out as its socket does. Not thread-safe.
"""

import select
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    import ssl

_READ_BYTES = 1024 * 1024
_HEAD_BYTES_MAX = 64 * 1024


class NotHttp(Exception):
    """What came is no answer in HTTP/1."""


class HungUp(Exception):
    """The other side closed the connection before an answer began."""


class CutShort(Exception):
    """An answer has begun, and did not come to its end as its head said."""


class Wire:
    """One connection."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        host: str,
        tls: "ssl.SSLContext | None" = None,
        tls_name: str = "",
    ) -> None:
        """`host` is what is asked for, as in the Host header: with a port that is not the usual.

        With TLS the other side has to show a certificate for `tls_name`.
        """
        self._host = host
        self._early = b""  # of the next answer, read already
        self.secure = tls is not None
        self.sock = sock if tls is None else tls.wrap_socket(sock, server_hostname=tls_name)

    def head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """The head of a request. Target and headers are known to have no line ends in them."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def has_news(self) -> bool:
        """Whether the other side has said something that nobody read yet, or closed."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if self._early or not poll.poll(0):
            return bool(self._early)
        return self._reads_news() if self.secure else True

    def _reads_news(self) -> bool:
        """The same, for TLS, in which there is more to be read than what the other side says."""
        import ssl

        timeout_s = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            self._early = self.sock.recv(_READ_BYTES)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True
        finally:
            self.sock.settimeout(timeout_s)
        return True

    def answer(self) -> "Answer":
        """The next answer, as soon as its head is there; raises HungUp, NotHttp, CutShort."""
        early, self._early = self._early, b""
        answer = Answer(self.sock, early)
        answer.read_head()
        return answer

    def close(self) -> None:
        self.sock.close()


class Answer:
    """An answer; its body is to be read once, in order."""

    def __init__(self, sock: socket.socket, early: bytes = b"") -> None:
        """`early` is what of it was read already."""
        self._sock = sock
        self._early = early
        self._found = _Found()

    @property
    def status(self) -> int:
        return self._found.status

    @property
    def reusable(self) -> bool:
        """Whether the connection is ready for the next request: the body was read to its end."""
        found = self._found
        return found.ended and found.persistent and not found.body and not found.surplus

    def read_head(self) -> None:
        """Raises HungUp, NotHttp, CutShort."""
        size = 0
        while not self._found.status:
            data = self._early or self._sock.recv(_READ_BYTES)
            self._early = b""
            if not data:
                raise CutShort if size else HungUp
            size += len(data)
            if not self._found.take(data) or (not self._found.status and size > _HEAD_BYTES_MAX):
                raise NotHttp

    def read(self, most: int | None = None) -> bytes:
        """The rest of the body, or its first so many bytes; raises CutShort."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.pieces():
            pieces.append(piece)
            size += len(piece)
            if most is not None and size >= most:
                break
        return b"".join(pieces)[:most]

    def pieces(self) -> Iterator[bytes]:
        """The rest of the body, as it comes; raises CutShort."""
        found = self._found
        while True:
            while found.body:
                yield found.body.popleft()
            if found.ended:
                return
            data = self._sock.recv(_READ_BYTES)
            if not data:
                if found.framed:
                    raise CutShort
                found.ended = True  # it goes up to the end of the connection
            elif not found.take(data):
                raise CutShort


class _Found:
    """What has come of an answer; the parser calls the methods that begin with `on`."""

    def __init__(self) -> None:
        self.status = 0  # until the head is there
        self.framed = False  # whether the head says where the body ends
        self.persistent = False  # whether another answer may come behind this one
        self.ended = False
        self.surplus = False  # something did, which nobody has asked for
        self.body: deque[bytes] = deque()
        self._parser = httptools.HttpResponseParser(self)

    def take(self, data: bytes) -> bool:
        """False if it is no HTTP."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return self.ended  # then it does not matter what it is
        return True

    def on_message_begin(self) -> None:
        self.surplus = self.ended

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.surplus and name.lower() in (b"content-length", b"transfer-encoding"):
            self.framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not self.surplus and status >= 200:  # others only say that one is to come
            self.status = status
            self.persistent = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        if not self.surplus:
            self.body.append(body)

    def on_message_complete(self) -> None:
        self.ended = self.status != 0
