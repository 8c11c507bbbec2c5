"""What must hold in a simulated world after each step, and at its end. Reads the catalog itself."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sim_code
from sim_oracle import Identity, Repos, expected
from sim_world import Violation, World

from trunkline.db.database import Transaction
from trunkline.jobs.ahead import AHEAD_JOBS
from trunkline.jobs.segments import decode_segment
from trunkline.model.jobs import JOB_MOVES, JobState
from trunkline.model.pipelines import PipelineState
from trunkline.pipelines import lifecycle
from trunkline.versions import branches, invariants, provenance, repos

_JOBS = """SELECT number, pipeline, id, version, output_repo, state, reason, total, skipped,
  processed, failed, recovered, leased, uploaded_bytes, finished FROM job"""
_AT_WORK = "('starting', 'running')"
_OUTPUTS = """SELECT r.name, c.id, c.root, c.finished_us, c.error FROM commit_record c
  JOIN repo r ON r.number = c.repo WHERE c.finished_us IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Job:
    number: int
    pipeline: str
    id: str
    version: int
    output_repo: str
    state: JobState
    reason: str
    total: int
    skipped: int
    processed: int
    failed: int
    recovered: int
    leased: int
    uploaded_bytes: int
    finished: int | None

    @property
    def name(self) -> str:
        return f"{self.pipeline}@{self.id} (job {self.number})"


def require(holds: object, *words: object) -> None:
    if not holds:
        raise Violation(" ".join(map(str, words)))


