"""The socket where a command with `datum_batching` asks for its next datum; see `asking`.

Whoever speaks here is user code: a line is at most so long, few may be connected, and one who does
not take his answer is let go.
"""

import json
import os
import selectors
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from trunkline.runtimes.asking import reach

_LINE_BYTES_MAX = 256 * 1024
_CALLERS_MAX = 16
_ANSWER_S = 5.0  # for a caller to take what he asked for
_WAITS = "another call waits for the next datum already; one process asks, one at a time"
_UNREADABLE = "that was no line of JSON with nothing or an error in it"


class Door:
    """Takes one question at a time; used by one thread."""

    def __init__(self, path: Path, owner: tuple[int, int] | None, *, mode: int = 0o600) -> None:
        """Open it at the path, for the account (user and group number) besides ourselves.

        With another mode for whoever else gets as far as there.
        """
        self._path = path
        self._callers: dict[socket.socket, bytearray] = {}
        self._asking: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            reach(str(path), self._listener.bind)
            path.chmod(mode)
            if owner is not None:
                os.chown(path, *owner)
            self._listener.listen(_CALLERS_MAX)
        except BaseException:
            self.close()
            raise
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.error = ""  # with which the datum at hand ended, says the one who asks

    def fileno(self) -> int:
        """Readable when there may be something to look at."""
        return self._selector.fileno()

    def asked(self) -> bool:
        """Whether somebody waits for the next datum now."""
        for key, _ in self._selector.select(0):
            if key.fileobj is self._listener:
                self._welcome()
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._listen_to(key.fileobj)
        return self._asking is not None

    def answer(self, env: Mapping[str, str]) -> bool:
        """Tell the one who asks; False if he is gone, or does not listen."""
        if not self.asked():
            return False
        assert self._asking is not None
        caller, self._asking, self.error = self._asking, None, ""
        return self._say(caller, {"env": dict(env)})

    def close(self) -> None:
        for caller in list(self._callers):
            self._let_go(caller)
        self._selector.close()
        self._listener.close()
        with suppress(OSError):  # where inputs are write-protected; it goes with them
            self._path.unlink(missing_ok=True)

    def _welcome(self) -> None:
        with suppress(OSError):
            caller, _ = self._listener.accept()
            if len(self._callers) >= _CALLERS_MAX:
                caller.close()
                return
            caller.setblocking(False)
            self._callers[caller] = bytearray()
            self._selector.register(caller, selectors.EVENT_READ)

    def _listen_to(self, caller: socket.socket) -> None:
        try:
            piece = caller.recv(_LINE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        said = self._callers[caller]
        said += piece
        if not piece or len(said) > _LINE_BYTES_MAX:
            self._let_go(caller)
        elif b"\n" in said:
            line, _, rest = bytes(said).partition(b"\n")
            said[:] = rest
            self._take(caller, line)

    def _take(self, caller: socket.socket, line: bytes) -> None:
        try:
            error = json.loads(line).get("error", "")
        except (ValueError, AttributeError, RecursionError):
            error = None
        if not isinstance(error, str):
            self._refuse(caller, _UNREADABLE)
        elif self._asking is not None:
            self._refuse(caller, _WAITS)
        else:
            self._asking, self.error = caller, error

    def _refuse(self, caller: socket.socket, why: str) -> None:
        if self._say(caller, {"refused": why}) and caller is not self._asking:
            self._let_go(caller)

    def _say(self, caller: socket.socket, answer: Mapping[str, object]) -> bool:
        try:
            caller.settimeout(_ANSWER_S)
            caller.sendall(json.dumps(answer).encode("utf-8") + b"\n")
            caller.setblocking(False)
        except OSError:
            self._let_go(caller)
            return False
        return True

    def _let_go(self, caller: socket.socket) -> None:
        self._selector.unregister(caller)
        del self._callers[caller]
        caller.close()
        if caller is self._asking:
            self._asking, self.error = None, ""
