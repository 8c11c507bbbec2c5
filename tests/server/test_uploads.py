"""Uploads: all or nothing, and no file of the server for those who should not read it."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_server import MemoryServer

from trunkline.api.changes import MEDIA_TYPE, PutFile, PutLocal, PutUrl, write_changes
from trunkline.api.waiting import check_wanted
from trunkline.client.local_files import put_local
from trunkline.errors import InvalidInput, LocalPathDiffers, NotAllowed, RepoNotFound, Unavailable
from trunkline.server.rest.routes import PREFIX

TARGET = f"{PREFIX}/repos/r/files/master"


@pytest.fixture
def filled(server: MemoryServer) -> MemoryServer:
    server.operations.repos.create_repo("r")
    return server


def sent(server: MemoryServer, body: bytes, *, tcp: bool = False) -> tuple[int, dict]:
    headers = {"Content-Type": MEDIA_TYPE, "Authorization": f"Bearer {server.token}"}
    answer = server.ask("POST", TARGET, body, headers, tcp=tcp)
    return answer.status, json.loads(answer.body)


def test_a_connection_that_breaks_off_changes_nothing(filled: MemoryServer) -> None:
    body = b"".join(write_changes([PutFile(path="a", content=[b"x" * 100_000])]))
    connection = filled.connect()
    connection.putrequest("POST", TARGET)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[: len(body) // 2])

    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()

    while filled.app.threads.running:
        pass
    assert filled.operations.trees == {"r": {}}


@pytest.mark.parametrize("cut", [0, 1, 5, 20, 100_000, -5, -1])
def test_a_body_without_its_end_changes_nothing(filled: MemoryServer, cut: int) -> None:
    body = b"".join(write_changes([PutFile(path="a", content=[b"x" * 200_000])]))

    status, answer = sent(filled, body[:cut])

    assert status == 400
    assert "broke off before its end; nothing was changed" in answer["error"]["message"]
    assert filled.operations.trees == {"r": {}}


@pytest.mark.parametrize(
    "body", [b"garbage that is no frame", b"h\0\0\0\x02{}", b"h\xff\xff\xff\xff", b"h\0\0\0\x01{"]
)
def test_a_malformed_body_changes_nothing(filled: MemoryServer, body: bytes) -> None:
    status, answer = sent(filled, body)

    assert status == 400
    assert answer["error"]["code"] == InvalidInput.code
    assert filled.operations.trees == {"r": {}}


def test_a_source_that_fails_in_the_middle_changes_nothing(filled: MemoryServer) -> None:
    def failing() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        raise ZeroDivisionError("the caller's own")

    with pytest.raises(ZeroDivisionError, match="the caller's own"):
        filled.client().files.modify_files("r", "master", [PutFile(path="a", content=failing())])

    while filled.app.threads.running:
        pass
    assert filled.operations.trees == {"r": {}}


@pytest.mark.parametrize("tcp", [False, True])
def test_an_error_does_not_wait_for_the_last_byte(server: MemoryServer, tcp: bool) -> None:
    pieces = 0

    def endless() -> Iterator[bytes]:
        nonlocal pieces
        while pieces < 20_000:  # 20 GB
            pieces += 1
            yield bytes(1_000_000)

    with pytest.raises(RepoNotFound):
        server.client(tcp=tcp).files.modify_files(
            "none", "master", [PutFile(path="a", content=endless())]
        )

    assert pieces < 2000


def test_large_content_arrives_whole(filled: MemoryServer) -> None:
    pieces = [os.urandom(777_777) for _ in range(40)]

    filled.client(tcp=True).files.modify_files(
        "r", "master", [PutFile(path="a", content=pieces), PutFile(path="b", content=[])]
    )

    assert filled.operations.trees["r"]["master"][-1][1] == {"a": b"".join(pieces), "b": b""}


def test_the_server_reads_a_local_file_only_for_the_private_socket(
    filled: MemoryServer, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"content")
    body = b"".join(write_changes([put_local("f", tmp_path / "f")]))

    over_tcp = sent(filled, body, tcp=True)
    over_socket = sent(filled, body)

    assert over_tcp[0] == 403
    assert over_tcp[1]["error"]["code"] == NotAllowed.code
    assert over_socket[0] == 200
    assert filled.operations.trees["r"]["master"][-1][1] == {"f": b"content"}


@pytest.mark.parametrize("field", ["device", "inode", "source"])
def test_a_local_file_that_is_another_one_to_the_server_is_refused(
    filled: MemoryServer, tmp_path: Path, field: str
) -> None:
    (tmp_path / "f").write_bytes(b"content")
    seen = os.stat(tmp_path / "f")
    change = {"source": str(tmp_path / "f"), "device": seen.st_dev, "inode": seen.st_ino}
    change[field] = str(tmp_path / "g") if field == "source" else 1

    status, answer = sent(filled, b"".join(write_changes([PutLocal(path="f", **change)])))

    assert status == 403
    assert answer["error"]["code"] == "local-path-differs"
    assert filled.operations.trees == {"r": {}}


def test_what_links_mean_is_for_the_caller_to_see(filled: MemoryServer, tmp_path: Path) -> None:
    change = put_local("d", tmp_path, links="follow")

    status, answer = sent(filled, b"".join(write_changes([change])))

    assert (status, answer["error"]["code"]) == (403, LocalPathDiffers.code)
    assert filled.operations.trees["r"] == {}


def test_a_relative_local_path_is_refused(filled: MemoryServer) -> None:
    change = PutLocal(path="f", source="etc/passwd", device=1, inode=1)

    status, answer = sent(filled, b"".join(write_changes([change])))

    assert (status, answer["error"]["code"]) == (400, InvalidInput.code)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.com/f", "etc", "", " http://"]
)
def test_only_web_addresses_and_object_stores_are_fetched(filled: MemoryServer, url: str) -> None:
    status, answer = sent(filled, b"".join(write_changes([PutUrl(path="f", url=url)])))

    assert status == 400
    assert "only http, https and object stores can" in answer["error"]["message"]


def test_an_upload_in_work_is_finished_when_the_server_is_told_to_stop(
    filled: MemoryServer,
) -> None:
    client = filled.client()

    def content() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        filled._server.stop()
        yield b"y"

    client.files.modify_files("r", "master", [PutFile(path="a", content=content())])

    assert len(filled.operations.trees["r"]["master"][-1][1]["a"]) == 1_000_001


def test_nobody_listens_after_the_end(filled: MemoryServer) -> None:
    client = filled.client()
    filled.stop()

    with pytest.raises(Unavailable, match="nobody listens there; `trunkline up` starts a server"):
        client.repos.list_repos()


def test_a_caller_that_hangs_up_while_its_whole_body_is_worked_on_stops_the_work(
    filled: MemoryServer, monkeypatch: pytest.MonkeyPatch
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

    monkeypatch.setattr(filled.operations.files, "_apply", working)
    body = b"".join(write_changes([PutFile(path="a", content=[b"x"])]))
    connection = filled.connect()
    connection.request("POST", TARGET, body)
    assert began.wait(30)

    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()

    assert gave_up.wait(30)
    assert filled.operations.trees == {"r": {}}


def test_a_small_upload_needs_no_thread_of_its_own(
    filled: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(filled.app.threads, "start", lambda *_, **__: started.append("thread"))

    for n in range(3):
        filled.client().files.modify_files("r", "master", [PutFile(path="a", content=[b"%d" % n])])

    assert not started
    assert [tree for _, tree in filled.operations.trees["r"]["master"]] == [
        {"a": b"%d" % n} for n in range(3)
    ]
