"""Takes a directory of this machine into a delta: reads what changed, notes what differs.

Three things are gone through side by side, each from front to back: the directory itself, what is
known about it from the last time (`files.statcache`), and the tree that the delta is for. A file
whose stamp is known is not opened; a row that the tree has already is not written. Work is done for
runs of files of one directory, in columns. Memory: the names and rows of the directories that are
open, a batch of contents, and a segment of the delta.
"""

import contextlib
import errno
import os
import stat
import threading
import time
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from trunkline.errors import InvalidInput, OperationFailed, TrunklineError
from trunkline.fetch.local import DEPTH_MAX, LocalLink, followed, translated
from trunkline.files.columns import Columns, FileRow
from trunkline.files.content import Fill, filled_from, from_open, store_each, store_filled
from trunkline.files.delta import DeltaWriter
from trunkline.files.head import HeadRows
from trunkline.files.listing import STAMP, Listing, changed, distrusted, list_directory
from trunkline.files.statcache import NOTHING, Block, Known, StatCache, encode_block
from trunkline.store.chunker import CHUNK_MIN_BYTES
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import Digest

BLOCK_FILES = 4096
_BATCH_FILES_MAX = 512
_BATCH_BYTES_MAX = 4 * 1024 * 1024
_HELD_BYTES_MAX = 4 * 1024 * 1024  # of blocks whose contents are not durable yet
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
_NO_STAMP = bytes(8 * STAMP)


@dataclass(slots=True, kw_only=True)
class Counts:
    """How far a taking-in has got. Written by one thread, read by any."""

    files: int = 0
    size_bytes: int = 0
    known_files: int = 0  # of these: not read, as they have not changed
    known_bytes: int = 0
    total_files: int | None = None  # once somebody has counted them
    total_bytes: int | None = None
    asked: threading.Event = field(default_factory=threading.Event)  # set by the first who asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A directory of this machine, and where it goes."""

    directory: str  # absolute
    target: str  # canonical; "" is the root
    mirror: bool  # what is below the target and not in the directory is removed
    links: str = "inside"  # or `refuse` or `skip`; see `api.changes.PutLocal`


@dataclass(slots=True, kw_only=True)
class _Taken:
    """The files of one directory as rows, whose paths are names."""

    rows: Columns
    known: bytearray  # 1 for each that was not read


