"""What every slot promises of a process that asks for one datum after the other.

Run like `runtime_suite`, with the same fixture.
"""

from typing import Any

import pytest

from trunkline.runtimes.base import Command

Place = Any  # the fixture of the room that runs the suite
Slot = Any

# The protocol in the words of somebody who has only its description.
CLIENT = """
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(os.environ["TRUNKLINE_NEXT_DATUM"])
talk = line.makefile("rw")
def ask(**question):
    talk.write(json.dumps(question) + "\\n")
    talk.flush()
    return json.loads(talk.readline())["env"]
def say(*words):
    print(*words, flush=True)
"""


class Asking:
    """Datums for one command in one slot, and what it said of each."""

    def __init__(self, slot: Slot, script: str, **options: Any) -> None:
        self.slot = slot
        self.script = CLIENT + script
        self.options = {"env": {"SHARED": "yes"}, "working_dir": ".", **options}

    def give(self, name: str, **more: Any) -> tuple[Any, str, list[str]]:
        """The report, the output and the files in out of a datum whose one input is its name."""
        staged = self.slot.stage(more.pop("size_bytes", 1))
        (staged / "in").mkdir()
        (staged / "in" / "name").write_text(name)
        said = bytearray()
        command = Command(argv=("python3", "-c", self.script), **self.options)
        report = self.slot.run_next(
            command,
            {"datum": name},
            on_output=lambda _, data: said.extend(data),
            cancelled=more.pop("cancelled", lambda: False),
            tick=lambda: None,
        )
        files = sorted(entry.name for entry in self.slot.out.iterdir())
        self.slot.clear()
        return report, said.decode(), files


COPY = """
import shutil
say("started", os.environ["SHARED"], os.environ.get("datum"))
while True:
    env = ask()
    shutil.copy("/pfs/in/name", "/pfs/out/" + env["datum"]) if os.path.exists("/pfs/in") else \\
        shutil.copy("in/name", "out/" + env["datum"])
    say(env["datum"], open("in/name").read(), os.listdir("out"))
"""


def test_one_process_gets_one_datum_after_the_other(place: Place) -> None:
    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, COPY + "\n    say(os.getpid())")
        return [asking.give(name) for name in ("one", "two", "three")]

    found = place(work)

    assert [report.reason for report, *_ in found] == [""] * 3
    assert [files for *_, files in found] == [["one"], ["two"], ["three"]]
    lines = [said.splitlines() for _, said, _ in found]
    assert lines[0][0] == "started yes None"
    assert [line[-2] for line in lines] == [f"{n} {n} ['{n}']" for n in ("one", "two", "three")]
    assert len({line[-1] for line in lines}) == 1  # process


def test_the_variables_of_a_datum_are_in_a_file_that_a_shell_reads(place: Place) -> None:
    script = """
import subprocess
while True:
    ask()
    subprocess.run(["sh", "-c", '. ./.env; printf %s "$datum"'])
"""

    def work(slot: Slot) -> list[str]:
        asking = Asking(slot, script)
        return [asking.give(name)[1].strip() for name in ("a b", 'q"u`o$t\\e', "'")]

    assert place(work) == ["a b", 'q"u`o$t\\e', "'"]


def test_a_crash_fails_the_datum_at_hand_and_the_next_gets_a_new_process(place: Place) -> None:
    script = """
while True:
    if ask()["datum"] == "bad":
        open("out/half", "w")
        say("dying")
        os._exit(7)
    say(os.getpid())
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script)
        return [asking.give(name) for name in ("good", "bad", "good")]

    first, crashed, last = place(work)

    assert (crashed[0].code, crashed[0].reason) == (7, "the command exited with code 7")
    assert crashed[1] == "dying\n"
    assert (first[0].reason, last[0].reason, last[2]) == ("", "", [])
    assert first[1] != last[1]


def test_an_error_that_is_told_fails_the_datum_and_the_process_stays(place: Place) -> None:
    script = """
error = {}
while True:
    name = ask(**error)["datum"]
    error = {"error": "no header\\nin \\x1b[31m" + name} if name == "bad" else {}
    say(os.getpid())
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script)
        return [asking.give(name) for name in ("good", "bad", "good")]

    first, failed, last = place(work)

    assert (failed[0].code, failed[0].reason) == (None, "no header in \\x1b[31mbad")
    assert (first[0].reason, last[0].reason) == ("", "")
    assert first[1] == failed[1] == last[1]


def test_a_command_that_ends_with_code_0_has_done_its_datum(place: Place) -> None:
    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, "open('out/' + ask()['datum'], 'w')")
        return [asking.give(name)[0::2] for name in ("one", "two")]

    assert [(report.code, files) for report, files in place(work)] == [(0, ["one"]), (0, ["two"])]


@pytest.mark.parametrize(("ending", "told"), [("", "next datum"), ("sys.exit(3)", "code 3")])
def test_a_command_that_never_asks_is_told_so(place: Place, ending: str, told: str) -> None:
    report, said, _ = place(lambda slot: Asking(slot, f"say('hello'); {ending}").give("one"))

    assert report.code is None
    assert told in report.reason
    assert said == "hello\n"


