"""Writes files of a tree into a local directory. No path can lead out of it.

Every directory is opened relative to the one above it and never through a symbolic link, so what
lies in the target (or is put there meanwhile) can't send a file elsewhere. Directories are made
once; small files are read from the store in batches. Nothing is synced.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from trunkline.errors import AlreadyExists, InvalidPath, OperationFailed, StorageFull
from trunkline.files.columns import FileRow
from trunkline.store.chunks import ChunkId, ChunkStore

_BATCH_FILES_MAX = 256
_BATCH_BYTES_MAX = 8 * 1024 * 1024

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def export_rows(
    chunks: ChunkStore, rows: Iterable[FileRow], directory: Path, *, strip: str, mode: int
) -> int:
    """Write files below a directory, which is made if need be; see `Trees.export`."""
    directory.mkdir(parents=True, exist_ok=True)
    writer = _Writer(directory, mode)
    written = 0
    try:
        for batch in _batches(rows):
            small = {chunk for row in batch if len(row.chunks) == 1 for chunk, _ in row.chunks}
            contents = chunks.get_many(list(small))
            for row in batch:
                writer.write(_relative(row.path, strip), _pieces(chunks, row, contents))
                written += row.size_bytes
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(str(directory)) from error
        raise OperationFailed(f"can't write below {directory}: {error.strerror}") from error
    finally:
        writer.close()
    return written


def _batches(rows: Iterable[FileRow]) -> Iterator[list[FileRow]]:
    batch: list[FileRow] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size_bytes
        if len(batch) >= _BATCH_FILES_MAX or size >= _BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pieces(chunks: ChunkStore, row: FileRow, contents: dict[ChunkId, bytes]) -> Iterator[bytes]:
    for chunk, _ in row.chunks:
        data = contents.get(chunk)
        yield chunks.get(chunk) if data is None else data


def _relative(path: str, strip: str) -> list[str]:
    """The parts of the target path; raises InvalidPath for one that would lead elsewhere."""
    kept = path
    if strip:
        if path == strip:
            kept = path.rpartition("/")[2]
        elif path.startswith(strip + "/"):
            kept = path[len(strip) + 1 :]
        else:
            raise InvalidPath(path, f"it is not below '{strip}'")
    parts = kept.split("/")
    if "\0" in kept or any(part in ("", ".", "..") for part in parts):
        raise InvalidPath(path, "it has an empty, '.' or '..' part")
    return parts


class _Writer:
    """Keeps open the directories on the way to the latest file."""

    def __init__(self, directory: Path, mode: int) -> None:
        self._mode = mode
        self._names: list[str] = []
        self._fds = [os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]

    def write(self, parts: Sequence[str], pieces: Iterable[bytes]) -> None:
        self._enter(parts[:-1])
        fd = self._create(parts)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
        finally:
            os.close(fd)

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def _enter(self, names: Sequence[str]) -> None:
        if self._names == names:
            return
        common = 0
        while common < min(len(names), len(self._names)) and names[common] == self._names[common]:
            common += 1
        while len(self._names) > common:
            self._names.pop()
            os.close(self._fds.pop())
        for name in names[common:]:
            try:
                os.mkdir(name, 0o777, dir_fd=self._fds[-1])
            except FileExistsError:
                pass
            try:
                fd = os.open(name, _OPEN_DIRECTORY, dir_fd=self._fds[-1])
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                shown = "/".join([*self._names, name])
                raise AlreadyExists("file", shown, "a directory has to be there") from error
            self._fds.append(fd)
            self._names.append(name)

    def _create(self, parts: Sequence[str]) -> int:
        """A new file; one that is there is replaced, not written through."""
        name, parent = parts[-1], self._fds[-1]
        try:
            return os.open(name, _CREATE, self._mode, dir_fd=parent)
        except FileExistsError:
            pass
        try:
            os.unlink(name, dir_fd=parent)
        except (IsADirectoryError, PermissionError) as error:
            raise AlreadyExists("directory", "/".join(parts), "a file has to be there") from error
        return os.open(name, _CREATE, self._mode, dir_fd=parent)
