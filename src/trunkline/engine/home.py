"""The data directory as a whole: who has it, and which format it says it has."""

import fcntl
import hashlib
import os
import time
from pathlib import Path

from trunkline.engine.archive import replace_text
from trunkline.engine.release import FORMAT
from trunkline.errors import StorageFull, StoreInUse, StoreTooNew, Unavailable
from trunkline.store.packs import sync_directory

FORMAT_FILE = "FORMAT"
CATALOG = "catalog.db"
DATABASE = "DATABASE"  # whose catalog belongs to it, where that is in a database elsewhere
MOVED = "catalog-moved.db"  # the catalog as it was when it moved there
LOCK = "engine.lock"

_LOCK_WAIT_S = 0.2  # somebody who only looks holds it for a moment
_TICK_S = 0.01


def marker(home: Path) -> str:
    """What processes that were started for a data directory are found by after a crash."""
    return hashlib.blake2b(os.fsencode(home), digest_size=8).hexdigest()


def mirrors(home: Path) -> Path:
    """Where the mirrors of git remotes are, which are derived."""
    return home / "cache" / "git"


def lock(home: Path) -> int:
    """Take the data directory (made if need be) for this process; the lock ends with the process.

    Returns the descriptor that holds it. Raises StoreInUse, and Unavailable for a directory that
    can't be written to.
    """
    try:
        put_back(home)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"the data directory {home} can't be used: {error.strerror}; "
            "set TRUNKLINE_HOME to a directory that you may write to"
        ) from error
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                owner = _owner(fd)
                os.close(fd)
                raise StoreInUse(str(home), f"another process ({owner})") from error
            time.sleep(_TICK_S)
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def between(home: Path) -> Path:
    """Where a data directory is for a moment while a restored one takes its place."""
    return home.with_name(f".{home.name}.between")


def put_back(home: Path) -> None:
    """Give a data directory its name again if a restore died in that moment; raises OSError."""
    if not home.exists() and between(home).is_dir():
        os.rename(between(home), home)
        sync_directory(home.parent)


def holder(home: Path) -> str:
    """Who has the data directory open, as words for a sentence; "" if nobody has.

    Changes nothing, and needs no right to write.
    """
    try:
        fd = os.open(home / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _owner(fd)
    finally:
        os.close(fd)
    return ""


def _owner(fd: int) -> str:
    return f"pid {os.pread(fd, 32, 0).decode('ascii', 'replace').strip() or 'unknown'}"


def database_of(home: Path) -> str:
    """The id of the installation whose catalog is in a database elsewhere; "" if it is here."""
    try:
        words = (home / DATABASE).read_text("ascii", "replace").split()
    except FileNotFoundError:
        return ""
    if len(words) != 2 or words[0] != "installation":
        raise Unavailable(f"{home / DATABASE} is not that of a Trunkline data directory")
    return words[1]


def note_database(home: Path, installation: str) -> None:
    """Durable before anything is stored that only this catalog knows."""
    try:
        replace_text(home / DATABASE, f"installation {installation}\n")
    except OSError as error:
        raise StorageFull(str(home)) from error


def format_of(home: Path) -> int:
    """The format that a data directory says it has; 0 if it says none.

    Raises StoreTooNew, and Unavailable for a directory of something else.
    """
    path = home / FORMAT_FILE
    try:
        words = path.read_text("ascii", "replace").split()
    except FileNotFoundError:
        return 0
    if len(words) != 2 or words[0] != "trunkline" or not words[1].isdigit():
        raise Unavailable(f"{path} is not that of a Trunkline data directory")
    if int(words[1]) > FORMAT:
        raise StoreTooNew(str(home), int(words[1]), FORMAT)
    return int(words[1])


def write_format(home: Path, number: int = FORMAT) -> None:
    """Durable before anything else is: a file that a power cut emptied would not be taken for ours.

    The name of the data directory has to be durable too, or all of it could be gone.
    """
    try:
        replace_text(home / FORMAT_FILE, f"trunkline {number}\n")
        sync_directory(home.parent)
    except OSError as error:
        raise StorageFull(str(home)) from error
