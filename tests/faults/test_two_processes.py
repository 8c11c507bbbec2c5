"""Two processes on one data directory: one engine at a time, and every acknowledged put once.

`engine.lock` lets one process open a store; the lock ends with the process, however it ends. The
one that comes too late is told who has it. Clients of the server share its engine.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_session import scratch
from engine_state import damages, open_engine, without_workers

ROUNDS = int(os.environ.get("TRUNKLINE_TWO_PROCESS_ROUNDS", "3"))

# Opens the engine as soon as it is free, says so, and puts until it is killed; each put is told
# when it was acknowledged.
WRITER = """
import sys, time
from pathlib import Path
from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import StoreInUse, AlreadyExists

home, name = Path(sys.argv[1]), sys.argv[2]
while True:
    try:
        engine = Engine(load(home=home))
        break
    except StoreInUse as error:
        print("refused", error, flush=True)
        if len(sys.argv) > 3:
            sys.exit(3)
        time.sleep(0.01)
try:
    engine.repos.create_repo("a")
except AlreadyExists:
    pass
print("open", flush=True)
number = 0
while True:
    mark = f"{name}.{number};".encode()
    change = PutFile(path="log", content=[mark], append=True)
    print("put", engine.files.modify_files("a", "master", [change]).id, mark.decode(), flush=True)
    number += 1
"""


@pytest.fixture
def home() -> Iterator[Path]:
    with scratch() as place:
        yield place / "home"


def writer(home: Path, name: str, *more: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", WRITER, str(home), name, *more]
    environment = {**os.environ, "HOME": str(home.parent)}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)


def lines_until(process: "subprocess.Popen[str]", word: str, count: int = 1) -> list[str]:
    """What a writer says up to its n-th line with a first word."""
    assert process.stdout is not None
    found: list[str] = []
    for line in process.stdout:
        found.append(line)
        count -= line.startswith(word)
        if not count:
            return found
    raise AssertionError(f"it ended without '{word}': {found}")


def test_the_second_process_is_told_who_has_the_store(home: Path) -> None:
    first = writer(home, "first")
    lines_until(first, "put")

    second = writer(home, "second", "once")
    said, _ = second.communicate(timeout=60)

    assert second.returncode == 3
    assert f"(pid {first.pid})" in said
    first.kill()
    first.communicate()


def test_killed_processes_that_follow_each_other_lose_no_put_and_repeat_none(home: Path) -> None:
    acknowledged: list[tuple[str, str]] = []
    waiting = writer(home, "w0")
    for turn in range(1, ROUNDS + 1):
        active = waiting
        said = lines_until(active, "open")  # before the next one could open it
        waiting = writer(home, f"w{turn}")
        said += lines_until(active, "put", 5)
        os.kill(active.pid, signal.SIGKILL)
        rest, _ = active.communicate()
        for line in [*said, *rest.splitlines(keepends=True)]:
            if line.startswith("put ") and line.endswith(";\n"):
                _, commit, mark = line.split()
                acknowledged.append((commit, mark))
    lines_until(waiting, "put")
    waiting.kill()
    waiting.communicate()

    with without_workers():
        engine = open_engine(home)
        history = [c.id for c in engine.commits.list_commits("a", to="master")][::-1]
        log = b"".join(engine.files.read_file("a", "master", "log")).decode()
        marks = [mark + ";" for mark in log.split(";")[:-1]]
        assert damages(engine) == []
        engine.close()
    assert len(marks) == len(set(marks)) == len(history) == len(set(history))
    places = dict(zip(history, marks, strict=True))
    assert all(places[commit] == mark for commit, mark in acknowledged)
    order = [history.index(commit) for commit, _ in acknowledged]
    assert order == sorted(order)


def test_processes_that_put_through_one_server_lose_no_update(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "TRUNKLINE_HOME": str(home), "HOME": str(home.parent)}
    words = [sys.executable, "-m", "trunkline"]

    def run(*more: str) -> str:
        done = subprocess.run(
            [*words, *more], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # Two first commands at once start one server.
    both = [
        subprocess.Popen([*words, "create", "repo", name], env=environment) for name in ("a", "b")
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    pid = json.loads((home / "server.json").read_text())["pid"]
    try:
        putting = []
        for number in range(4):
            process = subprocess.Popen(
                [*words, "put", "file", "-a", "a@master:/log", "-f", "-"],
                env=environment,
                stdin=subprocess.PIPE,
                text=True,
            )
            assert process.stdin is not None
            process.stdin.write(f"{number};")
            process.stdin.close()
            putting.append(process)
        assert [process.wait(120) for process in putting] == [0] * 4

        log = run("get", "file", "a@master:/log")

        assert sorted(log.split(";")[:-1]) == ["0", "1", "2", "3"]
        assert json.loads((home / "server.json").read_text())["pid"] == pid
    finally:
        run("down")
