"""Large uploads are read off the connection by their own thread; nobody else can tell."""

import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_operations import MemoryOperations
from memory_server import MemoryServer

from trunkline.api.changes import PutFile, write_changes
from trunkline.api.waiting import check_wanted
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import TrunklineError, Unavailable
from trunkline.server import serve
from trunkline.server.rest import endpoint
from trunkline.server.rest.routes import PREFIX

TARGET = f"{PREFIX}/repos/r/files/master"
GIVEN_UP_S = 20.0
NEXT = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
SMUGGLED = b'POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: 16\r\n\r\n{"name":"hidden"}'
HIDDEN = SMUGGLED % f"{PREFIX}/repos".encode()
FEW = settings().max_examples // 2
NUMBERS = count()


@pytest.fixture
def filled(server: MemoryServer) -> MemoryServer:
    server.operations.repos.create_repo("r")
    return server


@pytest.fixture
def direct_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way that others go is closed."""

    def closed(*_: object) -> None:
        raise AssertionError("an upload came through the HTTP library")

    monkeypatch.setattr(endpoint, "Inflow", closed)


def head(*headers: str, target: str = TARGET, version: str = "1.1") -> bytes:
    lines = [f"POST {target} HTTP/{version}", "host: localhost", *headers]
    lines.append("transfer-encoding: chunked")
    return "\r\n".join([*lines, "", ""]).encode()


def upload(*contents: bytes) -> bytes:
    changes = [PutFile(path=f"{n}", content=[content]) for n, content in enumerate(contents)]
    return b"".join(write_changes(changes))


def framed(body: bytes, size: int = 50_000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return b"".join(chunks) + b"0\r\n\r\n"


def linked(server: MemoryServer, *, tcp: bool = False) -> socket.socket:
    if tcp:
        link = socket.create_connection(("127.0.0.1", server.port))
    else:
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(server.path))
    link.settimeout(GIVEN_UP_S)
    return link


def rest_of(link: socket.socket) -> bytes:
    """All that still comes until the server hangs up."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while piece := link.recv(65536):
            came += piece
    return came


