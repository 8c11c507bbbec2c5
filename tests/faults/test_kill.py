"""kill -9 of the server and of workers at random moments of the tutorial changes no result.

The moments come from a seed (`TRUNKLINE_KILL_SEED`), their number from `TRUNKLINE_KILLS`; the
nightly run raises it. After a kill the person's command may fail as unavailable and is repeated;
everything else must heal by itself.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

KILLS = int(os.environ.get("TRUNKLINE_KILLS", "20"))
SEED = int(os.environ.get("TRUNKLINE_KILL_SEED", "20261123"))
REPOS = ("training", "attributes", "pre_process", "train", "inference")
UNAVAILABLE, CONFLICT = 6, 4
TRIES = 40
ROUNDS_MAX = 40
TIME_MAX_S = 200.0

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Killer:
    """Kills the server, a worker or both of a data directory, at moments drawn from a seed."""

    home: Path
    processes: Callable[[Path], list[int]]
    moments: random.Random
    killed: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while len(self.killed) < KILLS and not self.enough.wait(self.moments.uniform(0.05, 0.9)):
            aim = self.moments.choice(("server", "worker", "worker", "server and worker"))
            server = self.server()
            workers = [pid for pid in self.workers() if pid != server]
            victims = [server] if "server" in aim and server else []
            if "worker" in aim and workers:
                victims.append(self.moments.choice(workers))
            hit = [pid for pid in victims if _kill(pid)]
            self.killed += [aim] if hit else []

    def server(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            pid = int(json.loads((self.home / "server.json").read_text())["pid"])
            return pid if pid in self.processes(self.home) else None
        return None

    def workers(self) -> list[int]:
        """The workers and their host, which forks them and so shares their arguments.

        User code is spared: its death is a failure of the user's program, with its own rules.
        """
        return [
            pid for pid in self.processes(self.home) if b"trunkline.jobs.host" in _arguments(pid)
        ]


def _arguments(pid: int) -> list[bytes]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def _kill(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


@contextmanager
def killing(killer: Killer) -> Iterator[None]:
    thread = threading.Thread(target=killer.work)
    thread.start()
    try:
        yield
    finally:
        killer.enough.set()
        thread.join()


def patient(command: Run, *words: str, cwd: Path, expect_done: str = "") -> str:
    """Run a command until it succeeds, as a person would whose server keeps dying.

    A command that was carried out though its answer got lost reports a conflict when repeated;
    `expect_done` is a part of that sentence, and then it counts as done.
    """
    for _ in range(TRIES):
        done = command(*words, cwd=cwd, ok=False)
        if done.returncode == 0:
            return done.stdout
        if done.returncode == CONFLICT and expect_done and expect_done in done.stderr:
            return ""
        assert done.returncode == UNAVAILABLE, f"{words}: {done.returncode}: {done.stderr}"
    pytest.fail(f"{' '.join(words)} did not succeed in {TRIES} tries")


def tutorial(command: Run, iris: Path, *, rounds: Callable[[int], bool]) -> None:
    """The steps of the tutorial; the correction of the data is repeated for some rounds."""

    def say(line: str, expect_done: str = "") -> str:
        return patient(command, *line.split(), cwd=iris, expect_done=expect_done)

    say("trunkline create repo training", "already exists")
    say("trunkline create repo attributes", "already exists")
    say("trunkline put file training@master:/iris.csv -f data/iris.csv")
    say("trunkline create pipeline -f pre-process.json", "already exists")
    say("trunkline create pipeline -f train.json", "already exists")
    say("trunkline put file attributes@master:/test1.csv -f data/test1.csv")
    say("trunkline put file attributes@master:/test2.csv -f data/test2.csv")
    say("trunkline create pipeline -f infer.json", "already exists")
    say("trunkline flush commit attributes@master")  # an update would kill the job of version 1
    say("trunkline update pipeline -f infer3.json")
    number = 0
    while rounds(number):
        number += 1
        # A row per round is new, so that no round can be answered from memory.
        rows = (iris / "data" / "iris.csv").read_text().splitlines()
        del rows[number % len(rows)]
        (iris / "data" / "round.csv").write_text("\n".join(rows) + "\n")
        say("trunkline put file training@master:/iris.csv -f data/round.csv")
        say("trunkline put file attributes@master:/test1.csv -f data/test1.csv")
        say("trunkline list job")
    say("trunkline put file training@master:/iris.csv -f data/iris-changed.csv")
    say("trunkline flush commit training@master")


def outcome(command: Run, iris: Path) -> dict[str, dict[str, str]]:
    """The files at the head of every repo, with their content."""
    found: dict[str, dict[str, str]] = {}
    for repo in REPOS:
        table = command("trunkline", "list", "file", f"{repo}@master", cwd=iris).stdout
        names = [row.split()[-1].strip("/") for row in table.splitlines()[1:]]
        found[repo] = {
            name: command("trunkline", "get", "file", f"{repo}@master:/{name}", cwd=iris).stdout
            for name in names
        }
    return found


@pytest.fixture
def example(iris: Path) -> Path:
    """The example, with a spec for three workers beside it."""
    wider = json.loads((iris / "infer.json").read_text())
    (iris / "infer3.json").write_text(json.dumps(wider | {"parallelism_spec": {"constant": "3"}}))
    return iris


@pytest.mark.slow
def test_killing_the_server_and_workers_changes_no_result(
    home: Path,
    example: Path,
    command: Run,
    processes: Callable[[Path], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRUNKLINE_LEASE_S", "2")
    # Its name begins with the other one's, so that teardown ends its processes too.
    monkeypatch.setenv("TRUNKLINE_HOME", str(home.with_name("home-undisturbed")))
    tutorial(command, example, rounds=lambda number: number < 1)
    undisturbed = outcome(command, example)
    command("trunkline", "down")
    monkeypatch.setenv("TRUNKLINE_HOME", str(home))
    killer = Killer(home=home, processes=processes, moments=random.Random(SEED))
    deadline = time.monotonic() + TIME_MAX_S

    with killing(killer):
        tutorial(
            command,
            example,
            rounds=lambda number: (
                number < 1
                or (
                    len(killer.killed) < KILLS
                    and number < ROUNDS_MAX
                    and time.monotonic() < deadline
                )
            ),
        )

    assert len(killer.killed) >= min(KILLS, 50), killer.killed
    jobs = command("trunkline", "flush", "job", "training@master", cwd=example).stdout
    assert {row.split()[-1] for row in jobs.splitlines()[1:]} == {"success"}
    listed = command("trunkline", "list", "job", "-o", "json", cwd=example).stdout
    ends = {(job["state"], job["reason"]) for job in json.loads(listed)}
    assert ends == {("success", "")}
    assert outcome(command, example) == undisturbed
    command("trunkline", "fsck", cwd=example)
