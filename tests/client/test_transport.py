"""The transport when things go wrong: closed connections, dead servers, strangers at the port."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from memory_server import MemoryServer

from trunkline.api.changes import PutFile
from trunkline.client import transport as transport_module
from trunkline.client.address import HttpAddress, SocketAddress
from trunkline.client.remote import RemoteClient
from trunkline.client.transport import Transport
from trunkline.errors import InvalidInput, TokenRefused, Unavailable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


class Script:
    """A server that answers each connection with the next of some functions."""

    def __init__(self, path: Path, *acts: Callable[[socket.socket], None]) -> None:
        self.address = SocketAddress(path=str(path))
        self.requests: list[bytes] = []
        self.connections = 0
        self._acts = acts
        self._acting: list[threading.Thread] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for act in self._acts:
            connection, _ = self._socket.accept()
            self.connections += 1
            self._acting.append(threading.Thread(target=self._act, args=(act, connection)))
            self._acting[-1].start()

    def _act(self, act: Callable[[socket.socket], None], connection: socket.socket) -> None:
        with connection:
            act(connection)

    def read(self, connection: socket.socket) -> None:
        self.requests.append(connection.recv(65536))

    def close(self) -> None:
        for thread in (self._thread, *self._acting):
            thread.join(10)
        self._socket.close()


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., tuple[Script, RemoteClient]]]:
    """Starts a scripted server; each act is a list of what to send per request of a connection."""
    made: list[tuple[Script, RemoteClient]] = []

    def run(*connections: list[bytes]) -> tuple[Script, RemoteClient]:
        def act(answers: list[bytes]) -> Callable[[socket.socket], None]:
            def answer(connection: socket.socket) -> None:
                for data in answers:
                    script.read(connection)
                    connection.sendall(data)

            return answer

        script = Script(tmp_path / "script.sock", *map(act, connections))
        client = RemoteClient(Transport(script.address))
        made.append((script, client))
        return script, client

    yield run
    for script, client in made:
        client.close()
        script.close()


def test_one_connection_serves_many_requests(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    script, client = play([OK, OK, OK])

    for _ in range(3):
        client.repos.list_repos()

    assert len(script.requests) == 3


def test_a_request_is_repeated_when_the_kept_connection_was_closed(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    script, client = play([OK, b""], [OK])
    client.repos.list_repos()

    client.repos.list_repos()

    assert len(script.requests) == 3
    assert script.requests[1] == script.requests[2]


def test_a_request_that_may_have_been_carried_out_is_not_repeated(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    script, client = play([OK, b""])
    client.repos.list_repos()

    with pytest.raises(Unavailable, match="whether it did what was asked is not known"):
        client.repos.create_repo("r")

    assert len(script.requests) == 2


def test_a_branch_is_not_moved_twice(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    """Its new head may be told from where it is."""
    script, client = play([OK, b""])
    client.repos.list_repos()

    with pytest.raises(Unavailable, match="whether it did what was asked is not known"):
        client.branches.create_branch("r", "master", head="master^")

    assert len(script.requests) == 2


def test_a_forked_process_has_connections_of_its_own(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    script, client = play([OK, OK], [OK])
    client.repos.list_repos()

    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(60)
            client.repos.list_repos()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    client.repos.list_repos()

    assert status == 0
    assert script.connections == 2
    assert len(script.requests) == 3


def test_a_fresh_connection_that_is_closed_is_an_error(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    _, client = play([b""])

    with pytest.raises(Unavailable, match="closed the connection before it answered"):
        client.repos.list_repos()


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\1\2\n"])
def test_a_stranger_at_the_address_is_recognised(
    play: Callable[..., tuple[Script, RemoteClient]], answer: bytes
) -> None:
    _, client = play([answer])

    with pytest.raises(Unavailable, match="does not speak HTTP"):
        client.repos.list_repos()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"502 Bad Gateway", Unavailable),
        (b"302 Found", Unavailable),
        (b"204 No Content", Unavailable),
        (b"401 Unauthorized", TokenRefused),
    ],
)
def test_an_answer_in_another_form_is_quoted(
    play: Callable[..., tuple[Script, RemoteClient]], head: bytes, kind: type[Exception]
) -> None:
    _, client = play([b"HTTP/1.1 " + head + b"\r\nContent-Length: 13\r\n\r\n<b>proxy</b>\n"])

    with pytest.raises(kind, match=head[:3].decode()):
        client.repos.list_repos()


def test_a_result_that_is_cut_short_is_an_error(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    _, client = play([b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[]"])

    with pytest.raises(Unavailable, match="in the middle of its answer"):
        client.repos.list_repos()


@pytest.mark.parametrize("rest", [b"", b"5\r\nab", b"5\r\nab{}\n\r\n", b"zz\r\n"])
def test_a_stream_that_is_cut_short_is_an_error_and_not_an_end(
    play: Callable[..., tuple[Script, RemoteClient]], rest: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n"
    _, client = play([head + rest])

    with pytest.raises(Unavailable):
        list(client.jobs.list_jobs())


def test_a_value_of_a_newer_server_is_told_apart(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    _, client = play([b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n[{"neu":true}]'[:-1]])

    with pytest.raises(Unavailable, match="compare `trunkline version`"):
        client.repos.list_repos()


def test_silence_in_a_stream_is_a_dead_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "SILENCE_MAX_S", 0.2)
    release = threading.Event()

    def hang(connection: socket.socket) -> None:
        script.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n")
        release.wait(10)

    script = Script(tmp_path / "s", hang)
    client = RemoteClient(Transport(script.address))

    with pytest.raises(Unavailable, match="no sign of life"):
        list(client.jobs.list_jobs())

    release.set()
    client.close()
    script.close()


def test_a_server_that_dies_during_a_wait_is_noticed(server: MemoryServer) -> None:
    from trunkline.model.jobs import JobState

    server.operations.states["p@1"] = JobState.RUNNING
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.client().jobs.inspect_job, "p@1", wait=True)
        while not server.app.threads.running:
            assert not waiting.done()

        server.stop()

        with pytest.raises(Unavailable):
            waiting.result(10)


def test_nobody_at_the_address_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    missing = RemoteClient(Transport(SocketAddress(path=str(tmp_path / "none"))))
    refused = RemoteClient(Transport(HttpAddress(host="127.0.0.1", port=port)))
    unknown = RemoteClient(Transport(HttpAddress(host="no-such-host.invalid", port=1)))

    with pytest.raises(Unavailable, match="nobody listens there; `trunkline up` starts a server"):
        missing.repos.list_repos()
    with pytest.raises(Unavailable, match=f"`trunkline serve --listen 127.0.0.1:{port}`"):
        refused.repos.list_repos()
    with pytest.raises(Unavailable, match="there is no host 'no-such-host.invalid'"):
        unknown.repos.list_repos()


def test_a_server_that_is_not_there_is_revived_once(server: MemoryServer, tmp_path: Path) -> None:
    revived: list[int] = []
    link = tmp_path / "link"

    def revive() -> None:
        revived.append(1)
        link.symlink_to(server.path)

    client = RemoteClient(Transport(SocketAddress(path=str(link)), revive=revive))

    assert client.repos.list_repos() == []
    assert client.repos.list_repos() == []
    assert revived == [1]
    client.close()


def test_many_threads_share_a_client(server: MemoryServer) -> None:
    client = server.client()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: client.repos.create_repo(f"r{n}"), range(200)))

    assert {repo.name for repo in client.repos.list_repos()} == {f"r{n}" for n in range(200)}


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "a\r\nX: y", "é"])
def test_a_token_that_could_not_be_one_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="characters that no token has"):
        Transport(HttpAddress(host="h", port=1), token=token)


def put(client: RemoteClient, size: int) -> None:
    client.files.create_file_set([PutFile(path="f", content=[b"x" * size])])


DONE = b'{"root":"","files":1,"size_bytes":1}'
STORED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(DONE), DONE)


def test_small_uploads_go_in_one_piece_each_over_one_connection(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    script, client = play([STORED, STORED])

    put(client, 100)
    put(client, 100)

    assert len(script.requests) == 2
    head, _, body = script.requests[0].partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    assert body.endswith(b"x" * 100 + b"e\0\0\0\0")


def test_an_upload_that_may_have_been_carried_out_is_not_repeated(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    script, client = play([STORED, b""])
    put(client, 100)

    with pytest.raises(Unavailable, match="whether it did what was asked is not known"):
        put(client, 100)

    assert len(script.requests) == 2


def test_a_large_upload_has_a_connection_of_its_own(
    play: Callable[..., tuple[Script, RemoteClient]],
) -> None:
    early = STORED.replace(b"200 OK", b"200 OK\r\nConnection: close")
    _, client = play([OK], [early])
    client.repos.list_repos()

    put(client, 50_000_000)
