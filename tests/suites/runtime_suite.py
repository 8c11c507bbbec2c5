"""What every slot promises, whatever its isolation.

A runtime runs this suite by importing it into a test module that has a fixture `place`:
`place(function)` calls the function with a fresh slot, away from this process; `place.shell` runs
one script in one; `place.run` and `place.sh` run a command or script in a given slot. The fixture
also checks that no process of the slot is alive after the test.
"""

import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from trunkline.runtimes.base import Command
from trunkline.runtimes.descendants import children

Place = Any  # the fixture of the room that runs the suite
Slot = Any
MIB = 1024 * 1024

# --- inputs, outputs, code ------------------------------------------------------------------------


def put(directory: Path, path: str, text: str) -> None:
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_text(text)


def found_in(directory: Path) -> list[str]:
    return sorted(str(entry.relative_to(directory)) for entry in directory.rglob("*"))


def test_a_command_reads_its_inputs_and_writes_its_outputs(place: Place) -> None:
    def work(slot: Slot) -> tuple[Any, str]:
        put(slot.stage(2), "numbers/a/one", "1\n")
        ran = place.run(slot, "cp", "/pfs/numbers/a/one", "/pfs/out/copy")
        return ran.report, (slot.out / "copy").read_text()

    report, copied = place(work)

    assert (report.code, report.signal, report.reason) == (0, None, "")
    assert copied == "1\n"


def test_each_datum_finds_only_its_own_inputs_and_an_empty_out(place: Place) -> None:
    def work(slot: Slot) -> list[bytes]:
        seen = []
        for name in ("first", "second"):
            put(slot.stage(1), f"{name}/file", name)
            seen.append(place.sh(slot, "find . | sort; touch /pfs/out/left").stdout)
            slot.clear()
        return seen

    first, second = place(work)

    assert first == b".\n./first\n./first/file\n./out\n"
    assert second == b".\n./out\n./second\n./second/file\n"


def test_staging_clears_what_was_not_cleared(place: Place) -> None:
    def work(slot: Slot) -> list[str]:
        put(slot.stage(1), "in/file", "x")
        place.sh(slot, "touch /pfs/out/left")
        return found_in(slot.stage(1)) + found_in(slot.out)

    assert place(work) == ["out"]


def test_large_inputs_are_seen_like_small_ones(place: Place) -> None:
    def work(slot: Slot) -> list[tuple[bytes, str]]:
        seen = []
        for number, size_bytes in enumerate((1, 10**12, 10**12, 1)):
            put(slot.stage(size_bytes), "in/file", str(number))
            ran = place.sh(slot, "cat in/file; ls; cp in/file out/copy")
            seen.append((ran.stdout, (slot.out / "copy").read_text()))
            slot.clear()
        return seen

    assert place(work) == [(f"{n}in\nout\n".encode(), str(n)) for n in range(4)]


def test_many_tiny_files_count_as_more_than_their_bytes(place: Place) -> None:
    def work(slot: Slot) -> bool:
        return bool(slot.stage(1) == slot.stage(1, files=100_000))

    assert place(work) == (place.isolation == "rewrite")


def test_code_is_what_was_set_last(place: Place) -> None:
    first, second = place.scratch.parent / "v1", place.scratch.parent / "v2"
    for version in (first, second):
        put(version, "run.sh", f"echo {version.name}")
        version.chmod(0o755)

    def work(slot: Slot) -> list[bytes]:
        seen = []
        for code in (first, second, None):
            slot.set_code(code)
            slot.stage(0)
            seen.append(place.sh(slot, "ls /code; test -f /code/run.sh && sh /code/run.sh").stdout)
        return seen

    assert place(work) == [b"run.sh\nv1\n", b"run.sh\nv2\n", b""]


def test_a_command_starts_in_pfs_or_where_it_is_told(place: Place) -> None:
    def work(slot: Slot) -> list[bytes]:
        put(slot.stage(1), "in/file", "x")
        return [
            place.run(slot, "ls", working_dir=directory).stdout
            for directory in ("", "/pfs/in", "in")
        ]

    assert place(work) == [b"in\nout\n", b"file\n", b"file\n"]


