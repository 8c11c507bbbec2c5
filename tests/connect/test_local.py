"""The local server is there when it is needed: once, whoever asks and whatever happened before."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from process_ends import has_ended

from trunkline.config import Config, load
from trunkline.connect.local import ensure_server, running_server, stop_server
from trunkline.connect.opening import local_client
from trunkline.errors import StoreInUse, TimedOut, Unavailable

FIRST_COMMAND = """
import sys
from trunkline.config import load
from trunkline.connect.opening import local_client
client = local_client(load(), command=sys.argv[2:])
client.repos.create_repo(sys.argv[1])
client.close()
"""


def pid_of(config: Config) -> int:
    record = running_server(config)
    assert record is not None
    return record.pid


def started_servers(config: Config) -> int:
    return (config.home / "log" / "server.log").read_text().count(" serves ")


def test_the_first_operation_starts_the_server(home: Path, serve_command: list[str]) -> None:
    config = load()
    client = local_client(config, command=serve_command)
    before = running_server(config)

    repos = client.repos.list_repos()

    assert before is None
    assert repos == []
    assert running_server(config).version == "0.0-model"
    assert pid_of(config) != os.getpid()
    client.close()


def test_eight_first_commands_at_once_start_one_server(
    home: Path, serve_command: list[str]
) -> None:
    commands = [
        subprocess.Popen([sys.executable, "-c", FIRST_COMMAND, f"r{n}", *serve_command])
        for n in range(8)
    ]
    statuses = [command.wait(60) for command in commands]

    config = load()
    client = local_client(config, command=serve_command)
    assert statuses == [0] * 8
    assert {repo.name for repo in client.repos.list_repos()} == {f"r{n}" for n in range(8)}
    assert started_servers(config) == 1
    client.close()


def test_the_next_command_after_a_kill_finds_a_server(home: Path, serve_command: list[str]) -> None:
    config = load()
    client = local_client(config, command=serve_command)
    client.repos.list_repos()
    first = pid_of(config)
    os.kill(first, signal.SIGKILL)

    assert client.repos.list_repos() == []
    assert pid_of(config) != first
    client.close()


def test_many_threads_that_find_the_server_dead_start_one(
    home: Path, serve_command: list[str]
) -> None:
    config = load()
    client = local_client(config, command=serve_command)
    client.repos.list_repos()
    os.kill(pid_of(config), signal.SIGKILL)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.repos.list_repos(), range(8)))

    assert answers == [[]] * 8
    assert started_servers(config) == 2
    client.close()


def test_the_server_survives_the_command_that_started_it(
    home: Path, serve_command: list[str]
) -> None:
    config = load()
    command = [sys.executable, "-c", FIRST_COMMAND, "r", *serve_command]
    subprocess.run(command, check=True, timeout=60)

    client = local_client(config, command=["must-not-be-started"])

    assert [repo.name for repo in client.repos.list_repos()] == ["r"]
    assert os.getsid(pid_of(config)) != os.getsid(0)
    client.close()


def test_a_stopped_server_is_gone_and_the_next_one_may_come(
    home: Path, serve_command: list[str]
) -> None:
    config = load()
    ensure_server(config, command=serve_command)
    first = pid_of(config)

    assert stop_server(config) is True
    assert running_server(config) is None
    assert stop_server(config) is False

    ensure_server(config, command=serve_command)
    assert pid_of(config) != first


def test_a_server_whose_socket_was_removed_can_still_be_stopped(
    home: Path, serve_command: list[str]
) -> None:
    config = load()
    ensure_server(config, command=serve_command)
    config.socket.unlink()

    assert stop_server(config) is True
    assert not (config.home / "server.json").exists()


def test_a_dead_server_leaves_no_zombie_in_a_long_lived_caller(
    home: Path, serve_command: list[str]
) -> None:
    config = load()
    ensure_server(config, command=serve_command)
    pid = pid_of(config)

    stop_server(config)

    deadline = time.monotonic() + 10
    while not has_ended(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert has_ended(pid)


def test_the_servers_own_sentence_is_reported_when_it_cannot_start(
    home: Path, serve_command: list[str]
) -> None:
    home.mkdir()
    home.chmod(0o777)

    with pytest.raises(Unavailable, match="must be a directory that only you can write to"):
        ensure_server(load(), command=serve_command)


def test_a_directory_that_another_process_holds_is_said_to_be_in_use(
    home: Path, serve_command: list[str]
) -> None:
    import fcntl

    home.mkdir()
    config = replace(load(), start_timeout_s=6.0)
    with open(home / "server.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4242\n")
        held.flush()

        with pytest.raises(StoreInUse, match="in use by the server with process id 4242"):
            ensure_server(config, command=serve_command)


def test_a_server_that_ends_without_a_word_is_reported_with_its_last_one(home: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no disk today')"]

    with pytest.raises(Unavailable, match=r"ended while it was starting: no disk today; see .*log"):
        ensure_server(load(), command=command)


def test_a_server_that_takes_too_long_is_not_waited_for(home: Path) -> None:
    config = replace(load(), start_timeout_s=0.3)
    command = [sys.executable, "-c", "import time; time.sleep(3)"]

    with pytest.raises(TimedOut, match="not ready within 0 seconds; it may still be starting"):
        ensure_server(config, command=command)


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = load({"HOME": str(tmp_path)}, home=tmp_path / "file" / "home")

    with pytest.raises(Unavailable, match="can't use the data directory"):
        ensure_server(config)


def test_a_long_log_is_set_aside_when_a_server_starts(
    home: Path, serve_command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = home / "log" / "server.log"
    log.parent.mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    log.write_bytes(b"x" * 100)
    monkeypatch.setattr("trunkline.connect.local.LOG_BYTES_MAX", 50)

    ensure_server(load(), command=serve_command)

    assert (home / "log" / "server.log.1").read_bytes() == b"x" * 100
    assert b"x" * 100 not in log.read_bytes()
