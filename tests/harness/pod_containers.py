"""The user's container of a pod, as processes of this machine: the loop in namespaces of its own.

Run as `python pod_containers.py POD [NAME=VALUE…]`, it is the first process of such a container:
with the directories of the pod where `pods` mounts them, and with processes and a /dev/shm of its
own, as the loop kills and removes all there is. It needs root.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from trunkline.runtimes import namespace
from trunkline.runtimes.base import CODE, OUT, PFS
from trunkline.runtimes.containers.agent import PLACE, START

_NEW_PIDS = 0x20000000
_WHEN_PARENT_DIES = 1
_AGAIN_S = 0.1
_MEMORY_BYTES = 64 * 1024 * 1024
PARTS = ("control", "pfs", "out", "code")


def make_pod(pod: Path, secrets: int = 0) -> None:
    """The directories of a pod, as Kubernetes makes them: open to all."""
    for part in (*PARTS, *(f"secret-{number}" for number in range(secrets))):
        (pod / part).mkdir(parents=True, exist_ok=True)
        (pod / part).chmod(0o777)


class UserContainer:
    """Keeps a container running, as restartPolicy Always does; use in a `with` statement."""

    def __init__(self, pod: Path, places: Mapping[str, str] | None = None) -> None:
        self._pod = pod
        self._places = places or {}  # further directories of the pod → where they are seen
        self._lock = threading.Lock()
        self._ends = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self.starts = 0

    def __enter__(self) -> "UserContainer":
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ends = True
            self.kill()
        self._thread.join(20)

    def kill(self) -> None:
        """End all of the container, as when it ran out of memory; forks may ask for it too."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def _start(self) -> "subprocess.Popen[bytes]":
        words = [f"{part}={place}" for part, place in self._places.items()]
        self._process = subprocess.Popen([sys.executable, __file__, str(self._pod), *words])
        self.starts += 1
        return self._process

    def _keep(self) -> None:
        process = self._process
        while process is not None:
            process.wait()
            time.sleep(_AGAIN_S)
            with self._lock:
                process = None if self._ends else self._start()


def _first(pod: Path, places: Mapping[str, str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until we can pass it on
    if libc.unshare(_NEW_PIDS) != 0:
        raise OSError(ctypes.get_errno(), "no process space of its own")
    child = os.fork()
    if child:
        signal.signal(signal.SIGTERM, lambda *_: _kill(child))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    libc.prctl(_WHEN_PARENT_DIES, signal.SIGKILL, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    root = pod / "root"
    root.mkdir(exist_ok=True)
    namespace.enter(root, private=(PLACE, PFS, CODE))
    for part, place, read_only in (
        ("control", PLACE, True),
        ("pfs", PFS, True),
        ("out", OUT, False),
        ("code", CODE, True),
    ):
        namespace.bind(str(pod / part), place, read_only=read_only)
    for part, place in places.items():
        namespace.make_mount_point(place)
        namespace.bind(str(pod / part), place, read_only=True)
    before = os.stat("/dev/shm").st_dev
    namespace.mount_memory("/dev/shm", size_bytes=_MEMORY_BYTES)
    _assert_alone(before)
    os.chdir("/")
    os.execve(START[0], START, {"PATH": os.environ["PATH"], "IMAGE": "has this"})


def _kill(child: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def _assert_alone(before: int) -> None:
    """What the loop does to the rest would be a disaster for the machine itself."""
    assert os.getpid() == 1, "the processes are not the container's own"
    assert os.stat("/dev/shm").st_dev != before, "the memory is not the container's own"
    assert not os.listdir("/dev/shm"), "the memory is not the container's own"


if __name__ == "__main__":
    _first(Path(sys.argv[1]), dict(word.split("=", 1) for word in sys.argv[2:]))