def test_a_slot_clears_what_a_dead_worker_left_in_its_scratch_directory(place: Place) -> None:
    def die(slot: Slot) -> None:
        put(slot.stage(10**12), "in/file", "x")
        place.sh(slot, "touch out/left")
        os._exit(1)

    def look(slot: Slot) -> list[str]:
        return found_in(slot.stage(10**12)) + found_in(slot.out)

    with pytest.raises(AssertionError, match="the child died"):
        place(die)

    assert place(look) == ["out"]


# --- environment ----------------------------------------------------------------------------------


def test_the_environment_is_what_the_command_gives_and_three_defaults(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "1")

    lines = set(place.shell("exec env", env={"A": "x y", "LANG": "C"}).stdout.decode().split("\n"))

    names = {line.partition("=")[0] for line in lines} - {"PWD", "SHLVL", "_", ""}
    assert names == {"A", "LANG", "PATH", "HOME", "TRUNKLINE_SLOT"}
    assert {"A=x y", "LANG=C", f"TRUNKLINE_SLOT={place.marker}"} <= lines


def test_a_command_that_runs_as_somebody_else_needs_root(place: Place) -> None:
    ran = place.shell("id -u; id -g; echo mine > /pfs/out/file", user="12345:54321")

    if place.isolation == "container":
        assert (ran.report.code, ran.stdout) == (0, b"12345\n54321\n")
    elif place.uid is None and os.geteuid() == 0:
        allowed = place.isolation == "namespace"  # elsewhere the scratch directory may be closed
        assert not allowed or (ran.report.code, ran.stdout) == (0, b"12345\n54321\n")
    else:
        assert ran.report.code == 126
        assert "only root can change users" in ran.report.reason


def test_an_unknown_user_is_named(place: Place) -> None:
    report = place.shell("true", user="no-such-user").report

    assert report.code == 126
    assert "no user 'no-such-user'" in report.reason


def test_the_user_that_runs_the_worker_may_be_named(place: Place) -> None:
    uid = os.geteuid() if place.uid is None else place.uid

    assert place.shell("id -u", user=str(uid)).stdout == f"{uid}\n".encode()


def test_a_command_has_a_session_of_its_own(place: Place) -> None:
    ran = place.shell("exec python3 -c 'import os; print(os.getsid(0) == os.getpid())'")

    assert ran.stdout == b"True\n"


# --- streams --------------------------------------------------------------------------------------


def test_stdout_and_stderr_arrive_apart(place: Place) -> None:
    ran = place.shell("echo out; echo err >&2")

    assert (ran.stdout, ran.stderr) == (b"out\n", b"err\n")


def test_output_arrives_while_the_command_runs(place: Place) -> None:
    def work(slot: Slot) -> Any:
        slot.stage(0)
        go = slot.out / "go"

        def answer(stream: str, data: bytes) -> None:
            go.touch()

        command = Command(
            argv=("sh", "-c", "echo ready; until test -e /pfs/out/go; do sleep 0.01; done"),
            timeout_s=30.0,
        )
        return slot.run(command, on_output=answer, cancelled=lambda: False, tick=lambda: None)

    assert place(work).reason == ""


