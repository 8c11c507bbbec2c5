"""Workers come in by the server's door: those that are expected, once, and nobody else."""

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from plain_context import plain_context

from trunkline.errors import Unavailable
from trunkline.jobs import door as doors
from trunkline.jobs.certificate import Certificate
from trunkline.jobs.channel import Channel, ChannelClosed
from trunkline.jobs.door import Door, make_key, proof, read_key
from trunkline.jobs.remote import NotLetIn, connect
from trunkline.jobs.tunnel import Tunnel
from trunkline.store.chunks import ChunkStore

SETTINGS = {
    "isolation": "rewrite",
    "marker": "test-door",
    "container_host": "",
    "output_bytes_max": "0",
}


@dataclass
class World:
    """A door, and the directory that its workers share with it."""

    home: Path
    key: bytes
    door: Door
    ending: ExitStack
    ca_file: Path | None = None  # who vouches for the door

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.door.port}"

    def expect(self, name: str) -> Channel:
        ours, theirs = socket.socketpair()
        self.door.expect(name, theirs, {**SETTINGS, "name": name, "home": str(self.home)})
        return self._kept(ours)

    def _kept(self, link: socket.socket) -> Channel:
        channel = Channel(link)
        self.ending.callback(channel.close)
        return channel

    def come(self, name: str, key: bytes | None = None, host: str = "localhost") -> Channel:
        tunnel = None if self.ca_file is None else Tunnel(host, self.ca_file)
        if tunnel is not None:
            self.ending.callback(tunnel.close)
        link, _ = connect(self.address, name, key or self.key, patience_s=5, tunnel=tunnel)
        return self._kept(link)

    def start(self, name: str) -> "subprocess.Popen[str]":
        """A worker as a pod would start it, but on this machine."""
        words = ["--door", self.address, "--name", name, "--home", str(self.home)]
        if self.ca_file is not None:
            words += ["--tls-name", "localhost", "--ca-file", str(self.ca_file)]
        process = subprocess.Popen(
            [sys.executable, "-m", "trunkline.jobs.remote", *words],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ending.enter_context(process)
        self.ending.callback(process.kill)
        return process


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    key = make_key(tmp_path / "door")
    certificate, ca_file = None, None
    if getattr(request, "param", "plain") == "tls":
        authority = request.getfixturevalue("authority")
        issued, ca_file = authority.issue(), authority.file
        certificate = Certificate(issued.cert, issued.key)
    door = Door(key, certificate)
    door.open("127.0.0.1", 0)
    with ExitStack() as ending:
        ending.callback(door.close)
        yield World(tmp_path, key, door, ending, ca_file)


BOTH = pytest.mark.parametrize("world", ["plain", "tls"], indirect=True)
TLS = pytest.mark.parametrize("world", ["tls"], indirect=True)


def closes(channel: Channel) -> bool:
    """Whether a line ends, after what was said on it."""
    try:
        while True:
            channel.receive()
    except ChannelClosed:
        return True


@BOTH
def test_messages_go_both_ways_once_a_worker_has_come(world: World) -> None:
    scheduler = world.expect("w")
    scheduler.offer({"type": "context", "sent": "before it came"})
    worker = world.come("w")

    worker.send({"type": "ready"})

    assert scheduler.receive() == {"type": "ready"}
    assert worker.receive()["sent"] == "before it came"


@BOTH
def test_more_than_any_buffer_holds_arrives_whole(world: World) -> None:
    scheduler = world.expect("w")
    worker = world.come("w")
    large = {"type": "lease", "datums": "x" * 20_000_000}
    sender = threading.Thread(target=worker.send, args=(large,))
    sender.start()

    assert scheduler.receive() == large
    sender.join()


@pytest.mark.parametrize(
    ("name", "told"),
    [("other", "no such worker is expected"), ("w\n", "no such worker is expected")],
)
def test_somebody_who_is_not_expected_is_told_so(world: World, name: str, told: str) -> None:
    world.expect("w")

    with pytest.raises(NotLetIn, match=told):
        world.come(name)


def test_without_the_key_nobody_gets_in_and_the_worker_is_still_expected(world: World) -> None:
    scheduler = world.expect("w")

    with pytest.raises(NotLetIn, match="does not know the key"):
        world.come("w", key=bytes(32))

    world.come("w").send({"type": "ready"})
    assert scheduler.receive() == {"type": "ready"}


def test_a_second_worker_of_a_name_is_refused_and_the_first_stays(world: World) -> None:
    scheduler = world.expect("w")
    first = world.come("w")

    with pytest.raises(NotLetIn, match="has come already"):
        world.come("w")

    first.send({"type": "alive"})
    assert scheduler.receive() == {"type": "alive"}


def test_a_worker_that_comes_after_it_was_given_up_is_refused(world: World) -> None:
    scheduler = world.expect("w")
    world.door.drop("w")

    assert closes(scheduler)
    with pytest.raises(NotLetIn, match="no such worker"):
        world.come("w")


@BOTH
def test_a_cut_connection_is_a_lost_worker_that_can_not_come_back(world: World) -> None:
    scheduler = world.expect("w")
    worker = world.come("w")
    worker.send({"type": "ended", "last": True})

    worker.close()

    assert scheduler.receive()["type"] == "ended"  # what it said last counts
    assert closes(scheduler)
    with pytest.raises(NotLetIn, match="no such worker"):
        world.come("w")


@BOTH
def test_a_worker_that_is_not_wanted_any_more_is_cut_off(world: World) -> None:
    scheduler = world.expect("w")
    worker = world.come("w")

    world.door.drop("w")

    assert closes(worker)
    assert closes(scheduler)


@BOTH
def test_the_end_of_the_scheduler_is_the_end_of_the_line(world: World) -> None:
    scheduler = world.expect("w")
    worker = world.come("w")
    scheduler.send({"type": "exit"})

    scheduler.close()

    assert worker.receive() == {"type": "exit"}
    assert closes(worker)


@pytest.mark.parametrize(
    "said", [b"", b"\n", b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"name": 1}\n', b"x" * 400_000]
)
def test_whoever_talks_nonsense_is_sent_away(world: World, said: bytes) -> None:
    scheduler = world.expect("w")
    with socket.create_connection(("127.0.0.1", world.door.port), timeout=10) as link:
        link.recv(1000)
        try:
            link.sendall(said)
            link.shutdown(socket.SHUT_WR)
            while link.recv(1000):
                pass
        except OSError:
            pass  # cut off in the middle of it

    world.come("w").send({"type": "ready"})
    assert scheduler.receive() == {"type": "ready"}


def test_who_says_nothing_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "HELLO_S", 0.2)
    with socket.create_connection(("127.0.0.1", world.door.port), timeout=10) as link:
        link.recv(1000)

        assert link.recv(1) == b""


