"""What is known of the objects that stand for datums in a cluster, and what they put out.

For each: a note of the object, written before that is made, so that whoever comes after a crash
finds it; what was handed in for the datum (`out`); and of an object that stays, the manifest that
was healthy last. They are files of the data directory; where servers with directories of their own
share a store, objects beside its packs, as another server may have to go on with them.

Whoever acts on an object holds its lock, which is a file of this machine: the server that leads and
its workers are all who do.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from trunkline.errors import OperationFailed
from trunkline.fetch.buckets import Bucket
from trunkline.runtimes.kubernetes.objects import Named

_PLACE = "stages"  # in the data directory, and in the bucket
_GONE = ".gone-"  # begins the names of directories that are being removed
_NOTE, _HEALTHY, _REFUSED = "note.json", "healthy.json", "refused.json"
_OUT, _PATH = "out", ".path"  # ends the names of objects that say where another one goes
_LISTED_S = 60.0  # between two lists of a bucket: by then one that froze may have written there


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


class Kept(Protocol):
    """Where the notes of one object are kept, and what was handed in."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None:
        """Replace one in one step, and for good."""

    def forget(self, name: str) -> None: ...

    def aside(self) -> Path:
        """A new file of this machine, for what is being handed in."""

    def take(self, aside: Path, path: str) -> None:
        """Have a file at this path of what was handed in, for good."""

    def copy(self, target: Path) -> None:
        """Have all that was handed in below a directory too."""

    def remove(self) -> None: ...


class Holdings:
    """Those of one installation: in its data directory, or in a bucket. Used by one thread."""

    def __init__(self, home: Path, bucket: Bucket | None) -> None:
        self._place = home / _PLACE
        self._bucket = bucket
        self._elsewhere: set[str] = set()  # keys that are in the bucket, and perhaps not here
        self._list_again = 0.0

    def of(self, key: str) -> "Holding":
        """The one with a key; it need not be there."""
        place = self._place / key
        if self._bucket is None:
            return Holding(place, _Directory(place), elsewhere=False)
        return Holding(place, _Objects(self._bucket, key, place), elsewhere=True)

    def all(self) -> Iterator["Holding"]:
        """Those that are there; what was removed halfway is cleared."""
        if self._bucket is not None and time.monotonic() >= self._list_again:
            found = self._bucket.sizes(_PLACE)
            self._elsewhere = {key.split("/")[1] for key, _ in found}
            self._list_again = time.monotonic() + _LISTED_S
        try:
            names = set(os.listdir(self._place))
        except FileNotFoundError:
            names = set()
        for name in sorted(names | self._elsewhere):
            if name.startswith(_GONE):
                shutil.rmtree(self._place / name, ignore_errors=True)
            elif not name.startswith("."):
                yield self.of(name)
                self._elsewhere.discard(name)  # who has looked at it has its lock here


