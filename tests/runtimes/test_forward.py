"""Ports whose connections go on to a process, which may be another one at any time."""

import contextlib
import gc
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from trunkline.runtimes import forward
from trunkline.runtimes.forward import Forwarder


class Echo:
    """Says its name and then all that it is told."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with caller:
            caller.sendall(self._name)
            while data := caller.recv(65536):
                caller.sendall(data)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def door() -> Iterator[Forwarder]:
    opened = Forwarder()
    yield opened
    opened.close()


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def call(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := connection.recv(count - len(data))):
        data += more
    return data


def until(wanted: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(1000):
        if wanted():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come to that")


def test_bytes_go_both_ways_and_the_end_of_one_side_is_told_to_the_other(
    door: Forwarder, port: int
) -> None:
    echo = Echo(b"a")
    door.open("x", "127.0.0.1", port)
    door.point("x", echo.port)
    text = b"0123456789" * 100_000

    with call(port) as connection:
        sender = threading.Thread(target=connection.sendall, args=(text,))
        sender.start()
        assert read(connection, 1 + len(text)) == b"a" + text
        sender.join()
        assert door.connections(echo.port) == 1
        connection.shutdown(socket.SHUT_WR)
        assert read(connection, 1) == b""

    until(lambda: door.connections(echo.port) == 0)


def test_new_connections_go_to_the_new_one_and_old_ones_stay(door: Forwarder, port: int) -> None:
    first, second = Echo(b"a"), Echo(b"b")
    door.open("x", "127.0.0.1", port)
    door.point("x", first.port)
    with call(port) as old:
        assert read(old, 1) == b"a"

        door.point("x", second.port)

        with call(port) as new:
            assert read(new, 1) == b"b"
        old.sendall(b"still")
        assert read(old, 5) == b"still"


def test_who_calls_while_nobody_is_there_waits_until_somebody_is(
    door: Forwarder, port: int
) -> None:
    first, second = Echo(b"a"), Echo(b"b")
    door.open("x", "127.0.0.1", port)
    door.point("x", first.port)
    first.close()  # as one that died, and nobody knows yet
    with call(port) as waiting:
        door.point("x", None)
        with call(port) as later:
            door.point("x", second.port)

            assert read(later, 1) == b"b"
        assert read(waiting, 1) == b"b"


def test_who_waited_too_long_is_hung_up_on(
    door: Forwarder, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "HELD_S", 0.1)
    door.open("x", "127.0.0.1", port)

    with call(port) as connection:
        assert connection.recv(1) == b""


def test_a_port_that_is_taken_is_told_and_the_old_door_stays(door: Forwarder, port: int) -> None:
    echo, other = Echo(b"a"), Echo(b"b")
    door.open("x", "127.0.0.1", port)
    door.point("x", echo.port)

    with pytest.raises(OSError, match="in use"):
        door.open("x", "127.0.0.1", other.port)

    with call(port) as connection:
        assert read(connection, 1) == b"a"


def test_a_door_can_move_and_be_shut(door: Forwarder, port: int) -> None:
    echo = Echo(b"a")
    door.open("x", "127.0.0.1", port)
    door.point("x", echo.port)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        elsewhere = int(found.getsockname()[1])

    door.open("x", "127.0.0.1", elsewhere)

    with call(elsewhere) as connection:
        assert read(connection, 1) == b"a"
    with pytest.raises(ConnectionRefusedError):
        call(port)
    door.shut("x")
    with pytest.raises(ConnectionRefusedError):
        call(elsewhere)


def test_who_calls_while_a_door_is_shut_is_left_with_nothing_open(
    door: Forwarder, port: int
) -> None:
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                call(port).close()

    callers = [threading.Thread(target=knock) for _ in range(3)]
    for caller in callers:
        caller.start()
    for _ in range(300):
        door.open("web", "127.0.0.1", port)
        door.shut("web")
    over.set()
    for caller in callers:
        caller.join()
    gc.collect()  # which tells of a socket that nobody closed, and fails the test