def test_stdin_is_fed_while_output_is_read(place: Place) -> None:
    text = b"0123456789abcde\n" * (5 * MIB // 16)

    ran = place.shell("cat", stdin=text)

    assert ran.stdout == text


def test_stdin_that_nobody_reads_is_no_mistake(place: Place) -> None:
    ran = place.shell("exec 0<&-; sleep 0.3; echo done", stdin=b"x" * (10 * MIB))

    assert (ran.report.reason, ran.stdout) == ("", b"done\n")


def test_without_stdin_there_is_nothing_to_read(place: Place) -> None:
    ran = place.shell("cat; echo end")

    assert ran.stdout == b"end\n"


def test_a_flood_of_output_is_passed_on_piece_by_piece_in_bounded_memory(place: Place) -> None:
    def work(slot: Slot) -> tuple[Any, int, int, int]:
        slot.stage(0)
        sizes: list[int] = []
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report = slot.run(
            Command(argv=("head", "-c", "100000000", "/dev/zero")),
            on_output=lambda stream, data: sizes.append(len(data)),
            cancelled=lambda: False,
            tick=lambda: None,
        )
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return report, sum(sizes), max(sizes), (after - before) * 1024

    report, seen_bytes, piece_bytes, grown_bytes = place(work)

    assert (report.code, seen_bytes) == (0, 100_000_000)
    assert piece_bytes <= 64 * 1024
    assert grown_bytes < 16 * MIB


# --- how it ended ---------------------------------------------------------------------------------


def test_an_exit_code_is_reported(place: Place) -> None:
    report = place.shell("exit 3").report

    assert (report.code, report.signal) == (3, None)
    assert report.reason == "the command exited with code 3"
    assert 0 < report.seconds < 60


def test_a_signal_is_reported_by_name(place: Place) -> None:
    report = place.shell("kill -SEGV $$").report

    assert (report.code, report.signal) == (None, 11)
    assert report.reason == "the command was killed by signal SIGSEGV (11)"
    assert not report.out_of_memory


def test_the_exit_code_of_a_shell_whose_child_was_killed_is_explained(place: Place) -> None:
    report = place.shell("sh -c 'kill -9 $$'; exit $?").report

    assert report.code == 137
    assert "signal SIGKILL (9)" in report.reason


@pytest.mark.parametrize(
    ("argv", "options", "code", "told"),
    [
        (["no-such-command"], {}, 127, "no command 'no-such-command'; PATH is /usr/local"),
        (["thing"], {"env": {"PATH": "/a:/b"}}, 127, "no command 'thing'; PATH is /a:/b"),
        (["./no-such-file"], {}, 127, "no command './no-such-file'"),
        (["/pfs/in/plain"], {}, 126, "plain' is not an executable file"),
        (["/pfs/in/headless"], {}, 126, "nor a script that begins with '#!'"),
        (["/pfs/in/lost"], {}, 127, "needs an interpreter that is not "),
        (["/etc"], {}, 126, "'/etc' is not an executable file"),
        (["true"], {"working_dir": "/no/such/place"}, 126, "no working directory '/no/such/place'"),
        (["true"], {"working_dir": "/etc/passwd"}, 126, "no working directory '/etc/passwd'"),
        ([], {}, 126, "there is no command to run"),
        ([""], {}, 126, "there is no command to run"),
        (["echo", "a\0b"], {}, 126, "can't be started: embedded null byte"),
        (["echo"], {"env": {"A=B": "x"}}, 126, "can't be started: illegal environment variable"),
        (["echo"], {"env": {"=A": "x"}}, 126, "can't be started: illegal environment variable"),
        (["echo", "x" * 3_000_000], {}, 126, "can't be started: Argument list too long"),
    ],
)
def test_a_command_that_cannot_start_says_why(
    place: Place, argv: list[str], options: dict[str, Any], code: int, told: str
) -> None:
    def work(slot: Slot) -> Any:
        staged = slot.stage(1)
        put(staged, "in/plain", "#!/bin/sh\n")
        for name, text in (("headless", "echo x\n"), ("lost", "#!/no/such/shell\n")):
            put(staged, f"in/{name}", text)
            (staged / "in" / name).chmod(0o755)
        return place.run(slot, *argv, **options).report

    report = place(work)

    if place.isolation == "container" and "begins with" in told:
        code, told = 0, ""  # there a shell runs such a script
    assert report.code == code
    assert told in report.reason


# --- time, cancelling, limits ---------------------------------------------------------------------


def test_a_timeout_kills_even_what_ignores_signals(place: Place) -> None:
    began = time.monotonic()

    report = place.shell("trap '' TERM INT HUP; while :; do sleep 50; done", timeout_s=0.3).report

    assert report.timed_out
    assert (report.code, report.signal) == (None, 9)
    assert report.reason == "the command timed out after 0.3 s"
    assert time.monotonic() - began < 20


def test_a_cancelled_command_is_killed_with_its_children(place: Place) -> None:
    def work(slot: Slot) -> Any:
        slot.stage(0)
        running = threading.Event()
        command = Command(argv=("sh", "-c", "setsid sleep 90 & sleep 90 & echo go; sleep 90"))
        return slot.run(
            command,
            on_output=lambda stream, data: running.set(),
            cancelled=running.is_set,
            tick=lambda: None,
        )

    report = place(work)

    assert (report.cancelled, report.timed_out) == (True, False)
    assert report.reason == "the command was cancelled"
    assert report.seconds < 20


def test_a_cancelled_command_with_a_grace_period_is_asked_first(place: Place) -> None:
    def ended(trap: str, grace_s: float) -> Any:
        def work(slot: Slot) -> Any:
            slot.stage(0)
            running = threading.Event()
            script = f"trap '{trap}' TERM; echo begun; while :; do sleep 0.05; done"
            report = slot.run(
                Command(argv=("sh", "-c", script), grace_s=grace_s),
                on_output=lambda stream, data: running.set(),
                cancelled=running.is_set,
                tick=lambda: None,
            )
            return report, found_in(slot.out)

        return place(work)

    obeyed, left = ended("echo bye > /pfs/out/said; exit 0", 60.0)
    ignored, _ = ended("", 0.5)

    assert (obeyed.cancelled, left) == (True, ["said"])
    assert ignored.cancelled
    assert ignored.seconds >= 0.5


def test_what_was_cancelled_before_is_not_started(place: Place) -> None:
    def work(slot: Slot) -> tuple[bool, list[str]]:
        slot.stage(0)
        command = Command(argv=("touch", "/pfs/out/started"))
        report = slot.run(
            command, on_output=lambda *_: None, cancelled=lambda: True, tick=lambda: None
        )
        return report.cancelled, found_in(slot.out)

    assert place(work) == (True, [])


@pytest.mark.parametrize("script", ["sleep 1", "yes"])
def test_tick_is_called_while_a_command_runs(place: Place, script: str) -> None:
    def work(slot: Slot) -> int:
        slot.stage(0)
        ticks = []
        command = Command(argv=("sh", "-c", script), timeout_s=1.5)
        slot.run(
            command,
            on_output=lambda *_: None,
            cancelled=lambda: False,
            tick=lambda: ticks.append(1),
        )
        return len(ticks)

    assert 2 <= place(work) <= 12


@pytest.mark.parametrize("where", ["tick", "on_output"])
def test_an_error_of_the_caller_stops_the_command_and_is_passed_on(
    place: Place, where: str
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("lost")

    def work(slot: Slot) -> float:
        slot.stage(0)
        calls: dict[str, Any] = {"tick": lambda: None, "on_output": lambda *_: None, where: fail}
        began = time.monotonic()
        command = Command(argv=("sh", "-c", "echo x; setsid sleep 60 & sleep 60"))
        with pytest.raises(LookupError):
            slot.run(command, cancelled=lambda: False, **calls)
        return time.monotonic() - began

    assert place(work) < 20


def test_many_small_outputs_are_held_to_the_quota(place: Place) -> None:
    def work(slot: Slot) -> Any:
        slot.stage(0)
        return place.sh(
            slot,
            "i=0; while :; do i=$((i+1)); head -c 50000 /dev/zero > /pfs/out/$i; done",
            timeout_s=60.0,
        ).report

    report = place(work, output_bytes_max=1_000_000)

    assert report.over_quota
    assert report.reason == "the command wrote more than 1,000,000 bytes to /pfs/out"


@pytest.mark.parametrize("script", ["head -c 90000000 /dev/zero > big", "truncate -s 9T big"])
def test_one_file_cannot_grow_beyond_the_quota(place: Place, script: str) -> None:
    def work(slot: Slot) -> tuple[Any, int]:
        slot.stage(0)
        report = place.sh(slot, f"cd /pfs/out; {script}; exit 0").report
        big = slot.out / "big"  # busybox does not even make it
        return report, big.stat().st_size if big.exists() else 0

    report, size_bytes = place(work, output_bytes_max=1_000_000)

    assert size_bytes <= 1_000_001
    assert report.reason or size_bytes <= 1_000_000


def test_output_within_the_quota_is_no_mistake(place: Place) -> None:
    def work(slot: Slot) -> Any:
        slot.stage(0)
        return place.sh(slot, "head -c 1000000 /dev/zero > /pfs/out/big").report

    assert place(work, output_bytes_max=1_000_000).reason == ""


def test_a_full_disk_is_the_commands_own_failure(place: Place) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this machine")

    ran = place.shell("cat /etc/passwd > /dev/full")

    assert ran.report.reason.startswith("the command exited with code")
    assert b"No space left" in ran.stderr


# --- hostile code ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "sleep 77 & true",  # keeps stdout open
        "setsid sleep 77 & true",  # left the process group
        "(setsid sh -c 'sleep 77 & sleep 77' &) & true",  # forked twice
        "trap '' HUP TERM; (trap '' TERM; setsid sh -c 'while :; do sleep 1; done' &) & true",
        "i=0; while [ $i -lt 60 ]; do (setsid sleep 77 &); i=$((i+1)); done",
    ],
)
def test_nothing_stays_alive_in_the_background(place: Place, script: str) -> None:
    report = place.shell(f"echo out; {script}").report

    assert report.reason == ""
    assert report.seconds < 20


