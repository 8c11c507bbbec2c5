"""In a namespace, /pfs and /code belong to one worker, and the host is untouched."""

import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from batch_suite import Asking

from trunkline.errors import InvalidInput, NotSupported, OperationFailed
from trunkline.runtimes import namespace, process, scratch
from trunkline.runtimes.base import Slot

Place = Any  # the fixture of conftest.py


def host_mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def test_user_code_cannot_change_its_inputs_or_its_code(private_place: Place) -> None:
    code = private_place.scratch.parent / "code"
    code.mkdir()
    (code / "run").write_text("run")

    def work(slot: Slot) -> list[bytes]:
        said = []
        slot.set_code(code)
        for size_bytes in (1, 10**12):
            staged = slot.stage(size_bytes)
            (staged / "file").write_text("kept")
            script = (
                "echo x > /pfs/file; rm -f /pfs/file; chmod 777 /pfs/file; touch /pfs/new; "
                "echo x > /code/run; touch /code/new"
            )
            said += private_place.sh(slot, script, env={"LANG": "C"}).stderr.splitlines()
            assert (staged / "file").read_text() == "kept"
        return said

    said = private_place(work)

    assert len(said) == 12
    assert all(line.endswith(b"Read-only file system") for line in said)
    assert (code / "run").read_text() == "run"


def test_the_host_never_has_a_pfs(private_place: Place) -> None:
    names, mounts = os.listdir("/"), host_mounts()
    seen = []

    def work(slot: Slot) -> bytes:
        slot.stage(1)
        says = private_place.sh(slot, "ls -d /pfs /code").stdout
        # Process 1 of this machine, or whoever else is outside, still sees the host.
        host = f"/proc/{os.getppid()}/root"
        seen.append(os.path.exists(f"{host}/pfs/out"))
        return says + str(seen).encode()

    assert private_place(work) == b"/code\n/pfs\n[False]"
    assert sorted(os.listdir("/")) == sorted(names)
    assert host_mounts() == mounts


def test_the_rest_of_the_host_is_where_it_was(private_place: Place) -> None:
    beside = private_place.scratch.parent / "beside"
    beside.write_text("data")
    names = set(os.listdir("/"))

    def work(slot: Slot) -> tuple[set[str], bytes]:
        slot.stage(1)
        listed = private_place.run(slot, "ls", "-A", "/").stdout.decode().split()
        return set(listed), private_place.run(slot, "cat", str(beside)).stdout

    listed, data = private_place(work)

    assert listed == names | {"pfs", "code"}
    assert data == b"data"


def test_what_is_written_elsewhere_on_the_host_stays(private_place: Place) -> None:
    beside = private_place.scratch.parent / "beside"

    ran = private_place.shell(f"echo data > {beside}; touch /lost")

    assert beside.read_text() == "data\n"
    assert b"Read-only file system" in ran.stderr


def test_commands_of_an_unprivileged_worker_hold_no_capability(private_place: Place) -> None:
    uid = os.geteuid() if private_place.uid is None else private_place.uid

    said = private_place.shell("id -u; grep CapEff /proc/self/status").stdout.decode().split()

    assert said[0] == str(uid)
    assert uid == 0 or int(said[2], 16) == 0


def test_a_name_in_two_workers_means_two_directories(private_place: Place) -> None:
    mine, theirs = multiprocessing.Barrier(2), private_place.scratch.parent / "second"

    def work(slot: Slot, name: str) -> tuple[bytes, list[str]]:
        (slot.stage(1) / name).write_text(name)
        mine.wait(30)
        seen = private_place.sh(slot, f"ls /pfs; touch /pfs/out/{name}").stdout
        mine.wait(30)
        return seen, os.listdir(slot.out)

    found = {}
    second = type(private_place)(
        private_place.isolation, private_place.uid, theirs, private_place.marker
    )
    other = threading.Thread(
        target=lambda: found.update(second=second(lambda slot: work(slot, "second")))
    )
    other.start()
    found["first"] = private_place(lambda slot: work(slot, "first"))
    other.join()

    assert found == {
        "first": (b"first\nout\n", ["first"]),
        "second": (b"out\nsecond\n", ["second"]),
    }


def test_mounts_that_root_made_in_out_are_taken_away_before_clearing(root_place: Place) -> None:
    precious = root_place.scratch.parent / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")

    def work(slot: Slot) -> tuple[str, bytes, bytes]:
        slot.stage(1)
        script = (
            f"mkdir /pfs/out/a {slot.out}/b && mount --bind {precious} /pfs/out/a "
            f"&& mount --bind {precious} {slot.out}/b && mount -t tmpfs none /pfs/out "
            f"&& mount --bind {precious} {slot.out.parent}/small && umount /code; "
            "umount -l /pfs/out; true"
        )
        report = root_place.sh(slot, script).report
        slot.clear()
        (slot.stage(1) / "in").write_text("in")
        after = root_place.sh(slot, "cat /pfs/in; touch /pfs/in; ls -A /pfs/out", env={"LANG": "C"})
        return report.reason, after.stdout, after.stderr

    reason, stdout, stderr = root_place(work)

    assert (reason, stdout) == ("", b"in")
    assert b"Read-only file system" in stderr
    assert (precious / "file").read_text() == "kept"


def test_mounts_elsewhere_end_no_process(root_place: Place) -> None:
    elsewhere = root_place.scratch.parent / "elsewhere"
    elsewhere.mkdir()

    def work(slot: Slot) -> list[str]:
        asking = Asking(slot, "while True:\n ask(); say(os.getpid())")
        said = [asking.give("one")[1]]
        namespace.mount_memory(str(elsewhere), size_bytes=4096)
        said.append(asking.give("two")[1])
        namespace.unmount(str(elsewhere))
        return [*said, asking.give("three")[1]]

    first, second, third = root_place(work)

    assert first == second == third


