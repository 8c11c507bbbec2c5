"""Finds every chunk that a tree or delta needs: its blobs, and the content of its files.

What trees share is walked once: nodes of the index, ranges, blocks and lists of chunks are asked
for in `Seen`. So the cost of a history is that of its first tree and of the ranges that each commit
changed.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from trunkline.errors import Corrupt
from trunkline.files.columns import Columns, decode_columns, read_list
from trunkline.files.index import LEVEL_MAX
from trunkline.files.manifest import EMPTY, RANGE_MAGIC, read_node
from trunkline.files.segments import BLOCK_MAGIC, read_segment
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import DIGEST_BYTES


class Kind(IntEnum):
    """What a name in the catalog means; the numbers are used in scratch databases only."""

    CHUNK = 0  # a chunk that names no other
    TREE = 1
    DELTA = 2
    DATUMS = 3  # a segment of a job's datums, which names no tree any more
    OPEN_DATUMS = 4  # one whose job has not ended: it reads the trees that it names
    NODE = 5
    RANGE = 6
    BLOCK = 7
    LIST = 8


class Name(NamedTuple):
    """Something in the catalog that keeps chunks alive."""

    kind: Kind
    digest: str  # 64 hex digits


class Chunks(Protocol):
    """Where a walk reads: a store, or one and what makes up for its losses."""

    def get(self, chunk: ChunkId) -> bytes:
        """The bytes of a chunk; raises Corrupt if they are damaged or missing."""


class Seen(Protocol):
    """Where a walk notes what it found."""

    def add(self, digests: Iterable[bytes]) -> None:
        """These chunks are needed."""

    def walk_once(self, kind: int, digests: Sequence[bytes]) -> list[bytes]:
        """Those of the objects that were not walked before."""


class Reach:
    """Walks trees and deltas. Raises Corrupt, naming the object, for one that can't be read."""

    def __init__(self, chunks: Chunks, seen: Seen) -> None:
        self._chunks = chunks
        self._seen = seen

    def tree(self, root: bytes) -> None:
        """Note all that a tree needs."""
        if root.hex() == EMPTY or not self._seen.walk_once(Kind.TREE, [root]):
            return
        self._seen.add([root])
        try:
            top = read_node(self._load(root))
            level, names = top.level, list(_each(top.entries.names))
            if not 1 <= level <= LEVEL_MAX:
                raise Corrupt("its index", f"a level from 1 to {LEVEL_MAX}", str(level))
            while level > 1:
                level -= 1
                nodes = self._seen.walk_once(Kind.NODE, names)
                self._seen.add(nodes)
                found = (read_node(self._load(node)).entries.names for node in nodes)
                names = [name for names_of_node in found for name in _each(names_of_node)]
            for range_id in self._seen.walk_once(Kind.RANGE, names):
                self._seen.add([range_id])
                self.rows(decode_columns(RANGE_MAGIC, self._load(range_id)))
        except Corrupt as error:
            raise Corrupt(f"tree {root.hex()}", "all of it to be readable", str(error)) from error

    def delta(self, segment: bytes) -> None:
        """Note all that a delta needs."""
        if not self._seen.walk_once(Kind.DELTA, [segment]):
            return
        self._seen.add([segment])
        try:
            blocks = [bytes.fromhex(c) for c in read_segment(self._load(segment)).blocks]
            for block in self._seen.walk_once(Kind.BLOCK, blocks):
                self._seen.add([block])
                self.rows(decode_columns(BLOCK_MAGIC, self._load(block)))
        except Corrupt as error:
            raise Corrupt(
                f"delta {segment.hex()}", "all of it to be readable", str(error)
            ) from error

    def rows(self, rows: Columns, start: int = 0, end: int | None = None) -> None:
        """Note the chunks of some rows."""
        self._seen.add(_contents(rows, start, end))
        for i in range(start, len(rows) if end is None else end):
            if rows.has_lists(i):
                lists = [bytes.fromhex(chunk) for chunk, _ in rows.refs(i)]
                for part in self._seen.walk_once(Kind.LIST, lists):
                    spans = read_list(self._load(part))
                    self._seen.add(bytes.fromhex(chunk) for chunk, _ in spans)

    def _load(self, chunk: bytes) -> bytes:
        return self._chunks.get(ChunkId(chunk.hex()))


def _contents(rows: Columns, start: int, end: int | None) -> Iterator[bytes]:
    """The chunks, or lists of chunks, that rows name."""
    stop = len(rows) if end is None else end
    digests, sizes, counts = bytes(rows.digests), rows.sizes, rows.counts
    for i in range(start, stop):
        if not counts[i] and sizes[i]:
            yield digests[i * DIGEST_BYTES : (i + 1) * DIGEST_BYTES]
    if (start, stop) == (0, len(rows)):
        yield from _each(rows.ref_ids)
    else:
        for i in range(start, stop):
            yield from (bytes.fromhex(chunk) for chunk, _ in rows.refs(i))


def _each(column: bytearray) -> Iterator[bytes]:
    """The digests in a column of them."""
    digests = bytes(column)
    return (digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))
