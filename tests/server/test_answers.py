"""A short answer reaches its caller in one piece; nothing else is held back."""

import socket

from memory_server import MemoryServer

from trunkline.server.rest.routes import PREFIX


def asked(server: MemoryServer, request: bytes) -> bytes:
    """What one read gives of the answer to a request that is followed by nothing."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.path))
        connection.sendall(request)
        return connection.recv(1 << 20)


def test_head_and_body_come_together(server: MemoryServer) -> None:
    request = f"GET {PREFIX}/version HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    head, _, body = asked(server, request).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert body.startswith(b"{")


def test_the_answer_to_who_wants_no_other_one_comes_together_too(server: MemoryServer) -> None:
    request = (
        f"GET {PREFIX}/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )

    head, _, body = asked(server, request).partition(b"\r\n\r\n")

    assert b"connection: close" in head.lower()
    assert body.startswith(b"{")


def test_requests_that_come_at_once_are_answered_in_order(server: MemoryServer) -> None:
    one = f"GET {PREFIX}/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    other = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answers = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.path))
        connection.sendall((one + other).encode())
        while piece := connection.recv(1 << 20):
            answers += piece

    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert answers.index(b"version") < answers.index(b'"status":"ok"')
