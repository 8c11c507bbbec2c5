"""Files of the caller's machine as changes, for the server to read or to be sent to it."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trunkline.api.changes import DeleteFile, FileChange, PutFile, PutLocal
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed, shown
from trunkline.model.names import CHECKOUT_RECORD

PIECE_BYTES = 1024 * 1024


def put_local(
    path: str, source: str | os.PathLike[str], *, append: bool = False, mirror: bool = False
) -> PutLocal:
    """The change that writes a local file or directory tree to `path`; see `PutLocal`.

    Raises LocalFileNotFound. Over TCP, or when the server sees another file there, the client
    sends the content in its place.
    """
    absolute = os.path.abspath(os.fspath(source))
    try:
        seen = os.stat(absolute)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LocalFileNotFound(os.fspath(source)) from error
    except (OSError, ValueError) as error:
        raise _unreadable(os.fspath(source), error) from error
    return PutLocal(
        path=path,
        source=absolute,
        device=seen.st_dev,
        inode=seen.st_ino,
        append=append,
        mirror=mirror,
    )


def with_content(changes: Iterable[FileChange]) -> Iterator[FileChange]:
    """The same changes, with the content of local files in place of their names."""
    for change in changes:
        if isinstance(change, PutLocal):
            yield from _contents(change)
        else:
            yield change


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalContent:
    """The bytes of a local file; may be read any number of times."""

    source: str

    def __iter__(self) -> Iterator[bytes]:
        try:
            with open(self.source, "rb", buffering=0) as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
        except OSError as error:
            raise _unreadable(self.source, error) from error


def _contents(change: PutLocal) -> Iterator[FileChange]:
    if not os.path.isdir(change.source):
        _check_regular(change.source)
        yield _put(change, change.path, change.source)
        return
    if change.unpack is not None:
        raise InvalidInput(
            f"{shown(change.source)} is a directory; name the archives to be unpacked"
        )
    if change.mirror:
        yield DeleteFile(path=change.path)
    prefix = change.path.strip("/")
    for relative, source in _files_below(change.source):
        _check_regular(source)
        yield _put(change, f"{prefix}/{relative}" if prefix else relative, source)


def _files_below(directory: str) -> Iterator[tuple[str, str]]:
    """All entries below a directory that are not directories: relative name, path; by name."""
    waiting = [("", directory)]
    while waiting:
        relative, current = waiting.pop()
        try:
            with os.scandir(current) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(current, error) from error
        below = []
        for entry in entries:
            if entry.name == CHECKOUT_RECORD:
                continue
            name = f"{relative}/{entry.name}" if relative else entry.name
            if entry.is_dir(follow_symlinks=False):
                below.append((name, entry.path))
            elif entry.is_symlink() and entry.is_dir():
                # Following it could leave the tree, or never end.
                raise InvalidInput(
                    f"{shown(entry.path)} is a link to a directory; put that directory by itself"
                )
            else:
                yield name, entry.path
        waiting.extend(reversed(below))


def _put(change: PutLocal, path: str, source: str) -> PutFile:
    return PutFile(
        path=path,
        content=LocalContent(source=source),
        append=change.append,
        unpack=change.unpack,
        split=change.split,
    )


def _check_regular(source: str) -> None:
    try:
        mode = os.stat(source).st_mode
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from error
    if not stat.S_ISREG(mode):
        # Opening a pipe would wait for its other end; a device may have no end.
        raise InvalidInput(f"{shown(source)} is not a regular file")


def _unreadable(source: str, error: Exception) -> OperationFailed:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return OperationFailed(f"can't read {shown(source)}: {why}")
