"""The index of one tree, read as far as it is needed: nodes over ranges, and ways through them.

A look-up reads one node of each level, whatever the size of the tree. A `Cursor` goes through a
tree from left to right in *units*: it stands before a node as a whole until somebody wants to know
what is in it. So equal parts of two trees are skipped, and untouched parts of a changed tree taken
over, without being read.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from trunkline.errors import Corrupt
from trunkline.files.columns import Columns, decode_columns
from trunkline.files.glance import Glance
from trunkline.files.manifest import (
    EMPTY,
    RANGE_MAGIC,
    VERSION,
    Node,
    Ranges,
    RootId,
    Unit,
    read_node,
)
from trunkline.store.chunks import ChunkId, ChunkStore

_NODES_MAX = 128  # decoded, about 50 kB each
_RANGES_MAX = 512  # decoded, about 50 kB each
_DIGESTS_MAX = 64 * 1024  # about 0.3 kB each
LEVEL_MAX = 32  # far more than any tree has; nodes of 16 entries and more


Key = TypeVar("Key")
Value = TypeVar("Value")


def _hold(latest: "OrderedDict[Key, Value]", key: Key, value: Value, most: int) -> None:
    """Keep a value, and let go of the oldest ones beyond so many; the caller locks."""
    latest[key] = value
    while len(latest) > most:
        latest.popitem(last=False)


class Memo:
    """Digests of directories by what they depend on, the latest ones. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, str] = OrderedDict()

    def get(self, key: bytes) -> str | None:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def put(self, key: bytes, digest: str) -> None:
        with self._lock:
            _hold(self._known, key, digest, _DIGESTS_MAX)


class Loader:
    """Reads nodes and ranges from the store, and keeps the latest ones decoded. Thread-safe."""

    def __init__(self, chunks: ChunkStore) -> None:
        self.chunks = chunks
        self.digests = Memo()
        self._lock = threading.Lock()
        self._nodes: OrderedDict[str, Node] = OrderedDict()
        self._ranges: OrderedDict[str, Columns] = OrderedDict()
        self._asked: OrderedDict[str, None] = OrderedDict()  # ranges of which one row was wanted

    def root(self, root: RootId) -> Node:
        """The highest node of a tree; raises Corrupt for what can't be one."""
        node = _NOTHING if root == EMPTY else self.node(ChunkId(root))
        if not 1 <= node.level <= LEVEL_MAX:
            raise Corrupt(f"tree {root}", f"a level from 1 to {LEVEL_MAX}", str(node.level))
        return node

    def node(self, node_id: ChunkId) -> Node:
        """A node; not to be changed."""
        with self._lock:
            known = self._nodes.get(node_id)
            if known is not None:
                self._nodes.move_to_end(node_id)
                return known
        node = read_node(self.chunks.get(node_id))
        with self._lock:
            _hold(self._nodes, node_id, node, _NODES_MAX)
        return node

    def below(self, unit: Unit) -> Ranges:
        """The entries of a node that an entry names, checked against what the entry says."""
        node = self.node(unit.blob)
        entries = node.entries
        if node.level != unit.level:
            raise Corrupt(f"node {unit.blob}", f"level {unit.level}", str(node.level))
        said = (unit.rows, unit.size, unit.first, unit.last)
        if not entries or (node.rows, node.size_bytes, *entries.ends) != said:
            raise Corrupt(
                f"node {unit.blob}",
                f"{unit.rows} rows from '{unit.first}' to '{unit.last}'",
                f"{node.rows} others",
            )
        return entries

    def rows(self, unit: Unit) -> Columns:
        """The rows of a range, checked against what its entry says; not to be changed."""
        rows = self._rows(unit.blob)
        said = (unit.rows, unit.first, unit.last)
        if not rows.paths or (len(rows), rows.paths[0], rows.paths[-1]) != said:
            raise Corrupt(
                f"range {unit.blob}",
                f"{unit.rows} rows from '{unit.first}' to '{unit.last}'",
                f"{len(rows)} others",
            )
        return rows

    def place(self, unit: Unit, path: str) -> tuple[Columns, int] | None:
        """The row of a file that would be in a range, or None.

        A range is decoded when somebody asks for the second time: for one row that is most work.
        """
        with self._lock:
            at_hand = unit.blob in self._ranges or unit.blob in self._asked
            _hold(self._asked, unit.blob, None, _RANGES_MAX)
        if not at_hand:
            [glance] = self.glances([unit])
            number = glance.number(path)
            if number is None:
                return None
            if glance.plain:
                return glance.only(number, path), 0
        rows = self.rows(unit)
        i = bisect_left(rows.paths, path)
        return (rows, i) if i < len(rows) and rows.paths[i] == path else None

    def glances(self, units: Sequence[Unit]) -> list[Glance]:
        """Ranges as they are stored, checked against what their entries say; with one look-up."""
        found = self.stored([unit.blob for unit in units])
        return [_checked(glance, unit) for glance, unit in zip(found, units, strict=True)]

    def stored(self, blobs: Sequence[ChunkId]) -> list[Glance]:
        """Ranges as they are stored, whatever entries say of them; with one look-up."""
        data = self.chunks.get_many(blobs)
        return [Glance(data[blob]) for blob in blobs]

    def keep(self, made: list[tuple[ChunkId, Columns | Node]]) -> None:
        """Have ranges and nodes that were just stored at hand, as if they had been read."""
        with self._lock:
            for blob, what in made:
                if isinstance(what, Node):
                    _hold(self._nodes, blob, what, _NODES_MAX)
                else:
                    _hold(self._ranges, blob, what, _RANGES_MAX)

    def _rows(self, range_id: ChunkId) -> Columns:
        with self._lock:
            known = self._ranges.get(range_id)
            if known is not None:
                self._ranges.move_to_end(range_id)
                return known
        rows = decode_columns(RANGE_MAGIC, self.chunks.get(range_id))
        with self._lock:
            _hold(self._ranges, range_id, rows, _RANGES_MAX)
        return rows


