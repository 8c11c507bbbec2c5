"""Quarantined datums: failed ones that did not fail their job (`on_failure` of the spec).

What they were given, by reference, and what they printed last are committed on the branch `errors`
of the output repo: `<datum>/pfs/<input>/<path>`, `<datum>/reason`, `<datum>/stderr`. As long as the
pipeline stays the same version, the next jobs take their failure over as they take over results;
another version, which `rerun pipeline` makes too, tries them again.
"""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from trunkline.db.database import Database, Transaction
from trunkline.errors import InputsClash, InvalidPath, TrunklineError
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.capture import last_words
from trunkline.jobs.logs import stored_entries
from trunkline.jobs.outcomes import failure_of
from trunkline.jobs.segments import PlannedDatum, fresh_of_segment, with_positions
from trunkline.jobs.staging import Places
from trunkline.jobs.state import FinishedTree
from trunkline.jobs.tables import DatumRecord, JobRecord
from trunkline.model.names import check_path
from trunkline.model.pipelines import ERRORS_BRANCH, PipelineSpec
from trunkline.pipelines import lifecycle
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import Digest
from trunkline.versions import branches, commits
from trunkline.versions.provenance import OpenedCommit


@dataclass(slots=True, kw_only=True)
class Carried:
    """Failures that a job takes over from the pipeline's last good job."""

    known: dict[str, DatumRecord]  # by key
    taken: dict[int, DatumRecord] = field(default_factory=dict)  # by position in the job

    def look_at(self, planned: list[PlannedDatum], first: int) -> None:
        """Take over what failed before; the fresh ones of `planned` have positions from `first`."""
        for datum, position in with_positions(planned, first):
            if position is not None and datum.key in self.known:
                self.taken[position] = self.known[datum.key]

    def record(self, tx: Transaction, job: int) -> None:
        """Give the datums of a job their outcomes; nobody runs them."""
        taken = self.taken.items()
        tables.insert_datums(
            tx, job, [replace(record, job=job, position=position) for position, record in taken]
        )

    @property
    def failure(self) -> str:
        """The sentence for the first of them, or nothing."""
        return next((failure_of(record) for record in self.taken.values()), "")


def carried(tx: Transaction, job: JobRecord, spec: PipelineSpec) -> Carried:
    """What a job may take over: at most as many as were quarantined at once."""
    before = tables.good_job_before(tx, job.pipeline, job.number)
    same = before is not None and before.version == job.version and not spec.reprocess_every_job
    if before is None or not same or not spec.quarantined_max:
        return Carried(known={})
    return Carried(known={d.key: d for d in tables.failed_datums(tx, before.number)})


def tolerated(tx: Transaction, job: JobRecord) -> int:
    """How many datums of a job may fail without failing it."""
    record = lifecycle.get(tx, job.pipeline, version=job.version)
    return lifecycle.spec_of(record).quarantined_max


def errors_tree(database: Database, trees: Trees, job: JobRecord) -> FinishedTree | None:
    """The stored tree of what a job quarantined; None if its pipeline does no such thing."""
    with database.read() as tx:
        if not tolerated(tx, job):
            return None
        failed = tables.failed_datums(tx, job.number)
    writer = DeltaWriter(trees)
    for record, planned in _planned(database, trees, job, failed):
        _write(writer, trees, record, planned)
    root = trees.apply(EMPTY, writer.finish())
    files, size = trees.totals(root)
    trees.chunks.flush()
    return FinishedTree(root=root, files=files, size_bytes=size)


def commit_errors(
    tx: Transaction, job: JobRecord, tree: FinishedTree, *, now: datetime
) -> tuple[OpenedCommit, ...]:
    """Put the tree on the branch `errors`, if that has another one; what this opened.

    In a run of its own: a run has one commit in a repo, which is the output. Raises OutputBranch
    and CommitOpen if a user did something else with that branch.
    """
    head = branches.branch_head(tx, job.output_repo, ERRORS_BRANCH)
    if tree.root == (EMPTY if head is None else head.root):
        return ()
    started = commits.put_commit(
        tx,
        job.output_repo,
        ERRORS_BRANCH,
        expected_head=None if head is None else head.id,
        root=tree.root,
        files=tree.files,
        size_bytes=tree.size_bytes,
        description=f"what job {job.name} quarantined",
        now=now,
        run_id=_run_of_errors(job),
    )
    return started.opened


def _run_of_errors(job: JobRecord) -> str:
    digest = Digest()
    digest.update(f"errors of {job.name}".encode())
    return uuid.UUID(bytes=bytes.fromhex(digest.hexdigest())[:16], version=4).hex


def _planned(
    database: Database, trees: Trees, job: JobRecord, failed: list[DatumRecord]
) -> Iterator[tuple[DatumRecord, PlannedDatum]]:
    """Each failed datum with its plan; a segment is read once."""
    waiting = sorted(failed, key=lambda record: record.position)
    while waiting:
        at = waiting[0].position
        with database.read() as tx:
            [segment] = tables.segments_between(tx, job.number, at, at + 1)
        fresh = fresh_of_segment(trees.chunks.get(ChunkId(segment.chunk)))
        while waiting and waiting[0].position < segment.first + segment.fresh:
            record = waiting.pop(0)
            yield record, fresh[record.position - segment.first]


def _write(writer: DeltaWriter, trees: Trees, record: DatumRecord, planned: PlannedDatum) -> None:
    """What it was given, why it failed, and its last words, in a directory of its own.

    Of inputs that clash, which is why it failed, the first are there.
    """
    place = planned.key
    places = Places(planned.datum.files)
    too_long = 0
    for file in planned.datum.files:
        with suppress(InputsClash):
            for row in places.claimed(file, trees.walk(RootId(file.root), file.path)):
                try:
                    path = check_path(f"{place}/pfs/{file.name}/{row.path}")
                except InvalidPath:
                    too_long += 1
                    continue
                writer.put_row(replace(row, path=path, datum=""))
    reason = record.reason
    if too_long:
        files = "1 input file is" if too_long == 1 else f"{too_long:,} input files are"
        reason += f"\n({files} not kept here: below this directory the path is too long)"
    texts = {"reason": reason, "stderr": _stderr(trees, record)}
    for name, text in texts.items():
        if text:
            content = f"{text}\n".encode("utf-8", "backslashreplace")
            writer.put_row(writer.store(f"{place}/{name}", [content]))


def _stderr(trees: Trees, record: DatumRecord) -> str:
    try:
        return last_words(
            (stream, text) for _, stream, text in stored_entries(trees.chunks, record.log)
        )
    except TrunklineError:  # a purge may have taken the log meanwhile
        return ""
