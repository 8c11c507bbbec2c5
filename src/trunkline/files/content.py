"""The content of single files: reading a part of it, and putting contents behind one another."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

from trunkline.files.columns import FileRow
from trunkline.store.chunker import CHUNK_MAX_BYTES, cuts, split
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import Digest

WINDOWS = 3  # in which contents are on their way
WINDOW_BYTES = 2 * CHUNK_MAX_BYTES
STEP_BYTES = 4 * 1024 * 1024  # read, cut and handed on at a time

Fill = Callable[[memoryview], int]  # writes the next bytes of a content there; 0 at its end
Spans = tuple[tuple[ChunkId, int], ...]  # (chunk, its size) in order
Content = tuple[int, str, Spans]  # size, digest and chunks


def read_content(
    chunks: ChunkStore, row: FileRow, *, offset: int, size: int | None
) -> Iterator[bytes]:
    """The bytes of a file from an offset on; only the chunks that are needed are read."""
    at = 0
    end = row.size_bytes if size is None else min(row.size_bytes, offset + max(0, size))
    for chunk, chunk_size in row.chunks:
        if at >= end:
            return
        if at + chunk_size > offset:
            data = chunks.get(chunk)
            start, stop = max(0, offset - at), min(chunk_size, end - at)
            if start < stop:
                yield data if stop - start == len(data) else data[start:stop]
        at += chunk_size


def store_content(chunks: ChunkStore, pieces: Iterable[bytes]) -> Content:
    """Store a content of any length."""
    return store_filled(chunks, _filler(pieces))


def store_filled(chunks: ChunkStore, fill: Fill) -> Content:
    """Store a content that is read into the memory it is given; see `store_content`."""
    return next(_stored(chunks, iter([fill]), alone=True))


def store_each(chunks: ChunkStore, fills: Iterable[Fill]) -> Iterator[Content]:
    """Store large contents one behind the other; gives them in order, each some time later.

    The next is asked for when the one before has been read to its end. Worth its threads for
    contents of more than one chunk.
    """
    return _stored(chunks, iter(fills), alone=False)


def _stored(chunks: ChunkStore, fills: Iterator[Fill], *, alone: bool) -> Iterator[Content]:
    """Store contents in three stages that run beside one another, each in its own thread.

    The caller's reads and cuts; the second one hashes, the third one compresses and writes. They
    hand on what is in the windows, of which the reader takes the next one as soon as all of it is
    written. What is `alone` and small is not worth a thread.
    """
    windows = deque(_Window() for _ in range(WINDOWS))
    begun: deque[_Coming] = deque()
    with ThreadPoolExecutor(1, "hash") as hashing, ThreadPoolExecutor(1, "store") as storing:
        for fill in fills:
            coming = _Coming()
            begun.append(coming)
            for window, parts, last in _cut(fill, windows):
                if alone and last and not coming.stored:
                    chunks.put_hashed(coming.hash(parts), parts)
                    break
                hashed = hashing.submit(coming.hash, parts)
                coming.stored = storing.submit(_put, chunks, hashed, parts)
                window.users.append(coming.stored)
            while begun and begun[0].done:
                yield begun.popleft().content()
        for coming in begun:
            yield coming.content()


def _cut(
    fill: Fill, windows: "deque[_Window]"
) -> Iterator[tuple["_Window", list[memoryview], bool]]:
    """The chunks of a content, some at a time: where they are, and whether they are the last."""
    tail = windows[0].memory[:0]
    last = False
    while not last:
        window = windows[0]
        windows.rotate(-1)
        window.wait()
        memory = window.memory
        memory[: len(tail)] = tail
        start, size = 0, len(tail)
        while not last and size < WINDOW_BYTES:
            room = memory[: min(WINDOW_BYTES, size + STEP_BYTES)]
            size, last = _filled(room, size, fill)
            ends = [start + end for end in cuts(memory[start:size], last=last)]
            if ends:
                yield window, [memory[a:b] for a, b in pairwise([start, *ends])], last
                start = ends[-1]
        tail = memory[start:size]


class _Window:
    """Memory in which contents are read, cut and hashed, and out of which they are written."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(WINDOW_BYTES))  # untouched pages are free
        self.users: list[Future[None]] = []

    def wait(self) -> None:
        """Until nobody needs what is in it; raises what kept that from being stored."""
        while self.users:
            self.users.pop().result()


