"""A server in a thread of the test, on any implementation of the operations."""

import http.client
import json
import secrets
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trunkline.client.address import HttpAddress, SocketAddress
from trunkline.client.remote import RemoteClient
from trunkline.client.transport import Transport
from trunkline.jobs.certificate import Certificate
from trunkline.server.app import build_app
from trunkline.server.serve import make_server

SPEC_BYTES_MAX = 64 * 1024


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


class MemoryServer:
    """Listens on a private socket and on TCP; use in a `with` statement."""

    def __init__(
        self,
        operations: Any,
        directory: Path,
        *,
        heartbeat_s: float = 0.1,
        hosts: Any = (),
        certificate: Certificate | None = None,
    ) -> None:
        self.operations = operations
        self.token: str = secrets.token_urlsafe(16)
        self.path = directory / "s.sock"
        self._sockets = [socket.socket(socket.AF_UNIX), _tcp()]
        self._sockets[0].bind(str(self.path))
        self._sockets[1].bind(("127.0.0.1", 0))
        self.port = self._sockets[1].getsockname()[1]
        self.app = build_app(
            operations,
            spec_bytes_max=SPEC_BYTES_MAX,
            token=self.token,
            hosts=hosts,
            shut_down=lambda: self._server.stop(),
            heartbeat_s=heartbeat_s,
        )
        self._ready = threading.Event()
        self._server = make_server(self.app, on_ready=self._ready.set, certificate=certificate)
        self.thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": self._sockets}, daemon=True
        )
        self._clients: list[RemoteClient] = []

    def client(self, *, tcp: bool = False) -> RemoteClient:
        """A client over the private socket or, with the token, over TCP."""
        if tcp:
            address = HttpAddress(host="127.0.0.1", port=self.port)
            transport = Transport(address, token=self.token)
        else:
            transport = Transport(SocketAddress(path=str(self.path)))
        client = RemoteClient(transport)
        self._clients.append(client)
        return client

    def connect(self, *, tcp: bool = False) -> http.client.HTTPConnection:
        """A bare HTTP connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if not tcp:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(20)
            connection.sock.connect(str(self.path))
        return connection

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        tcp: bool = False,
    ) -> Answer:
        """The answer to one bare request."""
        connection = self.connect(tcp=tcp)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def stop(self) -> None:
        self._server.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def __enter__(self) -> Self:
        self.thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        self.stop()


def _tcp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
