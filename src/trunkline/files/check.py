"""Checks the structure of a stored tree against all rules of the format."""

from collections.abc import Iterator

from trunkline.errors import Corrupt, TrunklineError
from trunkline.files.columns import Columns, read_list
from trunkline.files.manifest import is_cut, next_cut
from trunkline.files.view import View
from trunkline.model.names import check_path
from trunkline.store.chunks import ChunkId, ChunkStore


def check_tree(view: View, chunks: ChunkStore) -> Iterator[tuple[str, str]]:
    """(path, problem) for everything wrong with a tree; the path is "" where none is to blame.

    Says whether all chunks are stored, not whether they are whole: that is `ChunkStore.verify`.
    """
    before = ""
    files = _Above()
    for number in range(len(view.ranges)):
        try:
            rows = view.rows(number)
        except Corrupt as error:
            yield view.ranges.firsts[number], f"range {number}: {error}"
            continue
        for path in rows.paths:
            if path <= before:
                yield path, f"it does not sort behind '{before}'"
            before = path
            yield from _path_problems(path, files)
        if sum(rows.sizes) != view.ranges.sizes[number]:
            yield rows.paths[0], f"the sizes of range {number} don't add up to that in the index"
        last = number == len(view.ranges) - 1
        cut = next_cut(rows.paths, 0, len(rows), 0)
        ends = is_cut(rows.paths[-1], len(rows))
        if (cut and cut != len(rows)) or not (ends or last):
            yield rows.paths[0], f"range {number} ends where the format puts no end"
        yield from _chunk_problems(rows, chunks)


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