def test_mounts_that_root_made_are_taken_away_without_a_namespace_too(root_place: Place) -> None:
    precious = root_place.scratch.parent / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    root_place.isolation = "rewrite"

    def mounting(slot: Slot) -> tuple[str, list[str]]:
        slot.stage(1)
        script = f"mkdir /pfs/out/a && mount --bind {precious} /pfs/out/a"
        report = root_place.sh(slot, script).report
        slot.clear()
        return report.reason, os.listdir(slot.out)

    def work() -> tuple[str, list[str]]:
        (root_place.scratch.parent / "root").mkdir()
        # So that a failing test leaves no mount on the machine.
        namespace.enter(root_place.scratch.parent / "root", private=())
        return root_place.here(mounting)

    assert root_place.away(work) == ("", [])
    assert (precious / "file").read_text() == "kept"


@pytest.mark.parametrize("mounted", ["a", "a/b"])
def test_a_mount_that_was_overlooked_is_not_emptied(root_place: Place, mounted: str) -> None:
    out = root_place.scratch / "out"
    (out / "a" / "b").mkdir(parents=True)

    def work() -> tuple[str, bool]:
        (root_place.scratch / "root").mkdir()
        namespace.enter(root_place.scratch / "root", private=())
        namespace.mount_memory(str(out / mounted), size_bytes=1_000_000)
        (out / mounted / "file").touch()
        with pytest.raises(OperationFailed) as failure:
            scratch.empty(out)
        return str(failure.value), any(out.rglob("file"))

    said, kept = root_place.away(work)

    assert said.startswith(f"the scratch directory {out} can't be emptied")
    assert kept


def test_root_runs_a_command_as_somebody_who_may_write_its_outputs(root_place: Place) -> None:
    def work(slot: Slot) -> list[tuple[bytes, int]]:
        made = []
        for user in ("nobody", "12345:100", ""):
            (slot.stage(1) / "in").write_text("readable")
            ran = root_place.sh(slot, "id -u; cat /pfs/in; touch /pfs/out/file", user=user)
            made.append((ran.stdout, (slot.out / "file").stat().st_uid))
            slot.clear()
        return made

    assert [uid for _, uid in root_place(work)] == [65534, 12345, 0]


def test_a_user_that_is_not_there_is_a_reason(root_place: Place) -> None:
    def work(slot: Slot) -> list[str]:
        slot.stage(1)
        return [root_place.sh(slot, "id", user=user).report.reason for user in ("nobdy", "²")]

    assert all("there is no user" in reason for reason in root_place(work))


def test_code_that_is_not_there_is_an_error(private_place: Place) -> None:
    def work(slot: Slot) -> str:
        with pytest.raises(OperationFailed) as failure:
            slot.set_code(private_place.scratch.parent / "missing")
        return str(failure.value)

    assert "can't be shown as /code: No such file or directory" in private_place(work)


def test_a_process_with_threads_is_told_why_it_gets_no_namespace(private_place: Place) -> None:
    def work() -> str:
        stop = threading.Event()
        threading.Thread(target=stop.wait).start()
        try:
            with pytest.raises(NotSupported) as refused:
                process.open_slot(private_place.scratch, isolation="namespace")
            return str(refused.value) + process.open_slot(private_place.scratch).isolation
        finally:
            stop.set()

    said = private_place.away(work)

    assert "a process with several threads can't enter a namespace" in said
    assert said.endswith("rewrite")


def test_auto_takes_the_namespace_where_it_works(private_place: Place) -> None:
    private_place.isolation = "auto"

    assert private_place(lambda slot: slot.isolation) == "namespace"


def test_an_unknown_isolation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="it must be auto, namespace or rewrite"):
        process.open_slot(tmp_path, isolation="jail")


def test_status_can_tell_which_isolation_this_machine_has(root_place: Place) -> None:
    answer = process.isolation_available()
    reason = root_place.away(process.why_no_namespace)

    assert answer == (f"rewrite ({reason})" if reason else "namespace")


def test_secrets_are_shown_where_the_host_has_nothing_and_go_when_others_come(
    private_place: Place,
) -> None:
    def work(slot: Slot) -> list[bytes]:
        slot.stage(1)
        slot.set_secrets({"/secrets/a": {"k": b"one"}, "/etc/below/deep": {"k": b"two"}})
        first = private_place.sh(slot, "cat /secrets/a/k /etc/below/deep/k; ls -A /etc | wc -l")
        slot.set_secrets({"/secrets/a": {"k": b"three"}})
        then = private_place.sh(slot, "cat /secrets/a/k; ls /etc/below/deep; ls /secrets/a")
        slot.set_secrets({})
        last = private_place.sh(slot, "ls /secrets/a; cp /etc/passwd /pfs/out/ && ls /pfs/out")
        return [first.stdout, then.stdout, last.stdout]

    first, then, last = private_place(work)

    assert first.startswith(b"onetwo")
    assert int(first[len(b"onetwo") :]) == len(os.listdir("/etc")) + 1
    assert then == b"threek\n"
    assert last == b"passwd\n"
    assert not os.path.exists("/secrets")
    assert not os.path.exists("/etc/below")


def test_secrets_do_not_hide_what_a_worker_needs(private_place: Place) -> None:
    above = str(private_place.scratch.resolve().parent)

    def work(slot: Slot) -> str:
        with pytest.raises(OperationFailed, match="would hide") as caught:
            slot.set_secrets({above: {"k": b"v"}})
        return str(caught.value)

    assert above in private_place(work)
