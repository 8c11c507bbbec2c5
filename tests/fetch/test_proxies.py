"""A user's own fetches go through the proxy that the environment names; a server's never do."""

import base64
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.config import load
from trunkline.connect.urls import own_fetcher
from trunkline.errors import InvalidInput, NotAllowed, OperationFailed
from trunkline.fetch.proxies import Proxies, Proxy
from trunkline.fetch.urls import WebUrl, parse_url
from trunkline.jobs.stages import server_fetcher


class ProxyServer:
    """A proxy that answers plain requests itself and leads tunnels to one place."""

    def __init__(self, tunnels_to: int = 0) -> None:
        self.heads: list[str] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain"
        self.opens = b"HTTP/1.1 200 Connection established\r\n\r\n"
        self._tunnels_to = tunnels_to
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            self.heads.append(head.decode("ascii"))
            connection.sendall(self.opens if head.startswith(b"CONNECT") else self.answer)
            if head.startswith(b"CONNECT") and b" 200 " in self.opens:
                with socket.create_connection(("127.0.0.1", self._tunnels_to)) as host:
                    back = threading.Thread(target=_pump, args=(host, connection))
                    back.start()
                    _pump(connection, host)
                    back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def proxy() -> Iterator[ProxyServer]:
    server = ProxyServer()
    yield server
    server.close()


def settings(**environment: str) -> dict[str, str]:
    return {"HOME": "/nowhere", **environment}


def fetch(url: str, **environment: str) -> bytes:
    return b"".join(own_fetcher(load(settings(**environment))).read(url))


def web(text: str) -> WebUrl:
    parsed = parse_url(text)
    assert isinstance(parsed, WebUrl)
    return parsed


def test_an_http_url_is_asked_of_the_proxy_as_a_whole(proxy: ProxyServer) -> None:
    address = f"http://me:se%20cret@127.0.0.1:{proxy.port}"

    found = fetch("http://data.invalid/a?b=c", http_proxy=address)

    assert found == b"plain"
    [head] = proxy.heads
    assert head.startswith("GET http://data.invalid/a?b=c HTTP/1.1\r\nHost: data.invalid\r\n")
    coded = base64.b64encode(b"me:se cret").decode()
    assert f"Proxy-Authorization: Basic {coded}\r\n" in head


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of an https server for `data.invalid`, whose certificate is trusted."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key),
            *("-out", certificate, "-days", "2", "-subj", "/CN=data.invalid"),
            *("-addext", "subjectAltName=DNS:data.invalid"),
        ],
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = server.accept()
        with context.wrap_socket(connection, server_side=True) as wrapped:
            head = wrapped.recv(65536)
            assert head.startswith(b"GET /secret HTTP/1.1\r\nHost: data.invalid\r\n")
            assert b"Proxy-Authorization" not in head
            wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure")

    threading.Thread(target=run, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def test_an_https_url_is_reached_through_a_tunnel_that_the_proxy_can_not_read(secure: int) -> None:
    proxy = ProxyServer(tunnels_to=secure)

    found = fetch("https://data.invalid/secret", HTTPS_PROXY=f"me:x@127.0.0.1:{proxy.port}")

    assert found == b"secure"
    [head] = proxy.heads
    assert head.startswith("CONNECT data.invalid:443 HTTP/1.1\r\nHost: data.invalid:443\r\n")
    assert "Proxy-Authorization: Basic bWU6eA==\r\n" in head
    assert "secret" not in head
    proxy.close()


@pytest.mark.parametrize(
    ("opens", "sentence"),
    [
        (b"HTTP/1.1 407 Who are you\r\n\r\n", "answered 'HTTP/1.1 407 Who are you'"),
        (b"HTTP/1.1 407\r\nX: y", "broke off"),
        (b"hello\r\n\r\n", "answered 'hello'"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_told(
    proxy: ProxyServer, opens: bytes, sentence: str
) -> None:
    proxy.opens = opens

    with pytest.raises(
        OperationFailed, match=f"fetching https://data.invalid/.* the proxy .*{sentence}"
    ):
        fetch("https://data.invalid/x", https_proxy=f"http://127.0.0.1:{proxy.port}")


def test_a_redirect_to_an_address_inside_is_refused_through_a_proxy_too(
    proxy: ProxyServer,
) -> None:
    proxy.answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"

    with pytest.raises(NotAllowed, match="redirects to '127.0.0.1', which is a loopback address"):
        fetch("http://data.invalid/", http_proxy=f"http://127.0.0.1:{proxy.port}")

    assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("http://a.example/", {"http_proxy": "http://p:8"}, ("p", 8)),
        ("http://a.example/", {"HTTP_PROXY": "http://p:8"}, ("p", 8)),
        ("http://a.example/", {"HTTP_PROXY": "http://p:8", "REQUEST_METHOD": "GET"}, None),
        ("http://a.example/", {"http_proxy": "http://p:8", "HTTP_PROXY": "http://q:9"}, ("p", 8)),
        ("http://a.example/", {"https_proxy": "http://p:8"}, None),
        ("https://a.example/", {"all_proxy": "p"}, ("p", 80)),
        ("https://a.example/", {"https_proxy": "http://[::1]:8/"}, ("::1", 8)),
        ("http://a.example/", {"http_proxy": "p:8", "no_proxy": "other,.example"}, None),
        ("http://a.example/", {"http_proxy": "p:8", "no_proxy": "a.example:81"}, ("p", 8)),
        ("http://a.example/", {"http_proxy": "p:8", "NO_PROXY": "*"}, None),
        ("http://127.0.0.1/", {"http_proxy": "p:8", "no_proxy": "localhost,127.0.0.1"}, None),
    ],
)
def test_which_proxy_is_used_is_read_as_others_read_it(
    url: str, environment: dict[str, str], expected: tuple[str, int] | None
) -> None:
    config = load(settings(**environment))
    proxies = Proxies(http=config.http_proxy, https=config.https_proxy, bypass=config.no_proxy)

    found = proxies.of(web(url))

    assert found == (
        None if expected is None else Proxy(host=expected[0], port=expected[1], credentials="")
    )


@pytest.mark.parametrize(
    "address", ["socks5://p:1", "https://p:1", "http://", "http://p:99999", "http://[p"]
)
def test_a_proxy_that_can_not_be_used_is_named_by_its_variable(address: str) -> None:
    with pytest.raises(InvalidInput, match="the proxy in HTTPS_PROXY can't be used; write http:"):
        fetch("https://a.example/", https_proxy=address)


def test_a_server_uses_none(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{proxy.port}"
    monkeypatch.setenv("http_proxy", address)
    config = load(settings(http_proxy=address, TRUNKLINE_FETCH_ALLOW="*"))

    with pytest.raises(OperationFailed, match="its host has no address"):
        list(server_fetcher(config).read("http://data.invalid/"))

    assert proxy.heads == []
