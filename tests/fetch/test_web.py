"""What a fetch gives, and what it says when it can't be had whole."""

import socket
import ssl
import threading

import pytest

from trunkline.errors import OperationFailed


@pytest.fixture
def raw(net):
    """A server that sends fixed bytes to whoever connects, then closes (or waits)."""
    opened = []

    def serve(*pieces, hold=False):
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)
        net.port = server.getsockname()[1]

        def run():
            connection, _ = server.accept()
            opened.append(connection)
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
            if not hold:
                connection.close()

        threading.Thread(target=run, daemon=True).start()

    yield serve
    for one in opened:
        one.close()


OK = b"HTTP/1.1 200 OK\r\n"


def test_a_large_content_comes_whole(net, served, fetch):
    body = bytes(range(256)) * 20_000
    served.give("/x?a=b&c=%20", body)

    assert fetch("http://8.8.8.8/x?a=b&c=%20#fragment") == body
    [(host, path, headers)] = served.seen
    assert (host, path) == ("8.8.8.8", "/x?a=b&c=%20")
    assert headers["User-Agent"] == "trunkline"
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)


def test_what_a_request_line_can_not_hold_is_quoted(net, served, fetch):
    served.give("/%C3%BC%7B%7D%22?q=%C3%A9", b"yes")

    assert fetch('http://8.8.8.8:8080/ü{}"?q=é') == b"yes"
    assert served.seen[0][0] == "8.8.8.8:8080"
    assert net.connected == [("8.8.8.8", 8080)]


@pytest.mark.parametrize(
    ("pieces", "sentence"),
    [
        ([OK + b"Content-Length: 10\r\n\r\nabc"], "it broke off"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"], "broke off"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n"], "broke off"),
        ([b"hello\r\n\r\n"], "fetching http://8.8.8.8/ failed"),
        ([b""], "fetching http://8.8.8.8/ failed"),
        ([b"HTTP/1.1 500 Oops\r\n\r\n"], "the answer was 500 Oops"),
        ([b"HTTP/1.1 206 Partial\r\nContent-Length: 1\r\n\r\nx"], "the answer was 206"),
        ([b"HTTP/1.1 302 Found\r\n\r\n"], "it redirects to nowhere"),
        ([OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n"], "failed"),
        ([OK + b"X: y\r\n" * 200 + b"\r\n"], "failed"),
    ],
)
def test_a_bad_answer_is_told(net, raw, fetch, pieces, sentence):
    raw(*pieces)

    with pytest.raises(OperationFailed, match=sentence):
        fetch("http://8.8.8.8/")


def test_a_content_in_chunks_comes_whole(raw, fetch):
    raw(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")

    assert fetch("http://8.8.8.8/") == b"abcde"


def test_a_content_without_a_length_ends_with_its_connection(raw, fetch):
    raw(OK + b"\r\n", b"abc", b"def")

    assert fetch("http://8.8.8.8/") == b"abcdef"


def test_what_is_too_large_is_not_read_to_its_end(net, served, raw, fetch):
    served.give("/", b"x" * 1000)
    with pytest.raises(OperationFailed, match="it is larger than 999 bytes"):
        fetch("http://8.8.8.8/", size=999)

    raw(OK + b"\r\n" + b"x" * 5000, hold=True)
    with pytest.raises(OperationFailed, match="it is larger than 999 bytes"):
        fetch("http://8.8.8.8/", size=999)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1", OK + b"\r\n", OK + b"\r\nabc"])
def test_a_server_that_falls_silent_is_given_up(raw, fetch, start):
    raw(start, hold=True)

    with pytest.raises(OperationFailed, match="did not answer in time|took more than"):
        fetch("http://8.8.8.8/", seconds=0.3)


def test_the_next_address_is_tried_where_one_refuses(net, served, fetch):
    net.knows("a.example", ["8.8.8.8", "9.9.9.9"])
    net.refusing = {"8.8.8.8"}
    served.give("/", b"second")

    assert fetch("http://a.example/") == b"second"
    net.refusing = {"8.8.8.8", "9.9.9.9"}
    with pytest.raises(OperationFailed, match="Connection refused"):
        fetch("http://a.example/")


def test_a_host_without_an_address_is_told(fetch):
    with pytest.raises(OperationFailed, match="its host has no address"):
        fetch("http://no.example/")


def test_a_certificate_that_nobody_trusts_is_refused(net, served, fetch, tmp_path):
    from subprocess import run

    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    made = run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key),
            *("-out", cert, "-days", "2", "-subj", "/CN=a.example"),
            *("-addext", "subjectAltName=DNS:a.example"),
        ],
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    served.server.socket = context.wrap_socket(served.server.socket, server_side=True)
    net.knows("a.example", ["8.8.8.8"])

    with pytest.raises(OperationFailed, match="(?i)certificate"):
        fetch("https://a.example/")

    assert served.seen == []
