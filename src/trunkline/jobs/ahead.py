"""Work for idle workers out of jobs whose turn has not come.

The jobs of a pipeline take turns: each is planned, and its output made, once the one before has
ended. While that one waits for its last datums, or is copied elsewhere, there may be idle workers
that could process what the next jobs will have to. What such a datum comes to is kept in memory
until the turn of its job. Its plan, made then and as always, says which datums it has to process;
of those it takes over what is known already, as if a worker had reported it just now. So the
catalog knows nothing of work ahead, and jobs come out as they would without it, whatever happens to
those before them. A server that ends meanwhile forgets that work, and does it in the job's turn.

A datum that an earlier open job may have to process is never run ahead: its result will be
remembered, or its failure is to be seen by both.

Decision: docs/decisions/0040-work-ahead.md.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trunkline.db.database import Database
from trunkline.errors import TrunklineError
from trunkline.files.tree import Trees
from trunkline.jobs import quarantine, tables
from trunkline.jobs.held import Held
from trunkline.jobs.planning import fresh_datums, input_heads
from trunkline.jobs.segments import PlannedDatum, fresh_of_segment
from trunkline.jobs.tables import JobRecord, SegmentRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import Heads
from trunkline.store.chunks import ChunkId

AHEAD_JOBS = 4  # of a pipeline, behind the one whose turn it is
AHEAD_DATUMS = 500  # of one job: what they come to is kept in memory
AHEAD_FILES = 20_000  # in all datums of one job that may be run ahead
AHEAD_KEYS = 50_000  # of one job: where more datums may have to be processed, nobody goes ahead
AHEAD_AFTER_S = 0.5  # jobs that take less time are not worth looking for more work
AHEAD_EVERY_S = 0.25


@dataclass(slots=True, kw_only=True, eq=False)
class Prospect:
    """What a job will have to process once its turn comes, as far as can be said before.

    `keys` are of all datums without a result, those that earlier jobs process among them; `whole`
    says that there are no more. `left` are those that a worker may have, `held` those that one has
    or had, by key.
    """

    job: JobRecord
    heads: Heads = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    whole: bool = False
    left: deque[PlannedDatum] = field(default_factory=deque)
    held: dict[str, Held] = field(default_factory=dict)
    sought: frozenset[str] = frozenset()  # keys of `held` when the turn of the job came
    places: dict[str, int] = field(default_factory=dict)  # positions in the job's plan, by key

    def has(self, held: Held) -> bool:
        """Whether what comes of a lease may count."""
        return any(found is held for found in self.held.values())

    def give_up(self) -> None:
        """No more of the job is done ahead, nor of those behind it."""
        self.left.clear()
        self.whole = False

    def take_turn(self) -> None:
        """From now on nothing of the job is done ahead."""
        self.left.clear()
        self.sought = frozenset(self.held)

    def find(
        self,
        trees: Trees,
        heads: Heads,
        segments: Iterable[SegmentRecord],
        *,
        ended: Collection[int],
    ) -> None:
        """Find what was done ahead in the plan of the job, which reads `heads`.

        Only what is to be processed counts, and none of the positions that have `ended`.
        """
        if heads != self.heads:  # a purge has changed what it reads
            return
        for segment in segments:
            if len(self.places) == len(self.sought):
                return
            if segment.fresh:
                planned = fresh_of_segment(trees.chunks.get(ChunkId(segment.chunk)))
                for position, datum in enumerate(planned, segment.first):
                    if position not in ended and datum.key in self.sought:
                        self.places[datum.key] = position


def may_go_ahead(pipeline: PipelineSpec) -> bool:
    """Whether what a datum comes to doesn't depend on the jobs before."""
    if pipeline.resident:  # it has no datums to hand out
        return False
    # Each job processes the same datums, or they go on from what they wrote in the one before.
    return not pipeline.reprocess_every_job and not pipeline.incremental


def next_to_look_at(
    first: JobRecord, behind: Sequence[JobRecord], known: Mapping[int, Prospect]
) -> JobRecord | None:
    """The job that may have work for those who find none in `first` and the jobs known so far.

    `behind` are the open jobs that follow on `first`. None where the ones known have work left, or
    it is not known what they will process.
    """
    for job in behind:
        if job.state is not JobState.STARTING or job.spec_commit != first.spec_commit:
            return None
        prospect = known.get(job.number)
        if prospect is None:
            return job
        if prospect.left or not prospect.whole:
            return None
    return None


def look_ahead(
    database: Database,
    trees: Trees,
    job: JobRecord,
    *,
    first: JobRecord,
    between: Collection[str],
    datums_max: int,
) -> Prospect:
    """What a job whose inputs are finished will have to process; nothing is recorded or stored.

    `first` is the job whose turn it is, `between` the keys of the prospects between the two. Where
    it can't be told within bounds the prospect has no datum and isn't whole.
    """
    try:
        return _look_ahead(database, trees, job, first, between, datums_max)
    except TrunklineError:  # too many datums, or it was deleted, or its turn tells what is wrong
        return Prospect(job=job)


def _look_ahead(
    database: Database,
    trees: Trees,
    job: JobRecord,
    first: JobRecord,
    between: Collection[str],
    datums_max: int,
) -> Prospect:
    with database.read() as tx:
        record = lifecycle.get(tx, job.pipeline, version=job.version)
        spec = lifecycle.spec_of(record)
        heads = dict(input_heads(tx, job.output_repo, job.id))
        carried = quarantine.carried(tx, job, spec).known
        segments = tables.segments_of(tx, first.number)
    if not may_go_ahead(spec) or first.fresh > AHEAD_KEYS:
        return Prospect(job=job)
    taken = {*between, *carried, *_fresh_keys(trees, segments)}
    keys: set[str] = set()
    left: deque[PlannedDatum] = deque()
    files = 0
    for planned in fresh_datums(
        *(database, trees, job, record, heads), datums_max=datums_max, enumerated_max=AHEAD_KEYS
    ):
        keys.add(planned.key)
        files += 0 if planned.key in taken else len(planned.datum.files)
        if len(keys) > AHEAD_KEYS or len(left) == AHEAD_DATUMS or files > AHEAD_FILES:
            return Prospect(job=job, heads=heads, left=left)
        if planned.key not in taken:
            left.append(planned)
    return Prospect(job=job, heads=heads, keys=frozenset(keys), whole=True, left=left)


def _fresh_keys(trees: Trees, segments: Iterable[SegmentRecord]) -> Iterable[str]:
    for segment in segments:
        if segment.fresh:
            for planned in fresh_of_segment(trees.chunks.get(ChunkId(segment.chunk))):
                yield planned.key
