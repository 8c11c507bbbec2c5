"""One local directory in columns: names and stamps, without an object per file.

A *stamp* is what the file system says about a file: size, time of the last change of its content
and of its status, inode, device. Content that changes changes its stamp, except within one tick of
the clock of the file system: see `distrusted`.
"""

import os
import re
import stat
from array import array
from dataclasses import dataclass
from operator import attrgetter

from trunkline.errors import InvalidInput, InvalidPath, OperationFailed
from trunkline.model.names import CHECKOUT_RECORD, check_path

STAMP = 5  # numbers in a stamp: size, mtime, ctime (both ns), inode, device
TICK_NS = 2_000_000_000  # no file system in use has coarser times

_UNSIGNED = (1 << 64) - 1
_NAME_BYTES_MAX = 255
_SEPARATED = re.compile(r"[\x01-\x1f\x7f\u2028\u2029\x80-\x9f]")  # for names joined with NUL
_by_name = attrgetter("name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is directly in a directory. Links are files, with a stamp that no file has."""

    names: list[str]  # of files, sorted
    stamps: "array[int]"  # STAMP numbers a file
    directories: list[str]  # in the order of paths: as if each had its slash behind it
    links: frozenset[str]  # those of the names that are symbolic links
    size_bytes: int  # of all files


def list_directory(fd: int, prefix: str, shown: str) -> Listing:
    """List an open directory; `prefix` is its path with a slash behind it, "" for the top.

    Raises InvalidInput, with a name below `shown`, for what can't be stored.
    """
    names: list[str] = []
    numbers: list[int] = []
    directories: list[str] = []
    links: list[str] = []
    size = 0
    with os.scandir(fd) as entries:
        for entry in sorted(entries, key=_by_name):
            name = entry.name
            if name == CHECKOUT_RECORD:
                continue
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError as error:
                raise changed(os.path.join(shown, prefix + name)) from error
            mode = status.st_mode
            names.append(name)
            if stat.S_ISREG(mode):
                size += status.st_size
                numbers += (
                    status.st_size,
                    status.st_mtime_ns & _UNSIGNED,
                    status.st_ctime_ns & _UNSIGNED,
                    status.st_ino & _UNSIGNED,
                    status.st_dev & _UNSIGNED,
                )
            elif stat.S_ISLNK(mode):
                links.append(name)
                numbers += (_UNSIGNED,) * STAMP
            else:
                raise _refused(shown, prefix + name, f"it is {kind_of(mode)}")
    _check_names(names + directories, prefix, shown)
    directories.sort(key=lambda name: name + "/")
    return Listing(
        names=names,
        stamps=array("Q", numbers),
        directories=directories,
        links=frozenset(links),
        size_bytes=size,
    )


def distrusted(stamps: "array[int]", began_ns: int) -> list[int]:
    """The files that may have changed, or may still, without their stamp showing it; by position.

    Those that changed within a tick of `began_ns` (when their stamps had not been taken yet), or
    later by their clock.
    """
    limit = max(0, began_ns - TICK_NS)
    if not stamps or (max(stamps[1::STAMP]) < limit and max(stamps[2::STAMP]) < limit):
        return []
    # A time before 1970 is a large number here.
    return [
        n
        for n, (mtime, ctime) in enumerate(zip(stamps[1::STAMP], stamps[2::STAMP], strict=True))
        if (limit <= mtime < 1 << 63) or (limit <= ctime < 1 << 63) or ctime == _UNSIGNED
    ]


def _check_names(names: list[str], prefix: str, shown: str) -> None:
    """All at once; one by one only to say which is wrong."""
    joined = "\0".join(names)
    try:
        longest = max(map(len, names), default=0)
        fine = (
            not _SEPARATED.search(joined)
            and len(joined.encode("utf-8")) >= 0
            and longest * 4 <= _NAME_BYTES_MAX
            and len(prefix) * 4 + longest * 4 <= 4096
        )
    except UnicodeEncodeError:
        fine = False
    if fine:
        return
    for name in names:
        try:
            check_path(prefix + name)
        except InvalidPath as error:
            printable = (prefix + name).encode("utf-8", "backslashreplace").decode("utf-8")
            raise _refused(shown, printable, str(error)) from error


def changed(name: str) -> OperationFailed:
    return OperationFailed(f"{name} changed while it was read; try again")


def _refused(shown: str, path: str, reason: str) -> InvalidInput:
    return InvalidInput(f"{os.path.join(shown, path)} can't be stored: {reason}")


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
