"""A net without the Internet: names as tests wish, real connections to this machine."""

import http.server
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from trunkline.fetch.fetcher import Fetcher
from trunkline.fetch.policy import AsTyped, allow_list
from trunkline.fetch.web import Limits


class FakeNet:
    """Resolves from a table, one answer after the other; every address is served by `serve`."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.refusing: set[str] = set()
        self.port = 0  # of the server that stands behind every address

    def knows(self, host: str, *answers: list[str]) -> None:
        self.names[host] = list(answers)

    def resolve(self, host: str, port: int):
        self.resolved.append(host)
        answers = self.names.get(host)
        if answers is None:
            try:
                return [ipaddress.ip_address(host)]
            except ValueError:
                raise socket.gaierror(-2, "Name or service not known") from None
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ipaddress.ip_address(address) for address in answer]

    def connect(self, address, port: int, timeout_s: float) -> socket.socket:
        self.connected.append((str(address), port))
        if str(address) in self.refusing:
            raise ConnectionRefusedError(111, "Connection refused")
        assert self.port, "nothing should be connected to here"
        return socket.create_connection(("127.0.0.1", self.port), 10)


class Handler(http.server.BaseHTTPRequestHandler):
    answers: dict[str, tuple[int, dict[str, str], bytes]]
    seen: list[tuple[str, str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.headers["Host"], self.path, dict(self.headers)))
        key = self.headers["Host"] + self.path
        status, headers, body = (
            self.answers.get(key) or self.answers.get(self.path) or (404, {}, b"")
        )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Served:
    def __init__(self, net: FakeNet) -> None:
        self.net = net
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        kind = type("Bound", (Handler,), {"answers": self.answers, "seen": self.seen})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
        self.port = self.server.server_address[1]
        net.port = self.port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def give(self, where: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[where] = (status, named, body)

    def redirect(self, where: str, to: str, status: int = 302) -> None:
        self.answers[where] = (status, {"Location": to}, b"moved")


@pytest.fixture
def net() -> FakeNet:
    return FakeNet()


@pytest.fixture
def served(net: FakeNet) -> Iterator[Served]:
    """A server that stands behind every address of the net."""
    found = Served(net)
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def fetch(net: FakeNet) -> Callable[..., bytes]:
    """Fetches over the net: as a server with an allow-list, or (None) as a user."""

    def run(
        url: str, allow: str | None = "*", *, size: int = 1 << 30, seconds: float = 20
    ) -> bytes:
        policy = AsTyped() if allow is None else allow_list(allow)
        limits = Limits(bytes_max=size, seconds_max=seconds)
        return b"".join(Fetcher(policy=policy, limits=limits, net=net).read(url))

    return run
