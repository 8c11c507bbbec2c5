"""Reads local directories: what `put -r` sends or stores, and what a job left in its output.

Nothing is followed blindly: every directory is opened relative to the one above it and never
through a symbolic link, and a file is checked again once it is open. So a tree that changes while
it is read can lead nowhere else, and a pipe can't make the reader wait. Where links are to be
followed, that is true of all that was no link when it was seen.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO

from trunkline.errors import InvalidInput, InvalidPath, LocalFileNotFound, OperationFailed
from trunkline.model.names import CHECKOUT_RECORD, check_path
from trunkline.values import dataclass, field

DEPTH_MAX = 256  # directories inside of each other; each costs an open descriptor

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A regular file; `open` works until the next one is asked for."""

    path: str  # relative, canonical
    size_bytes: int  # when it was seen
    open: Callable[[], FileIO] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDirectory:
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLink:
    """A symbolic link, not followed."""

    path: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRefused:
    """Something that can't be stored; `reason` completes the sentence "… is refused: "."""

    path: str  # as far as it can be written; not canonical
    reason: str


Found = LocalFile | LocalDirectory | LocalLink | LocalRefused


def scan_directory(directory: str, *, follow: bool = False) -> Iterator[Found]:
    """Everything below a directory, in the order of canonical paths; nothing raises but I/O.

    A directory comes before what is in it. The caller decides what to do about refusals, and about
    links, unless they are followed: then there is what they mean in their place.
    """
    with translated(directory):
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield from _scan(top, "", (_identity(os.fstat(top)),) if follow else None)
        finally:
            os.close(top)


def local_files(source: str, *, links: str = "inside") -> Iterator[LocalFile]:
    """Each file to store for a local file or directory, by path.

    A file itself has the path "". Records of checkouts are left out. `links` says what is done
    about symbolic links below a directory:

    * `inside`: one to a regular file inside of the directory counts as this file; others, to
      directories or outside, are refused;
    * `refuse`: all are refused;
    * `skip`: all are left out;
    * `follow`: each counts as what it means; refused if that is nothing, or a directory that it
      lies in itself, where the way would never end.

    Raises LocalFileNotFound; InvalidInput for what is refused, for pipes, sockets and devices, and
    for names that no path can hold.
    """
    with translated(source):
        seen = os.stat(source)
        if stat.S_ISDIR(seen.st_mode):
            yield from _files_below(os.path.realpath(source), source, links)
            return
        if not stat.S_ISREG(seen.st_mode):
            raise InvalidInput(f"{source} is {kind_of(seen.st_mode)}, which can't be stored")
        yield LocalFile(
            path="",
            size_bytes=seen.st_size,
            open=lambda: _open(source, seen, shown=source, follow=True),
        )


def _files_below(real: str, shown: str, links: str) -> Iterator[LocalFile]:
    for found in scan_directory(real, follow=links == "follow"):
        if found.path.rpartition("/")[2] == CHECKOUT_RECORD and type(found) is not LocalDirectory:
            continue
        match found:
            case LocalFile():
                yield found
            case LocalLink() if links == "skip":
                pass
            case LocalLink() if links == "refuse":
                raise InvalidInput(link_refused(os.path.join(shown, found.path)))
            case LocalLink():
                yield followed(real, shown, found)
            case LocalRefused():
                place = os.path.join(shown, found.path)
                raise InvalidInput(f"{place} can't be stored: {found.reason}")
            case LocalDirectory():
                pass


def link_refused(name: str) -> str:
    """What to tell who wants no links and has one."""
    return (
        f"{name} is a symbolic link; --links skip leaves links out, --links follow stores what "
        "they mean"
    )


def followed(real: str, shown: str, link: LocalLink) -> LocalFile:
    """The file behind a link; raises InvalidInput unless it is a regular one inside."""
    name = os.path.join(shown, link.path)
    target = os.path.realpath(os.path.join(real, link.path))
    if os.path.commonpath([real, target]) != real:
        raise InvalidInput(
            f"{name} is a symbolic link that leads out of {shown} (to {link.target}); "
            "store its target by itself, remove the link, or say --links skip or follow"
        )
    try:
        seen = os.lstat(target)
    except OSError as error:
        raise InvalidInput(f"{name} is a symbolic link to nothing ({link.target})") from error
    if not stat.S_ISREG(seen.st_mode):
        raise InvalidInput(
            f"{name} is a symbolic link to {kind_of(seen.st_mode)}, not to a file; put what is "
            "behind it by itself, remove the link, or say --links skip or follow"
        )
    # `seen` is compared with what is open: a link that is moved meanwhile is noticed.
    return LocalFile(
        path=link.path,
        size_bytes=seen.st_size,
        open=lambda: _open(target, seen, shown=name),
    )


