"""The process tree of a command is ended; what belongs to the worker itself is not."""

import os
import signal
import subprocess
from typing import Any

import pytest

from trunkline.runtimes import descendants
from trunkline.runtimes.base import Slot

Place = Any  # the fixture of conftest.py


def test_helpers_that_the_worker_started_itself_stay_alive(place: Place) -> None:
    def work(slot: Slot) -> tuple[str, int | None, int]:
        helper = subprocess.Popen(["/bin/sleep", "60"])
        slot.stage(0)
        reason = place.sh(slot, "setsid sleep 60 & true").report.reason
        alive = helper.poll()
        helper.terminate()
        return reason, alive, helper.wait()

    assert place(work) == ("", None, -signal.SIGTERM)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_children_are_found_with_and_without_the_kernels_list() -> None:
    process = subprocess.Popen(["/bin/sleep", "60"])
    try:
        assert process.pid in descendants.children()
        assert process.pid in descendants._children_by_parent()
    finally:
        process.kill()
        process.wait()
    assert process.pid not in descendants.children()


def test_killing_what_is_gone_does_nothing() -> None:
    process = subprocess.Popen(["/bin/true"])
    process.wait()

    descendants.kill(process.pid)
    descendants.kill_group(process.pid)
    descendants.reap(frozenset({process.pid}))
