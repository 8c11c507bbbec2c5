"""Control groups of Linux: a command's memory and CPU time, limited and counted by the kernel.

Each command gets a group of its own (in version 1 one per controller), made below one that this
process may write to, and removed when nothing of the command is left. Commands are born in it: the
worker enters it, starts the command and returns, so that nothing escapes and no fork is slower.
"""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
_PREFIX = "trunkline-"
_OURS = f"{_PREFIX}main"  # where the server's own processes go in a delegated group
_PERIOD_US = 100_000
_QUOTA_US_MIN = 1000  # the kernel takes no less
_REMOVE_ROUNDS = 50
_REMOVE_ROUND_S = 0.01  # the kernel lets go of dead processes a moment after they were reaped

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Controller:
    """Where groups of one controller are made, and the group that this process is in."""

    parent: Path
    home: Path
    version: int

    def enter(self, group: Path) -> None:
        """Move there: in version 1 this thread alone, in version 2 the process."""
        (group / ("tasks" if self.version == 1 else "cgroup.procs")).write_text("0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Where this process can make groups; None for what it can't limit that way."""

    memory: _Controller | None = None
    cpu: _Controller | None = None

    def make(self, *, memory_bytes: int | None, cpu_cores: float | None) -> "Group":
        """A group with these limits, as far as they can be set; the caller removes it."""
        made: dict[Path, _Controller] = {}
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        group = Group(made)
        try:
            if self.memory is not None and memory_bytes is not None:
                group.memory = self.memory.parent / name
                _make(group.memory, self.memory, made)
                _limit_memory(group.memory, self.memory.version, memory_bytes)
            if self.cpu is not None and cpu_cores is not None:
                directory = self.cpu.parent / name
                _make(directory, self.cpu, made)
                _limit_cpu(directory, self.cpu.version, cpu_cores)
        except BaseException:
            group.remove()
            raise
        return group


class Group:
    """The group (or groups) of one command."""

    def __init__(self, directories: dict[Path, _Controller]) -> None:
        self._directories = directories
        self.memory: Path | None = None  # None: memory is not limited here

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What is started inside belongs to the group."""
        inside: list[_Controller] = []
        try:
            for directory, controller in self._directories.items():
                inside.append(controller)
                controller.enter(directory)
            yield
        finally:
            for controller in inside:
                controller.enter(controller.home)

    def peak_bytes(self) -> int:
        """The most memory that was in use at once; 0 if that is not known."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            with suppress(OSError, ValueError):
                return int((self._memory() / name).read_text())
        return 0

    def kills(self) -> int:
        """How many processes the kernel killed because the limit was reached."""
        for name in ("memory.oom_control", "memory.events"):
            with suppress(OSError):
                for line in (self._memory() / name).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def remove(self) -> None:
        """Remove the group, in which nothing may be alive; what can't be removed yet stays."""
        for directory in self._directories:
            _remove(directory)

    def _memory(self) -> Path:
        assert self.memory is not None
        return self.memory


def find(top: Path = TOP, listed: Path = Path("/proc/self/cgroup")) -> Groups:
    """Where this process can make groups: tried, not guessed."""
    try:
        lines = [line.split(":", 2) for line in listed.read_text().splitlines()]
    except OSError:
        return Groups()
    paths = {name: path.lstrip("/") for _, names, path in lines for name in names.split(",")}
    return Groups(memory=_find("memory", paths, top), cpu=_find("cpu", paths, top))


def prepare(top: Path = TOP, listed: Path = Path("/proc/self/cgroup")) -> None:
    """Make a delegated group of version 2 fit for groups below it, where it is all ours.

    A group with processes can't hand its controllers down, so they move to one below it. Call it
    before any worker is started.
    """
    with suppress(OSError, ValueError):
        paths = dict(line.split(":", 2)[1:] for line in listed.read_text().splitlines())
        group = top / paths.get("", "/").lstrip("/")
        given = (group / "cgroup.controllers").read_text().split()
        processes = {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
        wanted = [f"+{name}" for name in ("memory", "cpu") if name in given]
        if not wanted or group == top or not processes <= {os.getpid(), os.getppid()}:
            return
        (group / _OURS).mkdir(exist_ok=True)
        for pid in processes:
            (group / _OURS / "cgroup.procs").write_text(str(pid))
        (group / "cgroup.subtree_control").write_text(" ".join(wanted))


def _find(name: str, paths: dict[str, str], top: Path) -> _Controller | None:
    found: list[_Controller] = []
    if name in paths:
        # Inside a container the path is the host's, but the mount begins at our own group.
        for home in (top / name / paths[name], top / name):
            found.append(_Controller(parent=home, home=home, version=1))
    elif "" in paths:
        own = top / paths[""]
        above = [own.parent] if own.name == _OURS else []
        for parent in (*above, own, top):
            if _hands_down(parent, name):
                found.append(_Controller(parent=parent, home=own, version=2))
    return next((controller for controller in found if _works(controller)), None)


def _hands_down(group: Path, name: str) -> bool:
    try:
        return name in (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


def _works(controller: _Controller) -> bool:
    """Whether groups can be made there and joined; removes what dead workers left."""
    probe = controller.parent / f"{_PREFIX}{os.getpid()}-{threading.get_native_id()}-probe"
    try:
        _sweep(controller.parent)
        probe.mkdir()
        try:
            controller.enter(probe)
            controller.enter(controller.home)
        finally:
            _remove(probe)
    except OSError:
        return False
    return True


def _sweep(parent: Path) -> None:
    for left in parent.glob(f"{_PREFIX}[0-9]*-*"):
        pid = left.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                left.rmdir()


def _make(directory: Path, controller: _Controller, made: dict[Path, _Controller]) -> None:
    if directory not in made:
        directory.mkdir()
        made[directory] = controller


def _limit_memory(group: Path, version: int, most: int) -> None:
    if version == 1:
        (group / "memory.limit_in_bytes").write_text(str(most))
        with suppress(OSError):  # a kernel that does not count swap
            (group / "memory.memsw.limit_in_bytes").write_text(str(most))
        return
    (group / "memory.max").write_text(str(most))
    with suppress(OSError):
        (group / "memory.swap.max").write_text("0")
    with suppress(OSError):  # all of it dies together, so that no half of a command goes on
        (group / "memory.oom.group").write_text("1")


def _limit_cpu(group: Path, version: int, cores: float) -> None:
    quota = max(_QUOTA_US_MIN, int(cores * _PERIOD_US))
    if version == 1:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")


def _remove(directory: Path) -> None:
    for _ in range(_REMOVE_ROUNDS):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(_REMOVE_ROUND_S)
        else:
            return
