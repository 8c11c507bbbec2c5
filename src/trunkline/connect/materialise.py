"""Writes files of commits to this machine's disk.

From a local server's chunk store directly where this process can read it, which spares every byte
the way through a socket; else from the stream of the server. A file or directory that was not there
before appears under its name only when it is whole.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from trunkline.api.changes import PutFile, read_changes, write_changes
from trunkline.api.connection import Operations
from trunkline.errors import (
    Corrupt,
    FileNotFoundInCommit,
    InvalidInput,
    OperationFailed,
    StorageFull,
    TrunklineError,
)
from trunkline.files.cloning import Clones
from trunkline.files.export import Guard, Noted, Target, export_rows, export_slices, unwritable
from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees
from trunkline.files.view import Slice
from trunkline.model.names import check_path
from trunkline.model.versions import CommitInfo, FileType
from trunkline.store.chunks import ChunkStore
from trunkline.store.claims import bucket_of
from trunkline.values import dataclass

Advance = Callable[[int], None]

_FEW = 32  # files that are worth a request each, rather than the stream of all of them
FILE_MODE = 0o666  # less what the umask takes away
_LINKS_MAX = 40  # as the kernel follows
_OPEN = ("/proc/", "/dev/fd/", "/dev/stdout", "/dev/stderr")  # where descriptors have names


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where files come from: a server, and its data directory if this process may read it."""

    operations: Operations
    home: Path | None


@contextlib.contextmanager
def direct_trees(origin: Origin, commit: CommitInfo) -> Iterator[Trees | None]:
    """The trees of the server's store; None if they can't be read from here.

    Only what is durable is seen: an open commit may have changes that are not.
    """
    chunks = _store_of_server(origin.home) if origin.home and commit.root else None
    if chunks is None:
        yield None
        return
    try:
        with chunks.hold():  # the commit may be deleted while it is read
            yield Trees(chunks)
    finally:
        chunks.close()


def _store_of_server(home: Path) -> ChunkStore | None:
    store = home / "store"
    if not (store / "index.db").is_file():
        return None
    try:
        # What is in a bucket is left to the server: it has the credentials, and the cache.
        return None if bucket_of(store) else ChunkStore(store, rebuild=False)
    except TrunklineError:  # the server may be able to read what it has open
        return None


def write_tree(
    origin: Origin, commit: CommitInfo, path: str, directory: Path, advance: Advance
) -> None:
    """Write all files at or below a path of a commit into a directory, which is made if need be.

    Files that are there are replaced, each when the new one is whole; others stay.
    """
    with _new_directory(directory) as place:
        if not _directly(origin, commit, path, place, advance):
            stream = origin.operations.files.read_tree(commit.repo, commit.id, path or "/")
            write_stream(stream, place, advance=advance)


def write_file(
    origin: Origin,
    commit: CommitInfo,
    path: str,
    file: Path,
    advance: Advance,
    *,
    offset: int = 0,
    size: int | None = None,
) -> None:
    """Write one file of a commit, or a part of it, to a place, which it takes when it is whole."""
    whole = not offset and size is None

    def directly(aside: Path) -> bool:
        return whole and _file_directly(origin, commit, path, aside, advance)

    pieces = origin.operations.files.read_file(
        commit.repo, commit.id, path, offset_bytes=offset, size_bytes=size
    )
    write_whole(file, pieces, advance, instead=directly)


def write_whole(
    file: Path,
    pieces: Iterable[bytes],
    advance: Advance,
    *,
    instead: Callable[[Path], bool] = lambda _: False,
) -> None:
    """Write bytes to a place, which they take when they are all there.

    A pipe or device is written to as it is, and so is what somebody has open (`/dev/stdout`). A
    file that is there keeps its mode, and the links to it. `instead` may do the writing in another
    way.
    """
    try:
        if _is_open_elsewhere(file) or (file.exists() and not file.is_file()):
            write_pieces(file, pieces, advance)
            return
        file = Path(os.path.realpath(file))
        aside = file.with_name(f".{file.name[:60]}.{secrets.token_hex(4)}")
        try:
            if not instead(aside):
                write_pieces(aside, pieces, advance)
            with contextlib.suppress(FileNotFoundError):
                aside.chmod(stat.S_IMODE(file.stat().st_mode))
            os.replace(aside, file)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()
    except OSError as error:
        raise _not_written(file, error) from error


