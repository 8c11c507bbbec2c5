"""What is particular to slots in containers: the image, hostile code, and ends from outside."""

import os
import signal
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stage_images
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.config import load
from trunkline.runtimes.base import Command, Slot, SlotLost
from trunkline.runtimes.containers import leftovers
from trunkline.runtimes.containers.engine import open_engine

Place = Any
MIB = 1024 * 1024
SHELLS = (stage_images.BUSYBOX, "/bin/dash", "/bin/bash")


@pytest.fixture
def plain(place: Place, docker: str) -> Place:
    """A place for containers of an image with nothing but busybox."""
    place.image = stage_images.shell_image(docker)
    return place


def processes(slot: Slot, place: Place) -> list[str]:
    listed = place.sh(slot, "ps -o args").stdout.decode().splitlines()[1:]
    return [line for line in listed if not line.startswith(("ps ", "{ps}", "sh -c", "/bin/sh -c"))]


# --- the image ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_any_posix_shell_will_do(place: Place, docker: str, shell: str) -> None:
    if not os.path.exists(shell):
        pytest.skip(f"no {shell} on this machine")
    place.image = stage_images.shell_image(docker, shell=shell)

    def work(slot: Slot) -> list[Any]:
        slot.stage(0)
        return [
            place.sh(slot, "cat; echo err >&2; exit 3", stdin=b"in").stdout,
            place.sh(slot, "kill -SEGV $$").report.signal,
            place.sh(slot, "kill -KILL $$").report.signal,
            place.sh(slot, "exit 139").report.code,
            place.sh(slot, "sleep 60 & setsid sleep 60 & trap '' TERM; (sleep 60 &) ; echo").report,
            processes(slot, place),
            place.run(slot, "nothing-of-the-kind").report.reason,
        ]

    said, segv, killed, code, report, left, reason = place(work)

    assert (said, segv, killed, code) == (b"in", signal.SIGSEGV, signal.SIGKILL, 139)
    assert report.reason == ""
    assert left == ["/bin/sh /.trunkline/agent"]
    assert reason.startswith("there is no command 'nothing-of-the-kind'; PATH is /usr/local")
    assert reason.endswith(f"in image {place.image}")


def test_an_image_without_a_shell_is_refused_in_a_sentence(place: Place, docker: str) -> None:
    place.image = stage_images.bare_image(docker)

    report = place.shell("true").report

    assert report.code == 126
    assert report.reason == (
        f"image {place.image} has no /bin/sh, which starts commands in containers; use an image "
        "that has one"
    )


def test_a_user_of_the_image_reads_inputs_and_writes_outputs(plain: Place) -> None:
    def work(slot: Slot) -> tuple[Any, str, list[str]]:
        staged = slot.stage(1)
        (staged / "in").mkdir()
        (staged / "in" / "file").write_text("read")
        ran = plain.sh(
            slot,
            "id -un; umask 077; mkdir out/a; cp in/file out/a/copy; chmod 400 out/a/copy",
            user=stage_images.USER,
        )
        copied = (slot.out / "a" / "copy").read_text()
        slot.clear()
        return ran, copied, os.listdir(slot.out)

    ran, copied, left = plain(work)

    assert (ran.report.reason, ran.stdout) == ("", b"worker\n")
    assert (copied, left) == ("read", [])


def test_variables_with_odd_names_and_values_arrive(plain: Place) -> None:
    env = {"raw-data": "/pfs/raw data", "A": "it's $HOME `x` \\ \n\t*", "B": "ä\udc80"}

    def work(slot: Slot) -> bytes:
        slot.stage(0)
        return bytes(plain.run(slot, "env", env=env).stdout)  # a shell would drop odd names

    lines = plain(work)

    assert b"raw-data=/pfs/raw data\n" in lines
    assert b"A=it's $HOME `x` \\ \n\t*\n" in lines
    assert "B=ä".encode() + b"\x80\n" in lines


def test_a_home_of_the_spec_counts_else_that_of_the_user(plain: Place) -> None:
    def work(slot: Slot) -> list[bytes]:
        slot.stage(0)
        script = "echo $HOME"
        return [
            plain.sh(slot, script).stdout,
            plain.sh(slot, script, user=stage_images.USER).stdout,
            plain.sh(slot, script, env={"HOME": "/pfs"}).stdout,
        ]

    assert plain(work) == [b"/root\n", b"/tmp\n", b"/pfs\n"]


