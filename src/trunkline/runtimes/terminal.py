"""The terminal of this process, lent to a command: ^C, job control and resizing are the command's.

The command is the leader of a process group in our session, and that group is in the foreground
until the command has ended; then we are again, with the terminal as it was.
"""

import os
import signal
import termios
from contextlib import suppress

from trunkline.errors import InvalidInput


class Terminal:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        try:
            self._attributes = termios.tcgetattr(descriptor)
        except termios.error as error:
            raise InvalidInput("there is no terminal to give to the command") from error

    def lend(self, leader: int) -> None:
        """Let the process group of that process have it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            # Refused for a terminal of another session: then there is no job control.
            with suppress(OSError):
                os.tcsetpgrp(self._descriptor, leader)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})

    def tend(self, leader: int) -> None:
        """Let a command go on that was stopped: nobody else is there to say `fg`.

        A shell stops itself when it finds that it is not in the foreground yet.
        """
        if os.waitid(os.P_PID, leader, os.WSTOPPED | os.WNOHANG) is not None:
            self.lend(leader)
            os.killpg(leader, signal.SIGCONT)

    def take_back(self) -> None:
        """Have it again, as it was."""
        self.lend(os.getpgrp())
        with suppress(termios.error):  # it was hung up
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._attributes)
