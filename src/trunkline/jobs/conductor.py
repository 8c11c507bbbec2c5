"""Moves the jobs of a catalog on, a turn at a time: carries out actions and feeds events.

Has no thread and no clock of its own, and reads no line by itself. Who owns it (`scheduler`, or a
test with time and workers of its making) says when a turn is due, which worker has something to
say, and where plans and output trees are made. All of it is called by one thread, but for `call`.
"""

import logging
import selectors
import threading
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta

from trunkline.config import Config
from trunkline.db.database import Database, Transaction
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.ahead import (
    AHEAD_AFTER_S,
    AHEAD_EVERY_S,
    AHEAD_JOBS,
    Prospect,
    look_ahead,
    next_to_look_at,
)
from trunkline.jobs.arrivals import Arrivals, Pulls
from trunkline.jobs.assemble import assemble
from trunkline.jobs.clocks import Clocks
from trunkline.jobs.dispatch import Dispatcher
from trunkline.jobs.egress import has_egress
from trunkline.jobs.liveness import Plans
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.plan_writer import Plan
from trunkline.jobs.planning import plan_job
from trunkline.jobs.pool import Worker, WorkerPool
from trunkline.jobs.quarantine import errors_tree
from trunkline.jobs.records import apply_event, progress_of
from trunkline.jobs.residents import Residents
from trunkline.jobs.state import (
    Action,
    Assembled,
    Egressed,
    InputsFailed,
    InputsFinished,
    Stopped,
    resume,
    step,
)
from trunkline.jobs.steps import Steps
from trunkline.jobs.tables import JobRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineState
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import Heads
from trunkline.versions import provenance

_DOING = {  # what an action comes to, for a sentence
    Action.PLAN: "planning",
    Action.LEASE: "beginning with its datums",
    Action.ASSEMBLE: "making its output",
    Action.EGRESS: "copying its output",
    Action.CANCEL_LEASES: "taking its datums back",
}
_LISTENED_MOST_S = 2.0  # from one turn to the next, which is due each second

_log = logging.getLogger("trunkline.scheduler")