def test_many_who_say_nothing_do_not_keep_a_worker_out_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "HELLO_S", 0.5)
    monkeypatch.setattr(doors, "WAITING_MAX", 5)
    scheduler = world.expect("w")
    crowd = [socket.create_connection(("127.0.0.1", world.door.port)) for _ in range(20)]

    deadline = time.monotonic() + 20
    while True:
        try:
            worker = world.come("w")
            break
        except OSError:
            assert time.monotonic() < deadline

    worker.send({"type": "ready"})
    assert scheduler.receive() == {"type": "ready"}
    for link in crowd:
        link.close()


def test_the_key_is_not_sent(world: World) -> None:
    world.expect("w")
    with socket.create_connection(("127.0.0.1", world.door.port), timeout=10) as link:
        asked = json.loads(link.makefile("rb").readline())
        answer = proof(world.key, "w", asked["nonce"])

    assert world.key.hex() not in json.dumps(asked) + answer
    assert proof(world.key, "w", asked["nonce"]) != proof(world.key, "v", asked["nonce"])


@TLS
def test_a_worker_tells_nothing_to_a_server_that_can_not_show_who_it_is(
    world: World, tmp_path: Path
) -> None:
    scheduler = world.expect("w")
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'elsewhere'"):
        world.come("w", host="elsewhere")
    own = world.ca_file
    world.ca_file = Authority(tmp_path / "stranger").file
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        world.come("w")
    assert "CERTIFICATE_VERIFY_FAILED" in world.start("w").communicate(timeout=30)[1]

    world.ca_file = own
    world.come("w").send({"type": "ready"})
    assert scheduler.receive() == {"type": "ready"}


@TLS
def test_nothing_is_said_in_the_clear_at_a_door_with_a_certificate(world: World) -> None:
    world.expect("w")
    with socket.create_connection(("127.0.0.1", world.door.port), timeout=10) as link:
        link.sendall(b'{"name": "w", "proof": ""}\n')
        assert b"nonce" not in link.recv(1000)


def test_a_key_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    made = make_key(tmp_path / "door")

    assert read_key(tmp_path / "door") == made
    assert (tmp_path / "door" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "door").stat().st_mode & 0o777 == 0o700
    with pytest.raises(Unavailable):
        read_key(tmp_path / "nowhere")


# --- whole workers --------------------------------------------------------------------------------


@pytest.fixture
def store(world: World) -> None:
    ChunkStore(world.home / "store").close()


def message_of(channel: Channel, kind: str) -> Any:
    while True:
        message = channel.receive()
        if message["type"] == kind:
            return message


@BOTH
@pytest.mark.usefixtures("store")
def test_a_worker_in_another_process_works_until_it_is_told_to_leave(world: World) -> None:
    scheduler = world.expect("w")
    process = world.start("w")
    scheduler.send(plain_context().as_message())

    assert message_of(scheduler, "ready")["isolation"] == "rewrite"
    scheduler.send({"type": "exit"})

    assert process.wait(30) == 0
    assert closes(scheduler)
    assert not (world.home / "scratch" / "w").exists()


@BOTH
@pytest.mark.usefixtures("store")
def test_a_killed_worker_is_a_closed_line(world: World) -> None:
    scheduler = world.expect("w")
    process = world.start("w")
    scheduler.send(plain_context().as_message())
    message_of(scheduler, "ready")

    process.kill()

    assert closes(scheduler)
    process.wait(30)


@pytest.mark.usefixtures("store")
def test_a_worker_ends_with_its_line(world: World) -> None:
    scheduler = world.expect("w")
    process = world.start("w")
    scheduler.send(plain_context().as_message())
    message_of(scheduler, "ready")

    world.door.drop("w")

    assert process.wait(30) == 0


@BOTH
def test_a_worker_that_is_not_let_in_says_why(world: World) -> None:
    process = world.start("late")

    _, said = process.communicate(timeout=30)

    assert process.returncode == 3
    assert "worker late was not let in: no such worker is expected" in said


def test_a_worker_without_the_key_says_so(world: World) -> None:
    (world.home / "door" / "key").unlink()
    process = world.start("w")

    _, said = process.communicate(timeout=30)

    assert process.returncode == 4
    assert "the key of workers" in said
    assert "Traceback" not in said
