"""Feeds a running command's input and takes its output, without ever waiting for one of them alone.

A piece is at most 64 KiB; how much of it all is kept is up to whoever takes it.
"""

import math
import os
import select
import sys

from trunkline.runtimes.base import OnOutput
from trunkline.runtimes.spawn import Process

_PIECE_BYTES = 64 * 1024
_DRAIN_BYTES_MAX = 16 * 1024 * 1024  # far above what two pipes can hold
_POLL_S = 0.02  # where the end of a process can't be waited for together with its pipes
_PROCESS, _OTHER = "process", "other"  # what is waited for besides the streams


class Streams:
    """The three pipes of one process and the news of its end."""

    def __init__(self, process: Process, *, stdin: bytes | None, on_output: OnOutput) -> None:
        self._process = process
        self._on_output = on_output
        self._unsent = memoryview(stdin or b"")
        self._poll = select.poll()
        self._waited_for: dict[int, str] = {}  # what a descriptor is
        self._pipes = process.pipes
        self._process_fd = _process_handle(process.pid)
        self._ended = False  # as far as was seen here
        if self._process_fd is not None:
            self._wait_for(self._process_fd, _PROCESS)
        for name, pipe in self._pipes.items():
            self._wait_for(pipe, name, select.POLLOUT if name == "stdin" else select.POLLIN)

    def pass_on_to(self, on_output: OnOutput) -> None:
        """What comes from now on goes there."""
        self._on_output = on_output

    def wake_for(self, descriptor: int) -> None:
        """Let `wait` return also when this can be read; who reads it is not our business."""
        self._wait_for(descriptor, _OTHER)

    def ended(self) -> bool:
        """Has the process itself ended? Unreaped where that is possible: its number is its own."""
        if self._ended or self._process.returncode is not None:
            return True
        if sys.platform != "linux":
            return self._process.reap()
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def wait(self, timeout_s: float) -> None:
        """Move what can be moved, after waiting at most so long for that or for the end."""
        if self._process_fd is None:
            timeout_s = min(timeout_s, _POLL_S)
        for descriptor, _ in self._poll.poll(math.ceil(max(0.0, timeout_s) * 1000)):
            name = self._waited_for[descriptor]
            if name == "stdin":
                self._feed()
            elif name == _PROCESS:
                self._ended = True
                self._forget(descriptor)
            elif name != _OTHER:
                self._take(name)

    def drain(self) -> None:
        """Take what the pipes still hold, without waiting for anybody to write more."""
        for name in ("stdout", "stderr"):
            taken = 0
            while name in self._pipes and taken < _DRAIN_BYTES_MAX:
                count = self._take(name)
                if count is None:
                    break
                taken += count

    def close(self) -> None:
        for name in list(self._pipes):
            self._drop(name)
        if self._process_fd is not None:
            os.close(self._process_fd)
            self._process_fd = None

    def _feed(self) -> None:
        try:
            if self._unsent:
                sent = os.write(self._pipes["stdin"], self._unsent[:_PIECE_BYTES])
                self._unsent = self._unsent[sent:]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent = memoryview(b"")  # not to read all of one's input is no mistake
        if not self._unsent:
            self._drop("stdin")

    def _take(self, name: str) -> int | None:
        """Bytes read from the stream; 0 at its end, None if there is nothing to read now."""
        try:
            data = os.read(self._pipes[name], _PIECE_BYTES)
        except BlockingIOError:
            return None
        if not data:
            self._drop(name)
            return 0
        self._on_output(name, data)
        return len(data)

    def _drop(self, name: str) -> None:
        pipe = self._pipes.pop(name)
        self._forget(pipe)
        os.close(pipe)

    def _wait_for(self, descriptor: int, name: str, event: int = select.POLLIN) -> None:
        self._poll.register(descriptor, event)
        self._waited_for[descriptor] = name

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._waited_for[descriptor]


def _process_handle(pid: int) -> int | None:
    """A file descriptor that becomes readable when the process ends, where the kernel has those."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
