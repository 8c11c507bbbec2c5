"""What differs inside of the files of two trees: pairs them up and has each pair compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from trunkline.api.waiting import check_wanted
from trunkline.compare.compare import compare_contents
from trunkline.compare.content import Content
from trunkline.errors import InvalidInput
from trunkline.files.columns import FileRow
from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees
from trunkline.model.differences import ContentDifference, ContentKind
from trunkline.model.versions import Side
from trunkline.versions.commits import CommitRecord

MOST_MAX = 100_000  # lines or rows that one answer lists


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSide:
    """One side of a comparison: a path in the tree of a commit."""

    root: RootId
    record: CommitRecord
    path: str


def content_differences(
    trees: Trees,
    new: ComparedSide,
    old: ComparedSide,
    *,
    kind: str | None,
    key: Sequence[str],
    most: int,
    files_max: int,
) -> Iterator[ContentDifference]:
    """See `api.files.diff_contents`; a file's path is the one on the new side, if it has one."""
    wanted = _kind(kind)
    if not 0 <= most <= MOST_MAX or files_max < 0:
        raise InvalidInput(f"a comparison lists 0 to {MOST_MAX:,} lines or rows of a file")
    pairs = _pairs(trees.diff(new.root, new.path, old.root, old.path), len(new.path), len(old.path))
    return (
        compare_contents(
            (after or before).path,  # type: ignore[union-attr]
            _content(trees, before),
            _content(trees, after),
            kind=wanted,
            key=key,
            most=most,
        )
        for before, after in islice(pairs, files_max or None)
    )


def _kind(name: str | None) -> ContentKind | None:
    if name is None:
        return None
    try:
        return ContentKind(name)
    except ValueError as error:
        raise InvalidInput(
            f"contents can't be compared as '{name}'; use one of {', '.join(ContentKind)}"
        ) from error


def _content(trees: Trees, row: FileRow | None) -> Content | None:
    if row is None:
        return None

    def read(offset: int, size: int | None) -> Iterator[bytes]:
        for piece in trees.read(row, offset, size):
            check_wanted()  # a comparison may read for minutes before it has an answer
            yield piece

    return Content(size_bytes=row.size_bytes, chunks=row.chunks, read=read)


def _pairs(
    differences: Iterator[tuple[Side, FileRow]], new_skip: int, old_skip: int
) -> Iterator[tuple[FileRow | None, FileRow | None]]:
    """(old, new) of each file; of a changed one, `differences` has the new side right before."""
    waiting: FileRow | None = None
    for side, row in differences:
        if side is Side.NEW:
            if waiting is not None:
                yield None, waiting
            waiting = row
        elif waiting is not None and waiting.path[new_skip:].strip("/") == row.path[
            old_skip:
        ].strip("/"):
            yield row, waiting
            waiting = None
        else:
            if waiting is not None:
                yield None, waiting
                waiting = None
            yield row, None
    if waiting is not None:
        yield None, waiting
