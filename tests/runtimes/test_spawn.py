"""What a command has of the process that started it."""

import os
import signal
from typing import Any

import pytest

from trunkline.runtimes.base import Slot

Place = Any  # the fixture of conftest.py


def test_a_command_has_no_open_file_but_its_streams(place: Place) -> None:
    def work() -> bytes:
        for end in os.pipe():
            os.set_inheritable(end, True)  # like what this process was born with
        return bytes(place.here(lambda slot: _said(place, slot, "ls /dev/fd/")))

    assert place.away(work) == b"0\n1\n2\n3\n"  # the last one is that of `ls` itself


def test_streams_that_are_closed_here_do_no_harm(place: Place) -> None:
    def work() -> bytes:
        for stream in range(3):
            os.close(stream)
        return bytes(place.here(lambda slot: _said(place, slot, "cat; echo out; echo err >&2")))

    assert place.away(work) == b"out\nerr\n"


def test_a_command_that_runs_and_one_that_can_not_leave_no_file_open(place: Place) -> None:
    def work(slot: Slot) -> list[int]:
        slot.stage(0)
        counts = []
        for _ in range(2):
            place.run(slot, "true", stdin=b"x")
            place.run(slot, "/no/such/program", stdin=b"x")
            counts.append(len(os.listdir("/dev/fd")))
        return counts

    before, after = place(work)
    assert before == after


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_a_command_ignores_no_signal_because_we_do(place: Place) -> None:
    ignored = int(place.shell("grep SigIgn /proc/self/status").stdout.split()[1], 16)

    for signal_number in (signal.SIGPIPE, signal.SIGXFSZ):
        assert not ignored >> (signal_number - 1) & 1


def test_a_program_is_looked_for_where_path_says_and_passed_over_where_it_can_not_run(
    place: Place,
) -> None:
    def work(slot: Slot) -> list[Any]:
        staged = slot.stage(1)
        for name, mode in (("plain", 0o644), ("first", 0o755), ("second", 0o755)):
            tool = staged / "in" / name / "tool"
            tool.parent.mkdir(parents=True)
            tool.write_text(f"#!/bin/sh\necho {name}\n")
            tool.chmod(mode)
        (staged / "in" / "directory" / "tool").mkdir(parents=True)
        paths = (
            "plain:directory:nowhere:first:second",
            "second:first",
            "plain:directory",
            "nowhere",
        )
        found = []
        for path in paths:
            env = {"PATH": ":".join(f"/pfs/in/{name}" for name in path.split(":"))}
            ran = place.run(slot, "tool", env=env)
            found.append((ran.stdout, ran.report.code))
        # Relative ones are meant from where the command begins.
        for argv, path in ((("tool",), "first"), (("first/tool",), ""), (("./tool",), "")):
            directory = "in/first" if argv == ("./tool",) else "in"
            ran = place.run(slot, *argv, env={"PATH": path}, working_dir=directory)
            found.append((ran.stdout, ran.report.code))
        return found

    first, second = (b"first\n", 0), (b"second\n", 0)
    assert place(work) == [first, second, (b"", 126), (b"", 127), first, first, first]


def _said(place: Place, slot: Slot, script: str) -> bytes:
    slot.stage(0)
    ran = place.sh(slot, script)
    return bytes(ran.stdout + ran.stderr)
