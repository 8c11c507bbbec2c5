"""Commands keep within their memory and CPU time, and the report says when they did not."""

import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from trunkline.runtimes import bounds, cgroups
from trunkline.runtimes.base import Command, Slot
from trunkline.runtimes.cgroups import Groups

Place = Any  # the fixture of conftest.py
MIB = 1024 * 1024
# Above what the process of the tests has after hours: the kernel counts that for what it starts.
LIMIT = 384 * MIB
HOG = "x = [bytearray(1024 * 1024) for _ in range(2400)]; import time; time.sleep(60)"
OVER = "out of memory: peak "


def hog(place: Place, script: str) -> Any:
    def work(slot: Slot) -> Any:
        slot.stage(0)
        return place.sh(slot, script, memory_bytes=LIMIT)

    return place(work).report


@pytest.mark.parametrize(
    "script",
    [
        f"exec python3 -c '{HOG}'",
        f"python3 -c '{HOG}'",
        f"python3 -c '{HOG}' & wait $!",
    ],
)
def test_a_command_that_takes_more_memory_than_its_limit_ends_and_is_told_so(
    place: Place, script: str
) -> None:
    report = hog(place, script)

    assert report.out_of_memory
    assert report.reason.startswith(OVER)
    assert report.reason.endswith(", limit 384 MiB")


def test_processes_that_are_small_alone_are_counted_together(place: Place) -> None:
    part = "x = bytearray(b\\'a\\' * (140 << 20)); import time; time.sleep(4)"
    script = f'for n in 1 2 3 4; do python3 -c "{part}" & done; wait; exit 1'
    report = hog(place, script.replace("\\'", "'"))

    assert report.out_of_memory
    assert report.reason.startswith(OVER)


def test_a_command_within_its_limit_runs_as_without_one(place: Place) -> None:
    def work(slot: Slot) -> list[Any]:
        slot.stage(0)
        return [
            place.sh(slot, "echo hello; exit 3", memory_bytes=LIMIT, cpu_cores=0.5)
            for _ in range(3)
        ]

    for ran in place(work):
        assert (ran.stdout, ran.report.code) == (b"hello\n", 3)
        assert ran.report.reason == "the command exited with code 3"
        assert not ran.report.out_of_memory


def test_the_limit_is_that_of_one_command_and_not_of_those_before_it(place: Place) -> None:
    takes = "python3 -c 'x = bytearray(b\"a\" * (120 << 20))'"

    def work(slot: Slot) -> list[str]:
        reasons = []
        for _ in range(5):
            slot.stage(0)
            reasons.append(place.sh(slot, takes, memory_bytes=LIMIT).report.reason)
        return reasons

    assert place(work) == [""] * 5


def test_what_the_worker_itself_holds_is_not_counted(rewrite_place: Place) -> None:
    def work(slot: Slot) -> str:
        held = bytearray(b"x" * (2 * LIMIT))
        slot.stage(0)
        bounded = bounds.Bounds(Command(argv=("x",), memory_bytes=LIMIT), Groups())
        with bounded.starting():
            process = subprocess.Popen(["/bin/false"])
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 1
        bounded.ended(bounds.peak_of(usage))
        bounded.close()
        assert held
        return bounded.failure()

    assert rewrite_place(work) == ""


def groups_here() -> Groups:
    found = cgroups.find()
    if found.memory is None or found.cpu is None:
        pytest.skip(f"no control groups can be made here: {bounds.how_limited()}")
    return found


def test_cpu_time_is_limited_by_the_kernel_and_nothing_is_left_behind(root_place: Place) -> None:
    found = groups_here()
    assert found.cpu is not None
    assert found.memory is not None
    name = "cpu.cfs_quota_us" if found.cpu.version == 1 else "cpu.max"
    script = f"cat {found.cpu.parent}/trunkline-$PPID-*/{name}"

    def work(slot: Slot) -> bytes:
        slot.stage(0)
        said: bytes = root_place.sh(slot, script, cpu_cores=0.25, memory_bytes=LIMIT).stdout
        return said

    assert root_place(work).split()[0] == b"25000"
    for controller in (found.cpu, found.memory):
        assert not [g for g in controller.parent.glob("trunkline-*") if not alive(g)]


def alive(group: Path) -> bool:
    return Path(f"/proc/{group.name.split('-')[1]}").exists()


def test_groups_of_dead_workers_are_removed_when_groups_are_looked_for() -> None:
    found = groups_here()
    assert found.memory is not None
    dead = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(dead, 0)
    left = found.memory.parent / f"trunkline-{dead}-0"
    left.mkdir()

    cgroups.find()

    assert not left.exists()


# --- version 2, in directories that look like it --------------------------------------------------


def made_of(tmp_path: Path, own: str, **files: str) -> tuple[Path, Path]:
    """A hierarchy with one group, `own`, and the list of groups of this process."""
    top = tmp_path / "cgroup"
    group = top / own.lstrip("/")
    group.mkdir(parents=True)
    for name, text in files.items():
        (group / name.replace("_", ".", 1)).write_text(text)
    listed = tmp_path / "listed"
    listed.write_text(f"0::{own}\n")
    return top, listed


def test_a_group_that_hands_down_its_controllers_is_used(tmp_path: Path) -> None:
    top, listed = made_of(tmp_path, "/ours", cgroup_subtree_control="cpu memory")
    found = cgroups.find(top, listed)
    # Directories that only look like groups are not empty when they are removed.
    assert found.memory is None or found.memory.parent == top / "ours"


def test_a_delegated_group_is_made_fit_by_moving_what_is_in_it(tmp_path: Path) -> None:
    top, listed = made_of(
        tmp_path,
        "/user/service",
        cgroup_controllers="cpu io memory",
        cgroup_procs=f"{os.getpid()}\n",
        cgroup_subtree_control="",
    )

    cgroups.prepare(top, listed)

    group = top / "user" / "service"
    assert (group / "trunkline-main" / "cgroup.procs").read_text() == str(os.getpid())
    assert (group / "cgroup.subtree_control").read_text() == "+memory +cpu"


def test_a_group_with_processes_of_others_is_left_alone(tmp_path: Path) -> None:
    top, listed = made_of(
        tmp_path,
        "/session",
        cgroup_controllers="memory",
        cgroup_procs=f"{os.getpid()}\n1\n",
        cgroup_subtree_control="",
    )

    cgroups.prepare(top, listed)

    assert not (top / "session" / "trunkline-main").exists()


def test_the_limits_of_version_2_are_written_where_the_kernel_reads_them(tmp_path: Path) -> None:
    top, _ = made_of(tmp_path, "/ours")
    controller = cgroups._Controller(parent=top / "ours", home=top / "ours", version=2)
    group = Groups(memory=controller, cpu=controller).make(memory_bytes=LIMIT, cpu_cores=1.5)

    with group.entered():
        pass

    [made] = (top / "ours").glob(f"trunkline-{os.getpid()}-*")
    assert (made / "memory.max").read_text() == str(LIMIT)
    assert (made / "cpu.max").read_text() == "150000 100000"
    (made / "memory.events").write_text("oom 3\noom_kill 2\n")
    (made / "memory.peak").write_text(f"{LIMIT}\n")
    assert (group.kills(), group.peak_bytes()) == (2, LIMIT)


def test_a_machine_without_groups_has_none(tmp_path: Path) -> None:
    missing = tmp_path / uuid.uuid4().hex

    assert cgroups.find(missing, missing) == Groups()
    cgroups.prepare(missing, missing)
