"""Makes the plan of a job: the I/O around `jobs.plan`.

Cost: one look-up of remembered results per 1000 datums, one chunk per segment, one transaction for
the whole plan. A crash before that transaction leaves the job as it was.
"""

from datetime import datetime

from trunkline.db.database import Database, Transaction
from trunkline.errors import DatumTooLarge, TooManyDatums
from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees
from trunkline.jobs import quarantine, tables
from trunkline.jobs.plan import plan_datums
from trunkline.jobs.records import apply_event
from trunkline.jobs.segments import SEGMENT_BYTES_MAX, encode_segment
from trunkline.jobs.state import Action, Planned
from trunkline.jobs.tables import JobRecord, SegmentRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import (
    CrossInput,
    GroupInput,
    Input,
    JoinInput,
    PfsInput,
    PipelineSpec,
    UnionInput,
)
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums, identity, lifecycle
from trunkline.pipelines.datums import Datum, Head
from trunkline.store.digests import Digest
from trunkline.versions import provenance


def plan_job(
    database: Database, trees: Trees, job: JobRecord, *, datums_max: int, now: datetime
) -> tuple[Action, ...]:
    """Enumerate the datums of a job whose inputs are finished, and record the plan.

    Returns what to do next. Raises TooManyDatums, DatumTooLarge.
    """
    with database.read() as tx:
        record = lifecycle.get(tx, job.pipeline, version=job.version)
        heads = input_heads(tx, job.output_repo, job.id)
        pipeline = lifecycle.spec_of(record)
        carried = quarantine.carried(tx, job, pipeline)
    check_count(pipeline, heads, trees, datums_max)

    def key_of(datum: Datum) -> str:
        return identity.datum_key(job.pipeline, datum, record.salt)

    def remembered(keys: list[str]) -> set[str]:
        with database.read() as tx:
            return set(tables.results_of(tx, keys))

    segments: list[SegmentRecord] = []
    digest = Digest()
    first = total = 0
    for segment in plan_datums(
        datums.enumerate_datums(pipeline.input, heads, trees),
        key_of=key_of,
        remembered=remembered,
        may_repeat=_may_repeat(pipeline.input),
        reprocess=pipeline.reprocess_every_job,
    ):
        data = encode_segment(segment.datums)
        if len(data) > SEGMENT_BYTES_MAX:
            most = f"{SEGMENT_BYTES_MAX:,} bytes of names"
            raise DatumTooLarge(f"datum {segment.datums[0].key}", most)
        chunk = trees.chunks.put(data)
        carried.look_at(segment.datums, first)
        segments.append(
            SegmentRecord(
                number=len(segments),
                chunk=chunk,
                first=first,
                fresh=segment.fresh,
                total=len(segment.datums),
            )
        )
        digest.update("".join(planned.key for planned in segment.datums).encode("ascii"))
        first += segment.fresh
        total += len(segment.datums)
    trees.chunks.flush()
    with database.write() as tx:
        current = tables.job_by_number(tx, job.number)
        if current is None or current.state is not JobState.STARTING:
            return ()
        tables.insert_segments(tx, job.number, segments)
        tables.set_datums_digest(tx, job.number, digest.hexdigest())
        carried.record(tx, job.number)
        planned = Planned(
            total=total, skipped=total - first, failed=len(carried.taken), failure=carried.failure
        )
        return apply_event(tx, job.number, planned, now=now)


def input_heads(tx: Transaction, repo: str, commit: str) -> dict[BranchName, Head | None]:
    """The commits that an output commit is directly derived from, by the branch they came from."""
    return {
        branch: Head(commit=record.id, root=RootId(record.root))
        for branch, record in provenance.input_commits(tx, repo, commit).items()
    }


def check_count(
    pipeline: PipelineSpec, heads: dict[BranchName, Head | None], trees: Trees, most: int
) -> None:
    """Raises TooManyDatums when the input makes more than `most`; counts without enumerating."""
    count = datums.count(pipeline.input, heads, trees, most=most)
    if count > most:
        raise TooManyDatums(pipeline.name, count, most)


def _may_repeat(source: Input) -> bool:
    match source:
        case PfsInput() | GroupInput():  # a group takes each file once, and its key is in it
            return False
        case CrossInput(members=members) | JoinInput(members=members):
            return any(_may_repeat(member) for member in members)
        case UnionInput():
            return True
