"""The loop that moves jobs on: the thread behind `conductor`, and all that wakes it.

Durable and event-driven: the loop wakes up by a change of the catalog, a message of a worker, or
the next deadline. One thread; plans and output trees are made in a small pool of threads, and
copied elsewhere in another. After a crash a new scheduler finds everything in the catalog again.
"""

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.files.tree import Trees
from trunkline.jobs import places
from trunkline.jobs.arrivals import Pulls
from trunkline.jobs.clocks import MACHINE
from trunkline.jobs.clusters import cluster_launcher, stage_keeper
from trunkline.jobs.conductor import Conductor
from trunkline.jobs.egress import Egress
from trunkline.jobs.launcher import ProcessLauncher
from trunkline.jobs.liveness import Plans
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.mishaps import is_defect
from trunkline.jobs.pool import Launcher, WorkerPool
from trunkline.jobs.secrets import SecretStore
from trunkline.jobs.tables import JobRecord
from trunkline.jobs.threads import Threads
from trunkline.model.images import Runtime
from trunkline.model.jobs import WorkerInfo
from trunkline.model.pipelines import PipelineSpec, PipelineState, ResidentInfo
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.store.chunks import ChunkStore

_THREADS = 2
_COPYING_THREADS = 4
_COPYING_CLOSE_S = 5.0  # what waits for somebody else gets this long to notice the end
_POLL_S = 0.02
_TICK_S = 1.0  # deadlines (leases, timeouts, idle workers) are looked at this often
_BURST_S = 0.01  # after a change in the catalog, those that follow within this are looked at once

_log = logging.getLogger("trunkline.scheduler")


def _launcher_of(config: Config, database: Database, chunks: ChunkStore, marker: str) -> Launcher:
    def serve_places(line: socket.socket) -> None:
        places.serve(line, chunks.joined, SecretStore(config.home))

    asked = serve_places if chunks.joined.shared else None
    processes = ProcessLauncher(
        home=config.home,
        isolation=config.isolation,
        marker=marker,
        container_host=config.container_host,
        output_bytes_max=config.output_bytes_max,
        serve_places=asked,
    )
    if config.runtime != Runtime.KUBERNETES:
        return processes
    return cluster_launcher(config, database, processes, marker=marker, serve_places=asked)