class Holding:
    """What is known of one object; it need not be there."""

    def __init__(self, place: Path, kept: Kept, *, elsewhere: bool) -> None:
        """The place has the lock, and what is kept unless that is `elsewhere`."""
        self._place = place
        self._kept = kept
        self._elsewhere = elsewhere
        self._lock: int | None = None

    def note(self) -> Note | None:
        """None where there is none, or none that can be read: nothing was made then."""
        found = self._read(_NOTE)
        try:
            return None if found is None else Note(**found)
        except TypeError:
            return None

    def write_note(self, note: Note) -> None:
        self._write(_NOTE, asdict(note))

    def end(self) -> None:
        """Note that the datum is done."""
        note = self.note()
        if note is not None and not note.ended:
            self.write_note(replace(note, ended=True))

    def healthy(self) -> dict[str, Any] | None:
        """The manifest that was healthy last."""
        return self._read(_HEALTHY)

    def write_healthy(self, manifest: dict[str, Any]) -> None:
        self._write(_HEALTHY, manifest)
        self._kept.forget(_REFUSED)

    def refused(self) -> str:
        """Why the newest job is not what is served, or nothing."""
        return str((self._read(_REFUSED) or {}).get("reason", ""))

    def write_refused(self, reason: str) -> None:
        self._write(_REFUSED, {"reason": reason})

    def hand_in(self, path: str, content: Iterable[bytes]) -> None:
        """Replace a file of what was handed in, once all of it is here. Raises OSError."""
        aside = self._kept.aside()
        try:
            with open(aside, "xb") as file:
                for piece in content:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            self._kept.take(aside, path)
        finally:
            aside.unlink(missing_ok=True)

    def copy_out(self, target: Path) -> None:
        """Have what was handed in below a directory too; it stays, for whoever comes if this
        worker dies now.
        """
        self._kept.copy(target)

    def lock(self, *, make: bool) -> bool:
        """Take the lock, if nobody else has it; `make` it where there is none."""
        make = make or self._elsewhere
        while True:
            if make:
                self._place.mkdir(parents=True, exist_ok=True)
            try:
                fd = os.open(self._place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                if make:  # removed just now
                    continue
                return False
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), os.stat(self._place / "lock")):
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
        self._kept.remove()
        aside = self._place.with_name(f"{_GONE}{self._place.name}")
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):
            self._place.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        self.let_go()

    def _read(self, name: str) -> dict[str, Any] | None:
        data = self._kept.read(name)
        try:
            found = None if data is None else json.loads(data)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def _write(self, name: str, value: dict[str, Any]) -> None:
        self._kept.write(name, json.dumps(value).encode())


class _Directory:
    """Files of a directory; see `Kept`. Whoever removes the holding removes the directory."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def read(self, name: str) -> bytes | None:
        try:
            return (self._place / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        path = self._place / name
        aside = path.with_name(f".{name}")
        try:
            with open(aside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            _sync_directory(path.parent)
        except OSError as error:
            raise OperationFailed(f"{name} of a stage can't be stored: {error.strerror}") from error

    def forget(self, name: str) -> None:
        (self._place / name).unlink(missing_ok=True)

    def aside(self) -> Path:
        return self._place / f".in-{secrets.token_hex(8)}"

    def take(self, aside: Path, path: str) -> None:
        out = self._place / _OUT
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(target)
        for directory in (target.parent, *target.parent.relative_to(out).parents):
            _sync_directory(out / directory)

    def copy(self, target: Path) -> None:
        if (self._place / _OUT).exists():
            shutil.copytree(self._place / _OUT, target, copy_function=_linked, dirs_exist_ok=True)

    def remove(self) -> None:
        """It goes with its directory."""


class _Objects:
    """Objects of a bucket; see `Kept`. Paths are in objects of their own, as not every path is a
    name for one.
    """

    def __init__(self, bucket: Bucket, key: str, place: Path) -> None:
        self._bucket = bucket
        self._below = f"{_PLACE}/{key}"
        self._place = place

    def read(self, name: str) -> bytes | None:
        try:
            return self._bucket.get(f"{self._below}/{name}")
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self._bucket.replace(f"{self._below}/{name}", data)

    def forget(self, name: str) -> None:
        self._bucket.delete([f"{self._below}/{name}"])

    def aside(self) -> Path:
        self._place.parent.mkdir(parents=True, exist_ok=True)
        return self._place.with_name(f".in-{secrets.token_hex(8)}")

    def take(self, aside: Path, path: str) -> None:
        name = f"{self._below}/{_OUT}/{hashlib.sha256(path.encode()).hexdigest()}"
        self._bucket.upload(name, aside)
        self._bucket.replace(f"{name}{_PATH}", path.encode())

    def copy(self, target: Path) -> None:
        for name, _ in list(self._bucket.sizes(f"{self._below}/{_OUT}")):
            if name.endswith(_PATH):
                path = target / self._bucket.get(name).decode()
                path.parent.mkdir(parents=True, exist_ok=True)
                self._bucket.download(name.removesuffix(_PATH), path)

    def remove(self) -> None:
        if names := [name for name, _ in self._bucket.sizes(self._below)]:
            self._bucket.delete(names)


def _sync_directory(directory: Path) -> None:
    """Have what was named in it survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
    return target
