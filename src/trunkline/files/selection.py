"""Chooses files of many trees: by patterns, by the datum that wrote them, by their content.

Made to go through a whole history: ranges are looked at once however many trees share them, and
whole nodes are stepped over that can't hold a match.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from trunkline.files.columns import Columns, FileRow, decode_columns, read_list
from trunkline.files.delta import DeltaWriter
from trunkline.files.glob import Glob
from trunkline.files.manifest import EMPTY, RANGE_MAGIC, RootId, read_node
from trunkline.files.segments import (
    DeltaId,
    SegmentCursor,
    read_segment,
    write_blocks,
)
from trunkline.files.tree import Trees
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import Digest

_END = "\U0010ffff"  # behind everything that begins with the same text


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which files: those that any of these chooses.

    A pattern chooses the files that it matches, and all below a directory that it matches.
    """

    globs: tuple[Glob, ...] = ()
    datums: frozenset[bytes] = frozenset()  # keys of those that wrote a file
    contents: frozenset[bytes] = frozenset()  # digests of files

    def __bool__(self) -> bool:
        return bool(self.globs or self.datums or self.contents)

    def chooses(self, path: str) -> bool:
        """Whether the patterns choose a file by its path."""
        return bool(self._by_path([path]))

    def may_choose_below(self, first: str, last: str) -> bool:
        """Whether any file from one path to another may be chosen; false only if none is."""
        if self.datums or self.contents:
            return True
        return any(
            glob.is_root or (last >= glob.literal and first <= glob.literal + _END)
            for glob in self.globs
        )

    def rows(self, rows: Columns) -> list[int]:
        """Which of some rows are chosen, in order."""
        paths = self._by_path(rows.paths)
        if not self.datums and not self.contents:
            return [i for i, path in enumerate(rows.paths) if path in paths] if paths else []
        return [
            i
            for i, path in enumerate(rows.paths)
            if path in paths
            or (self.datums and rows.datum(i) in self.datums)
            or (self.contents and rows.sizes[i] and rows.digest(i) in self.contents)
        ]

    def _by_path(self, paths: list[str]) -> set[str]:
        if not self.globs:
            return set()
        if any(glob.is_root for glob in self.globs):
            return set(paths)
        directories = _directories(paths)
        chosen = {d for glob in self.globs for d in glob.select(directories)}
        found = {path for glob in self.globs for path in glob.select(paths)}
        if chosen:
            found.update(path for path in paths if not chosen.isdisjoint(_above(path)))
        return found


def _above(path: str) -> Iterator[str]:
    slash = path.rfind("/")
    while slash > 0:
        yield path[:slash]
        slash = path.rfind("/", 0, slash)


