"""Feeds a running command's input and takes its output, without ever waiting for one of them alone.

A piece is at most 64 KiB; how much of it all is kept is up to whoever takes it.
"""

import os
import selectors
import subprocess
import sys
from typing import IO

from trunkline.runtimes.base import OnOutput

_PIECE_BYTES = 64 * 1024
_DRAIN_BYTES_MAX = 16 * 1024 * 1024  # far above what two pipes can hold
_POLL_S = 0.02  # where the end of a process can't be waited for together with its pipes


class Streams:
    """The three pipes of one process and the news of its end."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        stdin: bytes | None,
        on_output: OnOutput,
    ) -> None:
        self._process = process
        self._on_output = on_output
        self._unsent = memoryview(stdin or b"")
        self._selector = selectors.PollSelector()  # for a few, which come and go: no system calls
        self._pipes: dict[str, IO[bytes]] = {}
        self._process_fd = _process_handle(process.pid)
        if self._process_fd is not None:
            self._selector.register(self._process_fd, selectors.EVENT_READ, "process")
        for name, pipe, event in (
            ("stdin", process.stdin, selectors.EVENT_WRITE),
            ("stdout", process.stdout, selectors.EVENT_READ),
            ("stderr", process.stderr, selectors.EVENT_READ),
        ):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._pipes[name] = pipe
                self._selector.register(pipe, event, name)

    def pass_on_to(self, on_output: OnOutput) -> None:
        """What comes from now on goes there."""
        self._on_output = on_output

    def wake_for(self, descriptor: int) -> None:
        """Let `wait` return also when this can be read; who reads it is not our business."""
        self._selector.register(descriptor, selectors.EVENT_READ, "other")

    def ended(self) -> bool:
        """Has the process itself ended? It stays unreaped, so its number stays its own."""
        if sys.platform != "linux":
            return self._process.poll() is not None
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def wait(self, timeout_s: float) -> None:
        """Move what can be moved, after waiting at most so long for that or for the end."""
        if self._process_fd is None:
            timeout_s = min(timeout_s, _POLL_S)
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            if key.data == "stdin":
                self._feed()
            elif key.data == "process":
                self._selector.unregister(key.fileobj)
            elif key.data != "other":
                self._take(key.data)

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
        self._selector.close()
        if self._process_fd is not None:
            os.close(self._process_fd)
            self._process_fd = None

    def _feed(self) -> None:
        try:
            if self._unsent:
                sent = os.write(self._pipes["stdin"].fileno(), self._unsent[:_PIECE_BYTES])
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
            data = os.read(self._pipes[name].fileno(), _PIECE_BYTES)
        except BlockingIOError:
            return None
        if not data:
            self._drop(name)
            return 0
        self._on_output(name, data)
        return len(data)

    def _drop(self, name: str) -> None:
        pipe = self._pipes.pop(name)
        self._selector.unregister(pipe)
        pipe.close()


def _process_handle(pid: int) -> int | None:
    """A file descriptor that becomes readable when the process ends, where the kernel has those."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
