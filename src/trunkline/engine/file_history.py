"""The history of one path, and how files of commits look from outside."""

from collections.abc import Iterator
from itertools import islice, pairwise

from trunkline.engine.services import Services
from trunkline.errors import FileNotFoundInCommit
from trunkline.files.columns import FileRow
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Entry
from trunkline.model.versions import Change, FileInfo, FileType, FileVersion
from trunkline.versions import commits
from trunkline.versions.commits import CommitRecord

_PAGE = 200  # commits looked at in one transaction


def file_versions(
    services: Services, start: CommitRecord, path: str, *, number: int
) -> Iterator[FileVersion]:
    """See `api.files.list_file_versions`.

    Cost: for each commit on the way back, the ranges around the path in which it differs from the
    one before it.
    """
    given = 0
    for newer, older in pairwise(_trees_back(services, start)):
        found = _version(services, newer, older, path) if newer is not None else None
        if found is not None:
            yield found
            given += 1
            if given == number:
                return
    if not given:
        raise FileNotFoundInCommit(start.repo, start.id, path or "/")


def _trees_back(services: Services, start: CommitRecord) -> Iterator[CommitRecord | None]:
    """The commits that have a tree of their own, newest first, and None for the time before.

    One that failed has none: what comes after it is based on the tree before it.
    """
    seen: CommitRecord | None = None
    more = True
    while more:
        with services.database.read() as tx:
            page = list(islice(commits.list_back(tx, start, seen=seen), _PAGE))
        yield from (c for c in page if c.finished is not None and c.error is None)
        more = len(page) == _PAGE
        seen = page[-1] if more else None
    yield None


def _version(
    services: Services, newer: CommitRecord, older: CommitRecord | None, path: str
) -> FileVersion | None:
    """What a commit did to a path, or None if it left it alone."""
    root = RootId(newer.root)
    before = EMPTY if older is None else RootId(older.root)
    trees = services.trees
    if root == before or next(trees.diff(root, path, before, path), None) is None:
        return None
    now, was = trees.entry(root, path, digest=True), trees.entry(before, path)
    # The root directory is always there, as far as trees are concerned.
    change = (
        Change.ADDED
        if was is None or before == EMPTY
        else Change.DELETED
        if now is None
        else Change.CHANGED
    )
    assert newer.finished is not None
    return FileVersion(
        repo=newer.repo,
        commit=newer.id,
        change=change,
        finished=newer.finished,
        description=newer.description,
        file=None if now is None else file_info(newer, now),
    )


def file_info(record: CommitRecord, entry: Entry) -> FileInfo:
    return FileInfo(
        repo=record.repo,
        commit=record.id,
        path=entry.path,
        type=entry.type,
        size_bytes=entry.size_bytes,
        digest=entry.digest,
        datum=entry.datum,
    )


def row_info(record: CommitRecord, row: FileRow) -> FileInfo:
    return FileInfo(
        repo=record.repo,
        commit=record.id,
        path=row.path,
        type=FileType.FILE,
        size_bytes=row.size_bytes,
        digest=row.digest,
        datum=row.datum,
    )