class Checks:
    """Remembers what was, to see that what must not change does not."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._revision = -1
        self._jobs: dict[int, Job] = {}
        self._finished: dict[tuple[str, str], tuple[object, ...]] = {}
        self._results: set[str] = set()  # keys of the remembered ones
        self._forgotten: set[str] = set()
        self.ahead: set[int] = set()  # leases of datums whose job waits for its turn
        self.ends: Counter[str] = Counter()  # jobs by state
        self.outputs = 0  # compared with what they must be

    def after_step(self) -> None:
        revision = self._world.catalog.revision
        if revision == self._revision:
            return
        self._revision = revision
        with self._world.catalog.read() as tx:
            jobs = {row[0]: Job(*row[:5], JobState(row[5]), *row[6:]) for row in tx.rows(_JOBS)}
            self._commits(tx)
            self._turns(jobs)
            for job in jobs.values():
                before = self._jobs.get(job.number)
                if before != job:
                    self._moved(tx, before, job)
                if job.state is JobState.RUNNING:
                    _work_is_accounted_for(tx, job)
            _all_have_jobs(tx)
            _waits_without_a_trace(tx)
            self._no_datum_is_at_work_twice(tx)
        self._jobs = jobs

    def around_receive(self) -> Callable[[], None]:
        """Before messages are received: gives the check that no stale one has an effect."""
        with self._world.catalog.read() as tx:
            last = tx.rows("SELECT COALESCE(MAX(number), 0) FROM datum")[0][0]
            leases = tx.rows("SELECT job, first, until, worker FROM lease WHERE state = 'active'")
            running = {j for (j,) in tx.rows("SELECT number FROM job WHERE state = 'running'")}

        def verify() -> None:
            with self._world.catalog.read() as tx:
                new = tx.rows("SELECT job, position, worker FROM datum WHERE number > :n", n=last)
            for job, position, worker in new:
                if job not in running:
                    continue  # planned meanwhile, with failures that are taken over
                held = any(
                    job == of and first <= position < until and worker == holder
                    for of, first, until, holder in leases
                )
                require(held, "the outcome of a worker without a lease counts:", worker, position)

        return verify

    # --- after each step --------------------------------------------------------------------------

    def _commits(self, tx: Transaction) -> None:
        """A finished commit never changes."""
        there = {(repo, commit): tuple(rest) for repo, commit, *rest in tx.rows(_OUTPUTS)}
        for name, now in there.items():
            was = self._finished.get(name, now)
            require(was == now, "a finished commit has changed:", name, was, now)
        self._finished |= there

    def _turns(self, jobs: dict[int, Job]) -> None:
        """Of the jobs of a pipeline only the oldest open one is at work."""
        seen: set[str] = set()
        for job in sorted(jobs.values(), key=lambda job: job.number):
            if job.state.ended:
                continue
            require(
                job.pipeline not in seen or job.state is JobState.STARTING,
                job.name,
                "is at work out of turn",
            )
            seen.add(job.pipeline)

    def _no_datum_is_at_work_twice(self, tx: Transaction) -> None:
        """Of what counts, that is: workers may not have heard yet that something does not."""
        results = {key for (key,) in tx.rows("SELECT key FROM result")}
        self._forgotten |= self._results - results
        self._results = results
        open_jobs = {j for (j,) in tx.rows(f"SELECT number FROM job WHERE state IN {_AT_WORK}")}
        ahead = self._world.conductor.dispatcher.ahead
        keys: Counter[str] = Counter()
        for held in self._world.leases():
            if held.record.job in open_jobs and (not held.ahead or ahead.wants(held)):
                keys.update(datum.key for datum in held.datums.values())
        for key, times in keys.items():
            # What is made of a result that was forgotten since may be made twice, and count once.
            require(times < 2 or key in self._forgotten, "a datum is at work", times, "times:", key)
        self.ahead |= {held.record.id for held in self._world.leases() if held.ahead}
        kept = [held for prospect in ahead.prospects.values() for held in prospect.held.values()]
        require(
            all(h.hold._epoch is not None for h in kept),
            "what is to count later may be collected",
            kept,
        )
        require(len(ahead.prospects) <= 3 * AHEAD_JOBS, "too many jobs are looked at", ahead)

    def _moved(self, tx: Transaction, before: Job | None, job: Job) -> None:
        if before is not None:
            require(not before.state.ended, job.name, "has changed after its end:", before, job)
            require(_may_become(before.state, job.state), "no such move:", before, job)
        if not job.state.ended:
            return
        self.ends[job.state] += 1
        self._world.say(f"{job.name} ends as {job.state}: {job.reason}")
        finished = self._finished.get((job.output_repo, job.id))
        if finished is not None:
            good = finished[2] is None  # and may be so where the job failed while copying it
            copies = job.state is not JobState.UNRUNNABLE and self._has_egress(tx, job)
            succeeds = job.state is JobState.SUCCESS
            agree = good if succeeds else copies or not good
            require(agree, job.name, "and its commit disagree:", finished)
            copied = job.number in self._world.copied
            require(copied or not succeeds or not copies, job.name, "was not copied out")
        rows = tx.rows("SELECT COUNT(*) FROM lease WHERE job = :job", job=job.number)
        require(rows[0][0] == 0, job.name, "has ended with leases")
        _counts_are_right(tx, job)
        self._judge(tx, job)

    def _has_egress(self, tx: Transaction, job: Job) -> bool:
        if lifecycle.find(tx, job.pipeline) is None:
            return False
        return "egress" in lifecycle.get(tx, job.pipeline, version=job.version).spec

    # --- ends of jobs -----------------------------------------------------------------------------

    def _judge(self, tx: Transaction, job: Job) -> None:
        """Whether a job ended as it must, given what it had to read."""
        require("internal error" not in job.reason or "Defect" in job.reason, job.name, job.reason)
        record = lifecycle.find(tx, job.pipeline)
        if record is None or job.state not in (JobState.SUCCESS, JobState.FAILURE):
            return
        spec = lifecycle.get(tx, job.pipeline, version=job.version).spec
        inputs = provenance.input_commits(tx, job.output_repo, job.id)
        if not inputs or (job.output_repo, job.id) not in self._finished:
            return  # deleted in the same step
        unfinished = [c for c in inputs.values() if c.finished is None]
        require(not unfinished, job.name, "did not wait for its inputs:", unfinished)
        files = {branch.repo: self._world.contents.of(c.root) for branch, c in inputs.items()}
        flaky = sim_code.is_flaky(spec["transform"]["cmd"])
        must = expected(spec, files, self._luck(tx, job, flaky=flaky))
        if job.state is JobState.FAILURE:
            self._must_fail(job, spec, must)
            return
        errors = [c for c in inputs.values() if c.error is not None]
        require(not errors, job.name, "succeeds without its inputs:", errors)
        borne = _may_fail(spec)
        well = must.states["failed"] <= borne and not must.clash
        require(well, job.name, "must not succeed:", must)
        require(job.failed == must.states["failed"], job.name, "quarantined too many or few")
        require(job.total == must.datums, job.name, "has", job.total, "datums, not", must.datums)
        require(job.recovered == must.states["recovered"], job.name, "recovered too many or few")
        self._compare(job, must.files)

    def _luck(self, tx: Transaction, job: Job, *, flaky: bool) -> dict[Identity, str]:
        """How datums of a job ended without output by luck, by what they were given."""
        rows = tx.rows(
            "SELECT key, state, reason FROM datum WHERE job = :j AND state <> 'success'",
            j=job.number,
        )
        states = {k: state for k, state, why in rows if flaky or "its worker was killed" in why}
        chunks = tx.rows("SELECT chunk FROM job_segment WHERE job = :j", j=job.number)
        return {
            tuple((file.name, file.path) for file in planned.datum.files): states[planned.key]
            for (chunk,) in (chunks if states else ())
            for planned in decode_segment(self._world.services.chunks.get(chunk))
            if planned.key in states
        }

    def _must_fail(self, job: Job, spec: dict[str, Any], must: Any) -> None:
        luck, fates = self._world.first_luck, self._world.fates
        reasons = {
            "duplicate path output": must.clash,
            "exit code 1": must.states["failed"] > _may_fail(spec),
            "its worker was killed": luck.death or luck.freeze or luck.lose or luck.swap,
            "its workers can't be started": luck.false_start or luck.death,
            "no space is left": fates["full"],
            "the catalog can't be reached": self._world.outage,
            "an internal error while": fates["defect"],
            "egress to s3://bucket failed": luck.lost_copy and "egress" in spec,
        }
        found = [words for words, caused in reasons.items() if caused and words in job.reason]
        require(found, job.name, "fails for no reason:", job.reason)

    def _compare(self, job: Job, files: dict[str, bytes]) -> None:
        root = str(self._finished[(job.output_repo, job.id)][0])
        contents = self._world.contents
        require(contents.of(root) == files, job.name, "made", contents.of(root), "not", files)
        require(contents.made_anew(root) == root, job.name, "made a tree that is not canonical")
        self.outputs += 1

    # --- at the end -------------------------------------------------------------------------------

    def quiet(self) -> bool:
        """Whether every job has ended."""
        with self._world.catalog.read() as tx:
            return all(JobState(s).ended for (s,) in tx.rows("SELECT DISTINCT state FROM job"))

    def open_jobs(self) -> list[str]:
        """What has not ended, and what it waits for, for a report."""
        told = []
        for job in self._jobs.values():
            if not job.state.ended:
                with self._world.catalog.read() as tx:
                    waits = provenance.unfinished_inputs(tx, job.output_repo, job.id)
                    leases = tx.rows("SELECT * FROM lease WHERE job = :j", j=job.number)
                told.append(f"{job} waits for {waits}; {leases=}")
        return told

    def at_end(self) -> None:
        with self._world.catalog.read() as tx:
            require(
                not tx.rows("SELECT * FROM lease"),
                "leases are left:",
                tx.rows("SELECT * FROM lease"),
            )
            for repo in repos.repo_names(tx):
                require(not list(invariants.broken(tx, repo)), *invariants.broken(tx, repo))
            require(not list(invariants.broken_rows(tx)), *invariants.broken_rows(tx))
            left = self._world.conductor.dispatcher.ahead
            require(not left.prospects and not left.said, "something is ahead of no job:", left)
            require(self._world.holds() == len(self._world.leases()), "holds are left")
            self._final_state(tx)

    def _final_state(self, tx: Transaction) -> None:
        """Each pipeline's output is what the sources, as they are now, make it from scratch."""
        known: Repos = {}
        pipelines = {record.name: record for record in lifecycle.list_pipelines(tx)}
        for name in ("left", "right", "one", "two", "three"):
            head = self._head(tx, name)
            if name not in pipelines:
                if head is not None:
                    known[name] = self._world.contents.of(head)
                continue
            record = pipelines[name]
            sources = set(_repos_of(record.spec["input"]))
            if head is None or record.state is PipelineState.PAUSED:
                continue
            # A repo that was deleted by force, and made again, feeds nobody until they are updated.
            if not sources <= self._feeders(tx, name):
                continue
            if not sources <= known.keys():
                continue
            found = self._world.contents.of(head)
            if sim_code.is_flaky(record.spec["transform"]["cmd"]) or _may_fail(record.spec):
                known[name] = found
                continue
            must = expected(record.spec, {repo: known[repo] for repo in sources}).files
            require(found == must, "at the end", name, "has", found, "not", must)
            known[name] = must

    def _feeders(self, tx: Transaction, repo: str) -> set[str]:
        """The repos that the output branch is derived from."""
        found = [info for info in branches.list_branches(tx, repo) if info.name == "master"]
        return {source.repo for info in found for source in info.provenance}

    def _head(self, tx: Transaction, repo: str) -> str | None:
        """The root of what is at the end of the master branch, if that went well."""
        row = tx.row(
            """SELECT c.root FROM branch b JOIN repo r ON r.number = b.repo
               JOIN commit_record c ON c.number = b.head
               WHERE r.name = :repo AND b.name = 'master' AND c.error IS NULL
                 AND c.finished_us IS NOT NULL""",
            repo=repo,
        )
        return str(row[0]) if row else None


