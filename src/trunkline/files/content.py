"""The content of single files: reading a part of it, and putting contents behind one another."""

from collections.abc import Iterable, Iterator, Sequence

from trunkline.files.columns import FileRow
from trunkline.store.chunker import split
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import Digest

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
    whole = Digest()
    spans: list[tuple[ChunkId, int]] = []
    for chunk in split(pieces):
        whole.update(chunk)
        spans.append((chunks.put(chunk), len(chunk)))
    return sum(size for _, size in spans), whole.hexdigest(), tuple(spans)


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
