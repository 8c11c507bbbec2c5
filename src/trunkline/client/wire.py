"""HTTP/1.1 as one caller speaks it: a request, its answer, and the next one on the same connection.

Only what servers and the proxies before them need of it: heads, bodies with a length, in chunks, or
up to the end of the connection. The standard library has a client too; it reads heads with the
parser of e-mails and loads TLS for every caller, which is a third of what a short command takes,
and sends head and body apart, which wakes the server twice for each small upload.

Times out as its socket does. Not thread-safe.
"""

import re
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_RECEIVED_BYTES = 64 * 1024  # asked for at a time while lines are read
_READ_BYTES = 1024 * 1024  # and of a body
_HEAD_BYTES_MAX = 64 * 1024
_CHUNK_LINE_BYTES_MAX = 1024
_NO_BODY = (204, 304)

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)
_LENGTH = re.compile(rb"[0-9]{1,18}")


class NotHttp(Exception):
    """What came is no answer in HTTP/1."""


class HungUp(Exception):
    """The other side closed the connection before an answer began."""


class CutShort(Exception):
    """An answer has begun, and did not come to its end as its head said."""


class Wire:
    """One connection."""

    def __init__(
        self, sock: socket.socket, *, host: str, tls: "ssl.SSLContext | None" = None
    ) -> None:
        """`host` is what is asked for, as in the Host header: with a port that is not the usual."""
        self._host = host
        self.secure = tls is not None
        self.sock = (
            sock if tls is None else tls.wrap_socket(sock, server_hostname=_name_alone(host))
        )
        self._buffer = b""  # received, from `_at` on not used yet
        self._at = 0

    def head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """The head of a request. Target and headers are known to have no line ends in them."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self) -> "Answer":
        """The head of the next answer; raises HungUp, NotHttp, CutShort."""
        while True:
            match = _STATUS.fullmatch(self._line(_HEAD_BYTES_MAX, begins=True))
            if match is None:
                raise NotHttp
            headers = self._headers()
            status = int(match[2])
            if status >= 200:  # others only say that one is to come
                return Answer(self, status, headers, persistent=match[1] == b"1")

    def receive(self, most: int) -> bytes:
        """Up to so many bytes as soon as there are some; none at the end of the connection."""
        if self._at < len(self._buffer):
            taken = self._buffer[self._at : self._at + most]
            self._at += len(taken)
            return taken
        return self.sock.recv(most)

    @property
    def is_empty(self) -> bool:
        """Whether all that was received has been used."""
        return self._at == len(self._buffer)

    def close(self) -> None:
        self.sock.close()

    def line(self) -> bytes:
        """A line between chunks, without its end; raises CutShort."""
        return self._line(_CHUNK_LINE_BYTES_MAX)

    def _headers(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        size = 0
        while line := self._line(_HEAD_BYTES_MAX):
            size += len(line)
            name, colon, value = line.partition(b":")
            if not colon or size > _HEAD_BYTES_MAX:
                raise NotHttp
            key, text = name.lower(), value.strip()
            found[key] = found[key] + b", " + text if key in found else text
        return found

    def _line(self, most: int, *, begins: bool = False) -> bytes:
        while True:
            end = self._buffer.find(b"\n", self._at)
            if end >= 0:
                line = self._buffer[self._at : end]
                self._at = end + 1
                return line.removesuffix(b"\r")
            rest = self._buffer[self._at :]
            if len(rest) > most:
                raise NotHttp if begins else CutShort
            data = self.sock.recv(_RECEIVED_BYTES)
            if not data:
                if begins and not rest:
                    raise HungUp
                raise NotHttp if begins else CutShort
            self._buffer, self._at = rest + data, 0


class Answer:
    """An answer whose head has been read; its body is to be read once, in order."""

    def __init__(
        self, wire: Wire, status: int, headers: dict[bytes, bytes], *, persistent: bool
    ) -> None:
        self.status = status
        self._wire = wire
        self._chunked = headers.get(b"transfer-encoding", b"").lower() == b"chunked"
        length = headers.get(b"content-length")
        self._left: int | None = 0  # bytes of the body or of a chunk; None: up to the end of it all
        if status not in _NO_BODY and not self._chunked:
            if length is not None and not _LENGTH.fullmatch(length):
                raise NotHttp
            self._left = None if length is None else int(length)
        self.whole = status in _NO_BODY or (self._left == 0 and not self._chunked)
        self._behind_chunk = False  # where a line ends before the next chunk's size
        tokens = headers.get(b"connection", b"").lower()
        self._persistent = persistent and b"close" not in tokens and self._left is not None

    @property
    def reusable(self) -> bool:
        """Whether the connection is ready for the next request: the body was read to its end."""
        return self.whole and self._persistent and self._wire.is_empty

    def read(self, most: int | None = None) -> bytes:
        """The rest of the body, or its first so many bytes; raises CutShort."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.pieces(_READ_BYTES):
            pieces.append(piece)
            size += len(piece)
            if most is not None and size >= most:
                break
        return b"".join(pieces)[:most]

    def pieces(self, most: int) -> Iterator[bytes]:
        """The rest of the body in pieces of up to so many bytes, as they come; raises CutShort."""
        while not self.whole:
            if self._chunked and not self._left and not self._next_chunk():
                return
            asked = most if self._left is None else min(most, self._left)
            piece = self._wire.receive(asked)
            if not piece:
                if self._left is not None:
                    raise CutShort
                self.whole = True
                return
            if self._left is not None:
                self._left -= len(piece)
                self.whole = not self._left and not self._chunked
            yield piece

    def _next_chunk(self) -> bool:
        """Step over the line between two chunks; false behind the last one."""
        if self._behind_chunk and self._wire.line():
            raise CutShort
        self._behind_chunk = True
        match = _SIZE.fullmatch(self._wire.line())
        if match is None:
            raise CutShort
        self._left = int(match[1], 16)
        if self._left:
            return True
        while self._wire.line():
            pass  # a trailer
        self.whole = True
        return False


def _name_alone(host: str) -> str:
    """The name in a Host header, without brackets and port."""
    if host.startswith("["):
        return host[1 : host.index("]")]
    return host.partition(":")[0]