def test_each_datum_has_its_own_time(place: Place) -> None:
    script = """
import time
while True:
    time.sleep(float(ask()["datum"]))
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script, timeout_s=2.0)
        return [asking.give(seconds)[0] for seconds in ("1.2", "1.2", "60", "0")]

    first, second, third, last = place(work)

    assert [first.reason, second.reason, last.reason] == ["", "", ""]
    assert third.timed_out
    assert third.reason == "the command timed out after 2 s"


def test_a_cancelled_datum_ends_the_process(place: Place) -> None:
    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, "import time\nwhile True: ask(); time.sleep(60)")
        looks = iter([False, False, True])
        return [asking.give("one", cancelled=lambda: next(looks))[0]]

    [report] = place(work)

    assert report.cancelled


def test_what_runs_by_itself_does_not_reach_into_the_next_datum(place: Place) -> None:
    script = """
import subprocess
while True:
    name = ask()["datum"]
    late = f"(setsid sh -c 'trap \\"\\" HUP; sleep 0.3; touch out/late-{name}' &) &"
    subprocess.run(["sh", "-c", late])
    if name == "second":
        import time; time.sleep(0.8)
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script)
        return [asking.give(name)[2] for name in ("first", "second")]

    assert place(work) == [[], ["late-second"]]


def test_an_orphan_in_the_group_of_the_process_ends_alone(place: Place) -> None:
    script = """
import os, subprocess
while True:
    ask()
    subprocess.run(["sh", "-c", "(sh -c 'sleep 60' &) &"])
    say(os.getpid())
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script)
        return [asking.give(name)[1] for name in ("first", "second")]

    first, second = place(work)
    assert first == second


def test_a_file_that_stays_open_does_not_reach_into_the_next_datum(place: Place) -> None:
    script = """
kept = None
while True:
    name = ask()["datum"]
    if kept: kept.write("more"); kept.flush()
    kept = open(f"out/{name}", "w")
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script)
        return [asking.give(name)[2] for name in ("first", "second")]

    assert place(work) == [["first"], ["second"]]


def test_large_and_small_datums_are_both_seen(place: Place) -> None:
    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, COPY)
        sizes = (1, 10**12, 1, 10**12)
        return [asking.give(f"n{i}", size_bytes=size)[2] for i, size in enumerate(sizes)]

    assert place(work) == [["n0"], ["n1"], ["n2"], ["n3"]]


def test_too_much_output_fails_the_datum_that_wrote_it(place: Place) -> None:
    script = """
while True:
    name = ask()["datum"]
    for number in range(3 if name == "bad" else 1):
        open(f"out/{number}", "wb").write(bytes(400_000))
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script)
        return [asking.give(name)[0] for name in ("good", "bad", "good")]

    first, much, last = place(work, output_bytes_max=1_000_000)

    assert (first.reason, last.reason) == ("", "")
    assert much.over_quota
    assert much.reason == "the command wrote more than 1,000,000 bytes to /pfs/out"


def test_nothing_is_alive_after_the_batch(place: Place) -> None:
    script = """
import subprocess
subprocess.Popen(["sleep", "77"], start_new_session=True)
while True:
    ask()
    subprocess.Popen(["sleep", "77"])
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script)
        reports = [asking.give(name)[0] for name in ("one", "two")]
        slot.end_batch()
        return [report.reason for report in reports]

    assert place(work) == ["", ""]  # and the fixture looks for processes


@pytest.mark.parametrize(
    "line",
    ["'[]'", "'nonsense'", "'{\"error\": 1}'", "'[' * 100_000", "'x' * 400_000", "''"],
)
def test_nonsense_at_the_door_harms_nobody(place: Place, line: str) -> None:
    script = f"""
import contextlib
bad = socket.socket(socket.AF_UNIX)
bad.connect(os.environ["TRUNKLINE_NEXT_DATUM"])
with contextlib.suppress(OSError):
    bad.sendall(({line}).encode() + b"\\n")
    bad.close()
while True:
    say(ask()["datum"])
"""

    def work(slot: Slot) -> list[Any]:
        asking = Asking(slot, script)
        return [asking.give(name)[1] for name in ("one", "two")]

    assert place(work) == ["one\n", "two\n"]


def test_a_second_call_while_one_waits_is_refused(place: Place) -> None:
    script = """
import threading
def twice():
    second = socket.socket(socket.AF_UNIX)
    second.connect(os.environ["TRUNKLINE_NEXT_DATUM"])
    second.sendall(b"{}\\n")
    say(json.loads(second.makefile().readline())["refused"])
name = ask()["datum"]
talk.write("{}\\n")
talk.flush()
threading.Timer(0.3, twice).start()
say(json.loads(talk.readline())["env"]["datum"])
import time; time.sleep(1)
"""

    def work(slot: Slot) -> list[Any]:
        import time

        asking = Asking(slot, script)
        first = asking.give("one")
        time.sleep(0.6)  # both ask before the worker has more
        return [first[0].reason, asking.give("two")[1]]

    reason, said = place(work)

    assert reason == ""
    assert "two\n" in said
    assert "another call waits" in said
