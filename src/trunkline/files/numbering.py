"""The numbers of files that a split appends: they follow the last one of the directory.

Which number that is depends on the tree that the change is made to at last. So a number is guessed
while contents are stored, and put right, by renaming in the stored delta, if somebody was faster.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.errors import InvalidInput
from trunkline.files.columns import Columns
from trunkline.files.manifest import RootId
from trunkline.files.renaming import with_paths
from trunkline.files.segments import DeltaId, SegmentCursor, read_segment, write_blocks
from trunkline.files.splitting import NAME_DIGITS, file_name
from trunkline.files.tree import Trees
from trunkline.store.chunks import ChunkId

_NAME = re.compile(f"[0-9a-f]{{{NAME_DIGITS}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """Files that a stored delta puts into a directory, with consecutive numbers."""

    directory: str
    first: int
    count: int


def next_number(trees: Trees, root: RootId, directory: str) -> int:
    """The number behind the last one in a directory; 0 where there is no file below.

    Raises InvalidInput for a directory that has other files: those of a split would be lost there.
    """
    ends = trees.ends(root, directory)
    if ends is None:
        return 0
    cut = len(directory) + 1 if directory else 0
    for name in (end[cut:] for end in ends):
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"'{directory or '/'}' holds '{name}', which is not of a split: append to an empty "
                "directory or to one of splits alone; nothing was changed"
            )
    return int(ends[1][cut:], 16) + 1


def renumbered(
    trees: Trees, deltas: Sequence[DeltaId], numbered: Numbered, first: int
) -> list[DeltaId]:
    """The same deltas with the files numbered from `first` on."""
    found: list[DeltaId] = []
    prefix = f"{numbered.directory}/" if numbered.directory else ""
    low = prefix + file_name(numbered.first)
    high = prefix + file_name(numbered.first + numbered.count - 1)
    for delta in deltas:
        segment = read_segment(trees.chunks.get(ChunkId(delta)))
        blocks: list[Columns] = []
        for rows in SegmentCursor(segment, trees.chunks.get).blocks():
            paths = [
                prefix + file_name(int(path[len(prefix) :], 16) - numbered.first + first)
                if low <= path <= high and _NAME.fullmatch(path[len(prefix) :])
                else path
                for path in rows.paths
            ]
            blocks.append(with_paths(rows, paths))
        joined = [path for block in blocks for path in block.paths]
        if joined != sorted(joined):
            raise InvalidInput(
                f"'{numbered.directory or '/'}' is split into and written to at once; "
                "do one after the other"
            )
        found.append(write_blocks(blocks, segment.deletes, trees.chunks.put))
    return found