def _is_open_elsewhere(file: Path) -> bool:
    """Whether a path leads to what a process has open, whatever that is."""
    place = os.path.abspath(file)
    for _ in range(_LINKS_MAX):
        if place.startswith(_OPEN):
            return True
        try:
            link = os.readlink(place)
        except OSError:
            return False
        place = os.path.join(os.path.dirname(place), link)
    return False


def write_pieces(file: Path, pieces: Iterable[bytes], advance: Advance) -> None:
    """Write bytes into a file as they come."""
    with file.open("wb", buffering=0) as out:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[out.write(view) :]
            advance(len(piece))


def write_stream(
    stream: Iterable[bytes],
    directory: Path,
    *,
    advance: Advance,
    wanted: Callable[[str], bool] | None = None,
    noted: Noted | None = None,
    guard: Guard | None = None,
) -> None:
    """Write the files of a stream of changes, those that are wanted, below a directory."""
    try:
        with Target(directory, FILE_MODE, guard) as target:
            for file in read_changes(stream):
                # Names are checked: this is where a hostile server could leave the directory.
                if not isinstance(file, PutFile) or check_path(file.path) != file.path:
                    raise InvalidInput("the server sent something else than files")
                if wanted is None or wanted(file.path):
                    parent, _, name = file.path.rpartition("/")
                    pieces = _told(file.content, advance)
                    found = target.write(parent, name, pieces, stat=noted is not None)
                    if noted is not None and found is not None:
                        noted(file.path, found)
    except OSError as error:
        raise unwritable(directory, error) from error


def commit_files(origin: Origin, commit: CommitInfo, path: str) -> Iterator[tuple[str, int, bytes]]:
    """(relative path, size, digest) of the files at or below a path, by path.

    Raises FileNotFoundInCommit.
    """
    with direct_trees(origin, commit) as trees:
        if trees is None:
            files = origin.operations.files.list_files(
                commit.repo, commit.id, path or "/", recursive=True
            )
            for file in files:
                yield _below(file.path, path), file.size_bytes, bytes.fromhex(file.digest)
            return
        root = RootId(commit.root)
        if trees.entry(root, path) is None:
            raise FileNotFoundInCommit(commit.repo, commit.id, path or "/")
        for part in trees.slices(root, path):
            for n in range(part.start, part.end):
                rows = part.rows
                yield _below(rows.paths[n], path), rows.sizes[n], rows.digest(n)


def write_files(
    origin: Origin,
    commit: CommitInfo,
    path: str,
    directory: Path,
    wanted: Collection[str],
    *,
    noted: Noted,
    guard: Guard,
    advance: Advance,
    clones: Clones,
) -> None:
    """Write the files at or below a path whose relative paths are wanted into a directory.

    `noted` is told the relative path and the look of each; `guard` is asked before one that is
    there is replaced; `clones` knows what is there already, and is used where the store can be
    read from here.
    """
    with direct_trees(origin, commit) as trees:
        if trees is not None:
            parts = _selected(trees.slices(RootId(commit.root), path), path, wanted)
            told = _Told(advance)
            try:
                export_slices(
                    trees.chunks,
                    parts,
                    directory,
                    strip=path,
                    mode=FILE_MODE,
                    noted=lambda full, found: noted(_below(full, path), found),
                    guard=guard,
                    advance=told.advance,
                    clones=clones,
                )
            except Corrupt:
                advance(-told.bytes)
            else:
                return
    files = origin.operations.files
    if len(wanted) <= _FEW:
        stream = write_changes(
            PutFile(path=name, content=files.read_file(commit.repo, commit.id, full))
            for name, full in ((name, _full(origin, commit, path, name)) for name in wanted)
        )
    else:
        stream = files.read_tree(commit.repo, commit.id, path or "/")
    write_stream(
        stream, directory, advance=advance, wanted=wanted.__contains__, noted=noted, guard=guard
    )


