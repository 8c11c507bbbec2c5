"""The same rows under other paths, as columns: copies of trees, and numbers that move on."""

from array import array
from collections.abc import Iterable, Iterator

from trunkline.files.columns import Columns
from trunkline.files.segments import APPEND, BLOCK_ROWS, PUT
from trunkline.files.view import Slice
from trunkline.model.names import check_path
from trunkline.store.digests import DIGEST_BYTES

_SEGMENT_BLOCKS_MAX = 32


def renamed_segments(
    slices: Iterable[Slice], *, source: str, target: str, append: bool
) -> Iterator[list[Columns]]:
    """The blocks of each segment that puts (or appends) the rows at `target`, as hand-made rows.

    Rows at or below `source` keep what follows it. One prefix in place of another leaves the order
    as it is. Raises InvalidPath for a path that gets too long.
    """
    blocks: list[Columns] = []
    for part in slices:
        for start in range(part.start, part.end, BLOCK_ROWS):
            end = min(part.end, start + BLOCK_ROWS)
            blocks.append(_renamed(part.rows, start, end, source, target, append))
            if len(blocks) == _SEGMENT_BLOCKS_MAX:
                yield blocks
                blocks = []
    if blocks:
        yield blocks


def _renamed(
    rows: Columns, start: int, end: int, source: str, target: str, append: bool
) -> Columns:
    block = Columns()
    block.copy_rows(rows, start, end)
    cut = len(source) + (1 if source else 0)
    prefix = f"{target}/" if target else ""
    if source and block.paths == [source]:
        block.paths = [check_path(target)]
    else:
        block.paths = [prefix + path[cut:] for path in block.paths]
        if len(target) > len(source):
            check_path(max(block.paths, key=lambda path: len(path.encode("utf-8"))))
    count = len(block)
    block.datums = bytearray(count * DIGEST_BYTES)
    block.kinds = bytearray([APPEND if append else PUT]) * count
    return block


def with_paths(rows: Columns, paths: list[str]) -> Columns:
    """The same rows under other (sorted) paths; nothing else is copied."""
    return Columns(
        paths=paths,
        sizes=rows.sizes,
        digests=rows.digests,
        datums=rows.datums,
        counts=array("I", rows.counts),
        ref_ids=rows.ref_ids,
        ref_sizes=rows.ref_sizes,
        kinds=rows.kinds,
    )
