"""The server process: one per data directory, and nothing of a dead one stands in the way."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from certificates import Authority

from trunkline.client.address import HttpAddress, SocketAddress, parse_server_address
from trunkline.client.remote import RemoteClient
from trunkline.client.transport import Transport
from trunkline.config import load
from trunkline.connect.opening import open_client
from trunkline.errors import InvalidInput, StoreInUse, TokenRefused
from trunkline.server import serve
from trunkline.server.serve import parse_listener, stored_token

SCRIPT = Path(__file__).resolve().parent.parent / "models" / "serve_memory.py"

Start = Callable[..., tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts a server process and returns it with the line it tells its starter."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*words: str) -> tuple[subprocess.Popen[bytes], str]:
        told, tell = os.pipe()
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--ready-fd", str(tell), *words],
            pass_fds=[tell],
            stderr=subprocess.PIPE,
        )
        processes.append(process)
        os.close(tell)
        with open(told) as pipe:
            return process, pipe.readline().strip()

    yield run
    for process in processes:
        process.kill()
        process.communicate(timeout=20)


def local(home: Path) -> RemoteClient:
    return RemoteClient(Transport(SocketAddress(path=load(home=home).socket_path)))


def test_a_server_says_ready_once_it_answers(home: Path, start: Start) -> None:
    _, line = start()
    client = local(home)

    assert line == "ready"
    assert client.admin.version().version == "0.0-model"
    client.close()


def test_a_server_says_where_it_is(home: Path, start: Start) -> None:
    process, _ = start("--listen", "127.0.0.1:0")

    record = json.loads((home / "server.json").read_text())

    assert record["pid"] == process.pid
    assert record["socket"] == str(home / "server.sock")
    assert record["addresses"][0].startswith("http://127.0.0.1:")
    assert record["version"] == "0.0-model"


def test_only_the_user_may_reach_socket_and_token(home: Path, start: Start) -> None:
    start("--listen", "127.0.0.1:0")

    modes = {name: stat.S_IMODE((home / name).stat().st_mode) for name in ("server.sock", "token")}

    assert modes == {"server.sock": 0o600, "token": 0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_tcp_listener_wants_the_stored_token(home: Path, start: Start) -> None:
    start("--listen", "127.0.0.1:0")
    address = json.loads((home / "server.json").read_text())["addresses"][0]
    server = parse_server_address(address)
    assert isinstance(server, HttpAddress)
    allowed = RemoteClient(Transport(server, token=stored_token(home)))
    refused = RemoteClient(Transport(server, token="x" * 43))

    assert allowed.repos.list_repos() == []
    with pytest.raises(TokenRefused):
        refused.repos.list_repos()
    allowed.close()
    refused.close()


def test_a_certificate_of_the_settings_makes_it_https(
    home: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "authority")
    issued = authority.issue()
    monkeypatch.setenv("TRUNKLINE_TLS_CERT", str(issued.cert))
    monkeypatch.setenv("TRUNKLINE_TLS_KEY", str(issued.key))
    start("--listen", "127.0.0.1:0")
    [address] = json.loads((home / "server.json").read_text())["addresses"]

    monkeypatch.setenv("TRUNKLINE_ADDRESS", address)
    monkeypatch.setenv("TRUNKLINE_TOKEN", stored_token(home))
    monkeypatch.setenv("TRUNKLINE_CA_FILE", str(authority.file))

    assert address.startswith("https://")
    with closing(open_client(load())) as asked:
        assert list(asked.repos.list_repos()) == []


def test_the_token_stays_the_same(home: Path) -> None:
    home.mkdir()

    assert stored_token(home) == stored_token(home)
    assert len(stored_token(home)) >= 40


def test_a_second_server_on_the_directory_is_refused_and_names_the_first(
    home: Path, start: Start
) -> None:
    first, _ = start()

    second, line = start()

    error = json.loads(line)["error"]
    assert error["code"] == "store-in-use"
    assert f"process id {first.pid}" in error["message"]
    assert second.wait(20) == 4
    client = local(home)
    assert client.repos.list_repos() == []
    client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_leaves_nothing_behind(
    home: Path, start: Start, number: int
) -> None:
    process, _ = start()

    process.send_signal(number)

    assert process.wait(20) == 0
    assert not (home / "server.sock").exists()
    assert not (home / "server.json").exists()


def test_the_end_of_a_server_takes_nothing_from_the_one_after_it(home: Path, start: Start) -> None:
    """Whose directory was removed under it, say, and made anew."""
    first, _ = start()
    shutil.rmtree(home)
    _, line = start()
    assert line == "ready"

    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0

    client = local(home)
    assert client.repos.list_repos() == []
    client.close()
    assert (home / "server.json").exists()


def test_a_full_disk_keeps_no_server_from_its_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written there first only says who has it; only a server can make room."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(serve, "LOCK_WAIT_S", 0)

    with serve._locked(home):
        second = serve._locked(home)
        with pytest.raises(StoreInUse, match="another server"):
            second.__enter__()


def test_a_shutdown_request_ends_the_server(home: Path, start: Start) -> None:
    process, _ = start()
    client = local(home)

    client.shut_down()

    assert process.wait(20) == 0
    client.close()


def test_what_a_killed_server_left_is_no_obstacle(home: Path, start: Start) -> None:
    process, _ = start()
    process.kill()
    process.wait(20)
    assert (home / "server.sock").exists()

    _, line = start()

    assert line == "ready"
    client = local(home)
    assert client.repos.list_repos() == []
    client.close()


def test_a_socket_path_that_is_too_long_for_the_kernel_is_placed_elsewhere(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 120)
    monkeypatch.setenv("TRUNKLINE_HOME", str(long))
    short = tempfile.mkdtemp(dir=tempfile.gettempdir())
    monkeypatch.setenv("TMPDIR", short)
    monkeypatch.setattr("tempfile.tempdir", None)
    process, line = start()
    client = local(long)

    assert line == "ready"
    assert client.repos.list_repos() == []
    assert stat.S_IMODE(load(home=long).socket.parent.stat().st_mode) == 0o700
    client.close()
    process.terminate()
    process.wait(20)
    shutil.rmtree(short)


def test_a_socket_that_can_be_nowhere_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("y" * 120)))

    with pytest.raises(InvalidInput, match="set TMPDIR to a shorter directory"):
        _ = load(home=tmp_path / ("x" * 120)).socket


def test_an_address_that_is_taken_is_told_to_the_starter(home: Path, start: Start) -> None:
    start("--listen", "127.0.0.1:0")
    taken = json.loads((home / "server.json").read_text())["addresses"][0]
    other = home.parent / "other"

    process = subprocess.run(
        [sys.executable, str(SCRIPT), "--listen", taken],
        env={**os.environ, "TRUNKLINE_HOME": str(other)},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert process.returncode == 6
    assert f"can't listen on {taken.removeprefix('http://')}: Address already in use" in (
        process.stderr
    )
    assert not (other / "server.sock").exists()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:30650", "127.0.0.1", 30650),
        ("http://localhost:0", "localhost", 0),
        (":8080", "0.0.0.0", 8080),
        ("[::1]:8080", "::1", 8080),
    ],
)
def test_an_address_to_listen_on_is_host_and_port(text: str, host: str, port: int) -> None:
    listener = parse_listener(text)

    assert (listener.host, listener.port) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "8080", "host", "host:", "host:99999", "https://h:1", "h:x", "h:²"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="write host:port"):
        parse_listener(text)
