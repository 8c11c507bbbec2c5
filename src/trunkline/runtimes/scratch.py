"""Scratch directories after hostile code: emptied, measured and write-protected safely.

Directories are reused between datums and only emptied, because making and removing directories in
bulk slows some file systems down for many seconds.

Cost of emptying: one unlink per file; for a directory one open, chmod, rmdir, and one rename if it
is nested. Few open files and no recursion, whatever the depth; no path is ever longer than a name.
"""

import os
import secrets
import stat
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from trunkline.errors import OperationFailed

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_MODE = 0o755
_ROUNDS_MAX = 10_000  # of removing what was listed
_LISTED_MAX = 50_000  # entries at a time, so that memory is bounded


def ensure_directory(directory: Path) -> Path:
    """The directory, made if it is missing; never a link to another one."""
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    if directory.is_symlink():
        raise OperationFailed(f"the scratch directory {directory} is a link; remove it")
    return directory


def empty(directory: Path, *, keep: Collection[str] = ()) -> None:
    """Remove everything in the directory, except the entries `keep`; no link is followed.

    The caller makes sure that nothing is mounted below and that no process still writes to it.
    Raises OperationFailed when something can't be removed (such as a file made immutable by root).
    """
    try:
        top = _open_unlocked(directory)
        try:
            _empty_open(top, keep=keep)
        finally:
            os.close(top)
    except OSError as error:
        raise OperationFailed(
            f"the scratch directory {directory} can't be emptied: "
            f"{error.strerror} ({os.fsdecode(error.filename or '')!r})"
        ) from error


def _empty_open(top: int, *, keep: Collection[str]) -> None:
    """Subdirectories are moved up to the top before they are emptied, which bounds the depth."""
    device: int | None = None
    fresh = ""
    moved = 0
    for _ in range(_ROUNDS_MAX):
        entries, all_listed = _listed(top, keep)
        before = moved
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=top)
            elif not _removed_empty(entry.name, top):
                if device is None:
                    device = os.fstat(top).st_dev
                    fresh = secrets.token_hex(8)  # so that no name in the tree equals one of ours
                moved, all_gone = _remove_directory(top, entry.name, device, fresh, moved)
                all_listed = all_listed and all_gone
        if all_listed and moved == before:
            return
    raise OSError(0, "it fills up again", "")


def _listed(directory: int, keep: Collection[str] = ()) -> tuple[list["os.DirEntry[str]"], bool]:
    """Some entries of an open directory, and whether that are all.

    They are listed before the first is removed, as some file systems skip entries otherwise.
    """
    with os.scandir(directory) as entries:
        found = list(islice(entries, _LISTED_MAX + len(keep)))
    wanted = [entry for entry in found if entry.name not in keep] if keep else found
    return wanted, len(found) < _LISTED_MAX + len(keep)


def _remove_directory(top: int, name: str, device: int, fresh: str, moved: int) -> tuple[int, bool]:
    """Remove a directory of the top; what is nested goes to the top.

    Returns the count of moves, and whether it is gone: else the next round finds it again.
    """
    here = _open_unlocked(name, within=top)
    try:
        if os.fstat(here).st_dev != device:
            raise OSError(0, "another file system is mounted there", name)
        entries, _ = _listed(here)
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=here)
            elif not _removed_empty(entry.name, here):
                # A directory can only be moved by those who may write to it.
                os.close(_open_unlocked(entry.name, within=here))
                os.rename(entry.name, f"{fresh}{moved}", src_dir_fd=here, dst_dir_fd=top)
                moved += 1
    finally:
        os.close(here)
    return moved, _removed_empty(name, top)


def _removed_empty(name: str, within: int) -> bool:
    try:
        os.rmdir(name, dir_fd=within)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _open_unlocked(name: str | Path, within: int | None = None) -> int:
    """Open a directory for listing and changing, whatever its permissions were."""
    try:
        opened = os.open(name, _OPEN_DIRECTORY, dir_fd=within)
    except PermissionError:
        _unlock(name, within)
        opened = os.open(name, _OPEN_DIRECTORY, dir_fd=within)
    try:
        os.fchmod(opened, _DIRECTORY_MODE)
    except PermissionError:
        pass  # somebody else's directory; removing from it may be allowed all the same
    return opened


def _unlock(name: str | Path, within: int | None) -> None:
    if not hasattr(os, "O_PATH"):
        os.chmod(name, _DIRECTORY_MODE, dir_fd=within, follow_symlinks=False)
        return
    # chmod(2) follows links; going through a handle of the directory itself does not.
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, flags, dir_fd=within)
    try:
        os.chmod(f"/proc/self/fd/{handle}", _DIRECTORY_MODE)
    finally:
        os.close(handle)


def bytes_below(directory: Path, *, most: int) -> int:
    """The sizes of all regular files below, added up; stops counting once above `most`.

    May run while the tree changes; what can't be read counts as nothing.
    """
    total = 0
    waiting = [str(directory)]
    while waiting and total <= most:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    total += found.st_size if stat.S_ISREG(found.st_mode) else 0
        except OSError:
            continue  # it vanished, or is closed to us
    return total


def protect(directory: Path, *, except_for: str) -> None:
    """Take the write permission from everything below, except one entry; as far as that works."""
    waiting = [directory]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as entries:
            for entry in entries:
                if here == directory and entry.name == except_for:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    _drop_write_permission(entry.path)
        _drop_write_permission(str(here))


def _drop_write_permission(path: str) -> None:
    try:
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~0o222)
    except OSError:
        pass  # best effort: this is a courtesy, not a wall
