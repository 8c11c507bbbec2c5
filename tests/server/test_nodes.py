"""Servers with data directories of their own share a store: all answer, and one of them leads."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from certificates import Authority
from postgres_schemas import catalog_schema, needs_postgres
from s3_objects import needs_s3, new_bucket

from trunkline.api.changes import PutFile
from trunkline.client.address import HttpAddress
from trunkline.client.remote import RemoteClient
from trunkline.client.transport import Transport
from trunkline.errors import NotAllowed, TokenRefused, TrunklineError

pytestmark = [needs_postgres, needs_s3]

LONG_S = 60.0


class Node:
    """A server with a directory of its own."""

    def __init__(self, home: Path, stack: ExitStack, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        told, tell = os.pipe()
        command = [sys.executable, "-m", "trunkline", "serve", "--standby"]
        command += ["--listen", f"127.0.0.1:{port}", "--ready-fd", str(tell)]
        environment = {**os.environ, "TRUNKLINE_HOME": str(home), **settings}
        self.process = subprocess.Popen(command, pass_fds=[tell], env=environment)
        os.close(tell)
        stack.callback(self.process.wait, 20)
        stack.callback(self.process.kill)
        with open(told) as pipe:
            assert pipe.readline().strip() == "ready"
        token = (home / "token").read_text().strip()
        ca_file = settings.get("TRUNKLINE_CA_FILE")
        transport = Transport(
            HttpAddress(host="127.0.0.1", port=port, secure=ca_file is not None),
            token=token,
            ca_file=ca_file,
            tls_name=settings.get("TRUNKLINE_TLS_NAME"),
        )
        self.client = stack.enter_context(closing(RemoteClient(transport)))
        self._port, self._stack = port, stack

    def known_as(self, secret: str) -> RemoteClient:
        """A client that shows another token."""
        transport = Transport(HttpAddress(host="127.0.0.1", port=self._port), token=secret)
        return self._stack.enter_context(closing(RemoteClient(transport)))

    @property
    def pid(self) -> int:
        return self.process.pid

    def leader(self) -> int:
        """The process that this one says leads; 0 for nobody."""
        try:
            return self.client.admin.status().pid
        except TrunklineError:
            return 0

    def await_leader(self, pid: int) -> None:
        deadline = time.monotonic() + LONG_S
        while self.leader() != pid:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def put(self, path: str, content: bytes) -> None:
        self.client.files.modify_files("data", "master", [PutFile(path=path, content=[content])])

    def read(self, repo: str, path: str) -> bytes:
        return b"".join(self.client.files.read_file(repo, "master", path))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Node]]:
    """Starts servers; each has a directory in which nothing was."""
    bucket = new_bucket()
    with catalog_schema() as url, ExitStack() as stack:
        settings = {"TRUNKLINE_DATABASE": url, "TRUNKLINE_STORE": bucket.url, "HOME": str(tmp_path)}
        for name, value in {**settings, **bucket.environment()}.items():
            monkeypatch.setenv(name, value)
        count = iter(range(100))
        yield lambda **more: Node(tmp_path / f"node-{next(count)}", stack, **more)


def test_another_one_goes_on_where_the_leader_was_killed(node: Callable[..., Node]) -> None:
    first = node()
    second = node()
    assert (first.leader(), second.leader()) == (first.pid, first.pid)
    check_named_tokens([first, second])
    second.client.repos.create_repo("data")
    second.client.secrets.create_secret("word", data={"value": "c2VjcmV0"})
    second.client.pipelines.create_pipeline(
        {
            "pipeline": {"name": "slow"},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {
                "cmd": ["sh"],
                "stdin": [
                    "sleep 0.3",
                    'for f in /pfs/data/*; do cp "$f" /pfs/out/; done',
                    'echo "$W" > "/pfs/out/${f##*/}.word"',
                ],
                "secrets": [{"name": "word", "env_var": "W", "key": "value"}],
            },
            "datum_set_spec": {"number": 1},
        }
    )
    contents = {f"/f{number}": os.urandom(200_000) for number in range(8)}
    changes = [PutFile(path=path, content=[content]) for path, content in contents.items()]
    second.client.files.modify_files("data", "master", changes)
    [job] = second.client.jobs.list_jobs(pipeline="slow")
    while second.client.jobs.inspect_job(f"slow@{job.id}").processed < 2:
        time.sleep(0.05)
    putting = threading.Thread(target=put_on, args=(second, contents))
    putting.start()

    os.kill(first.pid, signal.SIGKILL)
    putting.join()

    second.await_leader(second.pid)
    done = second.client.jobs.inspect_job(f"slow@{job.id}", wait=True, timeout_s=LONG_S)
    assert (done.state, done.processed, done.total) == ("success", 8, 8)
    third = node()
    assert third.leader() == second.pid
    for path, content in contents.items():
        assert third.read("data", path) == content
    newest = next(iter(third.client.jobs.list_jobs(pipeline="slow")))
    assert (
        third.client.jobs.inspect_job(f"slow@{newest.id}", wait=True, timeout_s=LONG_S).state
        == "success"
    )
    assert third.read("slow", "/f0.word") == b"secret\n"
    third.put("/f0", b"changed")
    assert third.client.admin.gc(grace_s=0).needed_objects
    assert second.read("data", "/f0") == b"changed"
    assert third.client.admin.fsck().damages == ()


def put_on(node: Node, contents: dict[str, bytes]) -> None:
    """Put some more, and remember what was acknowledged."""
    for number in range(8):
        content = os.urandom(10_000)
        with suppress(TrunklineError):
            node.put(f"/more{number}", content)
            contents[f"/more{number}"] = content


def test_a_leader_that_freezes_is_followed_and_then_follows(
    node: Callable[..., Node], tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    issued = authority.issue("DNS:trunkline.ml.svc")  # as in a cluster: not for any address
    settings = {
        "TRUNKLINE_LEASE_S": "0.5",
        "TRUNKLINE_TLS_CERT": str(issued.cert),
        "TRUNKLINE_TLS_KEY": str(issued.key),
        "TRUNKLINE_TLS_NAME": "trunkline.ml.svc",
        "TRUNKLINE_CA_FILE": str(authority.file),
    }
    first, second = node(**settings), node(**settings)
    first.client.repos.create_repo("data")
    first.put("/a", b"1")

    os.kill(first.pid, signal.SIGSTOP)
    second.await_leader(second.pid)
    second.put("/a", b"2")
    os.kill(first.pid, signal.SIGCONT)

    first.await_leader(second.pid)
    assert first.read("data", "/a") == b"2"
    first.put("/a", b"3")
    assert second.read("data", "/a") == b"3"
    first.process.terminate()
    second.process.terminate()
    assert (first.process.wait(LONG_S), second.process.wait(LONG_S)) == (0, 0)


def check_named_tokens(nodes: list[Node]) -> None:
    """A token that one has made is good at all of them, until any has deleted it."""
    nodes[0].client.repos.create_repo("other")
    tokens = nodes[1].client.tokens
    secrets = [tokens.create_token(role, role=role).secret for role in ("reader", "writer")]
    reading, writing = ([one.known_as(secret) for one in nodes] for secret in secrets)
    for client in reading:
        assert [repo.name for repo in client.repos.list_repos()] == ["other"]
        assert list(client.pipelines.list_pipelines()) == []  # the second one asks the first
        with pytest.raises(NotAllowed, match="needs the role writer"):
            client.repos.delete_repo("other")
        with pytest.raises(NotAllowed, match="needs the role writer"):
            client.pipelines.start_pipeline("any")
        with pytest.raises(NotAllowed, match="needs the role admin"):
            client.admin.gc()
    writing[1].transactions.start_transaction()  # asked of the first one, and noted once

    nodes[1].client.repos.delete_repo("other")
    for name in ("reader", "writer"):
        nodes[1].client.tokens.delete_token(name)

    for client in (*reading, *writing):
        await_refusal(client)
    assert [one.client.tokens.list_tokens() for one in nodes] == [[], []]
    noted = [(one.token, one.operation) for one in nodes[1].client.audit.list_audit()]
    assert [who for who, what in noted if what == "start_transaction"] == ["writer"]
    assert [who for who, what in noted if what == "delete_token"] == ["", ""]


def await_refusal(client: RemoteClient) -> None:
    deadline = time.monotonic() + LONG_S
    while True:
        try:
            client.repos.list_repos()
        except TokenRefused:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)