def test_dead_daemons_do_not_pile_up_while_a_command_runs(place: Place) -> None:
    def work(slot: Slot) -> list[int]:
        slot.stage(0)
        counts = []
        script = "i=0; while [ $i -lt 40 ]; do (setsid true &); i=$((i+1)); done; sleep 1"
        slot.run(
            Command(argv=("sh", "-c", script)),
            on_output=lambda *_: None,
            cancelled=lambda: False,
            tick=lambda: counts.append(len(children())),
        )
        return counts

    assert place(work)[-1] <= 2


def test_a_process_that_runs_away_by_forking_is_caught(place: Place) -> None:
    runaway = (
        "import os, time\n"
        "end = time.time() + 8\n"
        "if os.fork(): os._exit(0)\n"
        "while time.time() < end:\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
    )

    report = place.shell("python3 - & sleep 0.2", stdin=runaway.encode()).report

    assert report.reason == ""
    assert report.seconds < 7


def test_a_child_may_finish_writing_right_after_its_parent(place: Place) -> None:
    def work(slot: Slot) -> tuple[bytes, str]:
        slot.stage(0)
        ran = place.sh(slot, "(sleep 0.02; echo late; echo late > /pfs/out/file) & echo early")
        return ran.stdout, (slot.out / "file").read_text()

    assert place(work) == (b"early\nlate\n", "late\n")


