"""What user code left in /pfs/out: checked as hostile, and added to the outputs of its datum.

Regular files are stored. A symlink to an input, or to another output, shares its content without
the bytes moving. Everything else (links that lead outside, pipes, sockets, devices, names that no
repo takes) fails the datum with a reason.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trunkline.errors import InvalidPath
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import FileRow, RootId
from trunkline.files.tree import Trees
from trunkline.jobs.segments import PlannedDatum
from trunkline.model.names import check_path
from trunkline.runtimes.base import Slot

_READ_BYTES = 1024 * 1024


class OutputRefused(Exception):
    """Something in /pfs/out that can't become a file of a commit."""


def collect(
    slot: Slot, stage: Path, trees: Trees, planned: PlannedDatum, writer: DeltaWriter
) -> tuple[int, int]:
    """Store the outputs of a datum, whose inputs are in `stage`; returns bytes and files.

    Raises OutputRefused, before anything was added for the file in question.
    """
    size = files = 0
    root = os.fspath(slot.out)
    view = "/pfs" if slot.isolation == "namespace" else os.path.realpath(stage)
    for path, kind in list(_scan(root)):
        name = _checked(path)
        source = os.path.join(root, path)
        if kind == "link":
            target = os.path.realpath(source)
            inside = _below(target, os.path.realpath(root)) or _below(target, f"{view}/out")
            if inside is None or not os.path.isfile(target):
                for row in _linked(trees, planned, view, target, path=path, name=name):
                    writer.put_row(replace(row, datum=planned.key))
                    size += row.size_bytes
                    files += 1
                continue
            source = target
        size += _stored(writer, source, name, planned.key).size_bytes
        files += 1
    return size, files


def _scan(root: str) -> Iterator[tuple[str, str]]:
    """(relative path, "file" or "link") of all that is below, directories left out."""
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_symlink():
                    yield path, "link"
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif entry.is_file(follow_symlinks=False):
                    yield path, "file"
                else:
                    kind = _kind(entry.stat(follow_symlinks=False).st_mode)
                    raise OutputRefused(
                        f"/pfs/out/{_shown(path)} is a {kind}, which no commit can hold; "
                        "write regular files"
                    )


def _checked(path: str) -> str:
    try:
        return check_path(path)
    except InvalidPath as error:
        raise OutputRefused(f"/pfs/out has a file that can't be committed: {error}") from error


def _stored(writer: DeltaWriter, source: str, name: str, key: str) -> FileRow:
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb", buffering=0) as file:
        return writer.put(name, iter(lambda: file.read(_READ_BYTES), b""), datum=key)


def _linked(
    trees: Trees, planned: PlannedDatum, view: str, target: str, *, path: str, name: str
) -> Iterator[FileRow]:
    """The rows of the input that a symlink at `path` leads to, renamed to be below `name`."""
    for source in planned.datum.files:
        inside = _below(target, f"{view}/{source.name}")
        if inside is None:
            continue
        found = False
        for row in trees.walk(RootId(source.root), inside):
            found = True
            below = row.path[len(inside) :].lstrip("/")
            yield replace(row, path=_checked(f"{name}/{below}" if below else name))
        if found:
            return
    raise OutputRefused(
        f"/pfs/out/{_shown(path)} is a link to {_shown(target)}, which is not in an input of this "
        "datum; copy the file instead"
    )


def _below(path: str, folder: str) -> str | None:
    """The path relative to a folder, "" for the folder itself, None when it is not inside."""
    if path == folder:
        return ""
    return path[len(folder) + 1 :] if path.startswith(folder + "/") else None


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "character device"),
        (stat.S_ISBLK, "block device"),
    ):
        if test(mode):
            return word
    return "special file"


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
