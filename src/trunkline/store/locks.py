"""Locks between processes, which end with their holders."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline.errors import TrunklineError


@contextmanager
def alone(path: Path, taken: Callable[[], TrunklineError], *, mode: int = 0o600) -> Iterator[None]:
    """Hold the lock on a file, which is made if need be; raises what `taken` gives, not waiting.

    Raises OSError for a file that can't be had.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    with _held(fd, fcntl.LOCK_EX, taken):
        yield


@contextmanager
def shared(path: Path, taken: Callable[[], TrunklineError]) -> Iterator[None]:
    """Hold the lock on a file that is there beside others who share it, but not beside `alone`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with _held(fd, fcntl.LOCK_SH, taken):
        yield


@contextmanager
def _held(fd: int, how: int, taken: Callable[[], TrunklineError]) -> Iterator[None]:
    try:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise taken() from error
        yield
    finally:
        os.close(fd)
