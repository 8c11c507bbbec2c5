"""Where damaged chunks are met: the files of trees that need them.

Ranges that need none of them are remembered, so that a history is gone through at the cost of what
each commit changed.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from trunkline.errors import Corrupt
from trunkline.files.columns import Columns, decode_columns, read_list
from trunkline.files.manifest import EMPTY, RANGE_MAGIC, Ranges, read_node
from trunkline.store.chunks import ChunkId, ChunkStore


class Hit(NamedTuple):
    """A file, or all files from one path to another, that need a damaged chunk."""

    chunk: str
    where: str  # a path, or "first … last"


class Impact:
    """Looks for some chunks in trees; for one pass over a history."""

    def __init__(self, chunks: ChunkStore, wanted: Collection[str]) -> None:
        self._chunks = chunks
        self._wanted = frozenset(wanted)
        self._clean: set[bytes] = set()  # nodes and ranges without a hit
        self._hits: dict[str, tuple[Hit, ...]] = {}  # of nodes and ranges that have some

    def of(self, root: str) -> tuple[Hit, ...]:
        """The hits of a tree."""
        return () if root == EMPTY else self._of_node(root, "/", "")

    def _of_node(self, node: str, first: str, last: str) -> tuple[Hit, ...]:
        known = self._known(node)
        if known is not None:
            return known
        span = f"{first} … {last}" if last else "/"
        if node in self._wanted:
            return (Hit(node, span),)
        try:
            content = read_node(self._chunks.get(ChunkId(node)))
        except Corrupt:
            return ()
        return self._note(node, tuple(self._below(content.level, content.entries)))

    def _below(self, level: int, entries: Ranges) -> Iterator[Hit]:
        for blob, first, last in zip(entries.ids, entries.firsts, entries.lasts, strict=True):
            if level > 1:
                yield from self._of_node(blob, first, last)
            else:
                yield from self._of_range(blob, first, last)

    def _of_range(self, blob: str, first: str, last: str) -> tuple[Hit, ...]:
        known = self._known(blob)
        if known is not None:
            return known
        if blob in self._wanted:
            return (Hit(blob, f"{first} … {last}"),)
        try:
            rows = decode_columns(RANGE_MAGIC, self._chunks.get(ChunkId(blob)))
        except Corrupt:
            return ()
        return self._note(blob, tuple(self._of_rows(rows)))

    def _of_rows(self, rows: Columns) -> Iterator[Hit]:
        for i, path in enumerate(rows.paths):
            if not rows.counts[i]:
                digest = rows.digest(i).hex()
                if digest in self._wanted and rows.sizes[i]:
                    yield Hit(digest, path)
                continue
            found = {chunk for chunk, _ in rows.refs(i)}
            if rows.has_lists(i):
                for part in list(found - self._wanted):
                    try:
                        found |= {chunk for chunk, _ in read_list(self._chunks.get(ChunkId(part)))}
                    except Corrupt:
                        continue
            yield from (Hit(chunk, path) for chunk in sorted(found & self._wanted))

    def _known(self, blob: str) -> tuple[Hit, ...] | None:
        return () if bytes.fromhex(blob) in self._clean else self._hits.get(blob)

    def _note(self, blob: str, hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
        if hits:
            self._hits[blob] = hits
        else:
            self._clean.add(bytes.fromhex(blob))
        return hits