class Scheduler:
    """Runs the jobs of one catalog. Start once; `close` leaves all jobs resumable."""

    def __init__(
        self, config: Config, database: Database, trees: Trees, live: LiveLogs, *, marker: str
    ) -> None:
        self._database = database
        self._launcher = _launcher_of(config, database, trees.chunks, marker)
        self._pool = WorkerPool(self._launcher, MACHINE)
        self._stages = stage_keeper(config, database)
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._wake_lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="trunkline-job")
        self._egress_threads = Threads(_COPYING_THREADS, "trunkline-egress")
        self._egress = Egress(config, database, trees, self._stopping)
        self._conductor = Conductor(
            config,
            database,
            trees,
            live,
            self._pool,
            MACHINE,
            selector=self._selector,
            apart=self._threads.submit,
            apart_for_long=self._egress_threads.submit,
            copy_out=self._egress.run,
            wake=self._wake,
        )
        self._loop_thread = threading.Thread(target=self._loop, name="trunkline-scheduler")
        self._watch_thread = threading.Thread(target=self._watch, name="trunkline-watch")
        self.stuck = ""  # why the loop ended on its own, for `status`

    def workers(self, pipeline: str | None = None) -> list[WorkerInfo]:
        """The workers there are (of a pipeline); any thread may ask."""
        listed = [worker.info() for worker in self._pool.workers(pipeline)]
        return [*listed, *self._conductor.residents.workers(pipeline)]

    def resident(self, pipeline: str) -> ResidentInfo | None:
        """The process that stands for a service or a spout; any thread may ask."""
        return self._conductor.residents.info(pipeline)

    @property
    def pulls(self) -> Pulls:
        """The images on their way; any thread may ask."""
        return self._conductor.pulls

    def waiting_for_image(self, record: PipelineRecord) -> tuple[PipelineState, str]:
        """The state of a pipeline whose version waits for its image; any thread may ask."""
        return self._conductor.arrivals.condition(record)

    @property
    def plans(self) -> Plans:
        return self._conductor.plans

    def start(self) -> None:
        """Take up all jobs where an earlier server left them, and begin."""
        self._conductor.count_restarts()
        self._launcher.start()
        self._loop_thread.start()
        self._watch_thread.start()
        if self._stages is not None:
            self._stages.start()

    def close(self) -> None:
        """Stop the loop and all workers; no job loses a recorded outcome."""
        self._stopping.set()
        self.pulls.close()
        self._database.notify()
        self._wake()
        if self._stages is not None:
            self._stages.close()
        if self._loop_thread.is_alive():
            self._loop_thread.join()
        if self._watch_thread.is_alive():
            self._watch_thread.join()
        self._conductor.residents.close()
        self._threads.shutdown(wait=True)
        if left := self._egress_threads.close(_COPYING_CLOSE_S):
            _log.warning("nothing answers %s: what they copy begins anew", ", ".join(left))
        self._pool.close()
        self._selector.close()
        with self._wake_lock:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1  # the number may soon be that of another file

    def prewarm(self, pipeline: str) -> None:
        """Start the workers of a pipeline's newest version before it has work."""
        self._conductor.call(lambda: self._conductor.prewarm(pipeline))

    def trouble(self, job: JobRecord) -> str:
        """What keeps an open job from going on, if a step of the server for it has failed."""
        return (
            self._conductor.steps.reason_of(job)
            or self._egress.trouble(job)
            or self._conductor.arrivals.reason(job.pipeline, job.spec_commit)
        )

    def waiting(self, pipeline: str) -> str:
        """Why a pipeline has fewer workers than it wants, or nothing."""
        return self._conductor.dispatcher.waiting(pipeline)

    def condition(
        self, pipeline: str, version: int, spec: PipelineSpec, *, open_jobs: int, running_jobs: int
    ) -> tuple[PipelineState, str]:
        """The state of a pipeline that is not stopped, with the reason."""
        if spec.resident:
            return self._conductor.residents.condition(pipeline)
        if self._stages is not None and (told := self._stages.trouble(pipeline)):
            return told
        return self._conductor.dispatcher.condition(
            pipeline, version, spec, open_jobs=open_jobs, running_jobs=running_jobs
        )

    def restart_datums(self, job: int, paths: list[str]) -> int:
        """Cancel the running datums of a job whose inputs include all the paths."""
        return self._conductor.dispatcher.restart_datums(job, paths)

    def end_workers(self, pipelines: Collection[str], timeout_s: float) -> list[str]:
        """End the workers that some pipelines have now, at the latest by force after the timeout.

        Returns their names once they are gone; what they had at work is handed out again.
        """
        leaving = [w for w in self._pool.workers() if w.pipeline in pipelines]
        deadline = time.monotonic() + timeout_s
        forced = False
        self._conductor.call(lambda: self._conductor.dispatcher.dismiss(leaving))
        while any(worker in self._pool.workers() for worker in leaving):
            if self._stopping.is_set():
                break
            if not forced and time.monotonic() > deadline:
                forced = True
                for worker in leaving:
                    self._pool.kill(worker)
            self._stopping.wait(_POLL_S)
        residents = self._conductor.residents.let_go(set(pipelines))
        return [*(worker.name for worker in leaving), *residents]

    # --- the loop ---------------------------------------------------------------------------------

    def _loop(self) -> None:
        """Run until told to stop. A failure that is of no job (a catalog that can't be read, say)
        is met as a crash would be: all workers go, and everything is taken up again from there.
        """
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        while not self._stopping.is_set():
            try:
                self._conductor.resume()
                self.stuck = ""
                self._run()
            except Exception as error:
                self.stuck = f"the scheduler can't go on: {error}"
                trace = error if is_defect(error) else None
                _log.error("the scheduler begins again: %s", error, exc_info=trace)
                self._conductor.reset()
                self._stopping.wait(_TICK_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._conductor.turn()
            ready = [key.data for key, _ in self._selector.select(_TICK_S)]
            if None in ready:
                self._drain_wake()
            self._conductor.receive(worker for worker in ready if worker is not None)

    # --- waking up --------------------------------------------------------------------------------

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