def _may_fail(spec: dict[str, Any]) -> int:
    """How many datums may fail without failing their job."""
    return int(spec.get("on_failure", {}).get("quarantine", {}).get("max", 0))


def _repos_of(node: dict[str, Any]) -> list[str]:
    [(kind, inside)] = node.items()
    if kind != "pfs":
        return [repo for member in inside for repo in _repos_of(member)]
    return [inside["repo"]]


def _may_become(start: JobState, end: JobState) -> bool:
    """Whether the table of moves leads from one state to the other, over some steps."""
    reached, pending = {start}, [start]
    while pending:
        for state in JOB_MOVES[pending.pop()] - reached:
            reached.add(state)
            pending.append(state)
    return end in reached


def _work_is_accounted_for(tx: Transaction, job: Job) -> None:
    """Every datum that was handed out has ended or is in one lease; none is lost or twice."""
    ended = [p for (p,) in tx.rows("SELECT position FROM datum WHERE job = :j", j=job.number)]
    leases = tx.rows("SELECT first, until FROM lease WHERE job = :j", j=job.number)
    leased = Counter(p for first, until in leases for p in range(first, until))
    for position, there in leased.items():
        require(there < 2, job.name, "has datum", position, "in", there, "leases")
        require(position < job.total - job.skipped, job.name, "has no datum", position)
    for first, until in leases:  # behind what was handed out is what was run ahead of its turn
        one = first >= job.leased and until == first + 1
        require(until <= job.leased or one, job.name, "is ahead of its leases")
    for position in range(job.leased):
        there = leased[position]
        require(there or position in ended, job.name, "has lost datum", position)
    _counts_are_right(tx, job)


