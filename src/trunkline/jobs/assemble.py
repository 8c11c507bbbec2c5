"""Makes the output tree of a job: the union of the outputs of exactly its datums.

Starts from the tree of the pipeline's last good job where that is less work: what its vanished
datums wrote is removed, what new ones wrote is added. As equal trees have equal roots, the result
is the same as from scratch.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import zip_longest

from trunkline.db.database import Database, Transaction
from trunkline.errors import DuplicateOutput, NotFound
from trunkline.files.delta import DeltaId, DeltaWriter, delta_rows
from trunkline.files.manifest import EMPTY, FileRow, RootId
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.remembered import by_delta, in_batches, unremembered
from trunkline.jobs.segments import keys_of_segment
from trunkline.jobs.state import FinishedTree
from trunkline.jobs.tables import JobRecord, ResultRecord, SegmentRecord
from trunkline.pipelines import lifecycle
from trunkline.store.chunks import ChunkId
from trunkline.versions import commits
from trunkline.versions.commits import CommitRecord

_WAITING_MAX = 200_000  # keys that only one of two jobs has so far; some 200 bytes each


def assemble(database: Database, trees: Trees, job: JobRecord) -> FinishedTree:
    """The stored, durable output tree of a job whose datums have ended well enough.

    Raises DuplicateOutput when two datums wrote one path (unless the spec merges).
    """
    with database.read() as tx:
        record = lifecycle.get(tx, job.pipeline, version=job.version)
        before = tables.good_job_before(tx, job.pipeline, job.number)
        base = _base(tx, before, job) if before else None
        without = tables.keys_without_output(tx, before.number) if before else set()
        silent = tables.keys_without_output(tx, job.number)
        segments = tables.segments_of(tx, job.number)
        segments_before = tables.segments_of(tx, before.number) if before else []
    pipeline = lifecycle.spec_of(record)
    if pipeline.resident:  # its process has what it is to show; it writes no files
        return _changed(database, trees, EMPTY, removed=[], added=list)
    if pipeline.output_merge != "concat" and before is not None and base is not None:
        # A plan that was made from the earlier one shares most segments with it. A datum that was
        # recovered or quarantined left nothing in the base, but may have a result now.
        whole = {segment.chunk for segment in segments_before} if not without | silent else set()
        shared = whole.intersection(segment.chunk for segment in segments)
        removed, added, few = _differences(
            (key for key in _keys(trees, segments_before, but=shared) if key not in without),
            (key for key in _keys(trees, segments, but=shared) if key not in silent),
        )
        if (
            few
            and len(removed) + len(added) < max(1, job.total)
            and not any(unremembered(database, removed))
        ):
            root = RootId(base.root)
            return _changed(database, trees, root, removed=sorted(removed), added=lambda: added)

    def keys() -> Iterator[str]:
        return (key for key in _keys(trees, segments) if key not in silent)

    if pipeline.output_merge == "concat":
        return _concatenated(database, trees, keys())
    return _changed(database, trees, EMPTY, removed=[], added=keys)


def _base(tx: Transaction, before: JobRecord, job: JobRecord) -> CommitRecord | None:
    """The output of an earlier job, if it is just the union of what is remembered of its datums.

    It is not when a version since then merged outputs or replaced remembered results.
    """
    for version in lifecycle.versions_of(tx, job.pipeline):
        spec = lifecycle.spec_of(version)
        since = before.version <= version.version <= job.version
        if since and (spec.output_merge == "concat" or spec.reprocess_every_job):
            return None
    try:
        return commits.get_commit(tx, before.output_repo, before.id)
    except NotFound:  # deleted since
        return None


def _differences(old: Iterable[str], new: Iterable[str]) -> tuple[list[str], list[str], bool]:
    """What only the one and what only the other has, in order; neither names a key twice.

    They are read side by side, as what both have stands at about the same place, so that few keys
    wait for their like. False with what is known by then when there are too many.
    """
    gone: dict[str, None] = {}
    come: dict[str, None] = {}
    for before, after in zip_longest(old, new):
        if before == after:
            continue
        for key, here, there in ((before, gone, come), (after, come, gone)):
            if key in there:
                del there[key]
            elif key is not None:
                here[key] = None
        if len(gone) + len(come) > _WAITING_MAX:
            return list(gone), list(come), False
    return list(gone), list(come), True


def _changed(
    database: Database,
    trees: Trees,
    base: RootId,
    *,
    removed: Iterable[str],
    added: Callable[[], Iterable[str]],
) -> FinishedTree:
    files_before, _ = trees.totals(base)
    writer = DeltaWriter(trees)
    files_gone = files_come = 0
    for row in _outputs(database, trees, removed):
        writer.delete_written(row.path, row.datum)
        files_gone += 1
    for row in _outputs(database, trees, added()):
        writer.put_row(row)
        files_come += 1
    root = trees.apply(base, writer.finish())
    files, size = trees.totals(root)
    if files != files_before - files_gone + files_come:
        # Fewer files than were written: somewhere one datum's file took the place of another's.
        _raise_duplicate(lambda: _outputs(database, trees, added()), trees, base)
    trees.chunks.flush()
    return FinishedTree(root=root, files=files, size_bytes=size)


def _concatenated(database: Database, trees: Trees, keys: Iterable[str]) -> FinishedTree:
    writer = DeltaWriter(trees)
    for row in _outputs(database, trees, keys):
        writer.put_row(row, append=True)
    root = trees.apply(EMPTY, writer.finish())
    files, size = trees.totals(root)
    trees.chunks.flush()
    return FinishedTree(root=root, files=files, size_bytes=size)


def _raise_duplicate(rows: Callable[[], Iterator[FileRow]], trees: Trees, base: RootId) -> None:
    seen: dict[str, str] = {}
    for row in rows():
        there = trees.find(base, row.path)
        first = seen.get(row.path) or (there.datum if there else None)
        if first is not None and first != row.datum:
            raise DuplicateOutput(row.path, first, row.datum)
        seen[row.path] = row.datum
    raise AssertionError("the output tree has fewer files than its datums wrote")


def _keys(
    trees: Trees, segments: list[SegmentRecord], *, but: Collection[str] = ()
) -> Iterator[str]:
    """The keys of all datums in some segments, without those in the chunks `but`."""
    for segment in segments:
        if segment.chunk not in but:
            yield from keys_of_segment(trees.chunks.get(ChunkId(segment.chunk)))


def _outputs(database: Database, trees: Trees, keys: Iterable[str]) -> Iterator[FileRow]:
    """The files that some datums wrote, in the order of the datums."""
    for batch, results in in_batches(database, keys):
        for key in batch:
            assert key in results, f"the result of datum {key} is gone"
        yield from _rows_of(trees, [results[key] for key in batch])


def _rows_of(trees: Trees, results: Iterable[ResultRecord]) -> Iterator[FileRow]:
    """Workers store the outputs of several datums in one delta: each delta is read once."""
    ordered = list(results)
    by_datum: dict[str, list[FileRow]] = {result.key: [] for result in ordered if result.files}
    for delta, keys in by_delta(ordered).items():
        for row in delta_rows(trees, DeltaId(delta)):
            if row.datum in keys:
                by_datum[row.datum].append(row)
    for result in ordered:
        yield from by_datum.pop(result.key, ())
