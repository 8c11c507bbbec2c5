"""The contents of many files in the order of a tree, with little work for each.

Small files are read from the store in batches, in the order in which they lie on the disk; large
ones chunk by chunk. Memory: one batch.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trunkline.files.columns import FileRow
from trunkline.files.content import read_content
from trunkline.files.view import Slice
from trunkline.store.chunks import ChunkStore
from trunkline.store.digests import DIGEST_BYTES

SMALL_BYTES_MAX = 256 * 1024  # larger files are read chunk by chunk
_BATCH_FILES_MAX = 512
_BATCH_BYTES_MAX = 8 * 1024 * 1024


class Small(NamedTuple):
    """A file that is one chunk (or empty), and is held in memory on its way."""

    path: str
    size: int
    digest: bytes


Item = Small | FileRow


def item_of(row: FileRow) -> Item:
    """A row as what it is on its way."""
    if row.size_bytes > SMALL_BYTES_MAX or len(row.chunks) > 1:
        return row
    return Small(row.path, row.size_bytes, bytes.fromhex(row.digest))


def items_of(chunks: ChunkStore, parts: Iterable[Slice]) -> Iterator[Item]:
    """The files in slices of a tree."""
    for rows, start, end in ((part.rows, part.start, part.end) for part in parts):
        digests = bytes(rows.digests[start * DIGEST_BYTES : end * DIGEST_BYTES])
        for n, (path, size, count) in enumerate(
            zip(rows.paths[start:end], rows.sizes[start:end], rows.counts[start:end], strict=True)
        ):
            if count or size > SMALL_BYTES_MAX:
                yield rows.row(start + n, chunks.get)
            else:
                yield Small(path, size, digests[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES])


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Groups of files whose small contents are worth reading together."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.size if isinstance(item, Small) else SMALL_BYTES_MAX
        if len(batch) >= _BATCH_FILES_MAX or size >= _BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def small_contents(chunks: ChunkStore, batch: Iterable[Item]) -> dict[bytes, bytes]:
    """The contents of the small files of a batch by their digests; empty files are left out."""
    wanted = {item.digest for item in batch if isinstance(item, Small) and item.size}
    return chunks.read_many(list(wanted))


def contents(
    chunks: ChunkStore, parts: Iterable[Slice]
) -> Iterator[tuple[str, int, Iterable[bytes]]]:
    """(path, size, content) of each file; each content is to be read before the next is asked for.

    Raises Corrupt.
    """
    for batch in batches(items_of(chunks, parts)):
        found = small_contents(chunks, batch)
        for item in batch:
            if isinstance(item, Small):
                yield item.path, item.size, (found[item.digest],) if item.size else ()
            else:
                whole = read_content(chunks, item, offset=0, size=None)
                yield item.path, item.size_bytes, whole
