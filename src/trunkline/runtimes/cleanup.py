"""Ends what commands left running when their worker was killed before it could.

Each command carries the marker of its slot in its environment, and so does everything that it
starts; a process that wiped its own environment is not found.
"""

import os
import signal
import time

from trunkline.runtimes.base import SLOT_VARIABLE

_ROUNDS_MAX = 200  # new ones may be forked while the old ones are killed
_ROUND_S = 0.005
_QUIET_ROUNDS = 2  # a process that is just calling exec shows no environment for a moment


def kill_leftovers(marker: str) -> int:
    """SIGKILL every process with this slot marker that this user may kill; returns how many.

    Returns when none is left alive (or after a second). Call it when the workers of the marker
    are known to be dead.
    """
    if not marker or not os.path.isdir("/proc/self"):
        return 0
    entry = os.fsencode(f"{SLOT_VARIABLE}={marker}")
    killed: set[int] = set()
    quiet = 0
    for _ in range(_ROUNDS_MAX):
        found = [pid for pid in _processes() if pid != os.getpid() and _carries(pid, entry)]
        hit = [pid for pid in found if _kill(pid)]
        killed.update(hit)
        quiet = 0 if hit else quiet + 1
        if quiet == _QUIET_ROUNDS:
            break
        time.sleep(_ROUND_S)
    return len(killed)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _carries(pid: int, entry: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environment:
            return entry in environment.read().split(b"\0")
    except OSError:
        return False  # gone, or somebody else's


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False
    return True
