"""The loop that moves jobs on: it carries out actions and feeds events.

Durable and event-driven: what is decided is in the catalog before it is acted on, and the loop
wakes up by a change of the catalog, a message of a worker, or the next deadline. One thread; plans
and output trees are made in a small pool of threads. After a crash a new scheduler finds everything
in the catalog again.
"""

import logging
import os
import selectors
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.errors import TrunklineError
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.assemble import assemble
from trunkline.jobs.dispatch import Dispatcher
from trunkline.jobs.liveness import Plans
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.planning import plan_job
from trunkline.jobs.pool import WorkerPool
from trunkline.jobs.records import apply_event, progress_of
from trunkline.jobs.state import (
    Action,
    Assembled,
    Broken,
    InputsFailed,
    InputsFinished,
    Stopped,
    resume,
    step,
)
from trunkline.jobs.tables import JobRecord
from trunkline.model.jobs import JobState
from trunkline.versions import provenance

_THREADS = 2
_POLL_S = 0.02
_TICK_S = 1.0  # deadlines (leases, timeouts, idle workers) are looked at this often
_BURST_S = 0.01  # after a change in the catalog, those that follow within this are looked at once

_log = logging.getLogger("trunkline.scheduler")


class Scheduler:
    """Runs the jobs of one catalog. Start once; `close` leaves all jobs resumable."""

    def __init__(
        self, config: Config, database: Database, trees: Trees, live: LiveLogs, *, marker: str
    ) -> None:
        self._config = config
        self._database = database
        self._trees = trees
        self._pool = WorkerPool(
            home=config.home,
            isolation=config.isolation,
            marker=marker,
            output_bytes_max=config.output_bytes_max,
        )
        self._dispatcher = Dispatcher(
            config, database, trees, self._pool, live, act=self._carry_out
        )
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._wake_lock = threading.Lock()
        self._stopping = threading.Event()
        self._looked_at = -1  # revision of the catalog when jobs were last looked for
        self._busy: set[int] = set()  # jobs that a thread of the pool works on
        self._done: list[Callable[[], None]] = []
        self._done_lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="trunkline-job")
        self._loop_thread = threading.Thread(target=self._loop, name="trunkline-scheduler")
        self._watch_thread = threading.Thread(target=self._watch, name="trunkline-watch")
        self.plans = Plans()  # so that no result is forgotten while a plan counts on it
        self.stuck = ""  # why the loop ended on its own, for `status`

    @property
    def pool(self) -> WorkerPool:
        return self._pool

    def start(self) -> None:
        """Take up all jobs where an earlier server left them, and begin."""
        with self._database.write() as tx:
            for job in tables.open_jobs(tx):
                if job.state is not JobState.STARTING:
                    tables.count_restart(tx, job.number)
        self._pool.start_host()
        self._loop_thread.start()
        self._watch_thread.start()

    def close(self) -> None:
        """Stop the loop and all workers; no job loses a recorded outcome."""
        self._stopping.set()
        self._database.notify()
        self._wake()
        if self._loop_thread.is_alive():
            self._loop_thread.join()
        if self._watch_thread.is_alive():
            self._watch_thread.join()
        self._threads.shutdown(wait=True)
        self._pool.close()
        self._selector.close()
        with self._wake_lock:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1  # the number may soon be that of another file

    def prewarm(self, pipeline: str) -> None:
        """Start the workers of a pipeline's newest version before it has work."""
        self._call(lambda: self._dispatcher.prewarm(pipeline))

    def restart_datums(self, job: int, paths: list[str]) -> int:
        """Cancel the running datums of a job whose inputs include all the paths."""
        return self._dispatcher.restart_datums(job, paths)

    def end_workers(self, pipelines: Collection[str], timeout_s: float) -> list[str]:
        """End the workers that some pipelines have now, at the latest by force after the timeout.

        Returns their names once they are gone; what they had at work is handed out again.
        """
        leaving = [w for w in self._pool.workers() if w.pipeline in pipelines]
        deadline = time.monotonic() + timeout_s
        forced = False
        self._call(lambda: self._dispatcher.dismiss(leaving))
        while any(worker in self._pool.workers() for worker in leaving):
            if self._stopping.is_set():
                break
            if not forced and time.monotonic() > deadline:
                forced = True
                for worker in leaving:
                    self._pool.kill(worker)
            self._stopping.wait(_POLL_S)
        return [worker.name for worker in leaving]

    # --- the loop ---------------------------------------------------------------------------------

    def _loop(self) -> None:
        """Run until told to stop. A failure (a full disk, say) is met as a crash would be: all
        workers go, and everything is taken up again from the catalog.
        """
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._dispatcher.attach(self._selector)
        while not self._stopping.is_set():
            try:
                self._resume()
                self._run()
            except Exception as error:
                self.stuck = f"the scheduler can't go on: {error}"
                _log.exception("the scheduler begins again")
                self._dispatcher.reset()
                self._stopping.wait(_TICK_S)

    def _resume(self) -> None:
        with self._database.write() as tx:
            tables.lose_all_leases(tx)
            found = tables.open_jobs(tx)
        self._looked_at = -1
        self.stuck = ""
        for job in found:
            self._carry_out(job.number, resume(progress_of(job)))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._run_done()
            self._start_ready_jobs()
            self._check_deadlines()
            self._dispatcher.hand_out()
            self._dispatcher.tend_workers()
            for key, _ in self._selector.select(_TICK_S):
                if key.data is None:
                    self._drain_wake()
                else:
                    self._dispatcher.receive(key.data)

    def _start_ready_jobs(self) -> None:
        revision = self._database.revision
        if revision == self._looked_at:
            return
        self._looked_at = revision
        with self._database.read() as tx:
            first = tables.first_open_jobs(tx)
            waiting = [
                (
                    job,
                    provenance.failed_inputs(tx, job.output_repo, job.id),
                    provenance.unfinished_inputs(tx, job.output_repo, job.id),
                )
                for job in first
                if job.state is JobState.STARTING and job.number not in self._busy
            ]
        for job, failed, unfinished in waiting:
            if failed:
                repos = tuple(record.repo for record in failed)
                with self._database.write() as tx:
                    actions = apply_event(tx, job.number, InputsFailed(repos=repos), now=_now())
                self._carry_out(job.number, actions)
            elif not unfinished:
                self._carry_out(job.number, step(progress_of(job), InputsFinished())[1])

    def _carry_out(self, number: int, actions: tuple[Action, ...]) -> None:
        for action in actions:
            if action is Action.PLAN:
                self._in_thread(number, self._plan)
            elif action is Action.ASSEMBLE:
                self._dispatcher.job_ended(number)
                self._in_thread(number, self._assemble)
            elif action is Action.LEASE:
                self._dispatcher.job_running(number)
            elif action is Action.CANCEL_LEASES:
                self._dispatcher.job_ended(number)

    def _check_deadlines(self) -> None:
        for number, reason in self._dispatcher.overdue(time.time()):
            self._event(number, Stopped(reason=reason))

    # --- planning and assembling, in threads ------------------------------------------------------

    def _in_thread(self, number: int, work: Callable[[JobRecord], tuple[Action, ...]]) -> None:
        if number in self._busy:
            return
        self._busy.add(number)

        def task() -> None:
            try:
                actions = self._attempt(number, work)
            except Exception as error:  # the catalog itself can't be used
                failure = error
                self._call(lambda: self._fail_task(number, failure))
            else:
                self._call(lambda: self._finish_task(number, actions))

        self._threads.submit(task)

    def _attempt(
        self, number: int, work: Callable[[JobRecord], tuple[Action, ...]]
    ) -> tuple[Action, ...]:
        with self._database.read() as tx:
            job = tables.job_by_number(tx, number)
        if job is None or job.state.ended:
            return ()
        try:
            # What a plan or a tree takes over or stores has no name in the catalog before its end.
            with self._trees.chunks.hold():
                return work(job)
        except TrunklineError as error:
            return self._break(number, str(error))
        except Exception as error:
            _log.exception("job %s", job.name)
            return self._break(number, f"internal error: {error!r}")

    def _fail_task(self, number: int, error: Exception) -> None:
        self._busy.discard(number)
        raise error

    def _finish_task(self, number: int, actions: tuple[Action, ...]) -> None:
        self._busy.discard(number)
        self._carry_out(number, actions)

    def _plan(self, job: JobRecord) -> tuple[Action, ...]:
        with self.plans.planning():
            return plan_job(
                self._database, self._trees, job, datums_max=self._config.datums_max, now=_now()
            )

    def _assemble(self, job: JobRecord) -> tuple[Action, ...]:
        tree = assemble(self._database, self._trees, job)
        with self._database.write() as tx:
            return apply_event(tx, job.number, Assembled(), now=_now(), tree=tree)

    def _break(self, number: int, reason: str) -> tuple[Action, ...]:
        with self._database.write() as tx:
            return apply_event(tx, number, Broken(reason=reason), now=_now())

    def _event(self, number: int, event: Stopped | Broken) -> None:
        with self._database.write() as tx:
            actions = apply_event(tx, number, event, now=_now())
        self._carry_out(number, actions)

    # --- waking up --------------------------------------------------------------------------------

    def _call(self, function: Callable[[], None]) -> None:
        """Run a function in the loop's thread, soon."""
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

    def _watch(self) -> None:
        """Wake the loop after a change: at once after the first one, then after all in a while."""
        seen = self._database.revision
        while not self._stopping.is_set():
            revision = self._database.wait_for_change(seen, _TICK_S)
            if revision != seen:
                seen = revision
                self._wake()
                self._stopping.wait(_BURST_S)

    def _wake(self) -> None:
        try:
            with self._wake_lock:
                os.write(self._wake_write, b"!")
        except OSError:
            pass  # full: it will wake up anyway; closed: it is gone

    def _drain_wake(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            pass


def _now() -> datetime:
    return datetime.now(UTC)
