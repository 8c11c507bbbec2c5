"""Hands datums to workers and takes their outcomes back. Used by the scheduler's thread only.

Execution is at least once, effect exactly once: a lease is recorded before it is handed out, its id
is the fencing token, an outcome counts only while its lease is active and only once per datum of a
job. A worker that dies or falls silent loses its lease, and the datums without outcome are handed
out again.
"""

import selectors
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.active import Active, active_of
from trunkline.jobs.ahead import Prospect
from trunkline.jobs.ahead_work import WorkAhead
from trunkline.jobs.channel import ChannelClosed, Message
from trunkline.jobs.clocks import Clocks
from trunkline.jobs.contexts import context_of
from trunkline.jobs.crew import Crew
from trunkline.jobs.health import Health, condition
from trunkline.jobs.held import Held
from trunkline.jobs.increments import befores
from trunkline.jobs.leasing import LEASES_AT_ONCE, Sizes, make_leases
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.outcomes import failure_of, lost_with
from trunkline.jobs.plan import report_s
from trunkline.jobs.pool import Worker, WorkerPool
from trunkline.jobs.records import apply_event
from trunkline.jobs.reports import Report, portions, record_reports, report_of
from trunkline.jobs.segments import encode_segment
from trunkline.jobs.state import Action, DatumsEnded
from trunkline.jobs.steps import Steps
from trunkline.jobs.tables import DatumRecord, JobRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineSpec, PipelineState
from trunkline.pipelines import lifecycle
from trunkline.pipelines.lifecycle import PipelineRecord

_HANDING_OUT = "handing out its datums"
_RECORDING = "recording what its datums came to"
_TEND_EVERY_S = 0.25  # turns may be due each millisecond
_SAID_AT_ONCE = 16  # outcomes of work ahead that are recorded in one turn
_CRASHES_MAX = 8  # workers that may be lost with one datum, which needn't be its fault


