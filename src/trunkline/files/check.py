"""Checks the structure of a stored tree against all rules of the format."""

from collections.abc import Callable, Iterator

from trunkline.errors import Corrupt, TrunklineError
from trunkline.files.columns import Columns, read_list
from trunkline.files.index import LEVEL_MAX, Cursor
from trunkline.files.manifest import CUTS, is_cut, is_node_cut, next_cut
from trunkline.files.view import View
from trunkline.model.names import check_path
from trunkline.store.chunks import ChunkId, ChunkStore

Fresh = Callable[[str], bool]  # whether a node or range was not asked for before


def check_tree(view: View, chunks: ChunkStore, fresh: Fresh) -> Iterator[tuple[str, str]]:
    """(path, problem) for everything wrong with a tree; the path is "" where none is to blame.

    Nodes and ranges that are not fresh, because another tree has them, are not gone into. Says
    whether all chunks are stored, not whether they are whole: that is `ChunkStore.verify`.
    """
    state = _State(view.version)
    try:
        cursor = view.cursor()
        while not cursor.done:
            yield from _unit_problems(cursor, state, chunks, fresh)
            cursor.step()
    except Corrupt as error:
        yield state.before, str(error)


class _State:
    """What was seen so far."""

    def __init__(self, version: int) -> None:
        self.cuts = CUTS[version]
        self.before = ""  # the latest path
        self.files = _Above()
        self.entries = [0] * LEVEL_MAX  # of the node that is open on each level


def _unit_problems(
    cursor: Cursor, state: _State, chunks: ChunkStore, fresh: Fresh
) -> Iterator[tuple[str, str]]:
    """The problems of the range at a position, after those of the nodes on the way down to it."""
    while cursor.level:
        yield from _entry_problems(cursor, state)
        if _skipped(cursor, state, fresh):
            return
        try:
            cursor.descend()
        except Corrupt as error:
            yield cursor.first, str(error)
            return
    yield from _entry_problems(cursor, state)
    if _skipped(cursor, state, fresh):
        return
    unit = cursor.unit
    try:
        rows = cursor.rows()
    except Corrupt as error:
        yield unit.first, str(error)
        return
    for path in rows.paths:
        if path <= state.before:
            yield path, f"it does not sort behind '{state.before}'"
        state.before = path
        yield from _path_problems(path, state.files)
    if sum(rows.sizes) != unit.size:
        yield unit.first, f"the sizes in range {unit.blob} don't add up to that in the index"
    cut = next_cut(rows.paths, 0, len(rows), 0, state.cuts)
    ends = is_cut(rows.paths[-1], len(rows), state.cuts)
    if (cut and cut != len(rows)) or not (ends or cursor.is_last):
        yield unit.first, f"range {unit.blob} ends where the format puts no end"
    yield from _chunk_problems(rows, chunks)


def _skipped(cursor: Cursor, state: _State, fresh: Fresh) -> bool:
    """Whether what the entry at a position names was checked in another tree.

    The end of a tree may break the rule of cuts, so it is checked in each.
    """
    if cursor.is_last or fresh(cursor.unit.blob):
        return False
    state.before, state.files = cursor.last, _Above()
    for level in range(cursor.level):
        state.entries[level] = 0
    return True


def _entry_problems(cursor: Cursor, state: _State) -> Iterator[tuple[str, str]]:
    """Whether the node that holds the entry at a position ends where the format says."""
    state.entries[cursor.level] += 1
    ends = is_node_cut(cursor.last, state.entries[cursor.level])
    if ends:
        state.entries[cursor.level] = 0
    if ends != cursor.ends_node and not cursor.is_last:
        state.entries[cursor.level] = 0
        yield cursor.first, f"a node of level {cursor.level + 1} ends where the format puts no end"


class _Above:
    """The files that a later path could lie below."""

    def __init__(self) -> None:
        self._open: list[str] = []

    def file_above(self, path: str) -> str | None:
        while self._open and not path.startswith(self._open[-1]):
            self._open.pop()
        found = self._open[-1] if self._open else None
        self._open.append(path)
        return found if found and path[len(found) : len(found) + 1] == "/" else None


def _path_problems(path: str, files: _Above) -> Iterator[tuple[str, str]]:
    try:
        if check_path(path) != path:
            yield path, "it is not written in canonical form"
    except TrunklineError as error:
        yield path, str(error)
    above = files.file_above(path)
    if above:
        yield path, f"it lies below '{above}', which is a file"


def _chunk_problems(rows: Columns, chunks: ChunkStore) -> Iterator[tuple[str, str]]:
    needed: dict[ChunkId, str] = {}
    for i, path in enumerate(rows.paths):
        refs = rows.refs(i)
        for chunk, _ in refs:
            needed[chunk] = path
        if rows.has_lists(i):
            try:
                refs = [span for part, _ in refs for span in read_list(chunks.get(part))]
            except Corrupt as error:
                yield path, str(error)
                continue
            for chunk, _ in refs:
                needed[chunk] = path
        if refs and sum(size for _, size in refs) != rows.sizes[i]:
            yield path, "the sizes of its chunks don't add up to its size"
        if not refs and rows.sizes[i]:
            needed[ChunkId(rows.digest(i).hex())] = path
    for chunk in needed.keys() - chunks.has_many(list(needed)):
        yield needed[chunk], f"its chunk {chunk} is missing"
