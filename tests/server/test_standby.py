"""Several servers of one data directory: one has it, the others pass on, and one follows it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, nullcontext, suppress
from pathlib import Path

import pytest
from postgres_schemas import KINDS, catalog_schema

from trunkline.api.changes import PutFile
from trunkline.client.address import HttpAddress
from trunkline.client.remote import RemoteClient
from trunkline.client.transport import Transport
from trunkline.errors import TokenRefused, TrunklineError
from trunkline.server.standby import Standby

LONG_S = 60.0

Replica = tuple[subprocess.Popen[bytes], int]  # and its port


@pytest.fixture(params=KINDS)
def replica(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Replica]]:
    """Starts servers of one data directory, each ready to be asked."""
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> Replica:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        told, tell = os.pipe()
        command = [sys.executable, "-m", "trunkline", "serve", "--standby", "--token", "t"]
        command += ["--listen", f"127.0.0.1:{port}", "--ready-fd", str(tell)]
        process = subprocess.Popen(command, pass_fds=[tell], stderr=subprocess.DEVNULL)
        processes.append(process)
        os.close(tell)
        with open(told) as pipe:
            assert pipe.readline().strip() == "ready"
        return process, port

    with catalog_schema() if request.param == "postgres" else nullcontext("") as url:
        monkeypatch.setenv("TRUNKLINE_DATABASE", url)
        yield start
        for process in processes:
            process.kill()
            process.wait(20)


@pytest.fixture
def client() -> Iterator[Callable[..., RemoteClient]]:
    """Clients of the server at a port."""
    with ExitStack() as opened:

        def make(port: int, token: str = "t") -> RemoteClient:
            address = HttpAddress(host="127.0.0.1", port=port)
            return opened.enter_context(closing(RemoteClient(Transport(address, token=token))))

        yield make


def await_ready(port: int) -> None:
    """Until the server, or the one that it asks, can be given work."""
    deadline = time.monotonic() + LONG_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=LONG_S):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def holder(home: Path) -> int:
    return int(json.loads((home / "server.json").read_text())["pid"])


def test_one_that_stands_by_passes_on_and_takes_over(
    replica: Callable[[], Replica], home: Path, client: Callable[..., RemoteClient]
) -> None:
    first, _ = replica()
    second, second_port = replica()
    assert holder(home) == first.pid
    asked = client(second_port)
    asked.repos.create_repo("data")
    asked.pipelines.create_pipeline(
        {
            "pipeline": {"name": "slow"},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["sh"], "stdin": ["sleep 1", "cp /pfs/data/* /pfs/out/"]},
        }
    )
    content = os.urandom(3_000_000)
    asked.files.modify_files("data", "master", [PutFile(path="/a", content=[content])])
    with pytest.raises(TokenRefused):
        client(second_port, "another").repos.list_repos()

    os.kill(first.pid, signal.SIGKILL)
    first.wait(20)

    await_ready(second_port)
    assert holder(home) == second.pid
    asked = client(second_port)
    [job] = asked.jobs.list_jobs(pipeline="slow")
    done = asked.jobs.inspect_job(f"slow@{job.id}", wait=True, timeout_s=LONG_S)
    assert done.state == "success"
    assert b"".join(asked.files.read_file("slow", "master", "/a")) == content
    _, third_port = replica()
    assert [repo.name for repo in client(third_port).repos.list_repos()] == ["slow", "data"]


def test_one_that_ends_in_good_order_is_followed_at_once(
    replica: Callable[[], Replica], home: Path, client: Callable[..., RemoteClient]
) -> None:
    first, _ = replica()
    second, second_port = replica()
    client(second_port).repos.create_repo("data")

    first.terminate()

    assert first.wait(LONG_S) == 0
    await_ready(second_port)
    assert [repo.name for repo in client(second_port).repos.list_repos()] == ["data"]
    second.terminate()
    assert second.wait(LONG_S) == 0


def test_one_that_stands_by_can_be_told_to_end(
    replica: Callable[[], Replica], home: Path, client: Callable[..., RemoteClient]
) -> None:
    first, first_port = replica()
    second, _ = replica()

    second.terminate()

    assert second.wait(LONG_S) == 0
    assert client(first_port).repos.list_repos() is not None
    assert holder(home) == first.pid


def test_without_anybody_at_work_the_answer_says_so(
    replica: Callable[[], Replica], home: Path, client: Callable[..., RemoteClient]
) -> None:
    first, _ = replica()
    second, port = replica()
    os.kill(first.pid, signal.SIGSTOP)  # it has the directory, and answers nothing
    (home / "server.json").unlink()

    try:
        with pytest.raises(TrunklineError, match="no server has the data directory"):
            client(port).repos.list_repos()
    finally:
        os.kill(first.pid, signal.SIGKILL)
    assert second.poll() is None


def test_no_connection_is_forgotten_at_the_end_of_standing_by(tmp_path: Path) -> None:
    for _ in range(20):
        ended: list[bool] = []

        def ask(port: int, ended: list[bool] = ended) -> None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 20) as made:
                made.sendall(b"GET / HTTP/1.1\r\n\r\n")
                made.settimeout(20)
                try:
                    while made.recv(65536):
                        pass
                except TimeoutError:
                    return
            ended.append(True)

        with socket.create_server(("127.0.0.1", 0)) as bound:
            asking = [
                threading.Thread(target=ask, args=(bound.getsockname()[1],)) for _ in range(16)
            ]
            with Standby(tmp_path, [bound]):
                for thread in asking:
                    thread.start()
        for thread in asking:  # who was not accepted is refused by the socket's end
            thread.join()

        assert len(ended) == len(asking)
