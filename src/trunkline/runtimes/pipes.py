"""Files that are named pipes, filled from elsewhere only when somebody opens them.

One thread serves any number of pipes, with a file open only for those that are being read. No
system tells that a process waits for the other end of a pipe, so the thread tries to open the
pipes for writing, which the kernel refuses at once where nobody reads. It tries those beside the
one that was opened last first (code reads files in order, mostly), all others in turn, and takes a
twentieth of a core for that at most. Among some hundred pipes one is found within 50 ms; a try
takes a few microseconds, so among 100,000 it takes seconds, unless it is near the last one.

Each opening gets a pipe of its own: as soon as one is open, a new one takes its name, and only then
content is given. Who opens it again before that gets the same one: to find out that somebody waits
is to wake him, and he may be quicker with a second opening than the new pipe is in its place.
"""

import fcntl
import os
import secrets
import select
import stat
import sys
import termios
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_OPEN_MAX = 512  # pipes that are read at once; others wait until one of them is closed
_HELD_MAX = 32  # of those: with content in memory while they wait for their reader
_NEAR = 16  # pipes behind one that was opened are tried first
_RECENT = 8  # so many that were opened last count
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.0002, 0.05
_SWEEP_S = 0.002  # for others, at a time
_TURN_BYTES = 1024 * 1024  # for one of them, before the next one gets its turn
_BATCH = 32  # tries between two looks at the clock
_MODE = 0o444

Read = Callable[[str, str, int], Iterator[bytes]]  # content of (source, path) from an offset on


class _Transfer:
    """One opening of one pipe."""

    def __init__(self, source: str, path: str) -> None:
        self.source = source
        self.path = path
        self.sent = 0
        self.pieces: Iterator[bytes] | None = None
        self.rest = memoryview(b"")

    def forget(self) -> None:
        """Hold no content; it is read again from where the reader is."""
        self.pieces, self.rest = None, memoryview(b"")