def answer_of(link: socket.socket) -> tuple[int, dict]:
    """The next answer; nothing behind it is read."""
    came = b""
    while not came.endswith(b"\r\n\r\n"):
        piece = link.recv(1)
        assert piece, came
        came += piece
    size = int(came.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = b""
    while len(body) < size:
        piece = link.recv(size - len(body))
        assert piece, body
        body += piece
    return int(came.split(b" ")[1]), json.loads(body)


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + GIVEN_UP_S
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def files_of(server: MemoryServer) -> dict[str, bytes]:
    return server.operations.trees["r"]["master"][-1][1]


# --- what comes is stored -------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.usefixtures("direct_only")
def test_clients_send_large_files_past_the_http_library(filled: MemoryServer, tcp: bool) -> None:
    content = [random.Random(n).randbytes(700_000) for n in range(5)]
    client = filled.client(tcp=tcp)

    for n in range(3):  # one connection after the other is kept and taken again
        client.files.modify_files("r", "master", [PutFile(path=f"{n}", content=content)])
        assert [repo.name for repo in client.repos.list_repos()] == ["r"]

    assert files_of(filled) == {f"{n}": b"".join(content) for n in range(3)}


@pytest.mark.usefixtures("direct_only")
def test_a_body_that_trickles_arrives(filled: MemoryServer) -> None:
    with linked(filled) as link:
        for byte in head("connection: close") + framed(upload(b"some content", b""), 5):
            link.sendall(bytes([byte]))
            time.sleep(0)  # so that most of them arrive alone
        came = rest_of(link)

    assert came.startswith(b"HTTP/1.1 200 ")
    assert files_of(filled) == {"0": b"some content", "1": b""}


def test_uploads_and_other_requests_take_turns_on_one_connection(filled: MemoryServer) -> None:
    with linked(filled) as link:
        for n in range(5):
            link.sendall(head() + framed(upload(b"%d" % n * 300_000))[:-1])
            link.sendall(b"\n" + NEXT.replace(b"connection: close\r\n", b""))
            assert answer_of(link)[0] == 200
            assert answer_of(link) == (200, {"status": "ok"})
            assert files_of(filled) == {"0": b"%d" % n * 300_000}


def test_requests_that_wait_behind_the_body_are_answered_in_order(filled: MemoryServer) -> None:
    first, second = (head() + framed(upload(content), 9) for content in (b"first", b"second"))
    begin = len(head()) + 20

    with linked(filled) as link:
        link.sendall(first[:begin])
        time.sleep(0.01)
        link.sendall(first[begin:] + second + NEXT)
        came = rest_of(link)

    assert came.count(b"HTTP/1.1 200 ") == 3
    assert came.endswith(b'{"status":"ok"}')
    history = filled.operations.trees["r"]["master"]
    assert [tree for _, tree in history] == [{"0": b"first"}, {"0": b"second"}]


@pytest.mark.usefixtures("direct_only")
def test_who_waits_to_be_told_to_go_on_is_told(filled: MemoryServer) -> None:
    with linked(filled) as link:
        link.sendall(head("expect: 100-continue"))
        told = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert link.recv(len(told), socket.MSG_WAITALL) == told
        link.sendall(framed(upload(b"content")))
        assert answer_of(link)[0] == 200

    assert files_of(filled) == {"0": b"content"}


def test_what_is_all_there_already_needs_no_thread(
    filled: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filled.app.threads, "start", lambda *_, **__: pytest.fail("a thread"))

    with linked(filled) as link:
        link.sendall(head() + framed(upload(b"content")))
        assert answer_of(link)[0] == 200

    assert files_of(filled) == {"0": b"content"}


@pytest.mark.parametrize("behind", [b"", b"junk" * 30_000])
def test_bytes_behind_the_last_change_are_passed_over(filled: MemoryServer, behind: bytes) -> None:
    with linked(filled) as link:
        link.sendall(head())
        link.sendall(framed(upload(b"content") + behind) + NEXT)
        came = rest_of(link)

    assert came.count(b"HTTP/1.1 200 ") == 2
    assert files_of(filled) == {"0": b"content"}


def test_many_uploads_at_once_arrive_whole(filled: MemoryServer) -> None:
    def send(n: int) -> None:
        content = random.Random(n).randbytes(400_000)
        filled.client().files.modify_files("r", f"b{n}", [PutFile(path="f", content=[content])])

    threads = [threading.Thread(target=send, args=[n]) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GIVEN_UP_S)

    for n in range(30):
        tree = filled.operations.trees["r"][f"b{n}"][-1][1]
        assert tree == {"f": random.Random(n).randbytes(400_000)}


# --- what does not take the direct way ------------------------------------------------------------


def test_other_operations_get_their_chunked_bodies(filled: MemoryServer) -> None:
    with linked(filled) as link:
        for n in range(3):
            body = b'{"name":"new%d"}' % n
            link.sendall(head(target=f"{PREFIX}/repos") + framed(body, 4)[:10])
            time.sleep(0.01)
            link.sendall(framed(body, 4)[10:])
            assert answer_of(link)[0] == 200

    assert sorted(filled.operations.trees) == ["new0", "new1", "new2", "r"]


@pytest.mark.parametrize("target", ["/nothing", f"{PREFIX}/repos/r/files/master?unknown=1"])
def test_who_is_refused_without_a_look_at_the_body_may_ask_again(
    filled: MemoryServer, target: str
) -> None:
    with linked(filled) as link:
        link.sendall(head(target=target) + framed(upload(b"x" * 200_000))[:100_000])
        assert answer_of(link)[0] in (400, 404)
        link.sendall(framed(upload(b"x" * 200_000))[100_000:] + NEXT)
        assert answer_of(link) == (200, {"status": "ok"})


def test_a_stranger_is_refused_before_a_byte_of_the_body_is_read(filled: MemoryServer) -> None:
    with linked(filled, tcp=True) as link:
        link.sendall(head())
        assert answer_of(link)[0] == 401
        link.sendall(framed(upload(b"content")) + NEXT)
        assert answer_of(link) == (200, {"status": "ok"})

    assert filled.operations.trees["r"] == {}


def test_callers_of_the_first_version_of_http_are_served(filled: MemoryServer) -> None:
    with linked(filled) as link:
        link.sendall(head(version="1.0"))
        link.sendall(framed(upload(b"content")))
        came = rest_of(link)

    assert came.startswith(b"HTTP/1.1 200 ")
    assert files_of(filled) == {"0": b"content"}


def test_when_all_threads_are_taken_the_caller_is_told_and_may_ask_again(
    filled: MemoryServer,
) -> None:
    filled.app.threads._long_max = 0

    with linked(filled) as link:
        link.sendall(head())
        status, report = answer_of(link)
        assert status == 503
        assert "already serves 0 streams, uploads and waits" in report["error"]["message"]
        link.sendall(framed(upload(b"content")) + NEXT)
        assert answer_of(link) == (200, {"status": "ok"})


# --- what ends early ------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 3, 30, 100_000, -12, -4, -1])
@pytest.mark.parametrize("gone", [True, False])
def test_a_body_that_breaks_off_changes_nothing(
    filled: MemoryServer, sent: int, gone: bool
) -> None:
    with linked(filled) as link:
        link.sendall(head())
        link.sendall(framed(upload(b"x" * 200_000))[:sent])
        if gone:
            link.close()
        else:
            link.shutdown(socket.SHUT_WR)
            assert not rest_of(link).startswith(b"HTTP/1.1 200")

    assert eventually(lambda: not filled.app.threads.running)
    assert filled.operations.trees == {"r": {}}


def test_who_gets_an_error_early_may_send_the_rest_and_ask_again(server: MemoryServer) -> None:
    body = framed(upload(b"x" * 3_000_000), 777_777)

    for sent in (3, 20, 1_000_000, len(body) - 3):
        with linked(server) as link:
            link.sendall(head() + body[:20])  # all that is looked at: there is no such repo
            rest = threading.Thread(target=link.sendall, args=[body[20:sent]])
            rest.start()
            assert answer_of(link)[0] == 404
            rest.join(GIVEN_UP_S)
            link.sendall(body[max(20, sent) :] + NEXT)
            assert answer_of(link) == (200, {"status": "ok"})


def test_a_caller_that_hangs_up_while_its_whole_body_is_worked_on_stops_the_work(
    filled: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, gave_up = threading.Event(), threading.Event()

    def working(*arguments: object, **_: object) -> None:
        for change in arguments[-1]:  # type: ignore[attr-defined]
            b"".join(change.content)
        read.set()
        try:
            while True:
                check_wanted()
                time.sleep(0.001)
        except Unavailable:
            gave_up.set()
            raise

    monkeypatch.setattr(filled.operations.files, "_apply", working)
    with linked(filled) as link:
        link.sendall(head())
        link.sendall(framed(upload(b"x" * 100_000)))
        assert read.wait(GIVEN_UP_S)

    assert gave_up.wait(GIVEN_UP_S)
    assert eventually(lambda: not filled.app.threads.running)
    assert filled.operations.trees == {"r": {}}


def test_the_server_does_not_wait_for_a_body_that_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "GRACE_S", 1)
    operations = MemoryOperations()
    operations.repos.create_repo("r")
    server = MemoryServer(operations, tmp_path)

    with server, linked(server) as link:
        link.sendall(head())
        link.sendall(framed(upload(b"x" * 200_000))[:100_000])
        assert eventually(lambda: server.app.threads.running == 1)
        server.stop()
        assert not rest_of(link).startswith(b"HTTP/1.1 200")
        assert eventually(lambda: not server.app.threads.running)

    assert operations.trees == {"r": {}}


# --- what is no body ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "framing",
    [
        *(b"zz\r\n", b"-5\r\nhello\r\n", b"5;" + b"x" * 70_000, b"0x5\r\nhello\r\n0\r\n\r\n"),
        *(b"f" * 24 + b"\r\n", b"5\r\nhelloworld\r\n0\r\n\r\n", b"5\nhello\n0\n\n\r\n"),
        *(b"0\r\nhidden: x\r\n\r\n", b"0 \r\n\r\n", b"0;a\r\n\r\n", b"\r\n0\r\n\r\n", b"0\n\n"),
    ],
)
@pytest.mark.parametrize("before", [b"", b"1\r\nh\r\n"])
def test_what_is_not_framed_by_the_letter_ends_the_connection(
    filled: MemoryServer, framing: bytes, before: bytes
) -> None:
    with linked(filled) as link:
        link.sendall(head())
        time.sleep(0.01)  # the thread is reading
        with contextlib.suppress(ConnectionError):
            link.sendall(before + framing + HIDDEN + NEXT)
        came = rest_of(link)

    assert came.startswith(b"HTTP/1.1 400 ")
    assert came.count(b"HTTP/1.1") == 1
    assert b"connection: close" in came.lower()
    assert filled.operations.trees == {"r": {}}
    assert filled.ask("GET", "/healthz").status == 200
    assert eventually(lambda: not filled.app.threads.running)


