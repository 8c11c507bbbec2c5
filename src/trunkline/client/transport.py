"""HTTP to one server, over its socket or TCP.

Thread-safe: each exchange has a connection of its own, taken from a small pool of kept ones and
given back when its answer was read to the end. Waits have no time limit; a server that dies is
noticed by its socket closing, by missing heartbeats in a stream of lines, or by TCP keep-alive.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from trunkline.client.address import HttpAddress, ServerAddress, SocketAddress
from trunkline.client.wire import Answer, CutShort, HungUp, NotHttp, Wire
from trunkline.errors import (
    InvalidInput,
    TokenRefused,
    TrunklineError,
    Unavailable,
    from_report,
    shown,
)
from trunkline.model.roles import FOR_OTHERS
from trunkline.values import dataclass

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT_S = 10.0
SILENCE_MAX_S = 60.0  # in a stream of lines; the server says something every 15 seconds
REVIVALS_MAX = 5  # of a local server that dies while it is being asked
REVIVAL_PAUSE_S = 0.05
KEPT_MAX = 8  # idle connections
KEPT_FOR_S = 30.0  # the server closes them after 75
TARGET_BYTES_MAX = 60 * 1024  # what the server reads of a request line
SEND_BYTES = 1024 * 1024  # on their way through a Unix socket, as those of the server
PIECE_BYTES = 256 * 1024  # least that is sent at a time of an upload
PIECES_MAX = 1000  # sent at once; systems take 1,024 buffers
ERROR_BYTES_MAX = 1024 * 1024

_ERROR_LINE = b'\n{"error":'  # the last line of a stream that failed
_FAILURES = (OSError, HungUp, NotHttp, CutShort)  # of one exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    target: str  # path and query, percent-encoded
    body: bytes | None = None  # JSON
    repeatable: bool = False  # sending it twice does what sending it once does


class Transport:
    """A way to one server; over https, `ca_file` says who vouches for it, else the machine does.

    Its certificate has to be for `tls_name`, if one is given, or else for its address.

    `revive` is called when nobody listens at the address (once per connection attempt), to start
    the server anew.
    """

    def __init__(
        self,
        address: ServerAddress,
        *,
        token: str | None = None,
        ca_file: str | None = None,
        tls_name: str | None = None,
        revive: Callable[[], None] | None = None,
        for_others: bool = False,
    ) -> None:
        """`for_others` says that what is asked for was noted in the audit log already."""
        self.address = address
        self._revive = revive
        self._ca_file = ca_file
        self._tls_name = tls_name
        self._tls: ssl.SSLContext | None = None  # once it is needed
        self._begin()
        self._headers = {"User-Agent": "trunkline", "Accept-Encoding": "identity"}
        if for_others:
            self._headers[FOR_OTHERS] = "yes"
        if token is not None:
            if not token.isascii() or not token.isprintable() or " " in token or not token:
                raise InvalidInput("the token has characters that no token has")
            self._headers["Authorization"] = f"Bearer {token}"

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._kept: list[tuple[float, Wire]] = []

    def _own(self) -> None:
        """Leave the connections to the process that opened them, if this one was forked from it."""
        if self._process != os.getpid():
            self._begin()

    @property
    def private(self) -> bool:
        """Whether the server is on this machine, behind the socket of one user."""
        return isinstance(self.address, SocketAddress)

    def call(self, request: Request) -> bytes:
        """The whole answer to a request; raises the error that the server reports."""
        wire, answer = self._exchange(request)
        with self._reading(wire, answer):
            return answer.read()

    def lines(self, request: Request) -> Iterator[bytes]:
        """The answer in batches of whole lines, each as soon as it has arrived."""
        wire, answer = self._exchange(request)
        wire.sock.settimeout(SILENCE_MAX_S)
        with self._reading(wire, answer):
            rest = b""
            for piece in answer.pieces():
                whole, newline, rest = (rest + piece).rpartition(b"\n")
                if not newline or not whole.strip():
                    continue  # half a line, or a heartbeat
                before, found, report = (b"\n" + whole).rpartition(_ERROR_LINE)
                if not found:
                    yield whole
                    continue
                if before.strip():
                    yield before
                raise _reported(500, _ERROR_LINE + report, str(self.address))

    def octets(self, request: Request) -> Iterator[bytes]:
        """The answer in pieces as they come."""
        wire, answer = self._exchange(request)
        with self._reading(wire, answer):
            yield from answer.pieces()

    def upload(self, request: Request, pieces: Iterable[bytes], media_type: str) -> bytes:
        """Send a body of unknown length, and give the whole answer.

        A small one goes out together with its head. Of another, sending stops as soon as the server
        answers: an error need not wait for the last byte. If `pieces` raises, the connection is
        broken off, and the server discards what it got.
        """
        groups = _gathered(pieces)
        begin = next(groups, [])
        size = sum(map(len, begin))
        if size < PIECE_BYTES and len(begin) < PIECES_MAX:  # that is all
            wire, answer = self._exchange(request, b"".join(begin), media_type)
            with self._reading(wire, answer):
                return answer.read()
        wire = self._connect()  # a kept one may be lost while sending, with no way back
        try:
            whole = self._stream(wire, request, chain([begin], groups), media_type)
            answer = wire.answer()
        except _FAILURES as error:
            wire.close()
            raise self._lost(error) from error
        except BaseException:
            wire.close()
            raise
        with self._reading(wire, answer, keep=whole):
            self._check(answer)
            return answer.read()

    def close(self) -> None:
        """Close the kept connections; the transport can still be used."""
        self._own()
        with self._lock:
            kept, self._kept = self._kept, []
        for _, wire in kept:
            wire.close()

    def _stream(
        self, wire: Wire, request: Request, groups: Iterable[list[bytes]], media_type: str
    ) -> bool:
        """Send head and body; False when the server answered before it had all of it."""
        headers = {**self._headers, "Content-Type": media_type, "Transfer-Encoding": "chunked"}
        wire.send(wire.head(request.method, request.target, headers))
        for gathered in groups:
            if wire.has_news():
                return False
            try:
                _send_chunk(wire, gathered)
            except (BrokenPipeError, ConnectionResetError):
                return False  # its reason may still be there to be read
        wire.send(b"0\r\n\r\n")
        return True

    def _exchange(
        self, request: Request, body: bytes | None = None, media_type: str = "application/json"
    ) -> tuple[Wire, Answer]:
        """Send a request and read the head of its answer; raises what the server reports."""
        if len(request.target) > TARGET_BYTES_MAX:
            raise InvalidInput("the arguments are too long for one request; ask for less at a time")
        headers, body = self._headers, request.body if body is None else body
        if body is not None:
            headers = {**headers, "Content-Type": media_type, "Content-Length": str(len(body))}
        elif request.method in ("POST", "PUT"):
            headers = {**headers, "Content-Length": "0"}
        revivals = REVIVALS_MAX if self._revive is not None else 0
        while True:
            wire, kept = self._take()
            sent = False
            try:
                wire.send(wire.head(request.method, request.target, headers) + (body or b""))
                sent = True
                answer = wire.answer()
            except _FAILURES as error:
                wire.close()
                if kept and (request.repeatable or not sent):
                    self.close()  # the server has let go of the others too
                    continue
                if revivals and request.repeatable:
                    revivals -= 1  # it was just being killed; soon nobody will listen
                    time.sleep(REVIVAL_PAUSE_S)
                    continue
                raise self._lost(error) from error
            except BaseException:
                wire.close()
                raise
            try:
                self._check(answer)
            except BaseException:
                self._give_back(wire, answer)
                raise
            return wire, answer

    @contextlib.contextmanager
    def _reading(self, wire: Wire, answer: Answer, *, keep: bool = True) -> Iterator[None]:
        """While inside, the answer is read; what was not read to its end closes the connection."""
        try:
            yield
        except TimeoutError as error:
            raise Unavailable(
                f"the server at {self.address} has given no sign of life for "
                f"{SILENCE_MAX_S:.0f} seconds"
            ) from error
        except _FAILURES as error:
            raise self._broke_off() from error
        finally:
            if keep:
                self._give_back(wire, answer)
            else:
                wire.close()

    def _take(self) -> tuple[Wire, bool]:
        """A connection, and whether it is a kept one."""
        self._own()
        while True:
            with self._lock:
                if not self._kept:
                    break
                since, wire = self._kept.pop()
            if time.monotonic() - since < KEPT_FOR_S and not wire.has_news():
                return wire, True
            wire.close()
        return self._connect(), False

    def _give_back(self, wire: Wire, answer: Answer) -> None:
        if not answer.reusable:
            wire.close()
            return
        wire.sock.settimeout(None)
        with self._lock:
            if len(self._kept) < KEPT_MAX:
                self._kept.append((time.monotonic(), wire))
                return
        wire.close()

    def _connect(self) -> Wire:
        try:
            return _open(self.address, self._trusting(), self._tls_name)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            if self._revive is None:
                raise self._unreachable(error) from error
        except OSError as error:
            raise self._unreachable(error) from error
        self._revive()
        try:
            return _open(self.address, self._trusting(), self._tls_name)
        except OSError as error:
            raise self._unreachable(error) from error

    def _trusting(self) -> "ssl.SSLContext | None":
        if isinstance(self.address, SocketAddress) or not self.address.secure:
            return None
        if self._tls is None:
            from trunkline.client.tls import trusting

            self._tls = trusting(self._ca_file)
        return self._tls

    def _unreachable(self, error: OSError) -> Unavailable:
        if isinstance(self.address, HttpAddress) and self.address.secure:
            from trunkline.client.tls import refusal

            if (
                told := refusal(error, self._tls_name or self.address.host, self.address)
            ) is not None:
                return Unavailable(
                    f"can't reach the server at {self.address}: {told[0]}; {told[1]}"
                )
        if isinstance(error, socket.gaierror) and isinstance(self.address, HttpAddress):
            why, cure = f"there is no host '{self.address.host}'", "check the address"
        elif isinstance(error, TimeoutError):
            why, cure = "it does not answer", "check the address and the network"
        elif isinstance(error, FileNotFoundError | ConnectionRefusedError):
            start = "up" if self.private else f"serve --listen {_host_port(self.address)}"
            why, cure = "nobody listens there", f"`trunkline {start}` starts a server"
        else:
            why, cure = str(error.strerror or error), "check the address"
        return Unavailable(f"can't reach the server at {self.address}: {why}; {cure}")

    def _lost(self, error: Exception) -> Unavailable:
        if isinstance(self.address, HttpAddress) and not self.address.secure:
            from trunkline.client.tls import speaks_tls

            if speaks_tls(self.address):
                there = HttpAddress(host=self.address.host, port=self.address.port, secure=True)
                return Unavailable(
                    f"the server at {self.address} wants TLS; its address is {there}"
                )
        if isinstance(error, NotHttp):
            return Unavailable(f"what listens at {self.address} does not speak HTTP")
        return Unavailable(
            f"the server at {self.address} closed the connection before it answered; "
            "whether it did what was asked is not known"
        )

    def _broke_off(self) -> Unavailable:
        return Unavailable(
            f"the server at {self.address} broke off in the middle of its answer; it may have "
            "been stopped or killed, and what is durable is safe: run the command again"
        )

    def _check(self, answer: Answer) -> None:
        if answer.status == 200:
            return
        try:
            body = answer.read(ERROR_BYTES_MAX)
        except _FAILURES as error:
            raise self._broke_off() from error
        raise _reported(answer.status, body, str(self.address))


def _open(address: ServerAddress, tls: "ssl.SSLContext | None", tls_name: str | None) -> Wire:
    if isinstance(address, SocketAddress):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        sock = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
    try:
        if isinstance(address, SocketAddress):
            sock.settimeout(CONNECT_TIMEOUT_S)
            # Fewer changes between the two processes while much is sent; the system has a limit.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
            sock.connect(address.path)
            wire = Wire(sock, host="localhost")
        else:
            _keep_alive(sock)
            host = _host_port(address)
            wire = Wire(sock, host=host, tls=tls, tls_name=tls_name or address.host)
    except BaseException:
        sock.close()
        raise
    wire.sock.settimeout(None)
    return wire


def _keep_alive(tcp: socket.socket) -> None:
    """Send at once, and have the kernel find out within a minute when the other end is gone."""
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _gathered(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The same bytes in groups of pieces that are worth a system call."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES or len(waiting) >= PIECES_MAX:
            yield waiting
            waiting, size = [], 0
    if size:
        yield waiting


def _send_chunk(wire: Wire, pieces: list[bytes]) -> None:
    """Send pieces as one chunk of a chunked body; large ones without a copy."""
    size = sum(map(len, pieces))
    if not size:
        return  # an empty chunk would end the body
    parts = [b"%x\r\n" % size, *pieces, b"\r\n"]
    if wire.secure or max(map(len, pieces)) < PIECE_BYTES:
        wire.send(b"".join(parts))
        return
    views = [memoryview(part) for part in parts if part]
    while views:
        sent = wire.sock.sendmsg(views)
        while views and sent >= len(views[0]):
            sent -= len(views.pop(0))
        if sent:
            views[0] = views[0][sent:]


def _reported(status: int, body: bytes, address: str) -> TrunklineError:
    """The error in an answer; whatever stands between may answer in its own way."""
    try:
        report = json.loads(body)["error"]
        return from_report(
            code=str(report["code"]),
            message=str(report["message"]),
            exit_status=int(report["exit_status"]),
            http_status=int(report["http_status"]),
        )
    except (ValueError, KeyError, TypeError):
        said = body[:200].decode("utf-8", "replace").strip()
    what = f"the server at {address} answered with HTTP status {status}"
    sentence = f"{what}: {shown(said)}" if said else what
    if status == 401:
        return TokenRefused(sentence)
    return Unavailable(sentence)


def _host_port(address: ServerAddress) -> str:
    return str(address).partition("://")[2]
