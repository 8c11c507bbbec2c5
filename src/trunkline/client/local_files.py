"""Files of the caller's machine as changes, for the server to read or to be sent to it."""

import os
from collections.abc import Iterable, Iterator

from trunkline.api.changes import (
    TREE_LINKS,
    DeleteFile,
    FileChange,
    PutFile,
    PutLocal,
    check_choice,
)
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed, shown
from trunkline.fetch.local import LocalFile, local_files
from trunkline.values import dataclass

PIECE_BYTES = 1024 * 1024


def put_local(
    path: str,
    source: str | os.PathLike[str],
    *,
    append: bool = False,
    mirror: bool = False,
    links: str = "inside",
) -> PutLocal:
    """The change that writes a local file or directory tree to `path`; see `PutLocal`.

    Raises LocalFileNotFound. Over TCP, when the server sees another file there, or where links are
    to be followed, the client sends the content in its place.
    """
    check_choice("what to do about links", links, TREE_LINKS)
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
        links=links,
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
    """The bytes of a local file; may be read until the next file is asked for."""

    file: LocalFile

    def __iter__(self) -> Iterator[bytes]:
        with self.file.open() as opened:
            try:
                while piece := opened.read(PIECE_BYTES):
                    yield piece
            except OSError as error:
                raise _unreadable(self.file.path, error) from error


def _contents(change: PutLocal) -> Iterator[FileChange]:
    directory = os.path.isdir(change.source)
    if directory and change.unpack is not None:
        raise InvalidInput(
            f"{shown(change.source)} is a directory; name the archives to be unpacked"
        )
    if directory and change.mirror:
        yield DeleteFile(path=change.path)
    base = change.path.strip("/") if directory else change.path
    for file in local_files(change.source, links=change.links):
        yield PutFile(
            path="/".join(part for part in (base, file.path) if part),
            content=LocalContent(file=file),
            append=change.append,
            unpack=change.unpack,
            split=change.split,
        )


def _unreadable(source: str, error: Exception) -> OperationFailed:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return OperationFailed(f"can't read {shown(source)}: {why}")
