"""Who has been at work since when: so that nothing is removed that somebody may still name.

Whoever stores chunks, or takes them over from a tree, and names them in the catalog afterwards,
does all of it inside a hold. A hold belongs to the epoch in which it began. A collector moves on to
the next epoch, and knows that everybody has noticed what it did before as soon as nobody holds the
old one any more. Nobody waits for the collector.

Works between processes: a hold is a shared lock on one of two files, for odd and for even epochs,
so it ends with its process however that dies. Cost of a hold: two small reads, and two calls of
flock for the first and the last one of a process. The protocol and why it is right:
docs/decisions/0011-garbage-collection.md.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from trunkline.errors import Conflict
from trunkline.store.locks import alone

_NUMBER = struct.Struct("<Q")


class Holds(Protocol):
    """Who is at work in this process. Thread-safe."""

    def begin(self) -> "Hold":
        """A hold that ends when it is told to, by any thread."""

    def close(self) -> None:
        """Holds that are still open end."""


class Epochs(Holds, Protocol):
    """The epochs of one store as one process sees them. Thread-safe."""

    def current(self) -> int:
        """The number of this epoch. It only grows, but for a power cut, which ends all holds."""

    def collecting(self, wait: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Only one collector at a time, over all processes; raises Conflict.

        With `wait`, which is called between two looks, it is waited for instead. Who waits holds
        the turn, without which nobody begins: who comes again and again does not get ahead.
        """

    def drained(self) -> bool:
        """Whether all holds belong to the current epoch."""

    def advance(self, *, above: int) -> None:
        """Begin the next epoch, with a number above the given one. Only when `drained`."""


class LockedEpochs:
    """Epochs of a directory that all processes share. See `Epochs`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._counts = [0, 0]  # holds of this process in even and odd epochs
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._number = os.open(directory / "epoch", flags, 0o644)
        self._files = [os.open(self._path(parity), flags, 0o644) for parity in (0, 1)]

    def current(self) -> int:
        data = os.pread(self._number, _NUMBER.size, 0)
        return int(_NUMBER.unpack(data)[0]) if len(data) == _NUMBER.size else 0

    def begin(self) -> "Hold":
        with self._lock:
            while True:
                epoch = self.current()
                parity = epoch & 1
                if not self._counts[parity]:
                    fcntl.flock(self._files[parity], fcntl.LOCK_SH)
                # The epoch may have ended before we had the lock: then nobody would wait for us.
                if self.current() == epoch:
                    self._counts[parity] += 1
                    return Hold(self._end, parity)
                if not self._counts[parity]:
                    fcntl.flock(self._files[parity], fcntl.LOCK_UN)

    def _end(self, parity: int) -> None:
        with self._lock:
            self._counts[parity] -= 1
            if not self._counts[parity] and self._files:
                fcntl.flock(self._files[parity], fcntl.LOCK_UN)

    # --- for the collector ------------------------------------------------------------------------

    @contextmanager
    def collecting(self, wait: Callable[[], None] | None = None) -> Iterator[None]:
        with ExitStack() as held:
            with _taken(self._directory / "collect-next.lock", wait):
                held.enter_context(_taken(self._directory / "collect.lock", wait))
            yield

    def drained(self) -> bool:
        fd = os.open(self._path((self.current() + 1) & 1), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def advance(self, *, above: int) -> None:
        number = max(self.current(), above) + 1
        if (number ^ self.current()) & 1 == 0:
            number += 1  # the other file's turn
        os.pwrite(self._number, _NUMBER.pack(number), 0)

    def close(self) -> None:
        with self._lock:
            open_files, self._files = self._files, []
            for fd in [self._number, *open_files] if open_files else []:
                os.close(fd)

    def _path(self, parity: int) -> Path:
        return self._directory / f"epoch-{parity}.lock"


class Hold:
    """One use of the store, from before its first look-up until what it made has a name."""

    def __init__(self, end: Callable[[int], None], epoch: int) -> None:
        self._end = end
        self._epoch: int | None = epoch

    def end(self) -> None:
        """May be called twice."""
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            self._end(epoch)


@contextmanager
def _taken(path: Path, wait: Callable[[], None] | None) -> Iterator[None]:
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(alone(path, collecting_already, mode=0o644))
                break
            except Conflict:
                if wait is None:
                    raise
                wait()
        yield


def collecting_already() -> Conflict:
    """Why somebody has no turn."""
    return Conflict("garbage is being collected, or a backup made; try again when that has ended")
