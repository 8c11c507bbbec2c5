"""Writes files of a tree into a local directory. No path can lead out of it.

Every directory is opened relative to the one above it and never through a symbolic link, so what
lies in the target (or is put there meanwhile) can't send a file elsewhere. Directories are made
once; small files are read from the store in batches; the chunks of large ones are copied by two
threads, since hashing, reading and writing let go of the interpreter. Nothing is synced.

A file that is not there yet is written in place; one that is there is replaced only when the new
one is whole. A large content that has just been written, or is known to be there, is cloned where
the file system can do that: see `files.cloning`.
"""

import errno
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from trunkline.errors import AlreadyExists, InvalidPath, OperationFailed, StorageFull
from trunkline.files.batches import Item, Small, batches, item_of, items_of, small_contents
from trunkline.files.cloning import Clones, Original
from trunkline.files.columns import FileRow
from trunkline.files.view import Slice
from trunkline.store.chunks import ChunkStore

Noted = Callable[[str, os.stat_result], None]
# Told of each file, and what it is on the disk, just before it is replaced or removed; raises to
# leave it as it is.
Guard = Callable[[str, os.stat_result], None]

ASIDE = ".trunkline-part-"  # what the names of unfinished files begin with
_THREADS = 2
_AHEAD = 4  # chunks that are being copied, or wait for a thread

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_ORIGINAL = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def export_rows(
    chunks: ChunkStore,
    rows: Iterable[FileRow],
    directory: Path,
    *,
    strip: str,
    mode: int,
    advance: Callable[[int], None] | None = None,
) -> int:
    """Write files below a directory, which is made if need be; see `Trees.export`."""
    export = _Export(chunks, directory, strip=strip, mode=mode, advance=advance)
    return export.run(map(item_of, rows))


def export_contents(
    contents: Iterable[tuple[str, bytes]], directory: Path, *, mode: int = 0o644
) -> int:
    """The same for small contents in memory, by path."""
    written = 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with Target(directory, mode) as target:
            for path, content in contents:
                parent, _, name = path.rpartition("/")
                target.write(parent, name, (content,))
                written += len(content)
    except OSError as error:
        raise unwritable(directory, error) from error
    return written


def export_slices(
    chunks: ChunkStore,
    parts: Iterable[Slice],
    directory: Path,
    *,
    strip: str = "",
    mode: int = 0o666,
    noted: Noted | None = None,
    guard: Guard | None = None,
    advance: Callable[[int], None] | None = None,
    clones: Clones | None = None,
) -> int:
    """The same for slices of a tree; `noted` is told of each file that was written.

    `guard` is asked before one that is there is replaced. `clones` knows what is there already.
    """
    export = _Export(
        *(chunks, directory),
        strip=strip,
        mode=mode,
        noted=noted,
        guard=guard,
        advance=advance,
        clones=clones,
    )
    return export.run(items_of(chunks, parts))


class _Export:
    def __init__(
        self,
        chunks: ChunkStore,
        directory: Path,
        *,
        strip: str,
        mode: int,
        noted: Noted | None = None,
        guard: Guard | None = None,
        advance: Callable[[int], None] | None = None,
        clones: Clones | None = None,
    ) -> None:
        self._chunks = chunks
        self._clones = Clones() if clones is None else clones
        self._guard = guard
        self._directory = directory
        self._strip = strip
        self._mode = mode
        self._noted = noted
        self._advance = advance
        self._written = 0

    def run(self, items: Iterable[Item]) -> int:
        """Write everything; returns the bytes."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with Target(self._directory, self._mode, self._guard) as target:
                large = _Large(self._chunks, target, self._clones, self._done)
                try:
                    for batch in batches(items):
                        self._small(target, [item for item in batch if isinstance(item, Small)])
                        for row in batch:
                            if isinstance(row, FileRow):
                                large.write(row, self._relative(row.path))
                    large.finish()
                finally:
                    large.close()
        except OSError as error:
            raise unwritable(self._directory, error) from error
        return self._written

    def _small(self, target: "Target", files: Sequence[Small]) -> None:
        clones = self._clones
        contents = small_contents(
            self._chunks, [one for one in files if clones.original(one.digest, one.size) is None]
        )
        for file in files:
            path, size, digest = file
            parent, name = self._relative(path)
            cloned = target.clone(clones, digest, size, parent, name)
            if cloned is not None:
                self._done(path, size, cloned)
                continue
            if size and digest not in contents:  # it was to be cloned, and could not be
                contents |= small_contents(self._chunks, [file])
            wanted = clones.wants(size)
            found = target.write(
                *(parent, name),
                (contents[digest],) if size else (),
                stat=wanted or self._noted is not None,
            )
            if wanted and found is not None:
                clones.remember(digest, parent, name, found)
            self._done(path, size, found)

    def _done(self, path: str, size: int, found: os.stat_result | None) -> None:
        self._written += size
        if self._advance is not None:
            self._advance(size)
        if self._noted is not None and found is not None:
            self._noted(path, found)

    def _relative(self, path: str) -> tuple[str, str]:
        """(directory, name) in the target; raises InvalidPath for what is not below `strip`."""
        strip = self._strip
        if strip:
            if path == strip:
                path = path.rpartition("/")[2]
            elif path.startswith(strip + "/"):
                path = path[len(strip) + 1 :]
            else:
                raise InvalidPath(path, f"it is not below '{strip}'")
        parent, slash, name = path.rpartition("/")
        if slash and not parent:
            raise InvalidPath(path, "it has an empty, '.' or '..' part")
        return parent, name


def unwritable(directory: Path, error: OSError) -> StorageFull | OperationFailed:
    """What to raise when the system refuses to write below a directory."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(str(directory))
    name = f" ({error.filename})" if isinstance(error.filename, str) else ""
    return OperationFailed(f"can't write below {directory}{name}: {error.strerror}")


