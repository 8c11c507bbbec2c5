"""Containers that workers keep: made, started, watched from outside and removed.

What is in one is `Box`. A container belongs to one worker of one data directory, as its labels say,
so whoever finds one whose worker is gone may remove it. It can do as little as its user needs: no
capabilities, no new privileges, no network unless it is given one, so many processes and no more.
"""

import contextlib
import itertools
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trunkline.errors import NotFound, OperationFailed, TrunklineError, Unavailable, shown
from trunkline.runtimes.containers import interactive
from trunkline.runtimes.containers.agent import SHELL, START
from trunkline.runtimes.containers.engine import ContainerEngine

HOME_LABEL, WORKER_LABEL = "trunkline.home", "trunkline.worker"
NO_NETWORK = "none"
MEMORY = Path("/dev/shm")  # noqa: S108 (directories of our own are made there)
_USER_PROCESSES = 32768  # of one user on the whole machine; what a container may have is PIDS_MAX
PIDS_MAX = 4096  # processes and threads
_CGROUPS = Path("/sys/fs/cgroup")
_MEMORY_SHARE = 2  # of the limit of a container, or of the machine: /dev/shm may take a half
_ROUNDS_MAX = 1000
_ROUND_S = 0.001  # a killed process needs about this long to be gone

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory of this machine in a container."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """All that a container is made of: two commands with equal boxes can share one."""

    image: str  # id
    image_name: str  # for people
    user: str  # empty: root
    network: str = NO_NETWORK
    memory_bytes: int | None = None  # of all that runs in it
    cpu_cores: float | None = None
    gpus: tuple[str, ...] = ()  # their numbers
    file_bytes_max: int | None = None  # of each file that is written
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose containers these are."""

    home: str  # data directory
    marker: str  # that stands for it
    worker: str
    labels: Mapping[str, str] = field(default_factory=dict)  # more of them, for people

    @property
    def memory_prefix(self) -> str:
        """What names of its directories in MEMORY begin with."""
        return f"trunkline-{self.marker}-{self.worker}."

    def all_labels(self) -> dict[str, str]:
        return {**self.labels, HOME_LABEL: self.home, WORKER_LABEL: self.worker}


_NOTHING = Box(image="", image_name="", user="")