def _counts_are_right(tx: Transaction, job: Job) -> None:
    """Each outcome counts once."""
    rows = tx.rows(
        "SELECT state, COUNT(*), SUM(uploaded_bytes) FROM datum WHERE job = :j GROUP BY state",
        j=job.number,
    )
    counts = {state: count for state, count, _ in rows}
    recorded = tuple(counts.get(state, 0) for state in ("success", "failed", "recovered"))
    if "duplicate path output" not in job.reason:  # that ends a job before its last ones count
        counted = (job.processed, job.failed, job.recovered)
        require(counted == recorded, job.name, "counts", counted, "of", recorded)
    used = sum(size for *_, size in rows)
    require(used == job.uploaded_bytes, job.name, "counts", job.uploaded_bytes, "bytes of", used)


def _waits_without_a_trace(tx: Transaction) -> None:
    """What is done ahead of a job's turn is on no record."""
    for table in ("lease", "datum", "job_segment"):
        sql = (
            f"SELECT * FROM {table} WHERE job IN (SELECT number FROM job WHERE state = 'starting')"
        )
        require(not tx.rows(sql), table, "has rows of a job that waits:", tx.rows(sql))


def _all_have_jobs(tx: Transaction) -> None:
    """What belongs to a job that is gone is gone too."""
    for table in ("lease", "datum", "job_segment"):
        sql = f"SELECT * FROM {table} WHERE job NOT IN (SELECT number FROM job)"
        require(not tx.rows(sql), table, "has rows of no job:", tx.rows(sql))
