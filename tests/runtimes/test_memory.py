"""When the kernel kills for lack of memory, the report says so."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_groups import memory_group

from trunkline.runtimes.base import Slot
from trunkline.runtimes.memory import OutOfMemoryCounter

Place = Any  # the fixture of conftest.py
# Far above what a fork of a test runner touches: the kernel must find the greedy one the largest.
LIMIT_BYTES = 1024 * 1024 * 1024
GREEDY = "x = bytearray(3 * 1024 * 1024 * 1024)"


@pytest.fixture
def small_group() -> Iterator[Path]:
    with memory_group(LIMIT_BYTES) as group:
        yield group


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [
        (f'exec python3 -c "{GREEDY}"', None, signal.SIGKILL),
        (f'python3 -c "{GREEDY}"; exit $?', 137, None),
        (f'python3 -c "{GREEDY}" || exit 1', 1, None),
    ],
)
def test_a_command_that_takes_too_much_memory_is_told_so(
    root_place: Place, small_group: Path, script: str, code: int | None, number: int | None
) -> None:
    def work() -> Any:
        (small_group / "cgroup.procs").write_text(str(os.getpid()))

        def greedy(slot: Slot) -> Any:
            slot.stage(0)
            return root_place.sh(slot, script).report

        return root_place.here(greedy)

    report = root_place.away(work)

    assert (report.code, report.signal) == (code, number)
    assert report.out_of_memory
    assert report.reason.endswith(", probably out of memory")


def test_a_command_that_kills_itself_is_not_said_to_lack_memory(place: Place) -> None:
    report = place.shell("kill -9 $$").report

    assert report.reason == "the command was killed by signal SIGKILL (9)"
    assert not report.out_of_memory


def test_the_counter_is_a_number_that_does_not_fall() -> None:
    counter = OutOfMemoryCounter()

    first, second = counter.count(), counter.count()
    counter.close()

    assert 0 <= first <= second
    assert counter.count() == 0
