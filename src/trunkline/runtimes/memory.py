"""Did the kernel kill for lack of memory? Asked of its counters, before and after a command.

The counter is that of the worker's memory cgroup where there is one (version 2, then 1), else that
of the whole machine. It is shared with others, so the answer is "probably".
"""

import os
from collections.abc import Iterator

_CGROUPS = "/sys/fs/cgroup"
_MACHINE = "/proc/vmstat"


class OutOfMemoryCounter:
    """How often the kernel killed a process for lack of memory, as far as can be known here."""

    def __init__(self) -> None:
        self._fd: int | None = None
        for path in _counters():
            try:
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            if self._read() is not None:
                return
            os.close(self._fd)
            self._fd = None

    def count(self) -> int:
        """Kills so far; always 0 where nothing is known."""
        return self._read() or 0

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self) -> int | None:
        if self._fd is None:
            return None
        try:
            text = os.pread(self._fd, 65536, 0)
        except OSError:
            return None  # the cgroup was removed
        for line in text.splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return None


def _counters() -> Iterator[str]:
    """Files that may hold the counter, the most specific first."""
    try:
        with open("/proc/self/cgroup") as listed:
            groups = [line.rstrip("\n").split(":", 2) for line in listed]
    except OSError:
        groups = []
    for _, controllers, path in groups:
        if not controllers:
            yield f"{_CGROUPS}{path}/memory.events"
            yield f"{_CGROUPS}/unified{path}/memory.events"
        elif "memory" in controllers.split(","):
            yield f"{_CGROUPS}/memory{path}/memory.oom_control"
            # Inside a container the path is the host's, but the mount begins at our own group.
            yield f"{_CGROUPS}/memory/memory.oom_control"
    yield _MACHINE