@pytest.mark.parametrize("tcp", [True, False])
def test_a_body_whose_length_is_said_in_two_ways_is_refused(
    filled: MemoryServer, tcp: bool
) -> None:
    with linked(filled, tcp=tcp) as link:
        link.sendall(head("content-length: 5") + framed(upload(b"x")) + HIDDEN)
        came = rest_of(link)

    assert came.startswith(b"HTTP/1.1 400 ")
    assert b"says in two ways how long its body is" in came
    assert b"connection: close" in came.lower()
    assert came.count(b"HTTP/1.1") == 1
    assert filled.operations.trees == {"r": {}}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    directory = tmp_path_factory.mktemp("engine")
    real = Engine(load({"HOME": str(directory), "PATH": ""}, home=directory / "home"))
    real.repos.create_repo("r")
    with MemoryServer(real, directory) as running:
        yield running
    real.close()


CONTENTS = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.sampled_from([HIDDEN, b"0\r\n\r\n" + HIDDEN, b"\r\n0\r\n\r\n" + HIDDEN, b"\r\n" * 9]),
        st.integers(0, 2**20 + 5).map(lambda size: random.Random(size).randbytes(size)),
        st.just(random.Random(1).randbytes(3_000_000)),
    ),
    max_size=4,
)


@settings(max_examples=FEW)
@given(
    contents=CONTENTS,
    chunk_sizes=st.lists(st.integers(1, 2_000_000), min_size=1, max_size=5),
    send_sizes=st.lists(st.integers(1, 500_000), min_size=1, max_size=5),
    tcp=st.booleans(),
)
def test_files_are_what_was_sent_however_it_was_cut(
    engine: MemoryServer,
    contents: list[bytes],
    chunk_sizes: list[int],
    send_sizes: list[int],
    tcp: bool,
) -> None:
    body = upload(*contents)
    least = len(body) // 2000 + 1  # so that it does not take for ever
    data = bytearray()
    at = turn = 0
    while at < len(body):
        piece = body[at : at + max(least, chunk_sizes[turn % len(chunk_sizes)])]
        data += b"%x\r\n%b\r\n" % (len(piece), piece)
        at += len(piece)
        turn += 1
    data += b"0\r\n\r\n" + NEXT

    with linked(engine, tcp=tcp) as link:
        credential = f"authorization: Bearer {engine.token}"
        link.sendall(head(credential))
        at = turn = 0
        while at < len(data):
            size = max(least, send_sizes[turn % len(send_sizes)])
            link.sendall(data[at : at + size])
            at += size
            turn += 1
        assert answer_of(link)[0] == 200
        assert answer_of(link) == (200, {"status": "ok"})

    read = engine.operations.files.read_file
    for n, content in enumerate(contents):
        assert b"".join(read("r", "master", f"{n}")) == content
    assert [repo.name for repo in engine.operations.repos.list_repos()] == ["r"]