class Container:
    """One container, from its start to its end. Calls raise as `ContainerEngine.calls` does."""

    def __init__(self, engine: ContainerEngine, box: Box, id_: str) -> None:
        self.box = box
        self._engine = engine
        self._id = id_
        self._pid = 0
        self.counters = Counters(None)

    def start(self) -> None:
        """Run the loop in it. Raises OperationFailed with what has to be done about it."""
        try:
            with self._engine.calls("its container can't be started"):
                self._engine.api.start(self._id)
                state = self._engine.api.inspect_container(self._id)["State"]
        except Unavailable:
            raise
        except TrunklineError as error:
            raise _explained(error, self.box) from error
        self._pid = int(state.get("Pid") or 0)
        self.counters = Counters.of(self._pid, self._id)

    def terminate(self) -> None:
        """Ask all that runs in it to end by itself."""
        self._signal("TERM")

    def kill_inside(self) -> None:
        """Kill all that runs in it besides the loop."""
        if not self.counters.kill_all(spare=self._pid):
            self._signal("KILL")

    def _signal(self, name: str) -> None:
        """Send it from inside, where the first process is not among all."""
        with self._engine.calls("its container"):
            words = [SHELL, "-c", f"kill -s {name} -- -1"]
            made = self._engine.api.exec_create(self._id, words)  # Podman wants to be listened to
            self._engine.api.exec_start(made["Id"])

    def interact(
        self,
        words: Sequence[str],
        *,
        terminal: int,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> int | None:
        """Run a command beside the loop; see `interactive.run`."""
        return interactive.run(
            self._engine, self._id, words, terminal=terminal, cancelled=cancelled, tick=tick
        )

    def fate(self) -> tuple[str, bool]:
        """How it ended, as a phrase, and whether that was for lack of memory."""
        try:
            with self._engine.calls("its container"):
                state: dict[str, Any] = self._engine.api.inspect_container(self._id)["State"]
        except NotFound:
            return "its container was removed", False
        except TrunklineError as error:
            return f"its container ended, and why can't be told: {error}", False
        if state.get("Running"):
            return "its container does not answer", False
        if state.get("OOMKilled"):
            return "its container ran out of memory", True
        said = f": {state['Error']}" if state.get("Error") else ""
        return f"its container was ended from outside (exit code {state.get('ExitCode')}){said}", (
            False
        )

    def remove(self) -> None:
        """End it at once with all that runs in it; nothing happens if it is gone already."""
        with contextlib.suppress(NotFound), self._engine.calls("its container can't be removed"):
            self._engine.api.remove_container(self._id, force=True, v=True)


def make(engine: ContainerEngine, box: Box, owner: Owner) -> Container:
    """A new container, which does not run yet. Raises as `ContainerEngine.calls` does."""
    with engine.calls(f"a container of image {box.image_name} can't be made"):
        name = f"{owner.worker}-{os.getpid()}-{next(_numbers)}"
        made = engine.api.create_container_from_config(
            _config(box, owner, podman=engine.podman), name
        )
    return Container(engine, box, str(made["Id"]))


def remove_of(engine: ContainerEngine, owner: Owner) -> None:
    """Remove what is left of somebody. Raises as `ContainerEngine.calls` does."""
    labels = [f"{HOME_LABEL}={owner.home}", f"{WORKER_LABEL}={owner.worker}"]
    with engine.calls("containers that were left can't be removed"):
        found = engine.api.containers(all=True, filters={"label": labels})
    for one in found:
        Container(engine, _NOTHING, str(one["Id"])).remove()


def _config(box: Box, owner: Owner, *, podman: bool) -> dict[str, object]:
    host: dict[str, object] = {
        "Mounts": [
            {
                "Type": "bind",
                "Source": mount.source,
                "Target": mount.target,
                "ReadOnly": mount.read_only,
                "BindOptions": {"Propagation": "rprivate"},
            }
            for mount in box.mounts
        ],
        "NetworkMode": box.network,
        "IpcMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": PIDS_MAX,
        "ShmSize": (box.memory_bytes or _memory_of_machine()) // _MEMORY_SHARE,
        "Init": False,  # the loop is the first process, and does its work
        "RestartPolicy": {"Name": "no"},
    }
    if box.memory_bytes is not None:
        host |= {"Memory": box.memory_bytes, "MemorySwap": box.memory_bytes}
    if box.cpu_cores is not None:
        host["NanoCpus"] = int(box.cpu_cores * 1e9)
    if box.file_bytes_max is not None:
        most = box.file_bytes_max
        host["Ulimits"] = [
            {"Name": "fsize", "Soft": most, "Hard": most},
            *(_own_limits() if podman else []),
        ]
    if box.gpus:
        host["DeviceRequests"] = [{"DeviceIDs": list(box.gpus), "Capabilities": [["gpu"]]}]
    return {
        "Image": box.image,
        "Entrypoint": [START[0]],
        "Cmd": list(START[1:]),
        "User": box.user,
        "WorkingDir": "/",
        "Labels": owner.all_labels(),
        "StopSignal": "SIGKILL",  # it would wait for others in vain
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host,
    }


def _own_limits() -> list[dict[str, object]]:
    """Where one limit is given, Podman takes a million for these two, which not every root may."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        {"Name": "nofile", "Soft": files, "Hard": files},
        {"Name": "nproc", "Soft": _USER_PROCESSES, "Hard": _USER_PROCESSES},
    ]


def _memory_of_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _explained(error: TrunklineError, box: Box) -> TrunklineError:
    words = str(error)
    if SHELL in words and "no such file" in words:
        return OperationFailed(
            f"image {box.image_name} has no {SHELL}, which starts commands in containers; use an "
            "image that has one"
        )
    if box.user and "unable to find" in words:
        return OperationFailed(
            f"there is no user {shown(box.user)} in image {box.image_name} to run the command as"
        )
    return OperationFailed(words)


class Counters:
    """What the kernel counts of a container, where this process can see that."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    @staticmethod
    def of(pid: int, id_: str) -> "Counters":
        """Those of the container whose first process has that number, on this machine."""
        for directory in _groups_of(pid):
            if id_ in str(directory) and (directory / "cgroup.procs").exists():
                return Counters(directory)
        return Counters(None)

    @property
    def known(self) -> bool:
        return self._directory is not None

    def kills(self) -> int:
        """How many processes the kernel killed for lack of memory; 0 where that is not known."""
        for name in ("memory.oom_control", "memory.events"):
            for line in self._read(name).splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def peak_bytes(self) -> int:
        """The most memory in use at once since it was started; 0 where that is not known."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if (text := self._read(name)).strip().isdigit():
                return int(text)
        return 0

    def processes(self) -> int:
        """How many are alive in there; 0 where that is not known."""
        return len(self._read("cgroup.procs").split())

    def kill_all(self, *, spare: int) -> bool:
        """Kill all processes but one; False if this process can't see or may not kill them."""
        for _ in range(_ROUNDS_MAX):
            found = {int(pid) for pid in self._read("cgroup.procs").split()}
            if spare not in found:
                return False
            if found == {spare}:
                return True
            for pid in found - {spare}:
                try:
                    os.kill(pid, signal.SIGKILL)
                except PermissionError:
                    return False
                except ProcessLookupError:
                    continue
            time.sleep(_ROUND_S)
        return False

    def _read(self, name: str) -> str:
        if self._directory is None:
            return ""
        try:
            return (self._directory / name).read_text("utf-8")
        except OSError:
            return ""


def _groups_of(pid: int) -> Iterator[Path]:
    """Directories of the memory control group of a process, version 1 first."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield Path(f"{_CGROUPS}/memory{path}")
        elif not controllers:
            yield Path(f"{_CGROUPS}{path}")
