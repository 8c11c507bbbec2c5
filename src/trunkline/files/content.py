"""The content of single files: reading a part of it, and putting contents behind one another."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from trunkline.files.columns import FileRow
from trunkline.store.chunker import CHUNK_MAX_BYTES, cuts, split
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import Digest

WINDOW_BYTES = 3 * CHUNK_MAX_BYTES  # cut at a time; there are two

Fill = Callable[[memoryview], int]  # writes the next bytes of a content there; 0 at its end
Spans = tuple[tuple[ChunkId, int], ...]  # (chunk, its size) in order


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


def store_content(chunks: ChunkStore, pieces: Iterable[bytes]) -> tuple[int, str, Spans]:
    """Store a content of any length; returns its size, digest and chunks."""
    return store_filled(chunks, _filler(pieces))


def store_filled(chunks: ChunkStore, fill: Fill) -> tuple[int, str, Spans]:
    """Store a content that is read into the memory it is given; see `store_content`.

    In two stages that run beside each other, each on a window of its own: read, cut and hash the
    chunks of one, while those of the one before are hashed as a whole, compressed and written.
    """
    whole = Digest()
    spans: list[tuple[ChunkId, int]] = []
    windows = [memoryview(bytearray(WINDOW_BYTES)) for _ in range(2)]  # untouched pages are free
    tail = windows[1][:0]
    last = False
    with ThreadPoolExecutor(1, "store") as second:
        before: Future[None] | None = None
        while not last:
            window = windows[0]
            window[: len(tail)] = tail
            size, last = _filled(window, len(tail), fill)
            parts: list[memoryview] = []
            start = 0
            for end in cuts(window[:size], last=last):
                parts.append(window[start:end])
                start = end
            digests = [Digest(part).digest() for part in parts]
            spans += (
                (ChunkId(digest.hex()), len(part))
                for digest, part in zip(digests, parts, strict=True)
            )
            if before is not None:
                before.result()
            elif last:  # all of it is in one window
                _keep(chunks, whole, digests, parts)
                break
            before = second.submit(_keep, chunks, whole, digests, parts)
            tail = window[start:size]
            windows.reverse()
        if before is not None:
            before.result()
    digest = spans[0][0] if len(spans) == 1 else whole.hexdigest()
    return sum(size for _, size in spans), digest, tuple(spans)


def filled_from(begin: bytes, fd: int) -> Fill:
    """Gives what has been read of an open file already, and then the rest of it."""
    rest = memoryview(begin)

    def fill(window: memoryview) -> int:
        nonlocal rest
        if not rest:
            return os.readv(fd, [window])
        count = min(len(rest), len(window))
        window[:count] = rest[:count]
        rest = rest[count:]
        return count

    return fill


def _filled(window: memoryview, size: int, fill: Fill) -> tuple[int, bool]:
    """Fill a window that holds `size` bytes; returns how many it has now, and whether all came."""
    while size < len(window):
        count = fill(window[size:])
        if not count:
            return size, True
        size += count
    return size, False


def _keep(chunks: ChunkStore, whole: Digest, digests: list[bytes], parts: list[memoryview]) -> None:
    for part in parts:
        whole.update(part)
    chunks.put_hashed(digests, parts)


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
