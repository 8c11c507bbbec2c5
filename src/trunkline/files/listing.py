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
from itertools import chain
from operator import attrgetter

from trunkline.errors import InvalidInput, InvalidPath, OperationFailed
from trunkline.fetch.local import kind_of, link_refused
from trunkline.model.names import CHECKOUT_RECORD, check_path

STAMP = 5  # numbers in a stamp: size, mtime, ctime (both ns), inode, device
TICK_NS = 2_000_000_000  # no file system in use has coarser times

_PART = 4096  # files looked at together
_UNSIGNED = (1 << 64) - 1
_NAME_BYTES_MAX = 255
_SEPARATED = re.compile(r"[\x01-\x1f\x7f\u2028\u2029\x80-\x9f]")  # for names joined with NUL
_by_name = attrgetter("name")
_mode = attrgetter("st_mode")
_stamp = attrgetter("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev")
_LINK_STAMP = (_UNSIGNED,) * STAMP


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is directly in a directory. Links are files, with a stamp that no file has."""

    names: list[str]  # of files, sorted
    stamps: "array[int]"  # STAMP numbers a file
    directories: list[str]  # in the order of paths: as if each had its slash behind it
    links: frozenset[str]  # those of the names that are symbolic links


def list_directory(fd: int, prefix: str, shown: str, *, keep: str = "inside") -> Listing:
    """List an open directory; `prefix` is its path with a slash behind it, "" for the top.

    `keep` is what to do about links: note them (`inside`), `refuse` or `skip` them.
    Raises InvalidInput, with a name below `shown`, for what can't be stored.
    """
    with os.scandir(fd) as entries:
        found = sorted(entries, key=_by_name, reverse=True)
    names: list[str] = []
    stamps = array("Q")
    directories: list[str] = []
    links: set[str] = set()
    while found:
        # An entry keeps what the system said about it: let go of each as early as can be.
        part = found[: -_PART - 1 : -1]
        del found[-_PART:]
        status: list[os.stat_result] = []
        try:
            for entry in part:
                status.append(entry.stat(follow_symlinks=False))
        except FileNotFoundError as error:
            raise changed(os.path.join(shown, prefix + part[len(status)].name)) from error
        if CHECKOUT_RECORD in map(_by_name, part) or not _all_regular(status):
            part, status = _files(
                *(part, status, directories, links), shown=shown, prefix=prefix, keep=keep
            )
        names += map(_by_name, part)
        stamps += _stamps(part, status, links)
    _check_names(names + directories, prefix, shown)
    directories.sort(key=lambda name: name + "/")
    return Listing(
        names=names,
        stamps=stamps,
        directories=directories,
        links=frozenset(links),
    )


def _all_regular(found: list[os.stat_result]) -> bool:
    return {stat.S_IFMT(mode) for mode in set(map(_mode, found))} == {stat.S_IFREG}


def _files(
    part: "list[os.DirEntry[str]]",
    found: list[os.stat_result],
    directories: list[str],
    links: set[str],
    *,
    prefix: str,
    shown: str,
    keep: str,
) -> "tuple[list[os.DirEntry[str]], list[os.stat_result]]":
    """What is a file or a link; directories and links are noted."""
    kept: list[tuple[os.DirEntry[str], os.stat_result]] = []
    for entry, status in zip(part, found, strict=True):
        name, mode = entry.name, status.st_mode
        if name == CHECKOUT_RECORD:
            continue
        if stat.S_ISDIR(mode):
            directories.append(name)
            continue
        if stat.S_ISLNK(mode):
            if keep == "skip":
                continue
            if keep == "refuse":
                raise InvalidInput(link_refused(os.path.join(shown, prefix + name)))
            links.add(name)
        elif not stat.S_ISREG(mode):
            raise _refused(shown, prefix + name, f"it is {kind_of(mode)}")
        kept.append((entry, status))
    return [entry for entry, _ in kept], [status for _, status in kept]


def _stamps(
    part: "list[os.DirEntry[str]]", found: list[os.stat_result], links: set[str]
) -> "array[int]":
    """The stamps of files, in a step without Python for each where it can be."""
    if not links:
        try:
            return array("Q", chain.from_iterable(map(_stamp, found)))
        except OverflowError:
            pass  # a time before 1970
    numbers = array("Q")
    for entry, status in zip(part, found, strict=True):
        if entry.name in links:
            numbers.extend(_LINK_STAMP)
        else:
            numbers.extend(number & _UNSIGNED for number in _stamp(status))
    return numbers


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
