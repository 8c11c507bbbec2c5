"""The files of a tree as a tar archive: streamed, and the same bytes for the same files and time.

In the pax format: names of any length and in any script, files of any size. Only files are in it;
whoever unpacks it makes the directories above them.
"""

import tarfile
from collections.abc import Iterable, Iterator

from trunkline.files.batches import contents
from trunkline.files.view import Slice
from trunkline.store.chunks import ChunkStore

_PIECE_BYTES = 256 * 1024
_BLOCK_BYTES = 512
_END_BYTES = tarfile.RECORDSIZE  # archives are a multiple of this, and end with two zero blocks


def tar_pieces(
    chunks: ChunkStore, parts: Iterable[Slice], *, above: str, mtime_s: int
) -> Iterator[bytes]:
    """The bytes of the archive; names are relative to the directory `above`. Raises Corrupt."""
    skip = len(above) + 1 if above else 0
    total = 0
    for piece in _gathered(_blocks(chunks, parts, skip, mtime_s)):
        total += len(piece)
        yield piece
    end = 2 * _BLOCK_BYTES
    yield bytes(end + -(total + end) % _END_BYTES)


def _blocks(chunks: ChunkStore, parts: Iterable[Slice], skip: int, mtime_s: int) -> Iterator[bytes]:
    for path, size, content in contents(chunks, parts):
        member = tarfile.TarInfo(path[skip:])
        member.size = size
        member.mtime = mtime_s
        yield member.tobuf(tarfile.PAX_FORMAT)
        yield from content
        if size % _BLOCK_BYTES:
            yield bytes(-size % _BLOCK_BYTES)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth sending; large ones pass as they are."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        if len(piece) >= _PIECE_BYTES:
            if waiting:
                yield b"".join(waiting)
                waiting, size = [], 0
            yield piece
            continue
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