def _full(origin: Origin, commit: CommitInfo, path: str, name: str) -> str:
    """The path in the commit of a file below a path, or of the file that the path names."""
    if not path:
        return name
    is_it = name == path.rpartition("/")[2] and "/" not in name
    if (
        is_it
        and origin.operations.files.inspect_file(commit.repo, commit.id, path).type is FileType.FILE
    ):
        return path
    return f"{path}/{name}"


def _below(full: str, path: str) -> str:
    """A path relative to the directory above it, or the name of the file that it is."""
    return full.rpartition("/")[2] if full == path else full[len(path) :].lstrip("/")


def _selected(parts: Iterable[Slice], path: str, wanted: Collection[str]) -> Iterator[Slice]:
    """The slices of those rows that are wanted."""
    for part in parts:
        paths = part.rows.paths
        start = part.start
        for n in range(part.start, part.end):
            if _below(paths[n], path) not in wanted:
                if start < n:
                    yield Slice(rows=part.rows, start=start, end=n)
                start = n + 1
        if start < part.end:
            yield Slice(rows=part.rows, start=start, end=part.end)


def _told(pieces: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    """The same pieces; each is told of when the next one is asked for."""
    for piece in pieces:
        yield piece
        advance(len(piece))


def _directly(origin: Origin, commit: CommitInfo, path: str, place: Path, advance: Advance) -> bool:
    """Write a tree out of the store; false if the server has to be asked."""
    with direct_trees(origin, commit) as trees:
        if trees is None:
            return False
        root = RootId(commit.root)
        if trees.entry(root, path) is None:
            raise FileNotFoundInCommit(commit.repo, commit.id, path or "/")
        told = _Told(advance)
        try:
            parts = trees.slices(root, path)
            export_slices(
                trees.chunks, parts, place, strip=path, mode=FILE_MODE, advance=told.advance
            )
        except Corrupt:
            # Perhaps the server has just moved what was looked for; it knows better.
            advance(-told.bytes)
            return False
    return True


def _file_directly(
    origin: Origin, commit: CommitInfo, path: str, aside: Path, advance: Advance
) -> bool:
    with direct_trees(origin, commit) as trees:
        row = trees.find(RootId(commit.root), path) if trees else None
        if trees is None or row is None:
            return False  # the server says what is wrong
        told = _Told(advance)
        try:
            row = replace(row, path=aside.name)
            export_rows(
                trees.chunks,
                [row],
                aside.parent,
                strip="",
                mode=FILE_MODE,
                advance=told.advance,
            )
        except Corrupt:
            advance(-told.bytes)
            return False
    return True


class _Told:
    """What the display of progress was told."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self.bytes = 0

    def advance(self, size_bytes: int) -> None:
        self.bytes += size_bytes
        self._advance(size_bytes)


@contextlib.contextmanager
def _new_directory(directory: Path) -> Iterator[Path]:
    """Where to write: the directory itself if it is there, else one that will take its name."""
    try:
        if directory.is_dir():
            yield directory
            return
        directory.parent.mkdir(parents=True, exist_ok=True)
        aside = directory.with_name(f".{directory.name[:60]}.{secrets.token_hex(4)}")
        aside.mkdir()
        try:
            yield aside
            aside.rename(directory)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise _not_written(directory, error) from error


def _not_written(place: Path, error: OSError) -> StorageFull | OperationFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(str(place.parent))
    return OperationFailed(f"{place} could not be written: {error.strerror}")