class Pipes:
    """The pipes of one run of a command. `add` them all, then run it inside of `served`."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._targets: list[tuple[str, str]] = []  # directory of the pipes, source of the content
        self._owners = array("I")  # by pipe: which target it is in
        self._paths: list[str] = []  # by pipe
        self._transfers: dict[int, _Transfer] = {}  # by descriptor
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._cursor = 0
        self._poll = select.poll()
        self._stopping = False
        self.error: Exception | None = None  # the first one in reading what was to be given
        self.bytes_read = 0  # by those who opened them

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._paths)

    def add(self, target: Path, source: str, paths: Iterator[str]) -> None:
        """Make a pipe for each path below a directory."""
        if self._targets[-1:] != [(str(target), source)]:
            self._targets.append((str(target), source))
        number = len(self._targets) - 1
        folder = ""
        for path in paths:
            place = f"{target}/{path}"
            above = os.path.dirname(place)
            if above != folder:
                os.makedirs(above, exist_ok=True)
                folder = above
            os.mkfifo(place, _MODE)
            self._paths.append(path)
            self._owners.append(number)

    @contextmanager
    def served(self) -> Iterator[None]:
        """Fill the pipes as they are opened; at the end, those that are open are cut off.

        Raises what failed in reading their content, unless something else was raised inside.
        """
        if not self._paths:
            yield
            return
        wake, waker = os.pipe()
        self._stopping = False
        self._poll.register(wake, select.POLLIN)
        thread = threading.Thread(target=self._serve, name="trunkline-pipes", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping = True
            os.close(waker)  # which is heard at the other end
            thread.join()
            for descriptor in list(self._transfers):
                self._cut(descriptor)
            self._poll.unregister(wake)
            os.close(wake)
        if self.error is not None:
            raise self.error

    # --- in the thread ----------------------------------------------------------------------------

    def _serve(self) -> None:
        pause = _PAUSE_MIN_S
        due = time.monotonic()
        while not self._stopping:
            left = due - time.monotonic()
            for descriptor, _ in self._poll.poll(max(left, 0.0) * 1000):
                if descriptor in self._transfers and self._send(descriptor):
                    pause, due = _PAUSE_MIN_S, 0.0  # its reader may open the next one now
            began = time.monotonic()
            if began < due:
                continue
            if self._look(pause):
                pause = _PAUSE_MIN_S
            else:
                spent = time.monotonic() - began
                pause = min(pause * 2, max(20 * spent, 0.005), _PAUSE_MAX_S)
            due = time.monotonic() + pause

    def _look(self, pause: float) -> bool:
        """Try to open pipes; whether one was opened."""
        if len(self._transfers) >= _OPEN_MAX:
            return False
        count = len(self._paths)
        near = (at for last in self._recent for at in range(last, min(last + _NEAR, count)))
        if self._try_all(dict.fromkeys(near)):
            return True
        until = time.monotonic() + min(max(pause, _PAUSE_MIN_S), _SWEEP_S)
        tried = 0
        while tried < count and not self._stopping:
            batch = range(self._cursor, min(self._cursor + _BATCH, count))
            tried += len(batch)
            self._cursor = batch.stop % count
            if self._try_all(batch):
                return True
            if time.monotonic() > until:
                break
        return False

    def _try_all(self, numbers: Iterable[int]) -> bool:
        opened = [at for at in numbers if self._try(at)]
        return bool(opened)

    def _try(self, at: int) -> bool:
        """Open a pipe if somebody reads it, and put another one in its place."""
        target, source = self._targets[self._owners[at]]
        place = f"{target}/{self._paths[at]}"
        try:
            opened = os.open(place, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # nobody reads it, mostly; or there are too many open files
            return False
        try:
            if not stat.S_ISFIFO(os.fstat(opened).st_mode):
                os.close(opened)  # user code has put something else there
                return False
            _renew(place)
        except OSError as error:
            os.close(opened)
            self._fail(error)
            return False
        self._transfers[opened] = _Transfer(source, self._paths[at])
        self._poll.register(opened, select.POLLOUT)
        if at in self._recent:
            self._recent.remove(at)
        self._recent.appendleft(at)
        return True

    def _send(self, descriptor: int) -> bool:
        """Give a reader what its pipe takes; whether it got all or wants no more."""
        transfer = self._transfers[descriptor]
        try:
            if transfer.pieces is None:
                transfer.pieces = self._read(transfer.source, transfer.path, transfer.sent)
            most = transfer.sent + _TURN_BYTES
            while transfer.sent < most:
                if not transfer.rest:
                    piece = next(transfer.pieces, None)
                    if piece is None:
                        self._end(descriptor)
                        return True
                    transfer.rest = memoryview(piece)
                    continue  # it may be empty
                written = os.write(descriptor, transfer.rest)
                transfer.rest = transfer.rest[written:]
                transfer.sent += written
            return False  # others get their turn
        except BlockingIOError:
            if len(self._transfers) > _HELD_MAX:
                transfer.forget()
            return False
        except BrokenPipeError:
            pass  # it has seen enough
        except Exception as error:
            self._fail(error)
        self._cut(descriptor)
        return True

    def _cut(self, descriptor: int) -> None:
        """Close a pipe whose reader won't get all; what is still in it was read by nobody."""
        left = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
        self.bytes_read -= int.from_bytes(left, sys.byteorder)
        self._end(descriptor)

    def _end(self, descriptor: int) -> None:
        self.bytes_read += self._transfers.pop(descriptor).sent
        self._poll.unregister(descriptor)
        os.close(descriptor)

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error


def _renew(place: str) -> None:
    """Put a new pipe in the place of one that is open."""
    folder = os.path.dirname(place)
    aside = os.path.join(folder, f".{secrets.token_hex(8)}")
    try:
        os.mkfifo(aside, _MODE)
    except PermissionError:  # a directory of inputs, kept from being written to
        closed = stat.S_IMODE(os.stat(folder).st_mode)
        os.chmod(folder, closed | stat.S_IWUSR)
        os.mkfifo(aside, _MODE)
        os.rename(aside, place)
        os.chmod(folder, closed)
        return
    os.rename(aside, place)