@settings(max_examples=2 * FEW)
@given(data=st.data())
def test_no_malformed_body_hides_a_request(engine: MemoryServer, data: st.DataObject) -> None:
    path = f"{next(NUMBERS):09}"
    content = [b"\r\n0\r\n\r\n" + HIDDEN, data.draw(st.binary(max_size=60))]
    body = b"".join(write_changes([PutFile(path=path, content=content)]))
    blob = bytearray(framed(body, data.draw(st.integers(5, 200))))
    ends = [at for at in range(len(blob) - 1) if blob[at : at + 2] == b"\r\n"]
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.sampled_from([0, *ends, *[end + 2 for end in ends]]))
        odd = data.draw(
            st.sampled_from([b"", b"\n", b"\r", b" ", b";", b"0", b"g", b"-", b"\t", b"0x"])
        )
        blob[at : at + data.draw(st.integers(0, 3))] = odd

    with linked(engine) as link:
        link.sendall(head())
        assert eventually(lambda: engine.app.threads.running > 0)
        with contextlib.suppress(ConnectionError):
            link.sendall(bytes(blob))
            link.shutdown(socket.SHUT_WR)
        came = rest_of(link)

    assert came.count(b"HTTP/1.1 200 ") <= 1
    if b"HTTP/1.1 200 " in came:
        # A byte may have changed inside of a piece: what was stored is all from what was sent.
        rest = iter(blob)
        stored = b"".join(engine.operations.files.read_file("r", "master", path))
        assert all(byte in rest for byte in stored)
    elif came:
        with pytest.raises(TrunklineError):
            b"".join(engine.operations.files.read_file("r", "master", path))
    assert [repo.name for repo in engine.operations.repos.list_repos()] == ["r"]
    assert engine.ask("GET", "/healthz").status == 200