def _checked(found: Glance, unit: Unit) -> Glance:
    ends = unit.first.encode("utf-8"), unit.last.encode("utf-8")
    if found.count != unit.rows or not found.reaches(*ends):
        raise Corrupt(
            f"range {unit.blob}",
            f"{unit.rows} rows from '{unit.first}' to '{unit.last}'",
            f"{found.count} others",
        )
    return found


_NOTHING = Node(version=VERSION, level=1, rows=0, size_bytes=0, entries=Ranges())


class Cursor:
    """A position before a unit of a tree, which only moves forward."""

    def __init__(self, loader: Loader, root: RootId) -> None:
        self._loader = loader
        top = loader.root(root)
        # The way down from the root: entries and the one among them. Those that have ended are
        # taken off, so it is empty exactly at the end of the tree.
        self._levels: list[Ranges] = [top.entries] if top.entries else []
        self._at: list[int] = [0] if top.entries else []
        self._top = top.level - 1  # level of the units that the root names
        self._last = top.entries.ends[1] if top.entries else None

    @property
    def done(self) -> bool:
        """Whether there is nothing more."""
        return not self._levels

    @property
    def level(self) -> int:
        """That of the unit at the position: 0 for a range."""
        return self._top + 1 - len(self._levels)

    @property
    def first(self) -> str:
        """The first path of the unit at the position."""
        return self._levels[-1].firsts[self._at[-1]]

    @property
    def last(self) -> str:
        """The last path of the unit at the position."""
        return self._levels[-1].lasts[self._at[-1]]

    @property
    def blob(self) -> ChunkId:
        """The name of the unit at the position."""
        return self._levels[-1].id(self._at[-1])

    @property
    def unit(self) -> Unit:
        """The unit at the position."""
        return self._levels[-1].unit(self.level, self._at[-1])

    @property
    def before(self) -> str | None:
        """The last path before the position; None at the beginning of the tree."""
        if not self._levels:
            return self._last
        for entries, at in zip(reversed(self._levels), reversed(self._at), strict=True):
            if at:
                return entries.lasts[at - 1]
        return None

    @property
    def is_last(self) -> bool:
        """Whether the tree ends with the unit at the position."""
        return self.last == self._last

    @property
    def ends_node(self) -> bool:
        """Whether the unit at the position is the last one of the node that names it."""
        return self._at[-1] + 1 == len(self._levels[-1])

    def descend(self) -> None:
        """Go from the node at the position to the first unit in it."""
        self._levels.append(self._loader.below(self.unit))
        self._at.append(0)

    def to_range(self) -> Unit:
        """Go down to the range that begins at the position."""
        while self.level:
            self.descend()
        return self.unit

    def rows(self) -> Columns:
        """The rows of the range at the position, which it goes down to."""
        return self._loader.rows(self.to_range())

    def run(self, stop: str | None) -> tuple[Ranges, int, int]:
        """As `siblings`, without the last unit of the tree."""
        entries, at, end = self.siblings(stop)
        if end == len(entries) and entries.lasts[-1] == self._last:
            end -= 1
        return entries, at, end

    def siblings(self, stop: str | None) -> tuple[Ranges, int, int]:
        """The node around the position, and which of its units from there on end before `stop`."""
        entries, at = self._levels[-1], self._at[-1]
        end = len(entries) if stop is None else bisect_left(entries.lasts, stop, at)
        return entries, at, end

    def step(self, count: int = 1) -> None:
        """Go behind the unit at the position, or several of its node."""
        self._at[-1] += count
        self._climb()

    def seek(self, path: str) -> None:
        """Go to the range that holds the path, or else to the first one behind it.

        A node that begins at or behind the path is not read.
        """
        while self._levels:
            entries = self._levels[-1]
            at = bisect_left(entries.lasts, path, self._at[-1])
            self._at[-1] = at
            if at < len(entries):
                if entries.firsts[at] >= path or not self.level:
                    return
                self.descend()
            else:
                self._climb()

    def end(self) -> None:
        """Go behind everything."""
        self._levels.clear()
        self._at.clear()

    def _climb(self) -> None:
        while self._levels and self._at[-1] >= len(self._levels[-1]):
            self._levels.pop()
            self._at.pop()
            if self._at:
                self._at[-1] += 1


def ranges(loader: Loader, root: RootId, low: str = "") -> Iterator[Unit]:
    """The ranges of a tree from the one on that holds a path."""
    cursor = Cursor(loader, root)
    cursor.seek(low)
    while not cursor.done:
        yield cursor.to_range()
        cursor.step()
