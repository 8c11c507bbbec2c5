"""Makes the plan of a job: the I/O around `jobs.plan`.

Cost: that of the changes where the last good job can be gone on from (`jobs.replanning`), else one
look-up of remembered results per 1000 datums and one chunk per segment; one transaction for the
whole plan. A crash before that transaction leaves the job as it was.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from trunkline.db.database import Database, Transaction
from trunkline.errors import NotFound, TooManyDatums
from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees
from trunkline.jobs import quarantine, tables
from trunkline.jobs.plan import PlannedSegment, plan_datums
from trunkline.jobs.plan_writer import Plan, PlanWriter
from trunkline.jobs.records import apply_event
from trunkline.jobs.replanning import changes, replan
from trunkline.jobs.segments import PlannedDatum
from trunkline.jobs.state import Action, Planned
from trunkline.jobs.tables import JobRecord
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
from trunkline.pipelines.datums import Datum, Head, Heads
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.store.digests import Digest
from trunkline.versions import provenance


def plan_job(
    database: Database,
    trees: Trees,
    job: JobRecord,
    *,
    datums_max: int,
    now: datetime,
    look: Callable[[Heads, Plan, Collection[int]], None],
) -> tuple[Action, ...]:
    """Enumerate the datums of a job whose inputs are finished, and record the plan.

    `look` is shown the plan before that, with what it reads, and the positions that have outcomes.
    Returns what to do next. Raises TooManyDatums, DatumTooLarge.
    """
    with database.read() as tx:
        record = lifecycle.get(tx, job.pipeline, version=job.version)
        heads = input_heads(tx, job.output_repo, job.id)
        carried = quarantine.carried(tx, job, lifecycle.spec_of(record))
    plan = replan(database, trees, job, record, heads, datums_max=datums_max)
    if plan is None:
        plan = _plan_anew(database, trees, record, heads, carried, datums_max=datums_max)
    trees.chunks.flush()
    look(heads, plan, carried.taken)
    with database.write() as tx:
        current = tables.job_by_number(tx, job.number)
        if current is None or current.state is not JobState.STARTING:
            return ()
        tables.insert_segments(tx, job.number, plan.segments)
        tables.set_datums_digest(tx, job.number, plan.digest)
        carried.record(tx, job.number)
        planned = Planned(
            total=plan.total,
            skipped=plan.total - plan.fresh,
            failed=len(carried.taken),
            failure=carried.failure,
        )
        return apply_event(tx, job.number, planned, now=now)


def _plan_anew(
    database: Database,
    trees: Trees,
    record: PipelineRecord,
    heads: dict[BranchName, Head | None],
    carried: quarantine.Carried,
    *,
    datums_max: int,
) -> Plan:
    """Goes through all datums."""
    writer = PlanWriter(trees)
    digest = Digest()
    for segment in planned_segments(
        *(database, trees, lifecycle.spec_of(record), heads),
        salt=record.salt,
        datums_max=datums_max,
    ):
        carried.look_at(segment.datums, writer.fresh)
        writer.add(segment.datums)
        digest.update(segment.keys)
    return writer.plan(digest.hexdigest())


def planned_segments(
    database: Database,
    trees: Trees,
    pipeline: PipelineSpec,
    heads: dict[BranchName, Head | None],
    *,
    salt: str,
    datums_max: int,
) -> Iterator[PlannedSegment]:
    """The datums that a pipeline with this salt makes of some heads, each fresh or remembered.

    Nothing is recorded. Raises TooManyDatums.
    """

    def key_of(datum: Datum) -> str:
        return identity.datum_key(pipeline.name, datum, salt)

    def remembered(keys: list[str]) -> set[str]:
        with database.read() as tx:
            return set(tables.results_of(tx, keys))

    with datums.counted_datums(pipeline.input, heads, trees, most=datums_max) as (count, found):
        if count > datums_max:
            raise TooManyDatums(pipeline.name, count, datums_max)
        yield from plan_datums(
            found,
            key_of=key_of,
            remembered=remembered,
            may_repeat=_may_repeat(pipeline.input),
            reprocess=pipeline.reprocess_every_job,
        )


def fresh_datums(
    database: Database,
    trees: Trees,
    job: JobRecord,
    record: PipelineRecord,
    heads: dict[BranchName, Head | None],
    *,
    datums_max: int,
    enumerated_max: int,
) -> Iterator[PlannedDatum]:
    """The datums of a job that have no result now; nothing is recorded.

    Where they are found by the changes since the last good job there may be `datums_max` in all,
    else `enumerated_max`. Raises TooManyDatums.
    """
    found = changes(database, trees, job, record, heads, datums_max=datums_max)
    if found is not None:
        yield from (new for _, new in found.pairs if new is not None and new.fresh)
        return
    spec = lifecycle.spec_of(record)
    for segment in planned_segments(
        database, trees, spec, heads, salt=record.salt, datums_max=enumerated_max
    ):
        yield from (planned for planned in segment.datums if planned.fresh)


def input_heads(tx: Transaction, repo: str, commit: str) -> dict[BranchName, Head | None]:
    """The commits that an output commit is directly derived from, by the branch they came from."""
    return {
        branch: Head(commit=record.id, root=RootId(record.root))
        for branch, record in provenance.input_commits(tx, repo, commit).items()
    }


def input_sources(tx: Transaction, job: JobRecord) -> dict[str, Head]:
    """What an ended or running job reads, by repo, of those repos that it reads one commit of."""
    found: dict[str, Head] = {}
    try:
        heads = input_heads(tx, job.output_repo, job.id)
    except NotFound:  # its output was deleted, and with it what it was made from
        return found
    repos = Counter(branch.repo for branch in heads)
    for branch, head in heads.items():
        if head is not None and repos[branch.repo] == 1:
            found[branch.repo] = head
    return found


def check_count(
    pipeline: PipelineSpec, heads: dict[BranchName, Head | None], trees: Trees, most: int
) -> None:
    """Raises TooManyDatums when the input makes more than `most`; counts without enumerating, and
    only where the sizes of the trees don't tell that there can't be as many.
    """
    if datums.at_most(pipeline.input, heads, trees) <= most:
        return
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