def test_a_program_with_an_equals_sign_in_its_name_is_run(plain: Place) -> None:
    def work(slot: Slot) -> bytes:
        staged = slot.stage(1)
        (staged / "a=b").write_text('#!/bin/sh\necho "ran $1"\n')
        (staged / "a=b").chmod(0o755)
        return bytes(plain.run(slot, "./a=b", "x y").stdout)

    assert plain(work) == b"ran x y\n"


words = st.binary(max_size=40).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))


def test_arguments_arrive_byte_for_byte(plain: Place) -> None:
    def work(slot: Slot) -> None:
        slot.stage(0)

        @settings(max_examples=200)
        @given(st.lists(words, max_size=5), st.binary(max_size=100))
        def check(arguments: list[str], stdin: bytes) -> None:
            script = 'for one in "$@"; do printf "%s\\0" "$one"; done; cat'
            ran = plain.run(slot, "/bin/sh", "-c", script, "sh", *arguments, stdin=stdin)
            wanted = b"".join(os.fsencode(word) + b"\0" for word in arguments) + stdin
            assert (ran.stdout, ran.report.reason) == (wanted, "")

        check()

    plain(work)


# --- what a container may do ----------------------------------------------------------------------


def test_a_container_has_no_capabilities_no_network_and_no_way_to_get_more(plain: Place) -> None:
    def work(slot: Slot) -> list[bytes]:
        slot.stage(0)
        return [
            plain.sh(slot, "grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status").stdout,
            plain.sh(slot, "cat /proc/net/dev | tail -n +3 | cut -d: -f1").stdout,
            plain.sh(slot, "touch /pfs/x /code/x /.trunkline/x 2>&1; mount -t tmpfs x /tmp").stderr,
            plain.sh(slot, "ls /.trunkline").stdout,
        ]

    capabilities, devices, refused, control = plain(work)

    rows = dict(line.split(":\t") for line in capabilities.decode().splitlines())
    assert {rows.pop("NoNewPrivs")} == {"1"}
    assert {int(value, 16) for value in rows.values()} == {0}
    assert devices.split() == [b"lo"]
    assert b"mount" in refused
    assert control.split() == [b"agent", b"run"]


def test_memory_beyond_the_limit_is_told_with_its_peak(plain: Place) -> None:
    def work(slot: Slot) -> list[Any]:
        slot.stage(0)
        hungry = "head -c 200000000 /dev/zero | tail -c 200000000 > /dev/null"
        return [
            plain.sh(slot, hungry, memory_bytes=32 * MIB).report,
            plain.sh(slot, "echo fine", memory_bytes=32 * MIB),
        ]

    report, after = plain(work)

    assert report.out_of_memory
    assert report.reason == "out of memory: peak 32 MiB, limit 32 MiB"
    assert after.stdout == b"fine\n"


def test_processor_time_is_limited(plain: Place) -> None:
    quota = (
        "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us "
        "2> /dev/null || cat /sys/fs/cgroup/cpu.max"
    )

    told = plain.shell(quota, cpu_cores=0.5).stdout.split()

    assert int(told[0]) * 2 == int(told[1])


def test_what_fills_shared_memory_is_gone_before_the_next_command(plain: Place) -> None:
    def work(slot: Slot) -> list[Any]:
        slot.stage(0)
        return [
            plain.sh(slot, "mkdir /dev/shm/.d; head -c 30000000 /dev/zero > /dev/shm/.d/x").report,
            plain.sh(slot, "touch /dev/shm/-rf /dev/shm/..x").report,
            plain.sh(slot, "ls -A /dev/shm").stdout,
        ]

    first, second, left = plain(work)

    assert (first.reason, second.reason, left) == ("", "", b"")


def test_a_bomb_of_processes_ends_with_its_command(plain: Place) -> None:
    def work(slot: Slot) -> list[Any]:
        slot.stage(0)
        bomb = "b() { b | b & }; (b) > /dev/null 2>&1; sleep 1"
        report = plain.sh(slot, bomb, timeout_s=20.0).report
        return [report, plain.sh(slot, "echo alive").stdout, processes(slot, plain)]

    _, alive, left = plain(work)

    assert alive == b"alive\n"
    assert left == ["/bin/sh /.trunkline/agent"]


