"""How a command with `datum_batching` asks for its next datum; the other side is `door`.

A line of JSON each way over a Unix socket. The question is `{}`, or `{"error": "..."}` when the
datum at hand could not be processed; the answer, which comes when the files of the next datum are
there, is `{"env": {...}}` with its variables. There is no answer after the last datum: the command
is ended. Needs nothing but Python, as it runs inside of user code.
"""

import json
import os
import socket
from collections.abc import Callable

# What runs a function in user code (`function`), before the directory of the code and its name.
FUNCTION_COMMAND = ("python3", "-m", "trunkline.runtimes.function")
ERROR_CHARACTERS_MAX = 10_000
_PATH_BYTES_MAX = 100  # a Unix path can't exceed 107, or 103
_READ_BYTES = 64 * 1024


class Asker:
    """A connection to the worker that has the datums. Raises OSError with a sentence."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            reach(path, self._socket.connect)
        except OSError as error:
            self._socket.close()
            raise ConnectionError(
                f"the worker that has the datums can't be reached at {path}: {error.strerror}"
            ) from error

    def next_datum(self, error: str = "") -> dict[str, str]:
        """The variables of the next datum, once its files are there.

        The one before is done then, or has failed with the error.
        """
        question = {"error": error[:ERROR_CHARACTERS_MAX]} if error else {}
        self._socket.sendall(json.dumps(question).encode("utf-8") + b"\n")
        answer = bytearray()
        while not answer.endswith(b"\n"):
            piece = self._socket.recv(_READ_BYTES)
            if not piece:
                raise ConnectionError("the worker that has the datums is gone")
            answer += piece
        found = json.loads(answer)
        if "refused" in found:
            raise ConnectionError(str(found["refused"]))
        return dict(found["env"])

    def close(self) -> None:
        self._socket.close()


def reach(path: str, use: Callable[[str], object]) -> None:
    """Bind or connect to a socket whose path may be longer than a Unix path can be."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX or not os.path.isdir("/proc/self/fd"):
        use(path)
        return
    folder, name = os.path.split(path)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        use(f"/proc/self/fd/{opened}/{name}")
    finally:
        os.close(opened)
