"""Somebody who types at a terminal: a program on a real one, what it shows, how it ends."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping

WAIT_S = 30.0


class TypingUser:
    """A program whose controlling terminal is ours."""

    def __init__(self, *words: str, cwd: str, env: Mapping[str, str] | None = None) -> None:
        self.shown = ""
        self._seen = 0
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                os.execvpe(words[0], words, {**os.environ, **(env or {})})
            finally:
                os._exit(127)

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode("utf-8"))

    def sees(self, pattern: str) -> str:
        """Wait until something new is shown that matches; gives the first group, or all of it."""
        deadline = time.monotonic() + WAIT_S
        while (found := re.compile(pattern).search(self.shown, self._seen)) is None:
            assert self._more(deadline), f"no {pattern!r} in:\n{self.shown}"
        self._seen = found.end()
        return found[1] if found.re.groups else found[0]

    def resizes(self, *, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def exit_status(self) -> int:
        """Wait for the end; that of a signal is negative."""
        deadline = time.monotonic() + WAIT_S
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._more(time.monotonic()):
                    pass
                os.close(self._terminal)
                return os.waitstatus_to_exitcode(status)
            self._more(min(deadline, time.monotonic() + 0.05))
            assert time.monotonic() < deadline, self.shown

    def _more(self, deadline: float) -> bool:
        left = max(0.0, deadline - time.monotonic())
        if not select.select([self._terminal], [], [], left)[0]:
            return False
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # nobody is at the other end
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)