class Dispatcher:
    """The traffic between running jobs and workers."""

    def __init__(
        self,
        config: Config,
        database: Database,
        trees: Trees,
        pool: WorkerPool,
        live: LiveLogs,
        clocks: Clocks,
        steps: Steps,
        *,
        act: Callable[[int, tuple[Action, ...]], None],
    ) -> None:
        self._config = config
        self._database = database
        self._trees = trees
        self._pool = pool
        self._live = live
        self._clocks = clocks
        self._steps = steps
        self._act = act
        self.health = Health()
        self._crew = Crew(config, pool, self.health)
        self.ahead = WorkAhead(database, trees, pool, live)
        self._active: dict[int, Active] = {}
        self._held: dict[int, Held] = {}
        self._held_lock = threading.Lock()  # restart_datums comes from other threads
        self._said: list[tuple[Worker, Message]] = []  # `ended` messages, not recorded yet
        self._checked_revision = -1
        self._tend_at = self._listened_s = 0.0
        self._newest: dict[str, str] = {}  # spec commit of each pipeline that may have workers
        self._idle_s: dict[str, float] = {}  # how long workers stay without work, where it is said

    @property
    def crew(self) -> Crew:
        return self._crew

    def attach(self, selector: selectors.BaseSelector) -> None:
        """Workers' channels are registered with this selector."""
        self._crew.attach(selector)

    def reset(self) -> None:
        """Forget all that is at work, and end the workers: somebody begins again."""
        for worker in self._pool.workers():
            self._pool.kill(worker)
            self._crew.forget(worker)
        with self._held_lock:
            for held in self._held.values():
                self._end(held)
            self._held.clear()
        self._active.clear()
        self._said.clear()
        self.ahead.forget_all()
        self._checked_revision = -1

    # --- jobs come and go -------------------------------------------------------------------------

    def job_running(self, number: int) -> None:
        """Begin (or go on) handing out the datums of a job."""
        if number in self._active:
            return
        with self._database.read() as tx:
            job = tables.job_by_number(tx, number)
            if job is None or job.state is not JobState.RUNNING:
                return
            record = lifecycle.get(tx, job.pipeline, version=job.version)
            newest = lifecycle.get(tx, job.pipeline)
        pipeline = lifecycle.spec_of(record)
        workers = self._crew.size(pipeline)
        self._active[number] = active_of(
            job, record, self._config, workers=workers, clocks=self._clocks
        )
        self._know(job.pipeline, newest.spec_commit, pipeline)
        self.ahead.take_over(number)

    def job_ended(self, number: int) -> None:
        """Stop handing out the datums of a job, and cancel those at work."""
        for held in self._stop(number):
            self._pool.send(held.worker, {"type": "cancel", "lease": held.record.id})

    def let_go(self, number: int) -> None:
        """Forget a job, and end the workers that have datums of it: its record is what counts."""
        self.ahead.forget_said(number)
        for held in self._stop(number):
            if not held.ahead:
                self._end(held)
                with self._held_lock:
                    self._held.pop(held.record.id)
                if held.with_worker:
                    self._pool.kill(held.worker)

    def _end(self, held: Held) -> None:
        """Nobody is at work at it any more."""
        held.hold.end()
        for position in held.datums:
            self._live.end(held.record.job, position)

    def _stop(self, number: int) -> list[Held]:
        """Stop handing out the datums of a job; gives what workers have of it."""
        self.ahead.drop(number)
        active = self._active.pop(number, None)
        if active is not None:
            self._crew.waiting.pop(active.job.pipeline, None)
        return [held for held in self._held.values() if held.record.job == number]

    def overdue(self) -> list[tuple[int, str]]:
        """The running jobs whose time is over, with the reason."""
        now_s = self._clocks.monotonic()
        return [
            (number, f"job timed out after {active.pipeline.job_timeout_s:g} s")
            for number, active in self._active.items()
            if active.deadline is not None and now_s > active.deadline
        ]

    def waiting(self, pipeline: str) -> str:
        """Why a pipeline has fewer workers than it wants, or nothing; any thread may ask."""
        return self._crew.waiting.get(pipeline, "")

    def condition(
        self, pipeline: str, version: int, spec: PipelineSpec, *, open_jobs: int, running_jobs: int
    ) -> tuple[PipelineState, str]:
        """The state of a pipeline that is not stopped, with the reason; any thread may ask."""
        return condition(
            self.health.trouble(pipeline, version),
            [w for w in self._pool.workers(pipeline) if w.version == version and not w.retiring],
            autoscaling=spec.autoscaling,
            open_jobs=open_jobs,
            running_jobs=running_jobs,
            waiting=self.waiting(pipeline),
            never=self._crew.never(spec.requests),
        )

    def restart_datums(self, job: int, paths: list[str]) -> int:
        """Tell the workers whose datum at work has all these input paths to begin it again."""
        wanted = {path.strip("/") for path in paths}
        count = 0
        with self._held_lock:
            held = [h for h in self._held.values() if h.record.job == job]
        for lease in held:
            worker = lease.worker
            if worker.position is not None and wanted <= set(worker.inputs):
                position = worker.position - lease.shift
                message = {"type": "restart", "lease": lease.record.id, "position": position}
                self._pool.send(worker, message)
                count += 1
        return count

    # --- workers ----------------------------------------------------------------------------------

    def prewarm(self, record: PipelineRecord) -> None:
        """Start the workers of a pipeline's newest version, which can run; older ones leave."""
        pipeline = record.name
        self.health.forget(pipeline)
        document = lifecycle.spec_of(record)
        self._know(pipeline, record.spec_commit, document)
        if not (document.autoscaling or document.resident or document.stage):
            count = self._crew.size(document)
            context = context_of(document, record, self._config)
            self._crew.ensure(context, count, document.requests)
            self._crew.waiting.pop(pipeline, None)  # nobody waits for them

    def _know(self, name: str, spec_commit: str, pipeline: PipelineSpec) -> None:
        self._newest[name] = spec_commit
        self._idle_s.pop(name, None)
        if pipeline.idle_s is not None:
            self._idle_s[name] = pipeline.idle_s

    def tend_workers(self, listened_s: float) -> None:
        """Kill the silent, let the superfluous go, from time to time.

        In `listened_s` seconds since the last time they would have been heard.
        """
        self._look_at_catalog()
        self._crew.watch()
        self._listened_s += listened_s
        now = self._clocks.monotonic()
        if now < self._tend_at:  # each look costs as much as there are workers
            return
        self._tend_at = now + _TEND_EVERY_S
        listened_s, self._listened_s = self._listened_s, 0.0
        needed = {(a.job.pipeline, a.job.spec_commit) for a in self._active.values()}
        for worker in self._pool.workers():
            if self._pool.listened(worker, listened_s, most_s=self._config.lease_s):
                continue
            if worker.lease is not None or worker.retiring:
                continue
            if (worker.pipeline, worker.spec_commit) in needed:
                continue
            outdated = self._newest.get(worker.pipeline) != worker.spec_commit
            stays_s = self._idle_s.get(worker.pipeline, self._config.worker_idle_s)
            if worker.ready and (outdated or now - worker.idle_since > stays_s):
                self._pool.retire(worker)
            elif outdated and worker.outlook is not None:
                self._pool.give_up(worker)  # no node takes its pod, say; a process gets ready

    def dismiss(self, workers: list[Worker]) -> None:
        """Let workers go: what the catalog has no job for any more is cancelled first."""
        self._look_at_catalog()
        for worker in workers:
            if worker in self._pool.workers():
                self._pool.retire(worker)

    def receive(self, workers: Iterable[Worker]) -> None:
        """Take the messages that workers sent; what their datums came to is recorded together."""
        for worker in workers:
            try:
                for message in worker.channel.poll():
                    self._take(worker, message)
            except ChannelClosed:
                self._take_reports()  # what it said before counts
                self._worker_gone(worker)
        self._take_reports()

    def _look_at_catalog(self) -> None:
        """Notice jobs that were stopped or deleted, and pipelines that changed, by others."""
        revision = self._database.revision
        if revision == self._checked_revision:
            return
        self._checked_revision = revision
        with self._database.read() as tx:
            ended = [
                number
                for number in (*self._active, *self.ahead.prospects)
                if (job := tables.job_by_number(tx, number)) is None or job.state.ended
            ]
            for pipeline in list(self._newest):
                record = lifecycle.find(tx, pipeline)
                if record is None or record.state is PipelineState.PAUSED:
                    self._newest.pop(pipeline)
                    self._idle_s.pop(pipeline, None)
                else:
                    self._newest[pipeline] = record.spec_commit
        for number in ended:
            self.job_ended(number)

    def _worker_gone(self, worker: Worker) -> None:
        self._crew.forget(worker)
        started_badly = not worker.ready and not worker.retiring
        if started_badly and (reason := self._crew.false_start(worker)):
            version = (worker.pipeline, worker.spec_commit)
            for number, active in list(self._active.items()):
                if (active.job.pipeline, active.job.spec_commit) == version:
                    self._steps.fail(number, reason)
        held = self._held.get(worker.lease) if worker.lease is not None else None
        if held is not None:
            why = f": {worker.failure}" if worker.failure else ""
            reason = f"worker {worker.name} died at work{why}"
            self.health.lost(worker.pipeline, worker.version, reason)
            self._release(held, died=True)

    # --- leases -----------------------------------------------------------------------------------

    def hand_out(self) -> None:
        """Give work to idle workers, and start workers where there is work."""
        workers = self._pool.workers()
        if not any(worker.idle for worker in workers) and not self._workers_wanted(workers):
            return
        due = [active for active in list(self._active.values()) if self._left_of(active)]
        for active in due:  # first: who is idle after that has nothing to do, and may make room
            with self._steps.of_job(active.job.number, _HANDING_OUT):
                self._lease_to_idle(active)
        for active in due:
            with self._steps.of_job(active.job.number, _HANDING_OUT):
                self._want_workers(active)
        for number, prospect in sorted(self.ahead.prospects.items()):  # those before need them not
            with self._steps.of_job(number, _HANDING_OUT):
                self._lease_ahead(prospect)

    def _want_workers(self, active: Active) -> None:
        if not (left := self._left_of(active)):
            return
        job, requests = active.job, active.pipeline.requests
        wanted = min(active.workers, left) if active.pipeline.autoscaling else active.workers
        if never := self._crew.never(requests):
            self._steps.fail(job.number, f"its workers can't be started: {never}")
        else:
            self._crew.ensure(active.context, wanted, requests)

    def _lease_ahead(self, prospect: Prospect) -> None:
        for worker in self.idle_workers(prospect.job):
            if not prospect.left:
                break
            self._hand_over(self.ahead.lease(prospect, worker), prospect.job)

    def idle_workers(self, job: JobRecord) -> list[Worker]:
        """Those that could take work of a job now."""
        there = self._pool.workers(job.pipeline)
        return [worker for worker in there if worker.spec_commit == job.spec_commit and worker.idle]

    def _left_of(self, active: Active) -> int:
        """How much of a job waits for workers: datums, and leases that were lost."""
        with self._database.read() as tx:
            current = tables.job_by_number(tx, active.job.number)
            lost = tables.lost_leases(tx, active.job.number)
        if current is None or current.state is not JobState.RUNNING:
            return 0
        return max(current.fresh - current.leased, 0) + lost

    def _lease_to_idle(self, active: Active) -> None:
        idle = self.idle_workers(active.job)
        while idle and (count := self._lease_to(active, idle)):
            del idle[:count]

    def _workers_wanted(self, workers: list[Worker]) -> bool:
        """Whether a running job has fewer workers than it asks for."""
        there = Counter((worker.pipeline, worker.spec_commit) for worker in workers)
        return any(
            there[active.job.pipeline, active.job.spec_commit] < active.workers
            for active in self._active.values()
        )

    def _lease_to(self, active: Active, idle: list[Worker]) -> int:
        """Record leases and hand them to some of these workers; to none when nothing is left."""
        job = active.job
        sizes = Sizes(
            workers=active.workers,
            batches=active.pipeline.batches,
            batching=active.context.batching,
            datum_s=active.datum_s,
        )
        with ExitStack() as unless_kept:
            holds = [self._trees.chunks.epochs.begin() for _ in idle[:LEASES_AT_ONCE]]
            for hold in holds:
                unless_kept.callback(hold.end)
            names = [worker.name for worker in idle]
            made = make_leases(self._database, self._trees, job, sizes, names=names)
            given = [
                Held(record=lease, worker=worker, datums=datums, hold=hold)
                for (lease, datums), worker, hold in zip(made, idle, holds, strict=False)
            ]
            for held in given:
                self._hand_over(
                    held, job, increments=active.increments, report=report_s(active.workers)
                )
            unless_kept.pop_all()
        for hold in holds[len(given) :]:
            hold.end()
        return len(given)

    def _hand_over(
        self, held: Held, job: JobRecord, *, increments: str = "", report: float = 0.0
    ) -> None:
        """Give a lease to its worker, which is to report each `report` seconds; see `Active`."""
        lease, worker, datums = held.record, held.worker, held.datums
        with self._held_lock:
            self._held[lease.id] = held
        worker.lease, worker.job, worker.position = lease.id, job.name, None
        worker.silent_s = 0.0  # from now on of this lease
        message = {
            "type": "lease",
            "lease": lease.id,
            "pipeline": job.pipeline,
            "version": job.version,
            "job": job.id,
            "positions": list(datums),
            "datums": encode_segment(list(datums.values())).decode("utf-8"),
            "report_s": report,
        }
        if increments:
            message["before"] = befores(
                self._database, self._trees, job.pipeline, increments, datums
            )
        self._pool.send(worker, message)

    def _release(self, held: Held, *, died: bool) -> None:
        """Take a lease back; a datum that killed its worker too often fails instead.

        When a worker dies its datums are handed out again one by one, so that the next time it is
        known which of them it died of.
        """
        if held.ahead:
            with self._held_lock:
                self._held.pop(held.record.id, None)
            self.ahead.release(held)
            return
        self._end(held)
        held.with_worker = False
        with self._held_lock:
            self._held.pop(held.record.id, None)
        if not held.over:
            with self._steps.of_job(held.record.job, _RECORDING):
                self._take_back(held, died=died)

    def _take_back(self, held: Held, *, died: bool) -> None:
        number = held.record.job
        active = self._active.get(number)
        failed: DatumRecord | None = None
        crashed = next(iter(held.datums)) if died and len(held.datums) == 1 else None
        if active is not None and crashed is not None:
            active.crashes[crashed] += 1
            if active.crashes[crashed] >= _CRASHES_MAX:
                failed = lost_with(
                    job=number,
                    position=crashed,
                    key=held.datums[crashed].key,
                    worker=held.worker.name,
                    times=active.crashes[crashed],
                    now=self._clocks.now(),
                )
        actions: tuple[Action, ...] = ()
        with self._database.write() as tx:
            if not tables.active_among(tx, [held.record.id]):
                return
            if died and crashed is None:
                tables.split_lease(tx, held.record, sorted(held.datums))
            else:
                tables.lose_lease(tx, held.record.id)
            if failed is not None and tables.insert_datums(tx, number, [failed]):
                event = DatumsEnded(failed=1, failure=failure_of(failed))
                actions = apply_event(tx, number, event, now=self._clocks.now())
            if len(held.datums) == (failed is not None):
                tables.end_leases(tx, [held.record.id])
        self._act(number, actions)

    # --- work ahead of the turn of its job --------------------------------------------------------

    def record_said(self) -> bool:
        """Record some of what was done ahead for jobs that run now; whether there is more."""
        for _ in range(min(len(self.ahead.said), _SAID_AT_ONCE)):
            held = self.ahead.said[0]
            assert held.said is not None
            self._record(held.record.job, [report_of(held, held.said)])
            if not held.with_worker:
                self._release(held, died=False)
            self.ahead.said.popleft()  # not before: where that fails its hold has to be ended
        return bool(self.ahead.said)

    # --- what workers say -------------------------------------------------------------------------

    def _take(self, worker: Worker, message: Message) -> None:
        if worker.lease is None or not message.get("waits"):
            worker.silent_s = 0.0  # else it never got its lease, or we its end
        match message["type"]:
            case "ready":
                self._take_ready(worker)
            case "alive":
                self._take_ready(worker)
                self._say_again(worker)
            case "started":
                self._take_started(worker, message)
            case "log":
                held = self._held_by(worker, message)
                if held is not None and not held.ahead:
                    position = message["position"] + held.shift
                    self._live.add(held.record.job, position, message["lines"])
                    self._database.notify()
            case "ended":
                self._said.append((worker, message))
            case "broken":
                held = self._held_by(worker, message)
                if held is not None and held.ahead:  # it fails in its turn, if it still has to
                    self.ahead.give_up(held.record.job)
                elif held is not None:
                    self.health.crashing(worker.pipeline, worker.version, message["reason"])
                    self._steps.fail(held.record.job, message["reason"])
            case "starting":
                worker.delay = message["reason"]
            case "failed":
                worker.failure = message["reason"]

    def _take_ready(self, worker: Worker) -> None:
        if not worker.ready:
            worker.ready = True
            self._crew.ready(worker)
            worker.idle_since = self._clocks.monotonic()

    def _say_again(self, worker: Worker) -> None:
        """Tell a worker once more what it does not seem to have heard."""
        held = self._held.get(worker.lease) if worker.lease is not None else None
        wanted = held is not None and (
            self.ahead.wants(held) if held.ahead else held.record.job in self._active
        )
        if held is not None and not wanted:
            self._pool.send(worker, {"type": "cancel", "lease": held.record.id})
        elif worker.retiring and worker.lease is None:
            self._pool.send(worker, {"type": "exit"})

    def _held_by(self, worker: Worker, message: Message) -> Held | None:
        """The lease that a message is about, if it is in the hands of the worker that sent it."""
        held = self._held.get(message["lease"])
        return held if held is not None and held.worker is worker else None

    def _take_started(self, worker: Worker, message: Message) -> None:
        held = self._held_by(worker, message)
        if held is None or (position := message["position"] + held.shift) not in held.datums:
            return
        worker.position, worker.datum = position, message["key"]
        worker.inputs = tuple(file.path for file in held.datums[position].datum.files)
        if not held.ahead:
            self._live.begin(held.record.job, position, key=message["key"], worker=worker.name)

    def _take_reports(self) -> None:
        """Record what workers said that datums came to, and take back the leases that are over."""
        said, self._said = self._said, []
        reports: dict[int, list[Report]] = {}  # by job
        for worker, message in said:
            held = self._held_by(worker, message)
            if held is not None and message["outcomes"]:
                if held.ahead:
                    held.said = message
                else:
                    reports.setdefault(held.record.job, []).append(report_of(held, message))
        for number, of_job in reports.items():
            for portion in portions(of_job):
                self._record(number, portion)
        for worker, message in said:
            if message["last"] and message["lease"] == worker.lease:
                held = self._held_by(worker, message)
                worker.lease, worker.position = None, None
                worker.job = worker.datum = ""
                worker.idle_since = self._clocks.monotonic()
                if held is not None:
                    self._release(held, died=False)

    def _record(self, number: int, reports: list[Report]) -> None:
        """Record outcomes, each once, in one transaction with what follows for the job."""
        with self._steps.of_job(number, _RECORDING):
            self._note(number, reports)

    def _note(self, number: int, reports: list[Report]) -> None:
        active = self._active.get(number)
        clash = ""
        if active is not None and active.pipeline.output_merge == "error":
            clashes = (active.writers.clash(self._trees, report.output) for report in reports)
            clash = next(filter(None, clashes), "")
        with self._database.write() as tx:
            recorded = record_reports(
                tx, number, reports, active=active, clash=clash, clocks=self._clocks
            )
        if recorded.fresh:
            for worker in {report.held.worker for report in reports}:
                self.health.well(worker.pipeline, worker.version)
        for held in recorded.over:
            held.over = True
        for report in reports:
            for outcome in report.outcomes:
                report.held.datums.pop(outcome["position"], None)
        for record in recorded.counted:
            self._live.end(number, record.position)
            if active is not None:
                active.took((record.finished - record.started).total_seconds())
        self._act(number, recorded.actions)
