"""A proxy in front of an S3 server that fails as networks and object stores do.

A plan looks at each request and names a fault, or none:
"error" (500) and "slow down" (503) are answered without asking; "reset" ends the connection before
the server has seen the request, "lost" after it has done it; "short" ends it within the body,
"cut" gives half of the body as if that were all; "flip" changes a bit of it; "refused" says 403;
"full" says 507, "not implemented" 501, "nothing" 404; "stale" gives the answer that the same list
got first.
"""

import http.client
import http.server
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field

_DENIED = (
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)


@dataclass(kw_only=True)
class Request:
    method: str
    path: str  # with the query
    number: int  # from 0
    conditional: bool  # to be done only if there is no such object

    @property
    def is_list(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.path

    @property
    def is_pack(self) -> bool:
        return "/packs/" in self.path


Plan = Callable[[Request], str | None]


@dataclass
class FaultProxy:
    """Listens on a port of its own; `seen` has all requests."""

    target: str
    plan: Plan = field(default=lambda _: None)
    seen: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lists: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        self._lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def _any(self) -> None:
                proxy.serve(self)

        for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler._any)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        with self._lock:
            request = Request(
                method=handler.command,
                path=handler.path,
                number=len(self.seen),
                conditional="If-None-Match" in handler.headers,
            )
            self.seen.append(request)
            fault = self.plan(request)
        if fault in _ANSWERED:
            status, said = _ANSWERED[fault]
            _answer(handler, status, [("Content-Type", "application/xml")], said)
            return
        if fault == "reset":
            handler.close_connection = True
            return
        status, headers, data = self._forward(handler, body)
        if request.is_list:
            key = handler.path.partition("&continuation")[0]
            first = self._lists.setdefault(key, (status, headers, data))
            status, headers, data = first if fault == "stale" else (status, headers, data)
        if fault == "lost":
            handler.close_connection = True
            return
        if fault == "flip" and data:
            at = len(data) // 2
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if fault == "cut":
            data = data[: len(data) // 2]
        _answer(handler, status, headers, data, short=fault == "short")

    def _forward(
        self, handler: http.server.BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        host = urllib.parse.urlsplit(self.target).netloc
        connection = http.client.HTTPConnection(host)
        try:
            headers = {k: v for k, v in handler.headers.items() if k.lower() not in _OF_ONE_HOP}
            connection.request(handler.command, handler.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


def _answer(
    handler: http.server.BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    data: bytes,
    *,
    short: bool = False,
) -> None:
    handler.send_response_only(status)
    size = str(len(data))
    for name, value in headers:
        if name.lower() == "content-length" and handler.command == "HEAD":
            size = value
        elif name.lower() not in _OF_ONE_HOP | {"content-length"}:
            handler.send_header(name, value)
    handler.send_header("Content-Length", size)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data[: len(data) // 2] if short else data)
    if short:
        handler.close_connection = True


_OF_ONE_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "host"})
_ANSWERED = {
    "error": (500, b"<Error><Code>InternalError</Code></Error>"),
    "slow down": (503, b"<Error><Code>SlowDown</Code></Error>"),
    "refused": (403, _DENIED),
    "not implemented": (501, b"<Error><Code>NotImplemented</Code></Error>"),
    "nothing": (404, b""),
    "full": (507, b"<Error><Code>StorageFull</Code></Error>"),
}
