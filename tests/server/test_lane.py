"""Small uploads past the event loop: nobody can tell, whatever comes before, behind or amidst."""

import http.client
import re
import socket
import threading
from collections.abc import Iterator

import pytest
from memory_server import Answer, MemoryServer

from trunkline.api.changes import PutFile, PutUrl, write_changes
from trunkline.api.waiting import check_wanted
from trunkline.errors import Unavailable
from trunkline.server.rest.lane import Lane
from trunkline.server.rest.routes import PREFIX

LIST = f"GET {PREFIX}/repos HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def upload(path: str, repo: str = "r", headers: str = "", query: str = "") -> bytes:
    """A whole request that puts a small file."""
    body = b"".join(write_changes([PutFile(path=path, content=[path.encode()])]))
    head = (
        f"POST {PREFIX}/repos/{repo}/files/master{query} HTTP/1.1\r\nHost: localhost\r\n{headers}"
    )
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each request that the lane saw, whether it was one for it."""
    seen: list[bool] = []
    real = Lane.read

    def read(lane: Lane, data: bytes) -> object:
        deed = real(lane, data)
        seen.append(deed is not None)
        return deed

    monkeypatch.setattr(Lane, "read", read)
    return seen


@pytest.fixture
def caller(server: MemoryServer, lent: list[bool]) -> Iterator[socket.socket]:
    """A connection to a server that has a repo."""
    server.operations.repos.create_repo("r")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(str(server.path))
        yield caller


def answered(caller: socket.socket) -> Answer:
    """The next answer, of which not a byte more is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += caller.recv(1)
    first, *lines = head.decode().split("\r\n")[:-2]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = b""
    if "content-length" in headers:
        while len(body) < int(headers["content-length"]):
            body += caller.recv(1)
    else:
        while not body.endswith(b"0\r\n\r\n"):
            body += caller.recv(1)
    return Answer(int(first.split()[1]), headers, body)


def paths(server: MemoryServer) -> list[str]:
    return sorted(server.operations.trees["r"]["master"][-1][1])


def test_small_uploads_are_answered_one_after_the_other(
    server: MemoryServer, caller: socket.socket, lent: list[bool]
) -> None:
    for n in range(20):
        caller.sendall(upload(f"f{n:02}"))
        assert answered(caller).status == 200
        assert paths(server)[-1] == f"f{n:02}"

    assert lent == [True] * 20


@pytest.mark.parametrize(
    "parts",
    [
        [upload("b")[:10], upload("b")[10:], LIST],  # in two parts
        [upload("b")[:-1], upload("b")[-1:], LIST],
        [upload("b") + upload("c"), LIST],  # two at once
        [upload("b") + LIST[:5], LIST[5:], LIST],
        [upload("b", headers="Connection: keep-alive\r\n"), LIST],
        [LIST + upload("b")],
        [LIST, upload("b")],
    ],
)
def test_whatever_comes_behind_one_is_answered_as_ever(
    server: MemoryServer, caller: socket.socket, parts: list[bytes]
) -> None:
    requests = len(re.findall(rb" HTTP/1\.1", b"".join(parts)))
    caller.sendall(upload("a"))
    assert answered(caller).status == 200

    for part in parts:
        caller.sendall(part)
    answers = [answered(caller) for _ in range(requests)]
    caller.sendall(upload("z"))

    assert {answer.status for answer in [*answers, answered(caller)]} == {200}
    assert paths(server)[:2] == ["a", "b"]
    assert paths(server)[-1] == "z"


@pytest.mark.parametrize(
    ("repo", "query", "brief"),
    [
        ("r", "", True),
        ("none", "", True),
        ("r", "?nonsense=1", False),
        ("%ff", "", False),
    ],
)
def test_the_answer_is_the_same_as_that_of_the_usual_way(
    caller: socket.socket, lent: list[bool], repo: str, query: str, brief: bool
) -> None:
    caller.sendall(upload("a", repo, query=query))
    here = answered(caller)
    caller.sendall(upload("a", repo, "Connection: keep-alive\r\n", query))
    there = answered(caller)

    told_apart = re.compile(rb'"(id|parent|started|finished)":("[^"]*"|null)')
    assert here.status == there.status
    assert list(here.headers) == list(there.headers)
    assert told_apart.sub(b"", here.body) == told_apart.sub(b"", there.body)
    assert lent[0] == brief
    assert not lent[-1]


def test_what_can_last_is_not_brief(caller: socket.socket, lent: list[bool]) -> None:
    body = b"".join(write_changes([PutUrl(path="a", url="ftp://example.org/a")]))
    head = f"POST {PREFIX}/repos/r/files/master HTTP/1.1\r\nHost: x\r\n"
    caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    assert answered(caller).status == 400
    assert lent == [False]


def test_work_of_a_caller_who_has_hung_up_is_given_up(
    server: MemoryServer, caller: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, gave_up = threading.Event(), threading.Event()

    def working(*_: object, **__: object) -> None:
        began.set()
        try:
            while True:
                check_wanted()
        except Unavailable:
            gave_up.set()
            raise

    monkeypatch.setattr(server.operations.files, "_apply", working)
    caller.sendall(upload("a"))
    assert began.wait(30)

    caller.close()

    assert gave_up.wait(30)
    monkeypatch.undo()
    server.client().files.modify_files("r", "master", [PutFile(path="b", content=[b""])])
    assert paths(server) == ["b"]


def test_one_in_work_is_answered_when_the_server_is_told_to_stop(
    server: MemoryServer, caller: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    real = server.operations.files._apply

    def slow(*args: object, **given: object) -> object:
        began.set()
        assert go_on.wait(30)
        return real(*args, **given)

    monkeypatch.setattr(server.operations.files, "_apply", slow)
    caller.sendall(upload("a"))
    assert began.wait(30)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    while not server.app.threads.stopping:
        pass

    go_on.set()

    assert answered(caller).status == 200
    assert caller.recv(1) == b""
    stopping.join(30)
    assert paths(server) == ["a"]


def test_a_caller_over_tcp_brings_its_token_as_ever(server: MemoryServer) -> None:
    server.operations.repos.create_repo("r")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.connect()

    connection.sock.sendall(upload("a"))

    assert answered(connection.sock).status == 401
    connection.close()
