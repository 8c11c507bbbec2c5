"""Contents that lie in memory, as `compare` reads them."""

from collections.abc import Iterator

from trunkline.compare.content import Content


def content(data: bytes, *, chunk_bytes: int = 7) -> Content:
    """A content that is cut every few bytes, so that equal beginnings are equal chunks."""
    pieces = [data[n : n + chunk_bytes] for n in range(0, len(data), chunk_bytes)]

    step = max(1, chunk_bytes - 2)  # pieces are not cut as chunks are

    def read(offset: int, size: int | None) -> Iterator[bytes]:
        end = len(data) if size is None else offset + size
        for start in range(offset, min(end, len(data)), step):
            yield data[start : min(start + step, end)]

    return Content(
        size_bytes=len(data), chunks=[(piece.hex(), len(piece)) for piece in pieces], read=read
    )