@pytest.mark.parametrize(
    "script",
    [
        "kill -STOP 1; kill -KILL 1; kill -TERM 1; kill -INT 1; kill -HUP 1; kill -USR1 1",
        "rm -rf /.trunkline/* /pfs /code; rm -rf /tmp /root; true",
        "kill -KILL -1; true",
        "exec > /dev/null 2>&1; kill -STOP $$",
    ],
)
def test_code_that_turns_on_its_surroundings_harms_only_itself(plain: Place, script: str) -> None:
    def work(slot: Slot) -> list[Any]:
        staged = slot.stage(1)
        (staged / "in").write_text("kept")
        first = plain.sh(slot, script, timeout_s=1.5).report
        return [first.seconds, plain.sh(slot, "cat /pfs/in").stdout, processes(slot, plain)]

    seconds, kept, left = plain(work)

    assert seconds < 30
    assert kept == b"kept"
    assert left == ["/bin/sh /.trunkline/agent"]


def test_code_that_speaks_for_the_loop_gets_a_new_container(plain: Place) -> None:
    """The names of the pipes are gone, but /proc leads to them for the same user."""

    def work(slot: Slot) -> list[Any]:
        slot.stage(0)
        lie = "echo ended 0 alone > /proc/1/fd/4; sleep 60"
        report = plain.sh(slot, lie, timeout_s=20.0).report
        return [report.seconds, plain.sh(slot, "echo mine").stdout, processes(slot, plain)]

    seconds, said, left = plain(work)

    assert seconds < 20
    assert said == b"mine\n"
    assert left == ["/bin/sh /.trunkline/agent"]


def test_nobody_else_sees_what_a_slot_has_in_memory(plain: Place) -> None:
    def work(slot: Slot) -> list[int]:
        staged = slot.stage(1)
        slot.set_secrets({"/secrets/of mine": {"key": b"value"}})
        ran = plain.sh(slot, "cat '/secrets/of mine/key'; touch '/secrets/of mine/x'")
        assert ran.stdout == b"value"
        assert b"Read-only" in ran.stderr
        slot.set_secrets({"/secrets/of mine": {"key": b"new"}})
        assert plain.sh(slot, "cat '/secrets/of mine/key'").stdout == b"new"
        slot.set_secrets({})
        assert plain.sh(slot, "ls -d '/secrets/of mine'").report.code == 1
        return [stat.S_IMODE(staged.parent.stat().st_mode)]

    assert plain(work) == [0o700]


# --- ends from outside ----------------------------------------------------------------------------


def lost(slot: Slot, place: Place, end: Callable[[str], None]) -> str:
    """Why the slot says it is lost when that is done to its container during a command."""
    began = False

    def once() -> None:
        nonlocal began
        if not began:
            began = True
            [id_] = place.containers()
            end(id_)

    with pytest.raises(SlotLost) as error:
        slot.run(
            Command(argv=("sleep", "60"), timeout_s=60.0),
            on_output=lambda *_: None,
            cancelled=lambda: False,
            tick=once,
        )
    return str(error.value)


@pytest.mark.parametrize(
    ("how", "told"), [("kill", "ended from outside (exit code 137)"), ("remove", "was removed")]
)
def test_a_container_that_is_ended_is_no_fault_of_the_command(
    plain: Place, how: str, told: str
) -> None:
    def end(id_: str) -> None:
        with closing(open_engine(replace(load({}), container_host=plain.socket))) as engine:
            if how == "kill":
                engine.api.kill(id_)
            else:
                engine.api.remove_container(id_, force=True)

    def work(slot: Slot) -> list[Any]:
        slot.stage(0)
        why = lost(slot, plain, end)
        idle = plain.run(slot, "true").report
        [id_] = plain.containers()
        end(id_)  # between two commands nothing is lost
        return [why, idle.reason, plain.sh(slot, "echo again").stdout]

    why, idle, again = plain(work)

    assert told in why
    assert (idle, again) == ("", b"again\n")


def test_containers_end_when_their_worker_dies(plain: Place) -> None:
    def die(slot: Slot) -> None:
        slot.stage(0)
        plain.run(slot, "true")
        os._exit(1)

    with pytest.raises(AssertionError, match="the child died"):
        plain(die)

    with closing(open_engine(replace(load({}), container_host=plain.socket))) as engine:
        [id_] = plain.containers()
        engine.api.wait(id_, timeout=30)  # by itself
    assert leftovers.are_there(plain.home, plain.owner.worker)
    plain.away(
        lambda: leftovers.clear_all(plain.home)
    )  # a scratch directory means that it is in use
    assert plain.containers() == [id_]
    plain.scratch.rename(plain.home / "gone")
    plain.away(lambda: leftovers.clear_all(plain.home))
    assert plain.containers() == []
    assert not leftovers.are_there(plain.home, plain.owner.worker)


def test_a_slot_that_is_closed_leaves_no_note(plain: Place) -> None:
    plain.shell("true")

    assert os.listdir(Path(plain.home, "containers")) == []
