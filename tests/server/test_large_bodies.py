"""Large contents go around the HTTP library: whole, in order, over a connection that lives on."""

import os
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from memory_operations import MemoryOperations
from memory_server import MemoryServer

from trunkline.api.changes import PutFile, read_changes
from trunkline.errors import Corrupt, Unavailable
from trunkline.server.rest.routes import PREFIX

CONTENT = os.urandom(5_000_000)
SIZES = (1, 127 * 1024, 128 * 1024, 129 * 1024, 10, 3_000_000, 0, 1, 500_000)


class Pieces(MemoryOperations):
    """Gives content in pieces of all sizes; may fail between them."""

    fails = False

    def __init__(self) -> None:
        super().__init__()
        self.files.read_file = self._read  # type: ignore[method-assign]

    def _read(self, **arguments: Any) -> Iterator[bytes]:
        if arguments.get("offset_bytes"):
            raise Corrupt("chunk ab", "this", "that")
        at = 0
        for size in SIZES:
            yield CONTENT[at : at + size]
            at += size
            if self.fails and at > 1_000_000:
                raise Corrupt("chunk ab", "this", "that")


@pytest.fixture
def pieces(tmp_path: Any) -> Iterator[MemoryServer]:
    with MemoryServer(Pieces(), tmp_path) as running:
        yield running


@pytest.mark.parametrize("tcp", [False, True])
def test_pieces_of_all_sizes_arrive_in_order(pieces: MemoryServer, tcp: bool) -> None:
    client = pieces.client(tcp=tcp)

    for _ in range(3):  # one connection, again and again
        assert b"".join(client.files.read_file("r", "c", "p")) == CONTENT[: sum(SIZES)]


def test_a_slow_reader_gets_everything(pieces: MemoryServer) -> None:
    connection = pieces.connect()
    connection.request("GET", f"{PREFIX}/repos/r/content/c/p")
    response = connection.getresponse()
    randomness = random.Random(1)

    read = bytearray()
    while part := response.read(randomness.randrange(1, 300_000)):
        read += part

    assert read == CONTENT[: sum(SIZES)]
    connection.close()


def test_a_caller_that_hangs_up_is_let_go(pieces: MemoryServer) -> None:
    connection = pieces.connect()
    connection.request("GET", f"{PREFIX}/repos/r/content/c/p")
    connection.getresponse().read(10)
    connection.close()

    assert b"".join(pieces.client().files.read_file("r", "c", "p")) == CONTENT[: sum(SIZES)]


def test_an_error_in_the_middle_breaks_off_and_is_told(pieces: MemoryServer) -> None:
    pieces.operations.fails = True

    with pytest.raises((Corrupt, Unavailable)) as raised:
        b"".join(pieces.client().files.read_file("r", "c", "p"))

    assert raised.type is Corrupt


def test_a_caller_of_the_first_version_of_http_gets_no_chunks(pieces: MemoryServer) -> None:
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(20)
    plain.connect(str(pieces.path))
    plain.sendall(f"GET {PREFIX}/repos/r/content/c/p HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    answer = b""
    while part := plain.recv(1 << 20):
        answer += part
    plain.close()

    assert answer.partition(b"\r\n\r\n")[2] == CONTENT[: sum(SIZES)]


@pytest.mark.parametrize("tcp", [False, True])
def test_uploads_in_pieces_of_all_sizes_arrive_whole(server: MemoryServer, tcp: bool) -> None:
    client = server.client(tcp=tcp)
    client.repos.create_repo("r")
    starts = [sum(SIZES[:n]) for n in range(len(SIZES))]

    client.files.modify_files(
        "r",
        "master",
        [
            PutFile(
                path=f"{n}",
                content=[CONTENT[a : a + s] for a, s in zip(starts, SIZES, strict=True)],
            )
            for n in range(3)
        ],
    )

    for n in range(3):
        assert b"".join(client.files.read_file("r", "master", f"{n}")) == CONTENT[: sum(SIZES)]
    tree = read_changes(client.files.read_tree("r", "master", "/"))
    assert [(f.path, b"".join(f.content)) for f in tree if isinstance(f, PutFile)] == [
        (f"{n}", CONTENT[: sum(SIZES)]) for n in range(3)
    ]
