"""Streams: items are seen as they come, errors are told, and nobody's silence holds a thread."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from memory_server import MemoryServer

from trunkline.errors import FileNotFoundInCommit, JobNotFound, Unavailable
from trunkline.server.rest.routes import PREFIX
from trunkline.server.threads import BUFFER_BYTES_MAX

FOLLOW = f"{PREFIX}/logs?pipeline=p&follow=true"


def eventually(true: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def started(
    server: MemoryServer, target: str
) -> tuple[http.client.HTTPConnection, Iterator[bytes]]:
    """A bare request for a stream, and its lines."""
    connection = server.connect()
    connection.request("GET", target)
    response = connection.getresponse()
    assert response.status == 200
    return connection, iter(response.readline, b"")


def test_a_waiting_follower_sees_a_line_at_once(server: MemoryServer) -> None:
    server.operations.say("first")
    lines = server.client().datums.get_logs(pipeline="p", follow=True)
    first = next(lines).message

    server.operations.say("second")
    asked = time.monotonic()
    second = next(lines).message

    assert (first, second) == ("first", "second")
    assert time.monotonic() - asked < 2
    lines.close()


def test_silence_is_broken_by_empty_lines(server: MemoryServer) -> None:
    connection, lines = started(server, FOLLOW)

    heard = [next(lines) for _ in range(3)]

    assert heard == [b"\n"] * 3
    connection.close()


def test_an_error_in_the_middle_is_the_last_line(server: MemoryServer) -> None:
    server.operations.say("fine")
    server.operations.say("RAISE")
    connection, lines = started(server, f"{PREFIX}/logs?pipeline=p")

    heard = [json.loads(line) for line in lines if line.strip()]
    connection.close()

    assert heard[0]["message"] == "fine"
    assert heard[1]["error"]["code"] == "job-not-found"
    assert len(heard) == 2


def test_the_client_raises_the_error_after_the_values_before_it(server: MemoryServer) -> None:
    for message in ("one", "two", "RAISE"):
        server.operations.say(message)
    seen: list[str] = []

    with pytest.raises(JobNotFound, match="there is no job 'p@gone'"):
        seen.extend(line.message for line in server.client().datums.get_logs(pipeline="p"))

    assert seen in (["one", "two"], [])  # `extend` keeps what came before the error
    assert server.operations.streams_open == 0


def test_a_value_that_looks_like_an_error_is_a_value(server: MemoryServer) -> None:
    message = '{"error":{"code":"not-found"}}\n{"error":1}'
    server.operations.say(message)

    heard = [line.message for line in server.client().datums.get_logs(pipeline="p")]

    assert heard == [message]


def test_a_follower_that_hangs_up_sets_the_thread_free(server: MemoryServer) -> None:
    connection, lines = started(server, FOLLOW)
    next(lines)
    assert server.operations.streams_open == 1

    connection.close()

    assert eventually(lambda: server.operations.streams_open == 0)
    assert eventually(lambda: server.app.threads.running == 0)


def test_a_stream_that_is_not_read_to_its_end_is_closed(server: MemoryServer) -> None:
    client = server.client()
    server.operations.say("one")
    lines = client.datums.get_logs(pipeline="p", follow=True)
    next(lines)

    lines.close()

    assert eventually(lambda: server.operations.streams_open == 0)
    assert client.repos.list_repos() == []


def test_a_hundred_followers_do_not_keep_a_short_request_waiting(server: MemoryServer) -> None:
    connections = [server.connect() for _ in range(100)]
    for connection in connections:
        connection.request("GET", FOLLOW)
    assert eventually(lambda: server.operations.streams_open == 100)

    asked = time.monotonic()
    server.client().repos.list_repos()

    assert time.monotonic() - asked < 5
    for connection in connections:
        connection.close()
    assert eventually(lambda: server.app.threads.running == 0)


def test_one_follower_too_many_is_refused_and_told_why(server: MemoryServer) -> None:
    server.app.threads._long_max = 2
    connections = [started(server, FOLLOW)[0] for _ in range(2)]

    with pytest.raises(Unavailable, match="already serves 2 streams, uploads and waits"):
        next(server.client().datums.get_logs(pipeline="p"))

    for connection in connections:
        connection.close()


def test_followers_do_not_keep_the_server_from_ending(server: MemoryServer) -> None:
    lines = server.client().datums.get_logs(pipeline="p", follow=True)
    server.operations.say("one")
    next(lines)

    asked = time.monotonic()
    server.stop()

    assert time.monotonic() - asked < 5
    with pytest.raises(Unavailable, match="stopping"):
        next(lines)


def test_a_wait_ends_when_what_it_waits_for_happens(server: MemoryServer) -> None:
    from trunkline.model.jobs import JobState

    server.operations.states["p@1"] = JobState.RUNNING

    def finish() -> None:
        with server.operations.changed:
            server.operations.states["p@1"] = JobState.SUCCESS
            server.operations.changed.notify_all()

    threading.Timer(0.2, finish).start()

    assert server.client().jobs.inspect_job("p@1", wait=True).state is JobState.SUCCESS


def test_a_caller_that_gives_up_waiting_sets_the_thread_free(server: MemoryServer) -> None:
    from trunkline.model.jobs import JobState

    server.operations.states["p@1"] = JobState.RUNNING
    connection = server.connect()
    connection.request("GET", f"{PREFIX}/jobs/p%401?wait=true")
    assert eventually(lambda: server.app.threads.running == 1)

    connection.close()

    assert eventually(lambda: server.app.threads.running == 0)


def test_an_error_before_the_first_byte_has_its_status(server: MemoryServer) -> None:
    server.operations.repos.create_repo("r")
    with server.operations.changed:
        server.operations.files.modify_files("r", "master", [])

    answer = server.ask("GET", f"{PREFIX}/repos/r/content/master/a/b")

    assert answer.status == 404
    assert answer.error["code"] == FileNotFoundInCommit.code


def test_an_error_after_the_first_byte_is_asked_for(server: MemoryServer) -> None:
    class Torn:
        """Gives a piece, then fails; asked from there, it fails at once."""

        def __call__(self, *, offset_bytes: int = 0, **_: object) -> Iterator[bytes]:
            if offset_bytes == 0:
                yield b"x" * 1000
            raise JobNotFound("the reason")

    replace_operation(server, "read_file", Torn())
    content = server.client().files.read_file("r", "master", "f")

    with pytest.raises(JobNotFound, match="the reason"):
        list(content)


def test_a_slow_reader_holds_no_more_than_the_buffer(server: MemoryServer) -> None:
    made = 0

    def endless(**_: object) -> Iterator[bytes]:
        nonlocal made
        while True:
            made += 1 << 20
            yield bytes(1 << 20)

    replace_operation(server, "read_file", endless)
    content = server.client().files.read_file("r", "master", "f")
    next(content)

    time.sleep(0.5)  # long enough to make gigabytes, were there no limit
    assert made <= 2 * BUFFER_BYTES_MAX + (4 << 20)  # one being filled, one being sent
    content.close()
    assert eventually(lambda: server.app.threads.running == 0)


def test_many_values_come_through_in_order(server: MemoryServer) -> None:
    for number in range(5000):
        server.operations.say(str(number))

    heard = [line.message for line in server.client(tcp=True).datums.get_logs(pipeline="p")]

    assert heard == [str(number) for number in range(5000)]


def replace_operation(server: MemoryServer, name: str, call: Callable[..., object]) -> None:
    for routes in server.app.rest.table.values():
        for _, _, endpoint in routes:
            if endpoint._operation.name == name:
                endpoint._call = call