def _directories(paths: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for path in paths:
        for directory in _above(path):
            if directory in found:
                break
            found[directory] = None
    return list(found)


class Chosen(NamedTuple):
    """Chosen files of one range: paths in order, and their bytes together."""

    paths: tuple[str, ...]
    size_bytes: int


@dataclass(slots=True, kw_only=True)
class Gathered:
    """What was met in chosen rows, wherever."""

    chunks: set[bytes] = field(default_factory=set)  # of their contents, lists of chunks included
    contents: set[bytes] = field(default_factory=set)  # digests of whole files
    datums: set[bytes] = field(default_factory=set)  # keys of those that wrote them

    def note(self, rows: Columns, i: int, load: Callable[[ChunkId], bytes]) -> None:
        """Note one row; `load` reads the lists of a file with very many chunks."""
        if any(datum := rows.datum(i)):
            self.datums.add(datum)
        if not rows.sizes[i]:
            return
        self.contents.add(rows.digest(i))
        if not rows.counts[i]:
            self.chunks.add(rows.digest(i))
            return
        refs = [chunk for chunk, _ in rows.refs(i)]
        self.chunks.update(map(bytes.fromhex, refs))
        if rows.has_lists(i):
            for part in refs:
                spans = read_list(load(ChunkId(part)))
                self.chunks.update(bytes.fromhex(chunk) for chunk, _ in spans)

    def note_row(self, row: FileRow) -> None:
        """Note one row that is there as a value."""
        if row.datum:
            self.datums.add(bytes.fromhex(row.datum))
        if row.size_bytes:
            self.contents.add(bytes.fromhex(row.digest))
            self.chunks.update(bytes.fromhex(chunk) for chunk, _ in row.chunks)


class Finder:
    """Finds what a selection chooses in the trees of a history; for one thread.

    Memory: the chosen paths of each different range, and the names of the others.
    """

    def __init__(self, chunks: ChunkStore, selection: Selection, gathered: Gathered) -> None:
        self._chunks = chunks
        self.selection = selection
        self._gathered = gathered
        self._ranges: dict[bytes, Chosen | None] = {}
        self._clean: set[bytes] = set()  # nodes without a match

    def of(self, root: RootId) -> Chosen:
        """What is chosen in a tree. Raises Corrupt for one that can't be read."""
        if root == EMPTY or not self.selection:
            return NOTHING
        found = list(self._below(root))
        if len(found) == 1:
            return found[0]
        return Chosen(
            tuple(path for part in found for path in part.paths),
            sum(part.size_bytes for part in found),
        )

    def _below(self, node_id: str) -> Iterator[Chosen]:
        name = bytes.fromhex(node_id)
        if name in self._clean:
            return
        node = read_node(self._chunks.get(ChunkId(node_id)))
        entries, clean = node.entries, True
        for blob, first, last in zip(entries.ids, entries.firsts, entries.lasts, strict=True):
            if not self.selection.may_choose_below(first, last):
                continue
            if node.level > 1:
                for found in self._below(blob):
                    clean = False
                    yield found
            elif (chosen := self._in_range(blob)) is not None:
                clean = False
                yield chosen
        if clean:
            self._clean.add(name)

    def _in_range(self, blob: str) -> Chosen | None:
        name = bytes.fromhex(blob)
        if name in self._ranges:
            return self._ranges[name]
        rows = decode_columns(RANGE_MAGIC, self._chunks.get(ChunkId(blob)))
        places = self.selection.rows(rows)
        for i in places:
            self._gathered.note(rows, i, self._chunks.get)
        chosen = None
        if places:
            paths = tuple(rows.paths[i] for i in places)
            chosen = Chosen(paths, sum(rows.sizes[i] for i in places))
        self._ranges[name] = chosen
        return chosen


NOTHING = Chosen((), 0)


def without_files(trees: Trees, root: RootId, paths: Iterable[str]) -> RootId:
    """The same tree without some of its files. Flush the chunk store to make it durable."""
    writer = DeltaWriter(trees)
    for path in paths:
        writer.drop_sorted(path)
    return trees.apply(root, writer.finish())


def tree_of_names(trees: Trees, names: Iterable[str]) -> RootId:
    """A tree that has empty files of these (sorted) names; it is how a set of names is kept."""
    writer = DeltaWriter(trees)
    for name in names:
        writer.put(name, ())
    return trees.apply(EMPTY, writer.finish())


def delta_without(
    trees: Trees,
    delta: DeltaId,
    chosen: Callable[[Columns], list[int]],
    *,
    drops: Callable[[str], bool],
    gathered: Gathered,
    store: bool = True,
) -> DeltaId | None:
    """The same changes without the chosen ones, and without the deletes of paths that it `drops`.

    The same delta if there are none; None if nothing is left. Without `store` it is only named.
    """
    chunks = trees.chunks
    segment = read_segment(chunks.get(ChunkId(delta)))
    deletes = [path for path in segment.deletes if not drops(path)]
    changed = len(deletes) != len(segment.deletes)
    blocks: list[Columns] = []
    for rows in SegmentCursor(segment, chunks.get).blocks():
        places = chosen(rows)
        if not places:
            blocks.append(rows)
            continue
        changed = True
        for i in places:
            gathered.note(rows, i, chunks.get)
        rest = _rest(rows, places)
        if len(rest):
            blocks.append(rest)
    if not changed:
        return delta
    if not blocks and not deletes:
        return None
    return write_blocks(blocks, deletes, chunks.put if store else _named)


def _named(blob: bytes) -> ChunkId:
    return ChunkId(Digest(blob).hexdigest())


def _rest(rows: Columns, places: list[int]) -> Columns:
    rest = Columns()
    start = 0
    for place in [*places, len(rows)]:
        if start < place:
            rest.copy_rows(rows, start, place)
        start = place + 1
    return rest