HOSTILE_OUTPUTS = {
    "closed directories": "mkdir -p a/b/c; touch a/b/c/f; chmod 000 a/b/c a/b a",
    "a closed out": "mkdir a; touch a/f; chmod 000 a; chmod 000 . || true",
    "a file that is read-only": "mkdir a; touch a/f; chmod 400 a/f; chmod 500 a",
    "links": "ln -s OUTSIDE dir; ln -s OUTSIDE/kept file; ln -s / root; ln -s loop loop",
    "pipes": "mkfifo pipe; mkdir d; mkfifo d/pipe",
    "a socket": "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'",
    "odd names": "touch -- '-rf' '*' '\n' \"$(printf '\\377')\" '. .'; mkdir ' '",
    "a deep tree": (
        'python3 -c \'import os\nfor _ in range(3000): os.mkdir("d" * 50); os.chdir("d" * 50)\''
    ),
    "a deep closed tree": (
        "python3 -c 'import os\n"
        'for _ in range(300): os.mkdir("d"); os.chdir("d")\n'
        'for _ in range(300): os.chmod(".", 0o300); os.chdir("..")\''
    ),
    "many files": "python3 -c 'for i in range(20000): open(str(i), \"w\").close()'",
    "many directories": (
        "python3 -c 'import os\nfor i in range(2000): os.makedirs(f\"a/{i}/b/c\")'"
    ),
    "many links to one file": "touch f; i=0; while [ $i -lt 100 ]; do ln f f$i; i=$((i+1)); done",
}


@pytest.mark.parametrize("kind", HOSTILE_OUTPUTS)
def test_hostile_outputs_are_cleared_and_nothing_outside(place: Place, kind: str) -> None:
    outside = place.scratch.parent / "outside"
    put(outside, "kept", "kept")
    script = HOSTILE_OUTPUTS[kind].replace("OUTSIDE", str(outside))

    def work(slot: Slot) -> tuple[str, bytes, list[str]]:
        slot.stage(0)
        ran = place.sh(slot, f"cd /pfs/out || exit 9; {script}")
        slot.clear()
        again = place.sh(slot, "touch /pfs/out/next && ls -A /pfs/out").stdout
        return ran.report.reason, again, found_in(slot.out)

    assert place(work) == ("", b"next\n", ["next"])
    assert (outside / "kept").read_text() == "kept"


def test_staged_inputs_that_are_links_are_not_followed_when_cleared(place: Place) -> None:
    outside = place.scratch.parent / "outside"
    put(outside, "kept", "kept")
    before = outside.stat().st_mode

    def work(slot: Slot) -> list[str]:
        staged = slot.stage(0)
        (staged / "in").mkdir()
        (staged / "in" / "link").symlink_to(outside)
        place.run(slot, "true")
        slot.clear()
        return found_in(staged)

    assert place(work) == ["out"]
    assert (outside / "kept").read_text() == "kept"
    assert outside.stat().st_mode == before
