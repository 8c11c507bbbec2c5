"""The worker's side of a process that stays: is it ready, does it still answer, is it to end?

Asked between the ticks of the running command, in the worker: it sees the same ports, and nobody
else has to wait for an answer.
"""

import http.client
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from trunkline.jobs.capture import LogEntry
from trunkline.jobs.channel import Channel, Message

STEADY_S = 1.0  # a process that does not listen is ready when it has run so long
_HERE = "127.0.0.1"
_ANSWER_S = 1.0  # to take a connection, on this machine
_PAGE_S = 5.0  # to answer a request
_LOOK_S = 2.0  # between looks at one that is ready
_MISSES_MAX = 3  # looks in a row at which it may not answer
_HTTP_GOOD = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """Where code is expected to listen, and when it is ready; travels as a message."""

    fixed: int  # what the spec says
    path: str  # of a URL that answers 2xx; empty: taking a connection is enough
    timeout_s: float  # to get ready

    def as_message(self) -> dict[str, object]:
        return asdict(self)


class Residence:
    """One process that stays, from its start to its end."""

    def __init__(
        self, channel: Channel, port: Port | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._channel = channel
        self._port = port
        self._clock = clock
        self._began = clock()
        self._given = _free_port() if port is not None else 0
        self._taken = port is not None and _answers(port.fixed)  # by somebody else
        self._found = 0  # where it listens
        self._ready = False
        self._next_look = 0.0
        self._misses = 0
        self.leaving = False
        self.failure = ""  # why it was ended, though nobody asked for it

    @property
    def variables(self) -> dict[str, str]:
        """What the process is told of its port."""
        if self._port is None:
            return {}
        return {"PORT": str(self._given)}

    def begins(self) -> None:
        """The command is about to start; what went before does not count."""
        self._began = self._clock()

    def tick(self) -> None:
        """Look how it is; called a few times a second."""
        now = self._clock()
        if self._ready:
            self._look_again(now)
        elif self._port is None:
            if now - self._began >= STEADY_S:
                self._say_ready(alone=True)
        else:
            self._look_for_port(self._port, now)

    def to_end(self) -> bool:
        """Whether the process has to end."""
        for message in self._channel.poll():
            self.leaving = self.leaving or message["type"] in ("leave", "exit")
        return self.leaving or bool(self.failure)

    def send_log(self, lines: list[LogEntry]) -> None:
        self._channel.send({"type": "log", "lines": lines})

    def _look_for_port(self, port: Port, now: float) -> None:
        found = next((p for p in self._candidates(port) if _answers(p)), 0)
        if found and (not port.path or _page_is_good(found, port.path)):
            self._found = found
            self._say_ready(alone=found != self._given)
        elif now - self._began > port.timeout_s:
            where = f"port {self._given}, which PORT tells"
            if found:
                self.failure = f"it listens, but {port.path} did not answer with 2xx"
            elif self._taken:
                self.failure = (
                    f"it did not listen on {where} (and port {port.fixed} is another program's)"
                )
            else:
                self.failure = f"it listened neither on {where}, nor on port {port.fixed}"
            self.failure += f" within {port.timeout_s:g} s"

    def _candidates(self, port: Port) -> list[int]:
        return [self._given] if self._taken else [self._given, port.fixed]

    def _say_ready(self, *, alone: bool) -> None:
        self._ready = True
        self._channel.send({"type": "healthy", "port": self._found, "alone": alone})

    def _look_again(self, now: float) -> None:
        if not self._found or now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        self._misses = 0 if _answers(self._found) else self._misses + 1
        if self._misses >= _MISSES_MAX:
            self.failure = f"it does not take connections on port {self._found} any more"


def left(reason: str, last_words: str) -> Message:
    """The message of a worker whose process has ended."""
    return {"type": "left", "reason": reason, "last_words": last_words}


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as found:
        found.bind((_HERE, 0))
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection((_HERE, port), timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True


def _page_is_good(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(_HERE, port, timeout=_PAGE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status in _HTTP_GOOD
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
