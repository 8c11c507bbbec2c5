"""What a data directory knows of the objects that stand for its datums in a cluster.

One directory for each, below `stages`. It has a note of the object, written before that is made, so
that whoever comes after a crash finds it; what was handed in for the datum (`out`); and of an
object that stays, the manifest that was healthy last. Whoever acts on the object holds the lock.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trunkline.errors import OperationFailed
from trunkline.runtimes.kubernetes.objects import Named

_PLACE = "stages"
_GONE = ".gone-"  # begins the names of directories that are being removed
_NOTE, _HEALTHY, _REFUSED = "note.json", "healthy.json", "refused.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Which object it is, and for what."""

    api_version: str
    kind: str
    name: str
    pipeline: str
    job: str
    datum: str
    stays: bool
    ended: bool = False  # its datum is done; it is only to be deleted

    @property
    def object(self) -> Named:
        return Named(api_version=self.api_version, kind=self.kind, name=self.name)


def key_of(*words: str) -> str:
    """The name of the directory of a datum, by pipeline, job and datum; by pipeline, if it
    stays.
    """
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]


class Holding:
    """One directory; it need not be there."""

    def __init__(self, home: Path, key: str) -> None:
        self.place = home / _PLACE / key
        self._lock: int | None = None

    @property
    def out(self) -> Path:
        """What was handed in."""
        return self.place / "out"

    def note(self) -> Note | None:
        """None where there is none, or none that can be read: nothing was made then."""
        found = _read(self.place / _NOTE)
        try:
            return None if found is None else Note(**found)
        except TypeError:
            return None

    def write_note(self, note: Note) -> None:
        write_whole(self.place / _NOTE, asdict(note))

    def end(self) -> None:
        """Note that the datum is done."""
        note = self.note()
        if note is not None and not note.ended:
            self.write_note(replace(note, ended=True))

    def healthy(self) -> dict[str, Any] | None:
        """The manifest that was healthy last."""
        return _read(self.place / _HEALTHY)

    def write_healthy(self, manifest: dict[str, Any]) -> None:
        write_whole(self.place / _HEALTHY, manifest)
        (self.place / _REFUSED).unlink(missing_ok=True)

    def refused(self) -> str:
        """Why the newest job is not what is served, or nothing."""
        return str((_read(self.place / _REFUSED) or {}).get("reason", ""))

    def write_refused(self, reason: str) -> None:
        write_whole(self.place / _REFUSED, {"reason": reason})

    def lock(self, *, make: bool) -> bool:
        """Take the lock, if nobody else has it; `make` the directory where there is none."""
        while True:
            if make:
                self.out.mkdir(parents=True, exist_ok=True)
            try:
                fd = os.open(self.place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                if make:  # removed just now
                    continue
                return False
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), os.stat(self.place / "lock")):
                    self._lock = fd
                    return True
            except BlockingIOError:
                os.close(fd)
                return False
            except FileNotFoundError:
                pass
            os.close(fd)

    def let_go(self) -> None:
        """Give the lock back."""
        fd, self._lock = self._lock, None
        if fd is not None:
            os.close(fd)

    def remove(self) -> None:
        """Forget the object; whoever calls this has the lock, and loses it."""
        aside = self.place.with_name(f"{_GONE}{self.place.name}")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            self.place.rename(aside)
        except FileNotFoundError:
            pass
        shutil.rmtree(aside, ignore_errors=True)
        self.let_go()


def all_holdings(home: Path) -> Iterator[Holding]:
    """Those of a data directory; what was removed halfway is cleared."""
    try:
        names = sorted(os.listdir(home / _PLACE))
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(_GONE):
            shutil.rmtree(home / _PLACE / name, ignore_errors=True)
        else:
            yield Holding(home, name)


def write_whole(path: Path, value: dict[str, Any]) -> None:
    """Replace a file in one step, and for good. Raises OperationFailed."""
    aside = path.with_name(f".{path.name}")
    try:
        with open(aside, "w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise OperationFailed(
            f"{path.name} of a stage can't be stored: {error.strerror}"
        ) from error


def sync_directory(directory: Path) -> None:
    """Have what was named in it survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) else None