_Trail = tuple[tuple[int, int], ...]  # (device, inode) of each directory from the top to here


def _scan(fd: int, prefix: str, trail: _Trail | None) -> Iterator[Found]:
    """What is below an open directory; `prefix` is its path with a slash behind it.

    With a `trail`, links are followed.
    """
    if prefix.count("/") > DEPTH_MAX:
        yield LocalRefused(path=prefix[:-1], reason=f"it lies deeper than {DEPTH_MAX} directories")
        return
    with os.scandir(fd) as entries:
        found = [
            (entry.name, _is_directory(entry, follow=trail is not None), entry.is_symlink())
            for entry in entries
        ]
    # Canonical paths sort as if every directory had its slash behind it.
    for name, is_directory, is_link in sorted(found, key=lambda item: item[0] + "/" * item[1]):
        path = prefix + name
        try:
            check_path(path)
        except InvalidPath as error:
            yield LocalRefused(path=_printable(path), reason=str(error))
            continue
        if is_directory:
            flags = _DIRECTORY & ~os.O_NOFOLLOW if is_link else _DIRECTORY
            yield from _subdirectory(fd, name, path, trail, flags)
        elif is_link and trail is not None:
            yield _behind(fd, name, path)
        else:
            yield from _leaf(fd, name, path)


def _is_directory(entry: "os.DirEntry[str]", *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # links in a circle, or to where we may not look
        return False


def _identity(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino


def _subdirectory(
    parent: int, name: str, path: str, trail: _Trail | None, flags: int
) -> Iterator[Found]:
    try:
        fd = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            yield LocalRefused(path=path, reason="it changed while it was read")
            return
        raise
    try:
        if trail is not None:
            here = _identity(os.fstat(fd))
            if here in trail:
                yield LocalRefused(
                    path=path,
                    reason="it is a symbolic link to a directory that it lies in, so that "
                    "following it would never end; remove it, or say --links skip",
                )
                return
            trail = (*trail, here)
        yield LocalDirectory(path=path)
        yield from _scan(fd, path + "/", trail)
    finally:
        os.close(fd)


def _behind(parent: int, name: str, path: str) -> Found:
    """The file that a link means."""
    target = ""
    try:
        target = os.readlink(name, dir_fd=parent)
        seen = os.stat(name, dir_fd=parent)
    except OSError as error:
        if not target:
            return LocalRefused(path=path, reason="it changed while it was read")
        why = {errno.ENOENT: "to nothing", errno.ELOOP: "in a circle"}.get(error.errno or 0)
        why = why or f"that can't be followed: {error.strerror}"
        return LocalRefused(path=path, reason=f"it is a symbolic link {why} ({_printable(target)})")
    if not stat.S_ISREG(seen.st_mode):
        return LocalRefused(path=path, reason=f"it is a symbolic link to {kind_of(seen.st_mode)}")
    # `seen` is compared with what is open: a link that is moved meanwhile is noticed.
    return LocalFile(
        path=path,
        size_bytes=seen.st_size,
        open=lambda: _open(name, seen, shown=path, parent=parent, follow=True),
    )


def _leaf(parent: int, name: str, path: str) -> Iterator[Found]:
    try:
        seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
        target = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(seen.st_mode) else ""
    except FileNotFoundError:
        yield LocalRefused(path=path, reason="it changed while it was read")
        return
    if stat.S_ISREG(seen.st_mode):
        yield LocalFile(
            path=path,
            size_bytes=seen.st_size,
            open=lambda: _open(name, seen, shown=path, parent=parent),
        )
    elif target:
        yield LocalLink(path=path, target=_printable(target))
    else:
        yield LocalRefused(path=path, reason=f"it is {kind_of(seen.st_mode)}")


def _open(
    name: str,
    seen: os.stat_result,
    *,
    shown: str,
    parent: int | None = None,
    follow: bool = False,
) -> FileIO:
    """Open a file, if it still is the one that was seen."""
    try:
        fd = os.open(name, _FILE if follow else _FILE | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        raise OperationFailed(f"can't read {shown}: {error.strerror}") from error
    now = os.fstat(fd)
    if not stat.S_ISREG(now.st_mode) or (now.st_dev, now.st_ino) != (seen.st_dev, seen.st_ino):
        os.close(fd)
        raise OperationFailed(f"{shown} changed while it was read; try again")
    return FileIO(fd, "rb")


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def translated(source: str) -> Iterator[None]:
    """Turn errors of the file system into ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise LocalFileNotFound(source) from error
    except OSError as error:
        place = error.filename or source
        raise OperationFailed(f"can't read {place}: {error.strerror}") from error


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def kind_of(mode: int) -> str:
    """What a file is, in words."""
    if stat.S_ISDIR(mode):
        return "a directory"
    return _KINDS.get(stat.S_IFMT(mode), "no regular file")
