"""Chunks that are kept in memory, within a bound on what they take there."""

from collections import OrderedDict

CACHE_BYTES = 48 * 1024 * 1024  # plain chunks, manifests mostly: some 250 ranges
_ENTRY_BYTES = 280  # that each takes beside its own, of which a small file has fewer
_CHUNK_BYTES_MAX = 1024 * 1024


class ChunkCache:
    """The latest chunks, by name. Who shares one guards it."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, bytes] = OrderedDict()
        self.size_bytes = 0

    def get(self, chunk: str) -> bytes | None:
        """The bytes of a chunk, if it is here."""
        data = self._latest.get(chunk)
        if data is not None:
            self._latest.move_to_end(chunk)
        return data

    def keep(self, chunk: str, data: bytes) -> None:
        """Keep a chunk, unless it is a large one; the oldest ones go, as far as they have to."""
        if len(data) > _CHUNK_BYTES_MAX:
            return
        if chunk not in self._latest:
            self._latest[chunk] = data
            self.size_bytes += len(data) + _ENTRY_BYTES
        while self.size_bytes > CACHE_BYTES:
            _, dropped = self._latest.popitem(last=False)
            self.size_bytes -= len(dropped) + _ENTRY_BYTES

    def clear(self) -> None:
        self._latest.clear()
        self.size_bytes = 0