class Target:
    """A directory that files are written into; keeps open the way to the latest one."""

    def __init__(self, directory: Path, mode: int, guard: Guard | None = None) -> None:
        self._mode = mode
        self._guard = guard
        self._parent = ""
        self._names: list[str] = []
        self._fds = [os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, *_: object) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def write(
        self, parent: str, name: str, pieces: Iterable[bytes], *, stat: bool = False
    ) -> os.stat_result | None:
        """Write a file; with `stat`, say what it is on the disk."""
        fd, aside = self.create(parent, name)
        try:
            for piece in pieces:
                count = os.write(fd, piece)
                while count < len(piece):
                    count += os.write(fd, memoryview(piece)[count:])
            found = mine = os.fstat(fd) if stat else None
        except BaseException:
            self.discard(parent, aside or name)
            raise
        finally:
            os.close(fd)
        if aside is not None:
            self.put_in_place(parent, aside, name)
            if mine is not None:  # the renaming counts as a change
                found = self.look(parent, name, mine)
        return found

    def clone(
        self, clones: Clones, digest: bytes, size: int, parent: str, name: str
    ) -> os.stat_result | None:
        """Make a file a clone of one that has the same content; None if it has to be written."""
        original = clones.original(digest, size)
        if original is None:
            return None
        with self._opened(original) as source:
            if source is None:
                clones.forget(digest)
                return None
            fd, aside = self.create(parent, name)
            try:
                whole = clones.clone(digest, source, fd)
                found = os.fstat(fd)
            except BaseException:
                self.discard(parent, aside or name)
                raise
            finally:
                os.close(fd)
        if not whole:
            self.discard(parent, aside or name)
            return None
        if aside is None:
            return found
        self.put_in_place(parent, aside, name)
        return self.look(parent, name, found)

    @contextmanager
    def _opened(self, original: Original) -> Iterator[int | None]:
        """An original, open to be read; None if it can't be had any more."""
        fd = None
        with suppress(OSError, AlreadyExists):
            self._enter(original.parent, original.name, make=False)
            fd = os.open(original.name, _OPEN_ORIGINAL, dir_fd=self._fds[-1])
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    def create(self, parent: str, name: str) -> tuple[int, str | None]:
        """A new file to write to; if the name is taken, under another name, which is told."""
        if parent != self._parent or name in ("", ".", "..") or "\0" in name:
            self._enter(parent, name)
        try:
            return os.open(name, _CREATE, self._mode, dir_fd=self._fds[-1]), None
        except FileExistsError:
            aside = ASIDE + secrets.token_hex(8)
            return os.open(aside, _CREATE, self._mode, dir_fd=self._fds[-1]), aside

    def put_in_place(self, parent: str, aside: str, name: str) -> None:
        """Give a file that was created aside the name that was taken."""
        self._enter(parent, name)
        try:
            self._ask(parent, name)
        except BaseException:
            self.discard(parent, aside)
            raise
        try:
            os.rename(aside, name, src_dir_fd=self._fds[-1], dst_dir_fd=self._fds[-1])
        except (IsADirectoryError, NotADirectoryError) as error:
            self.discard(parent, aside)
            path = f"{parent}/{name}" if parent else name
            raise AlreadyExists("directory", path, "a file has to be there") from error

    def look(self, parent: str, name: str, mine: os.stat_result) -> os.stat_result:
        """What a file is on the disk that was `mine` when it was written and got its name.

        If somebody has changed it or taken its place since, what it was then.
        """
        self._enter(parent, name)
        found = os.stat(name, dir_fd=self._fds[-1], follow_symlinks=False)
        changed = (
            found.st_ino != mine.st_ino
            or found.st_size != mine.st_size
            or found.st_mtime_ns != mine.st_mtime_ns
        )
        return mine if changed else found

    def remove(self, path: str) -> None:
        """Delete a file; one that is gone is no error."""
        parent, _, name = path.rpartition("/")
        with suppress(FileNotFoundError):
            self._enter(parent, name, make=False)
            self._ask(parent, name)
            os.unlink(name, dir_fd=self._fds[-1])

    def remove_directory(self, path: str) -> None:
        """Delete a directory if nothing is in it."""
        parent, _, name = path.rpartition("/")
        with suppress(FileNotFoundError):
            self._enter(parent, name, make=False)
            try:
                os.rmdir(name, dir_fd=self._fds[-1])
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise

    def discard(self, parent: str, name: str) -> None:
        """Remove a file that could not be finished."""
        try:
            self._enter(parent, name)
            os.unlink(name, dir_fd=self._fds[-1])
        except OSError:
            pass  # whatever was wrong with the file is what the caller hears of

    def _ask(self, parent: str, name: str) -> None:
        """Let the guard see what has a name now; it is asked at the last moment."""
        if self._guard is not None:
            with suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=self._fds[-1], follow_symlinks=False)
                self._guard(f"{parent}/{name}" if parent else name, found)

    def _enter(self, parent: str, name: str, *, make: bool = True) -> None:
        names = parent.split("/") if parent else []
        if (
            "\0" in name
            or any(part in ("", ".", "..") for part in (*names, name))
            or "\0" in parent
        ):
            raise InvalidPath(f"{parent}/{name}", "it has an empty, '.' or '..' part")
        if parent == self._parent and len(self._fds) == len(names) + 1:
            return
        self._parent = "\0"  # no path, until all is well
        common = 0
        while common < min(len(names), len(self._names)) and names[common] == self._names[common]:
            common += 1
        while len(self._names) > common:
            self._names.pop()
            os.close(self._fds.pop())
        for part in names[common:]:
            self._fds.append(self._directory(part, make=make))
            self._names.append(part)
        self._parent = parent

    def _directory(self, name: str, *, make: bool) -> int:
        """The open directory of a name below the latest one; made if need be."""
        if make:
            with suppress(FileExistsError):
                os.mkdir(name, 0o777, dir_fd=self._fds[-1])
        try:
            return os.open(name, _OPEN_DIRECTORY, dir_fd=self._fds[-1])
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            shown = "/".join([*self._names, name])
            raise AlreadyExists("file", shown, "a directory has to be there") from error


