"""Makes a data directory of a backup. Needs no server, and none may have the directory open.

Everything is copied and checked beside the data directory first, and takes its place in one step.
Until that is over it has a mark in it, which tells it from the data that it replaces.
"""

import ctypes
import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from trunkline.engine import archive
from trunkline.engine.archive import Archived, Manifest
from trunkline.engine.home import CATALOG, FORMAT_FILE, LOCK, between, put_back
from trunkline.engine.release import FORMAT
from trunkline.errors import Conflict, Corrupt, StorageFull, StoreInUse, StoreTooNew
from trunkline.model.admin import RestoreReport
from trunkline.store import claims
from trunkline.store.bucket import FOLDER, upload
from trunkline.store.claims import Place
from trunkline.store.depot import pieces_of
from trunkline.store.digests import Digest
from trunkline.store.packs import SUFFIX, sync_directory

_MARK = "restoring"
# What a data directory has before anything was ever stored in it.
_NOTHING = {"engine.lock", "start.lock", "server.lock", "log"}
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def restore(
    source: Path, home: Path, *, force: bool, now: datetime, place: Place | None = None
) -> RestoreReport:
    """Put what a backup holds at `home`, with the same ids, files and pipelines.

    Its packs go into files there, or into the bucket of a place that nobody has; one that somebody
    has is refused with Conflict.
    Every file is checked before anything is replaced: raises Corrupt, naming the damaged one. A
    data directory with something in it is refused with Conflict; with `force` it is kept aside.
    Raises NotFound where there is no backup, StoreInUse, StoreTooNew, StorageFull. A crash leaves
    what was there, or all of what was restored; the next restore clears up what else is left.
    """
    started = time.monotonic()
    source, home = source.absolute(), home.resolve()  # not the link to it changes places
    with archive.kept(source / archive.BACKUP_LOCK, lambda: _changing(source)):
        manifest = archive.require_manifest(source)
        if manifest.format > FORMAT:
            raise StoreTooNew(str(source), manifest.format, FORMAT)
        aside = _bring_back(source, manifest, home, place, force=force, now=now)
    return RestoreReport(
        source=str(source),
        home=str(home),
        created=manifest.created,
        commits=manifest.commits,
        restored_bytes=sum(entry.size_bytes for entry in manifest.files),
        aside="" if aside is None else str(aside),
        duration_s=time.monotonic() - started,
    )


def _bring_back(
    source: Path,
    manifest: Manifest,
    home: Path,
    place: Place | None,
    *,
    force: bool,
    now: datetime,
) -> Path | None:
    """Returns where the data directory is that was there before."""
    with archive.writing(home.parent):
        archive.make_directory(home.parent)
        put_back(home)
    with _unused(home):
        _clear_up(home, now)
        if _has_data(home) and not force:
            raise Conflict(
                f"{home} has data already; add --force to set it aside and restore in its place, "
                "or name another directory with --to"
            )
        new = home.with_name(f"{_unfinished(home)}{secrets.token_hex(4)}")
        with _made(new):
            _fill(new, source, manifest, place)
            return _take_place(new, home, now)


@contextmanager
def _unused(home: Path) -> Iterator[None]:
    """Hold the lock of the data directory, if there is one, so that nobody opens it meanwhile."""
    if not home.is_dir():
        yield
        return
    with archive.locked(home / LOCK, lambda: _in_use(home)):
        yield


def _changing(source: Path) -> Conflict:
    return Conflict(f"a backup to {source} is under way; restore when that has ended")


def _in_use(home: Path) -> StoreInUse:
    return StoreInUse(str(home), "a server (stop it with `trunkline down`)")


def _has_data(home: Path) -> bool:
    return home.exists() and bool(set(os.listdir(home)) - _NOTHING)


def _unfinished(home: Path) -> str:
    """How the names begin of what restores to a data directory are making."""
    return f".{home.name}.restoring-"


@contextmanager
def _made(new: Path) -> Iterator[None]:
    """Make a directory with the mark in it, and hold its lock so that nobody clears it up."""
    try:
        with archive.writing(new.parent):
            new.mkdir(mode=0o700)
            (new / _MARK).touch()
        with archive.locked(new / LOCK, lambda: _in_use(new)):
            yield
    except BaseException:
        if (new / _MARK).exists():  # else it is by now what was there before
            shutil.rmtree(new, ignore_errors=True)
        raise


