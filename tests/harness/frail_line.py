"""A TCP proxy before a server, whose connections break when a test says so."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

BEFORE, BEHIND = "before", "behind"


class FrailLine:
    """Forwards connections to a server, until they are cut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._trap: tuple[bytes, str] | None = None
        self._down = False
        self._lock = threading.Lock()
        self._begin(self._accept)

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        with self._lock:
            self._threads.append(thread)

    def cut(self) -> None:
        """Break all connections there are."""
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut_at(self, words: bytes, when: str) -> None:
        """Break a connection once, `before` the server gets these words, or `behind` them.

        Behind them the server gets the words, and the client no answer.
        """
        self._trap = (words, when)

    def take_down(self, down: bool) -> None:
        """Whether new connections are refused."""
        self._down = down

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        while self._threads:
            self._threads.pop().join()
        for end in (self._listener, *self._ends):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._down:
                    client.close()
                    continue
                server = socket.create_connection(self._to)
                with self._lock:
                    self._ends += (client, server)
                self._begin(self._pass_on, client, server, True)
                self._begin(self._pass_on, server, client, False)

    def _pass_on(self, one: socket.socket, other: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if asks and self._trap is not None and self._trap[0] in data:
                    when, self._trap = self._trap[1], None
                    with suppress(OSError):  # no answer gets through any more
                        one.shutdown(socket.SHUT_RDWR)
                    if when == BEHIND:
                        other.sendall(data)
                    break
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR if asks else socket.SHUT_RDWR)


@contextmanager
def frail_line(host: str, port: int) -> Iterator[FrailLine]:
    line = FrailLine(host, port)
    try:
        yield line
    finally:
        line.close()
