"""Every process that a command left behind is found and ended.

The worker is made the reaper of orphans ("subreaper"), so that a daemon that forked twice and left
its session still becomes our child as soon as its own parent is gone. Killing our children until
there are none therefore ends the whole tree, and needs no list of processes that could be stale.
Systems without subreapers get the process group killed, which is all that can be done there.
"""

import ctypes
import os
import signal
import sys
import time

from trunkline.errors import OperationFailed

KILL_WAIT_S = 10.0  # a process in an uninterruptible system call may need a while to die
_PR_SET_CHILD_SUBREAPER = 36
_ROUND_S = 0.0002  # between two looks; a killed process needs about this long to be gone


def adopt_orphans() -> None:
    """Make this process the parent of each descendant that loses its own."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> frozenset[int]:
    """The children of this process, dead ones that nobody waited for included."""
    if sys.platform != "linux" or not _any():
        return frozenset()
    found = _listed("self")
    return _children_by_parent() if found is None else frozenset(found)


def _any() -> bool:
    """Whether this process has children at all, which one system call tells."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children_of(pid: int) -> set[int]:
    """The children of another process; none if it is gone or the kernel does not list them."""
    return _listed(str(pid)) or set()


def _listed(process: str) -> set[int] | None:
    found: set[int] = set()
    try:
        for task in os.listdir(f"/proc/{process}/task"):
            found.update(map(int, _content(f"/proc/{process}/task/{task}/children").split()))
    except OSError:
        return None  # a kernel built without this list
    return found


def _content(file: str) -> bytes:
    """All of a file of the kernel; without the buffers of `open`, which cost more than reading."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 65536), b""))
    finally:
        os.close(fd)


def _children_by_parent() -> frozenset[int]:
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as status:
                # The name in brackets may itself hold blanks and brackets.
                parent = int(status.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == os.getpid():
            found.add(int(name))
    return frozenset(found)


def kill_group(leader: int) -> None:
    """SIGKILL the process group; nothing happens if it is gone."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # PermissionError: macOS says so of a group of dead processes


def _group_of(pid: int) -> int | None:
    """The process group that a process is in; None if it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def terminate_group(leader: int) -> None:
    """SIGTERM the process group; nothing happens if it is gone."""
    try:
        os.killpg(leader, signal.SIGTERM)
    except (ProcessLookupError, PermissionError):
        pass


def kill(pid: int) -> None:
    """SIGKILL one process, if it is still there and we may."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def reap(pids: frozenset[int]) -> None:
    """Let go of those that are dead; the others are left alone."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def kill_children(*, spare: frozenset[int]) -> None:
    """SIGKILL and reap every descendant, except the children in `spare` and what they started.

    Raises OperationFailed if some can't be killed (they are another user's, or stuck in the
    kernel); then the slot must not be used for another datum.
    """
    deadline = time.monotonic() + KILL_WAIT_S
    while left := children() - spare:
        kept = {os.getpgrp(), *map(_group_of, spare)}
        for pid in left:
            # Our own unreaped children, so neither number can have passed to a stranger.
            group = _group_of(pid)
            if group is not None and group not in kept:
                kill_group(group)
            kill(pid)
        reap(left)
        if time.monotonic() > deadline:
            shown = ", ".join(map(str, sorted(left)[:5]))
            raise OperationFailed(
                f"processes that the command left behind can't be killed (pid {shown})"
            )
        time.sleep(_ROUND_S)