class Conductor:
    """What is decided is in the catalog before it is acted on: one that begins anew goes on."""

    def __init__(
        self,
        config: Config,
        database: Database,
        trees: Trees,
        live: LiveLogs,
        pool: WorkerPool,
        clocks: Clocks,
        *,
        selector: selectors.BaseSelector,
        apart: Callable[[Callable[[], None]], object],
        apart_for_long: Callable[[Callable[[], None]], object],
        copy_out: Callable[[JobRecord], bool],
        wake: Callable[[], None],
    ) -> None:
        """`selector` gets the lines of workers, with the worker as its data; `apart` runs a task
        beside the turns, once and soon, and `apart_for_long` one that may wait for others and then
        take hours; `copy_out` is the egress of a job, False if it was not to end; `wake` asks for a
        turn, from any thread.
        """
        self._config = config
        self._database = database
        self._trees = trees
        self._clocks = clocks
        self._apart = apart
        self._apart_for_long = apart_for_long
        self._copy_out = copy_out
        self._wake = wake
        self._done: list[Callable[[], None]] = []
        self._done_lock = threading.Lock()
        self.steps = Steps(
            *(database, clocks),
            patience_s=config.job_patience_s,
            call=self.call,
            let_go=self._let_go,
            act=self._carry_out,
        )
        self.dispatcher = Dispatcher(
            *(config, database, trees, pool, live, clocks, self.steps), act=self._carry_out
        )
        self.dispatcher.attach(selector)
        self.residents = Residents(
            *(config, database, trees, live, pool.apart()),
            *(self.dispatcher.crew, clocks, self.steps),
            act=self._carry_out,
        )
        self.residents.attach(selector)
        self.pulls = Pulls(config, wake=wake)
        self.arrivals = Arrivals(
            database, self.pulls, monotonic=clocks.monotonic, arrived=self.prewarm
        )
        self.plans = Plans()  # so that no result is forgotten while a plan counts on it
        self._looked_at = -1  # revision of the catalog when jobs were last looked for
        self._busy: dict[int, Action | None] = {}  # jobs a task works on: what was asked since
        self._copying: dict[str, list[int]] = {}  # by pipeline that copies: jobs that wait for that
        self._looking: set[str] = set()  # pipelines for which a task looks ahead
        self._look_at = 0.0  # when to look ahead next, in monotonic seconds
        self._turned = clocks.monotonic()

    def count_restarts(self) -> None:
        """Note in every job that was at work that the server began again."""
        with self._database.write() as tx:
            for job in tables.open_jobs(tx):
                if job.state is not JobState.STARTING:
                    tables.count_restart(tx, job.number)

    def resume(self) -> None:
        """Take up all jobs where the catalog says they are; no worker has anything to do yet."""
        with self._database.write() as tx:
            tables.lose_all_leases(tx)
            found = tables.open_jobs(tx)
            waiting = lifecycle.waiting_for_images(tx)
        self._looked_at = -1
        for record in waiting:
            self.arrivals.expect(record)
        for job in found:
            self._carry_out(job.number, resume(progress_of(job)))

    def turn(self) -> None:
        """Do all that is due now, and nothing that takes long."""
        self._run_done()
        self.steps.take_up()
        self.arrivals.turn()
        self._start_ready_jobs()
        self._check_deadlines()
        if self.dispatcher.record_said():
            self._wake()
        self.dispatcher.hand_out()
        self._look_ahead()
        listened_s = self._listened()
        self.dispatcher.tend_workers(listened_s)
        self.residents.turn(listened_s)

    def _listened(self) -> float:
        """The seconds since the last turn that count as silence of who said nothing.

        Workers are heard between two turns. After one that was held up (by a slow disk, a machine
        that is too busy or was asleep) there may be much in their lines, or they were held up too.
        """
        turned, self._turned = self._turned, self._clocks.monotonic()
        return min(self._turned - turned, _LISTENED_MOST_S)

    def prewarm(self, pipeline: str) -> None:
        """Start the workers of a pipeline's newest version, or get the image that it waits for."""
        with self._database.read() as tx:
            record = lifecycle.find(tx, pipeline)
        if record is None or record.state is PipelineState.PAUSED:
            return
        if record.placement.settled:
            self.dispatcher.prewarm(record)
        else:
            self.arrivals.expect(record)

    def receive(self, workers: Iterable[Worker]) -> None:
        """Take the messages that workers sent."""
        of_datums = []
        for worker in workers:
            if self.residents.owns(worker):
                self.residents.receive(worker)
            else:
                of_datums.append(worker)
        self.dispatcher.receive(of_datums)

    def reset(self) -> None:
        """After a failure in a turn that is of no job: all workers go; `resume` is next."""
        self.steps.reset()
        self.dispatcher.reset()
        self.residents.reset()

    def _let_go(self, number: int) -> None:
        """Forget all of a job but its record, as `reset` does of all."""
        self.dispatcher.let_go(number)
        self.residents.let_go_job(number)

    def call(self, function: Callable[[], None]) -> None:
        """Run a function in the next turn; any thread may ask."""
        with self._done_lock:
            self._done.append(function)
        self._wake()

    def _run_done(self) -> None:
        while True:  # one by one: where one fails, those behind it are still there
            with self._done_lock:
                if not self._done:
                    return
                function = self._done.pop(0)
            function()

    def _start_ready_jobs(self) -> None:
        revision = self._database.revision
        if revision == self._looked_at:
            return
        self._looked_at = revision
        found: list[tuple[JobRecord, InputsFailed | InputsFinished]] = []
        with self._database.read() as tx:
            for job in tables.first_open_jobs(tx):
                busy = job.number in self._busy or self.steps.waits(job.number)
                if job.state is JobState.STARTING and not busy:
                    with self.steps.of_job(job.number, "looking at its inputs"):
                        found += [(job, event) for event in self._inputs_ended(tx, job)]
        for job, event in found:
            if isinstance(event, InputsFailed):
                self._event(job.number, event)
            else:
                self._carry_out(job.number, step(progress_of(job), event)[1])

    def _inputs_ended(self, tx: Transaction, job: JobRecord) -> list[InputsFailed | InputsFinished]:
        """What a job may hear of its inputs, if neither they nor its image are waited for."""
        if failed := provenance.failed_inputs(tx, job.output_repo, job.id):
            return [InputsFailed(repos=tuple(record.repo for record in failed))]
        if provenance.unfinished_inputs(tx, job.output_repo, job.id):
            return []
        record = lifecycle.get(tx, job.pipeline, version=job.version)
        if not record.placement.settled:
            self.arrivals.expect(record)
            return []
        return [InputsFinished()]

    def _carry_out(self, number: int, actions: tuple[Action, ...]) -> None:
        if self.steps.waits(number):
            return  # its record will say what is to be done
        for action in actions:
            with self.steps.of_job(number, _DOING[action]):
                self._act(number, action)

    def _act(self, number: int, action: Action) -> None:
        if action is Action.PLAN:
            if (prospect := self.dispatcher.ahead.prospects.get(number)) is not None:
                prospect.take_turn()
            self._begin_task(number, action, self._plan)
        elif action is Action.ASSEMBLE:
            self.dispatcher.job_ended(number)
            self._begin_task(number, action, self._assemble)
        elif action is Action.EGRESS:
            self._begin_copying(number)
        elif action is Action.LEASE:
            if not self.residents.takes(number):
                self.dispatcher.job_running(number)
        elif action is Action.CANCEL_LEASES:
            self.dispatcher.job_ended(number)

    def _check_deadlines(self) -> None:
        for number, reason in self.dispatcher.overdue():
            self._event(number, Stopped(reason=reason))

    def _event(self, number: int, event: Stopped | InputsFailed) -> None:
        with self.steps.of_job(number, "ending it"):
            with self._database.write() as tx:
                actions = apply_event(tx, number, event, now=self._clocks.now())
            self._carry_out(number, actions)

    # --- work for idle workers out of jobs whose turn has not come --------------------------------

    def _look_ahead(self) -> None:
        """Look for it behind each job that takes long and has nothing for some worker of its."""
        if self._clocks.monotonic() < self._look_at:
            return
        self._look_at = self._clocks.monotonic() + AHEAD_EVERY_S
        long_ago = self._clocks.now() - timedelta(seconds=AHEAD_AFTER_S)
        known = self.dispatcher.ahead.prospects
        found = []
        with self._database.read() as tx:
            for first in tables.first_open_jobs(tx):
                if first.started is None or first.started > long_ago:
                    continue
                if first.pipeline in self._looking or not self.dispatcher.idle_workers(first):
                    continue
                behind = tables.open_jobs_behind(tx, first, AHEAD_JOBS)
                job = next_to_look_at(first, behind, known)
                if job is None or self.steps.waits(job.number):
                    continue
                with self.steps.of_job(job.number, "looking at its inputs"):
                    ended = self._inputs_ended(tx, job)
                    found += [(first, job) for event in ended if isinstance(event, InputsFinished)]
        for first, job in found:
            behind_first = range(first.number + 1, job.number)
            before = [known[number] for number in known if number in behind_first]
            keys = [other.keys for other in before if other.job.pipeline == job.pipeline]
            self._begin_looking(first, job, between=frozenset().union(*keys))

    def _begin_looking(self, first: JobRecord, job: JobRecord, *, between: frozenset[str]) -> None:
        self._looking.add(job.pipeline)

        def task() -> None:
            prospect = Prospect(job=job)
            try:
                prospect = look_ahead(
                    *(self._database, self._trees, job),
                    first=first,
                    between=between,
                    datums_max=self._config.datums_max,
                )
            except Exception:  # its turn will tell
                _log.exception("looking ahead to job %s", job.name)
            self.call(lambda: self._looked(prospect))

        self._apart(task)

    def _looked(self, prospect: Prospect) -> None:
        self._looking.discard(prospect.job.pipeline)
        number = prospect.job.number
        if number not in self._busy and not self.steps.waits(number):  # else its turn has come
            with self.steps.of_job(number, "looking ahead"):
                self.dispatcher.ahead.offer(prospect)

    # --- planning, assembling, copying, beside the turns ------------------------------------------

    def _begin_task(
        self, number: int, action: Action, work: Callable[[JobRecord], tuple[Action, ...]]
    ) -> None:
        if not self._is_busy(number, action):
            self._busy[number] = None
            self._apart(self._task(number, action, work, lambda: None))

    def _is_busy(self, number: int, action: Action) -> bool:
        """Whether a task works on a job; if so, what is asked now is noted for its end.

        It may have failed already, and the scheduler begun again before it heard of that.
        """
        if number in self._busy:
            self._busy[number] = action
            return True
        return False

    def _begin_copying(self, number: int) -> None:
        """Copy the output of a job, once the thread that copies for its pipeline is done.

        The job of that one was stopped; but what it is about to replace must not come last.
        """
        with self._database.read() as tx:
            job = tables.job_by_number(tx, number)
        if job is None or self._is_busy(number, Action.EGRESS):
            return
        if (waiting := self._copying.get(job.pipeline)) is not None:
            waiting.append(number)
            return
        self._copying[job.pipeline] = []

        def ended() -> None:
            for behind in self._copying.pop(job.pipeline):
                self._carry_out(behind, (Action.EGRESS,))

        self._busy[number] = None
        self._apart_for_long(self._task(number, Action.EGRESS, self._egress, ended))

    def _task(
        self,
        number: int,
        action: Action,
        work: Callable[[JobRecord], tuple[Action, ...]],
        ended: Callable[[], None],
    ) -> Callable[[], None]:
        """What another thread does for a job; `ended` is called in a turn after that."""

        def task() -> None:
            actions: tuple[Action, ...] = ()
            with self.steps.of_job(number, _DOING[action]):
                actions = self._do(number, work)

            def finish() -> None:
                asked = self._busy.pop(number)
                if asked is not None and not actions:
                    self._carry_out(number, (asked,))
                self._carry_out(number, actions)
                ended()

            self.call(finish)

        return task

    def _do(
        self, number: int, work: Callable[[JobRecord], tuple[Action, ...]]
    ) -> tuple[Action, ...]:
        with self._database.read() as tx:
            job = tables.job_by_number(tx, number)
        if job is None or job.state.ended:
            return ()
        return work(job)

    def _plan(self, job: JobRecord) -> tuple[Action, ...]:
        prospect = self.dispatcher.ahead.prospects.get(job.number)

        def look(heads: Heads, plan: Plan, ended: Collection[int]) -> None:
            if prospect is not None:
                prospect.find(self._trees, heads, plan.segments, ended=ended)

        with self.plans.planning(), self._trees.chunks.hold():  # until the catalog names the plan
            return plan_job(
                self._database,
                self._trees,
                job,
                datums_max=self._config.datums_max,
                now=self._clocks.now(),
                look=look,
            )

    def _assemble(self, job: JobRecord) -> tuple[Action, ...]:
        with self._trees.chunks.hold():  # until the catalog names the tree
            tree = assemble(self._database, self._trees, job)
            errors = errors_tree(self._database, self._trees, job)
            with self._database.write() as tx:
                event = Assembled(egress=has_egress(tx, job))
                return apply_event(
                    tx, job.number, event, now=self._clocks.now(), tree=tree, errors=errors
                )

    def _egress(self, job: JobRecord) -> tuple[Action, ...]:
        if not self._copy_out(job):
            return ()
        with self._database.write() as tx:
            return apply_event(tx, job.number, Egressed(), now=self._clocks.now())
