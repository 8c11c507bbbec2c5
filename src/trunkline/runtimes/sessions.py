"""Scratch directories of sessions that no server owns: each lasts as long as whoever holds it.

The lock of a session is on its open directory. Processes that inherit the descriptor have it too,
and the kernel gives it up with the last of them: so whoever clears up can tell what is in use, even
if that was killed or the machine went down.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "debug-"
_NOTES = "notes"  # in the directory: a link to what other users may be let into


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    directory: Path
    notes: Path  # outside of the home, so that a command of another user can be let in
    lock: int  # descriptor, for processes that work for the session

    def end(self) -> None:
        remove(self.directory)
        os.close(self.lock)


def begin(below: Path) -> Session:
    """A new session with a directory below the scratch directory; those that were left go."""
    below.mkdir(parents=True, exist_ok=True)
    _clear_sessions(below)
    directory, lock = _locked(below)
    notes = Path(tempfile.gettempdir()) / f"trunkline-{directory.name}-{secrets.token_hex(8)}"
    (directory / _NOTES).symlink_to(notes)  # first: what is left behind can be found
    notes.mkdir(mode=0o700)
    return Session(directory=directory, notes=notes, lock=lock)


def remove(directory: Path) -> None:
    """Remove the directories of a session; whoever asks has its lock."""
    link = directory / _NOTES
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def clear(below: Path) -> None:
    """Remove what is in a scratch directory, except the sessions that go on.

    No worker may be alive.
    """
    if below.is_dir():
        _clear_sessions(below)
        for place in below.iterdir():
            if not place.name.startswith(_PREFIX):
                shutil.rmtree(place, ignore_errors=True)


def _clear_sessions(below: Path) -> None:
    for place in below.glob(f"{_PREFIX}*"):
        lock = _lock(place)
        if lock is not None:
            remove(place)
            os.close(lock)


def _locked(below: Path) -> tuple[Path, int]:
    while True:  # somebody may clear up between the two steps
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=below))
        lock = _lock(directory)
        if lock is not None:
            if directory.exists():
                return directory, lock
            os.close(lock)


def _lock(directory: Path) -> int | None:
    """The lock of a directory; None if somebody has it, or the directory is gone."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