class _Coming:
    """A content on its way into the store."""

    def __init__(self) -> None:
        self._whole = Digest()
        self._spans: list[tuple[ChunkId, int]] = []
        self.stored: Future[None] | None = None  # of the latest part

    @property
    def done(self) -> bool:
        return self.stored is None or self.stored.done()

    def hash(self, parts: list[memoryview]) -> list[bytes]:
        """The digests of the next chunks."""
        digests = [Digest(part).digest() for part in parts]
        for digest, part in zip(digests, parts, strict=True):
            self._whole.update(part)
            self._spans.append((ChunkId(digest.hex()), len(part)))
        return digests

    def content(self) -> Content:
        """Wait until all of it is stored; raises what kept it from being so."""
        if self.stored is not None:
            self.stored.result()
        spans = tuple(self._spans)
        digest = spans[0][0] if len(spans) == 1 else self._whole.hexdigest()
        return sum(size for _, size in spans), digest, spans


def _put(chunks: ChunkStore, hashed: "Future[list[bytes]]", parts: list[memoryview]) -> None:
    chunks.put_hashed(hashed.result(), parts)


def filled_from(begin: bytes, onward: Fill) -> Fill:
    """Gives what has been read of a content already, and then the rest of it."""
    rest = memoryview(begin)

    def fill(window: memoryview) -> int:
        nonlocal rest
        if not rest:
            return onward(window)
        count = min(len(rest), len(window))
        window[:count] = rest[:count]
        rest = rest[count:]
        return count

    return fill


def from_open(fd: int) -> Fill:
    """Gives what is left of an open file."""
    return lambda window: os.readv(fd, [window])


def _filled(window: memoryview, size: int, fill: Fill) -> tuple[int, bool]:
    """Fill a window that holds `size` bytes; returns how many it has now, and whether all came."""
    while size < len(window):
        count = fill(window[size:])
        if not count:
            return size, True
        size += count
    return size, False


def _filler(pieces: Iterable[bytes]) -> Fill:
    rest = memoryview(b"")
    coming = iter(pieces)

    def fill(window: memoryview) -> int:
        nonlocal rest
        while not rest:
            piece = next(coming, None)
            if piece is None:
                return 0
            rest = memoryview(piece)
        count = min(len(window), len(rest))
        window[:count] = rest[:count]
        rest = rest[count:]
        return count

    return fill


def join_rows(chunks: ChunkStore, rows: Sequence[FileRow]) -> FileRow:
    """The row of a file that has the contents of all rows behind one another.

    It is the same row that writing the whole content at once gives: all chunks of the first row but
    its last stay, the rest is cut again. Everything is read once, for the digest. Path and datum
    are those of the last row.
    """
    latest = rows[-1]
    filled = [row for row in rows if row.size_bytes]
    if len(filled) <= 1:
        content = filled[0] if filled else latest
        return FileRow(
            path=latest.path,
            size_bytes=content.size_bytes,
            digest=content.digest,
            chunks=content.chunks,
            datum=latest.datum,
        )
    kept = filled[0].chunks[:-1]
    again = [filled[0].chunks[-1], *(span for row in filled[1:] for span in row.chunks)]
    whole = Digest()
    for chunk, _ in kept:
        whole.update(chunks.get(chunk))
    spans = list(kept)
    for piece in split(chunks.get(chunk) for chunk, _ in again):
        whole.update(piece)
        spans.append((chunks.put(piece), len(piece)))
    return FileRow(
        path=latest.path,
        size_bytes=sum(row.size_bytes for row in filled),
        digest=whole.hexdigest(),
        chunks=tuple(spans),
        datum=latest.datum,
    )