def _clear_up(home: Path, now: datetime) -> None:
    """Remove what restores that died have left; data that they replaced is set aside."""
    with archive.writing(home.parent):
        for left in sorted(home.parent.iterdir()):
            if left == between(home):
                os.rename(left, _aside(home, now))
            elif left.name.startswith(_unfinished(home)) and left.is_dir():
                with suppress(StoreInUse), _unused(left):  # unless another restore is at work
                    if (left / _MARK).exists() or not _has_data(left):
                        shutil.rmtree(left)
                    else:
                        os.rename(left, _aside(home, now))


def _aside(home: Path, now: datetime) -> Path:
    """A free name for the data that was there before."""
    stem = f"{home.name}.before-restore-{now:%Y%m%dT%H%M%S%f}"
    names = (f"{stem}-{n}" if n else stem for n in count())
    return next(path for path in map(home.with_name, names) if not path.exists())


def _fill(new: Path, source: Path, manifest: Manifest, place: Place | None) -> None:
    """Copy and check all files of the backup into a new directory, durably."""
    here = manifest.files if place is None else (manifest.catalog,)
    if shutil.disk_usage(new.parent).free < sum(entry.size_bytes for entry in here):
        raise StorageFull(str(new.parent))
    with archive.writing(new.parent):
        (new / "store").mkdir(mode=0o700)
    _copy(source, manifest.catalog, new / CATALOG)
    if place is None:
        _copy_packs(source, manifest, new / "store" / FOLDER)
    else:
        _upload_packs(source, manifest, place)
    with archive.writing(new):
        archive.replace_text(new / FORMAT_FILE, f"trunkline {manifest.format}\n")
        for directory in (new / "store", new):
            sync_directory(directory)
    if place is not None:  # last: a bucket that is claimed can't be restored to again
        claims.claim(new / "store", place, installation=manifest.installation)


def _copy_packs(source: Path, manifest: Manifest, packs: Path) -> None:
    with archive.writing(packs.parent):
        packs.mkdir(mode=0o700)
    for entry in manifest.packs:
        _copy(source, entry, packs / entry.pack)
    with archive.writing(packs):
        sync_directory(packs)


def _upload_packs(source: Path, manifest: Manifest, place: Place) -> None:
    """Those that a restore which died has brought there already are no matter."""
    bucket = claims.free_bucket(place)
    for entry in manifest.packs:
        path = source / entry.name
        _check_size(path, entry)
        with archive.writing(path):
            data = path.read_bytes()
        _check_digest(path, entry, Digest(data).hexdigest())
        upload(bucket, entry.pack.removesuffix(SUFFIX), data)


def _copy(source: Path, entry: Archived, target: Path) -> None:
    path = source / entry.name
    size = _check_size(path, entry)
    digest = archive.copy(pieces_of(path, size), target, size_bytes=size, pace=lambda: None)
    _check_digest(path, entry, digest)


def _check_size(path: Path, entry: Archived) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise Corrupt(f"the backup's {path}", "it to be readable", str(error)) from error
    if size != entry.size_bytes:
        raise Corrupt(f"the backup's {path}", f"{entry.size_bytes} bytes", f"{size}")
    return size


def _check_digest(path: Path, entry: Archived, digest: str) -> None:
    if digest != entry.digest:
        raise Corrupt(f"the backup's {path}", f"digest {entry.digest}", digest)


def _take_place(new: Path, home: Path, now: datetime) -> Path | None:
    """Put a whole directory in the place of another; returns where that one is now."""
    aside: Path | None = None
    with archive.writing(home.parent):
        if not home.exists():
            os.rename(new, home)
        else:
            _exchange(new, home)
            sync_directory(home.parent)
            if _has_data(new):
                aside = _aside(home, now)
                os.rename(new, aside)
            else:
                shutil.rmtree(new, ignore_errors=True)
        sync_directory(home.parent)
        (home / _MARK).unlink()
    return aside


def _exchange(new: Path, home: Path) -> None:
    """Let two directories change places in one step, or in three where the system has no such."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    names = (os.fsencode(new), os.fsencode(home))
    if rename is not None:
        if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), str(home))
    os.rename(home, between(home))
    os.rename(new, home)
    os.rename(between(home), new)
