"""What a killed worker left running is found by its marker."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from trunkline.runtimes.base import Command, Slot
from trunkline.runtimes.cleanup import kill_leftovers

Place = Any  # the fixture of conftest.py


@pytest.fixture
def marker() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def sleeper() -> Iterator[Any]:
    started: list[subprocess.Popen[bytes]] = []

    def start(**env: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["/bin/sleep", "60"], env=env))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_processes_with_the_marker_are_killed_and_counted(marker: str, sleeper: Any) -> None:
    processes = [sleeper(TRUNKLINE_SLOT=marker, A="1") for _ in range(3)]

    assert kill_leftovers(marker) == 3
    assert [process.wait(10) for process in processes] == [-signal.SIGKILL] * 3
    assert kill_leftovers(marker) == 0


def test_processes_with_another_marker_stay(marker: str, sleeper: Any) -> None:
    others = [
        sleeper(TRUNKLINE_SLOT=marker + "0"),
        sleeper(TRUNKLINE_SLOT="0" + marker),
        sleeper(OTHER=f"TRUNKLINE_SLOT={marker}"),
    ]

    assert kill_leftovers(marker) == 0
    assert [process.poll() for process in others] == [None] * 3


def test_whoever_asks_is_spared(marker: str) -> None:
    script = f"from trunkline.runtimes import cleanup; print(cleanup.kill_leftovers({marker!r}))"

    asked = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TRUNKLINE_SLOT": marker},
        capture_output=True,
    )

    assert (asked.returncode, asked.stdout) == (0, b"0\n")


def test_an_empty_marker_kills_nothing(sleeper: Any) -> None:
    process = sleeper(TRUNKLINE_SLOT="")

    assert kill_leftovers("") == 0
    assert process.poll() is None


def test_commands_of_a_killed_worker_are_found(place: Place) -> None:
    def die(slot: Slot) -> None:
        slot.stage(0)
        command = Command(argv=("sh", "-c", "(setsid sleep 60 &); sleep 60 & echo go; sleep 60"))
        slot.run(
            command,
            on_output=lambda *_: os.kill(os.getpid(), signal.SIGKILL),
            cancelled=lambda: False,
            tick=lambda: None,
        )

    with pytest.raises(AssertionError, match="the child died"):
        place(die)

    assert kill_leftovers(place.marker) >= 3
