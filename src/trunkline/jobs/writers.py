"""Which datums wrote which files of the commit that a job made.

The tree of a commit says it of each file: its row has the key of the datum. Only where outputs are
put together (`output_merge: concat`) a file has several, and its row the last of them: there, what
is remembered of all datums of the job is gone through, one delta after the other.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime

from trunkline.db.database import Database, Transaction
from trunkline.files.delta import DeltaId, delta_places
from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees
from trunkline.files.view import below
from trunkline.jobs import tables
from trunkline.jobs.remembered import by_delta, in_batches
from trunkline.jobs.search import FoundDatum, PlanReader
from trunkline.jobs.tables import JobRecord
from trunkline.model.jobs import DatumState
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import DatumFile

_NOBODY = bytes(32)


def ran_by(
    tx: Transaction, job: JobRecord, found: FoundDatum
) -> tuple[JobRecord | None, datetime | None]:
    """The job that ran a datum of a job's plan with success, and when that ended.

    The job itself, or for a skipped datum the one whose result it took over; None if the record of
    that one is gone.
    """
    if found.position is not None:
        record = tables.datum_at(tx, job.number, found.position)
        good = record is not None and record.state is not DatumState.FAILED
        return job, record.finished if record is not None and good else None
    run = tables.origin_of_result(tx, found.planned.key)
    if run is None or not 0 < run[0] < job.number:  # replaced since, or forgotten
        run = tables.last_success(tx, job.pipeline, found.planned.key, before=job.number)
    maker = None if run is None else tables.job_by_number(tx, run[0])
    return (None, None) if run is None or maker is None else (maker, run[1])


def has_reference(found: FoundDatum) -> bool:
    """Whether the result of a datum may be of other content than its job's inputs had."""
    return any(file.reference for file in found.planned.datum.files)


def references_read(
    plans: PlanReader, ran: JobRecord | None, found: FoundDatum
) -> dict[tuple[str, str], DatumFile] | None:
    """What a datum read of its `reference` inputs in the job that ran it, by input and path.

    Their content does not count in the key, so that a result is taken over where it is another;
    that of all other inputs is the same in both jobs. None where the plan of that job is gone.
    """
    was = None if ran is None else next(plans.with_keys(ran, {found.planned.key}), None)
    if was is None:
        return None
    return {(file.name, file.path): file for file in was.planned.datum.files if file.reference}


def writers_below(trees: Trees, root: RootId, path: str) -> set[str]:
    """The keys of the datums that wrote the file, or the files below a directory."""
    found: set[bytes] = set()
    for part in trees.slices(root, path):
        found.update(part.rows.datum(i) for i in range(part.start, part.end))
    return {key.hex() for key in found - {_NOBODY}}


def files_of(trees: Trees, root: RootId, keys: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """(path, key, bytes) of the files of a tree that one of these datums wrote, by path."""
    wanted = {bytes.fromhex(key) for key in keys}
    for part in trees.slices(root):
        rows = part.rows
        for i in range(part.start, part.end):
            if (key := rows.datum(i)) in wanted:
                yield rows.paths[i], key.hex(), rows.sizes[i]


def silent(database: Database, job: JobRecord) -> set[str]:
    """The keys of a job's datums that failed or were recovered there: they wrote nothing.

    There may be a result of them by now.
    """
    with database.read() as tx:
        return tables.keys_without_output(tx, job.number)


def writing(database: Database, plans: PlanReader, job: JobRecord) -> Iterator[str]:
    """The keys of the datums of a job that may have written something, in order."""
    without = silent(database, job)
    keys = (found.planned.key for found in plans.datums(job))
    return (key for key in keys if key not in without)


def merged_writers(
    database: Database, trees: Trees, keys: Iterable[str], path: str, kind: FileType
) -> set[str]:
    """Which of the datums of a job wrote to a path, where outputs were put together."""
    low, high = (path, path + "\0") if kind is FileType.FILE else below(path)
    return {key for _, key in _places(database, trees, keys, low, high)}


def merged_files(database: Database, trees: Trees, keys: Iterable[str]) -> list[tuple[str, str]]:
    """(path, key) of what each of these datums wrote, by path, as far as it is remembered."""
    return sorted(_places(database, trees, keys, "", None))


def _places(
    database: Database, trees: Trees, keys: Iterable[str], low: str, high: str | None
) -> Iterator[tuple[str, str]]:
    for _, results in in_batches(database, keys):
        for delta, owners in by_delta(results.values()).items():
            for path, key in delta_places(trees, DeltaId(delta), low, high):
                if key in owners:
                    yield path, key


def touches(paths: list[str], path: str, kind: FileType) -> bool:
    """Whether one of some (sorted) paths is this file, or below this directory."""
    low = path if kind is FileType.FILE or not path else path + "/"
    at = bisect_left(paths, low)
    if at == len(paths):
        return False
    return paths[at] == path if kind is FileType.FILE else paths[at].startswith(low)
