"""Bounds of one command's memory and CPU time, and whether it ran into them.

Where control groups can be made the kernel keeps the bounds. Elsewhere what the command and all it
started hold is measured now and then, and so that it can't grow far in between, no process is given
more than twice the limit; CPU time is then not limited.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from trunkline.runtimes.base import Command
from trunkline.runtimes.cgroups import Group, Groups, find
from trunkline.runtimes.descendants import children, children_of

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_BETWEEN_LOOKS = 2  # times the limit: what one process may be given, though not hold for long


def how_limited() -> str:
    """What keeps commands within their limits in a process like this one."""
    groups = find()
    if groups.memory is None:
        return "memory is watched, CPU time is not limited (no control groups can be made)"
    version = groups.memory.version
    if groups.cpu is None:
        return f"control groups (version {version}) for memory; CPU time is not limited"
    return f"control groups (version {version}) for memory and CPU time"


def peak_of(usage: resource.struct_rusage) -> int:
    """The most memory in bytes; the systems count in different units."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Bounds:
    """The bounds of one command; closed when nothing of it is alive any more, then asked."""

    def __init__(self, command: Command, groups: Groups) -> None:
        self._most = command.memory_bytes
        self._group: Group | None = None
        self._peak = 0
        self._killed = False
        self._pid = 0
        if self._most is not None or command.cpu_cores is not None:
            self._group = groups.make(memory_bytes=self._most, cpu_cores=command.cpu_cores)

    @property
    def _counted(self) -> Group | None:
        """The group that counts memory, if there is one."""
        return self._group if self._group is not None and self._group.memory else None

    @contextmanager
    def starting(self) -> Iterator[None]:
        """The command is started inside."""
        if self._group is None:
            yield
        else:
            with self._group.entered():
                yield

    def started(self, pid: int) -> None:
        """The command runs."""
        self._pid = pid
        if self._most is not None and self._counted is None and sys.platform == "linux":
            try:
                _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
                most = self._most * _BETWEEN_LOOKS
                most = most if hard < 0 else min(most, hard)
                resource.prlimit(pid, resource.RLIMIT_DATA, (most, hard))
            except OSError:
                pass  # it has ended, or belongs to another user: it is still watched

    def exceeded(self, spare: frozenset[int]) -> bool:
        """Whether the command holds more memory than it may; our children in `spare` are others."""
        if self._most is None or self._counted is not None:
            return False
        tree = _tree({self._pid, *(children() - spare)})
        held = sum(map(_resident_bytes, tree))
        if held > self._most:  # pages that several share were counted for each
            held = sum(map(_share_bytes, tree))
        self._peak = max(self._peak, held)
        return held > self._most

    def ended(self, peak_bytes: int) -> None:
        """The command has ended; so much had it, or one that it waited for, at once.

        The kernel counts what our process had when it was started, so only more than that counts.
        """
        if self._most is None:
            return
        if peak_bytes > peak_of(resource.getrusage(resource.RUSAGE_SELF)):
            self._peak = max(self._peak, peak_bytes)

    def close(self) -> None:
        """Give the group back, and keep what it counted."""
        if self._counted is not None:
            self._peak, self._killed = self._counted.peak_bytes(), self._counted.kills() > 0
        elif self._most is not None:
            self._killed = self._peak > self._most
        if self._group is not None:
            self._group.remove()
            self._group = None

    def failure(self) -> str:
        """The sentence for a closed command that failed, if it lacked memory."""
        if self._most is None or not self._killed:
            return ""
        return f"out of memory: peak {amount(self._peak)}, limit {amount(self._most)}"


def _tree(roots: set[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children_of(pid)
    return found


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as status:
            return int(status.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _share_bytes(pid: int) -> int:
    """Its part of what is resident: a page that three share counts a third."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as status:
            for line in status:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    return _resident_bytes(pid)


def amount(size: int) -> str:
    """Bytes in the largest unit that fits, for sentences: 512 MiB."""
    number, unit = float(size), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    return f"{number:.4g} {_UNITS[unit]}"