class Intake:
    """One taking-in. `wanted` is called often, and raises when nobody wants the result any more.

    A context: the cache is complete when it is left with all of the delta durable. If it is left by
    an error, the cache keeps what was read so far.
    """

    def __init__(
        self,
        writer: DeltaWriter,
        chunks: ChunkStore,
        source: Source,
        *,
        head: HeadRows | None,
        cache: StatCache | None,
        counts: Counts,
        wanted: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._source = source
        self._real = os.path.realpath(source.directory)
        self._prefix = source.target + "/" if source.target else ""
        self._head = head
        self._cache = cache
        self._counts = counts
        self._wanted = wanted
        self._began_ns = time.time_ns()
        self._contents = _Contents(chunks, cache)

    def __enter__(self) -> "Intake":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._contents.close(complete=error is None)

    def run(self) -> None:
        """Write all that differs into the delta. Raises InvalidInput, OperationFailed."""
        with translated(self._source.directory):
            top = os.open(self._real, _DIRECTORY)
            try:
                self._directory(top, "")
            finally:
                os.close(top)
        self._contents.finish()
        if self._source.mirror and self._head is not None:
            self._head.finish()
            self._drop_passed()

    def _directory(self, fd: int, directory: str) -> None:
        if directory.count("/") >= DEPTH_MAX:
            name = os.path.join(self._source.directory, directory)
            raise InvalidInput(
                f"{name} can't be stored: it lies deeper than {DEPTH_MAX} directories"
            )
        self._wanted()
        prefix = directory + "/" if directory else ""
        source = self._source
        listing = list_directory(fd, prefix, source.directory, keep=source.links)
        taken = self._take(fd, directory, listing)
        at = 0
        for name in listing.directories:
            end = bisect_left(listing.names, name + "/", at)
            self._note(fd, prefix, taken, at, end)
            at = end
            try:
                below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise changed(os.path.join(self._source.directory, prefix + name)) from error
            try:
                self._directory(below, prefix + name)
            finally:
                os.close(below)
        self._note(fd, prefix, taken, at, len(listing.names))

    # --- files of one directory -------------------------------------------------------------------

    def _take(self, fd: int, directory: str, listing: Listing) -> _Taken:
        """The rows of all files of a directory: known ones as they were, others by reading."""
        known = self._cache.take(directory) if self._cache else NOTHING
        taken = _Taken(rows=Columns(), known=bytearray())
        for start in range(0, len(listing.names), BLOCK_FILES):
            end = min(start + BLOCK_FILES, len(listing.names))
            stamps = listing.stamps[start * STAMP : end * STAMP]
            block = Columns()
            if _is_same(known, listing, start, end):
                block.copy_rows(known.rows, start, end)
                flags = bytearray(b"\1") * (end - start)
                self._count(block.sizes, known=True)
            else:
                flags = self._mixed(fd, directory, listing, range(start, end), known, block)
            if self._cache is not None:
                for n in distrusted(stamps, self._began_ns):
                    stamps[n * STAMP : (n + 1) * STAMP] = array("Q", _NO_STAMP)
                self._contents.remember(Block(directory, stamps, block))
            taken.rows.copy_rows(block, 0, len(block))
            taken.known += flags
        return taken

    def _mixed(
        self, fd: int, directory: str, listing: Listing, part: range, known: Known, block: Columns
    ) -> bytearray:
        """Fill a block with known rows and with rows of files that are read; 1 for each known."""
        flags = bytearray(len(part))
        names, stamps = listing.names, listing.stamps
        position = known.position
        at = part.start
        while at < part.stop:
            there = position.get(names[at], -1)
            same = at
            while (
                there >= 0
                and same < part.stop
                and position.get(names[same], -1) == there + same - at
                and _stamp(known.stamps, there + same - at) == _stamp(stamps, same)
            ):
                same += 1
            if same > at:
                block.copy_rows(known.rows, there, there + same - at)
                flags[at - part.start : same - part.start] = b"\1" * (same - at)
                self._count(known.rows.sizes[there : there + same - at], known=True)
                at = same
                continue
            if large := self._large_ones(listing, range(at, part.stop), known):
                self._read_large(fd, directory, names[at : at + large], block)
                at += large
                continue
            before = len(block)
            self._read(fd, directory, names[at], stamps[at * STAMP], listing.links, block)
            self._count(block.sizes[before:], known=False)
            at += 1
        return flags

    def _large_ones(self, listing: Listing, part: range, known: Known) -> int:
        """How many large files that must be read come first, if there are several."""
        count = 0
        for n in part:
            name, start = listing.names[n], n * STAMP
            if listing.stamps[start] <= CHUNK_MIN_BYTES or name in listing.links:
                break
            there = known.position.get(name, -1)
            if there >= 0 and _stamp(known.stamps, there) == _stamp(listing.stamps, n):
                break
            count += 1
        return count if count > 1 else 0

    def _count(self, sizes: "array[int]", *, known: bool) -> None:
        counts = self._counts
        size = sum(sizes)
        counts.files += len(sizes)
        counts.size_bytes += size
        if known:
            counts.known_files += len(sizes)
            counts.known_bytes += size
        elif size > CHUNK_MIN_BYTES or not counts.files & 0xFF:
            self._wanted()

    def _read(
        self, fd: int, directory: str, name: str, size: int, links: frozenset[str], rows: Columns
    ) -> None:
        """Read a file, which had this size when it was listed, and add its row.

        A link or a pipe that has taken its place is not followed, and does not make us wait.
        """
        if name in links:
            self._read_link(fd, directory, name, rows)
            return
        try:
            file = os.open(name, _FILE, dir_fd=fd)
        except OSError as error:
            raise self._unreadable(directory, name, error) from error
        try:
            if not self._contents.add(file, size, name, rows):
                # Its size is another one: it grows, or it is none that was listed.
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise changed(os.path.join(self._source.directory, directory, name))
                os.lseek(file, 0, os.SEEK_SET)
                self._contents.add_any(file, name, rows)
        except OSError as error:
            raise self._unreadable(directory, name, error) from error
        finally:
            os.close(file)

    def _read_large(self, fd: int, directory: str, names: list[str], rows: Columns) -> None:
        """Read large files, each while the one before is being stored, and add their rows."""
        with contextlib.closing(self._fills(fd, directory, names)) as fills:
            for size in self._contents.add_large(names, fills, rows):
                self._count(array("Q", [size]), known=False)

    def _fills(self, fd: int, directory: str, names: list[str]) -> Generator[Fill]:
        for name in names:
            try:
                file = os.open(name, _FILE, dir_fd=fd)
            except OSError as error:
                raise self._unreadable(directory, name, error) from error
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise changed(os.path.join(self._source.directory, directory, name))
                yield partial(self._fill, file, directory, name)
            finally:
                os.close(file)

    def _fill(self, file: int, directory: str, name: str, window: memoryview) -> int:
        self._wanted()
        try:
            return os.readv(file, [window])
        except OSError as error:
            raise self._unreadable(directory, name, error) from error

    def _read_link(self, fd: int, directory: str, name: str, rows: Columns) -> None:
        path = f"{directory}/{name}" if directory else name
        link = LocalLink(path=path, target=os.readlink(name, dir_fd=fd))
        with followed(self._real, self._source.directory, link).open() as file:
            self._contents.add_any(file.fileno(), name, rows)

    def _unreadable(self, directory: str, name: str, error: OSError) -> OperationFailed:
        shown = os.path.join(self._source.directory, directory, name)
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return changed(shown)
        return OperationFailed(f"can't read {shown}: {error.strerror}")

    # --- what the tree lacks ----------------------------------------------------------------------

    def _note(self, fd: int, prefix: str, taken: _Taken, start: int, end: int) -> None:
        """Write the rows of a run of files that the tree has not."""
        if start == end:
            return
        before = self._prefix + prefix
        paths = [before + name for name in taken.rows.paths[start:end]]
        if self._head is None:
            intervals = [(0, len(paths))]
        else:
            intervals = self._head.differing(paths, taken.rows, start)
            if self._source.mirror:
                self._drop_passed()
            else:
                self._head.passed.clear()
        for first, last in intervals:
            rows = self._stored(fd, prefix, taken, start + first, start + last)
            self._writer.put_sorted(paths[first:last], rows)

    def _drop_passed(self) -> None:
        assert self._head is not None
        for path in self._head.passed:
            self._writer.drop_sorted(path)
        self._head.passed.clear()

    def _stored(self, fd: int, prefix: str, taken: _Taken, start: int, end: int) -> Columns:
        """Some rows whose chunks are all stored: those that were not read may have lost theirs."""
        rows = Columns()
        rows.copy_rows(taken.rows, start, end)
        if not any(taken.known[start:end]):
            return rows
        missing = self._contents.missing(rows)
        if not missing:
            return rows
        again = Columns()
        for n in range(len(rows)):
            if n in missing:
                name = rows.paths[n]
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                is_link = stat.S_ISLNK(status.st_mode) and self._source.links == "inside"
                links = frozenset([name] if is_link else [])
                self._read(fd, prefix[:-1], name, status.st_size, links, again)
            else:
                again.copy_rows(rows, n, n + 1)
        return again


def _is_same(known: Known, listing: Listing, start: int, end: int) -> bool:
    """Whether a block of files is known as it is now."""
    return (
        known.stamps[start * STAMP : end * STAMP] == listing.stamps[start * STAMP : end * STAMP]
        and known.rows.paths[start:end] == listing.names[start:end]
    )


def _stamp(stamps: "array[int]", n: int) -> "array[int]":
    return stamps[n * STAMP : (n + 1) * STAMP]


class _Contents:
    """Stores contents, small ones in batches, and keeps blocks back until theirs are durable."""

    def __init__(self, chunks: ChunkStore, cache: StatCache | None) -> None:
        self._chunks = chunks
        self._cache = cache
        self._digests: list[bytes] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._unstored: list[bytes] = []  # blocks with contents in the batch
        self._stored: deque[tuple[int, bytes]] = deque()  # (chunks put before, block)
        self._held_bytes = 0  # of `_stored`

    def add(self, fd: int, size: int, name: str, rows: Columns) -> bool:
        """Read an open file that should have this size, and add its row; false if it has not."""
        if size > CHUNK_MIN_BYTES:
            return False
        data = os.read(fd, size + 1)
        if len(data) != size:
            return False
        self._row(data, name, rows)
        return True

    def add_any(self, fd: int, name: str, rows: Columns) -> None:
        """Read an open file of whatever size and add its row."""
        data = b""
        while len(data) <= CHUNK_MIN_BYTES and (more := os.read(fd, CHUNK_MIN_BYTES)):
            data += more
        if len(data) > CHUNK_MIN_BYTES:
            self._large(data, fd, name, rows)
        else:
            self._row(data, name, rows)

    def _row(self, data: bytes, name: str, rows: Columns) -> None:
        digest = Digest(data).digest()
        rows.add_small(name, len(data), digest)
        if data:
            self._digests.append(digest)
            self._pieces.append(data)
            self._size += len(data)
            if len(self._pieces) >= _BATCH_FILES_MAX or self._size >= _BATCH_BYTES_MAX:
                self._store()

    def _large(self, begin: bytes, fd: int, name: str, rows: Columns) -> None:
        size, digest, spans = store_filled(self._chunks, filled_from(begin, from_open(fd)))
        row = FileRow(path=name, size_bytes=size, digest=digest, chunks=spans)
        rows.add(row, self._chunks.put)

    def add_large(self, names: list[str], fills: Iterable[Fill], rows: Columns) -> Iterator[int]:
        """Store large contents and add their rows; gives the size of each that has its row."""
        contents = store_each(self._chunks, fills)
        for name, (size, digest, spans) in zip(names, contents, strict=True):
            row = FileRow(path=name, size_bytes=size, digest=digest, chunks=spans)
            rows.add(row, self._chunks.put)
            yield size

    def missing(self, rows: Columns) -> set[int]:
        """The rows of which a chunk is not stored (any more)."""
        self._store()
        needed: dict[ChunkId, int] = {}
        lost: set[int] = set()
        for n in range(len(rows)):
            refs = rows.refs(n)
            if not refs and rows.sizes[n]:
                refs = [(ChunkId(rows.digest(n).hex()), rows.sizes[n])]
            if rows.has_lists(n):
                lost.add(n)  # read again, rather than trusting lists whose chunks may be gone
                continue
            needed.update((chunk, n) for chunk, _ in refs)
        there = self._chunks.claim_many(list(needed))
        absent = needed.keys() - there
        if absent:
            lost |= {
                n
                for n in range(len(rows))
                if {ChunkId(rows.digest(n).hex()), *(c for c, _ in rows.refs(n))} & absent
            }
        return lost

    def remember(self, block: Block) -> None:
        """Note a block in the cache as soon as its contents are durable."""
        assert self._cache is not None
        self._unstored.append(encode_block(block))
        if not self._pieces:
            self._store()

    def finish(self) -> None:
        self._store()

    def close(self, *, complete: bool) -> None:
        """Let go of the cache; it keeps what is durable, which is all if this is `complete`."""
        if self._cache is None:
            return
        try:
            if not complete:
                with contextlib.suppress(TrunklineError):  # the reason is on its way already
                    self._store()
                    self._chunks.flush()
            self._save()
        finally:
            self._cache.close(complete=complete)

    def _store(self) -> None:
        if self._pieces:
            self._chunks.put_hashed(self._digests, self._pieces)
            self._digests, self._pieces, self._size = [], [], 0
        if self._unstored:
            put = self._chunks.appended
            self._stored.extend((put, block) for block in self._unstored)
            self._held_bytes += sum(map(len, self._unstored))
            self._unstored.clear()
            if self._held_bytes > _HELD_BYTES_MAX and put > self._chunks.durable:
                # Contents that are stored already put nothing, so no flush begins by itself.
                self._chunks.flush()
            self._save()

    def _save(self) -> None:
        if self._cache is None:
            return
        durable = self._chunks.durable
        wrote = False
        while self._stored and self._stored[0][0] <= durable:
            block = self._stored.popleft()[1]
            self._held_bytes -= len(block)
            self._cache.add(block)
            wrote = True
        if wrote and self._stored:
            self._cache.save()