class _Open(NamedTuple):
    """A large file whose chunks are being copied."""

    row: FileRow
    parent: str
    name: str
    fd: int
    aside: str | None
    turn: threading.Lock  # of the threads that write it


class _Large:
    """Copies large files chunk by chunk, several chunks at a time, across the ends of files."""

    def __init__(
        self,
        chunks: ChunkStore,
        target: Target,
        clones: Clones,
        done: Callable[[str, int, os.stat_result | None], None],
    ) -> None:
        self._chunks = chunks
        self._target = target
        self._clones = clones
        self._done = done
        self._pool: ThreadPoolExecutor | None = None
        self._copies: deque[tuple[Future[None], _Open | None]] = deque()  # file: ends with it
        self._opened: list[_Open] = []

    def write(self, row: FileRow, place: tuple[str, str]) -> None:
        """Begin a file; it is whole after `finish` at the latest."""
        content, size = bytes.fromhex(row.digest), row.size_bytes
        if self._clones.wants(size) and any(one.row.digest == row.digest for one in self._opened):
            self.finish()  # it is being written under another name
        cloned = self._target.clone(self._clones, content, size, *place)
        if cloned is not None:
            self._done(row.path, size, cloned)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="export")
        digests = [bytes.fromhex(chunk) for chunk, _ in row.chunks]
        places = self._chunks.places(list(set(digests)))
        fd, aside = self._target.create(*place)
        file = _Open(row, *place, fd, aside, threading.Lock())
        self._opened.append(file)
        offset = 0
        for n, (digest, (_, length)) in enumerate(zip(digests, row.chunks, strict=True), start=1):
            copy = self._pool.submit(self._chunks.copy_chunk, places[digest], fd, offset, file.turn)
            self._copies.append((copy, file if n == len(digests) else None))
            offset += length
            while len(self._copies) > _AHEAD:
                self._take()

    def finish(self) -> None:
        """Wait until all files are whole."""
        while self._copies:
            self._take()

    def close(self) -> None:
        """Let go of everything; files that are not whole are removed."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for file in self._opened:
            os.close(file.fd)
            self._target.discard(file.parent, file.aside or file.name)
        self._opened.clear()

    def _take(self) -> None:
        copy, file = self._copies.popleft()
        copy.result()
        if file is None:
            return
        self._opened.remove(file)
        found = os.fstat(file.fd)
        os.close(file.fd)
        if file.aside is not None:
            self._target.put_in_place(file.parent, file.aside, file.name)
            found = self._target.look(file.parent, file.name, found)
        digest = bytes.fromhex(file.row.digest)
        self._clones.remember(digest, file.parent, file.name, found)
        self._done(file.row.path, file.row.size_bytes, found)
