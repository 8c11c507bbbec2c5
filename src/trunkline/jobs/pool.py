"""The workers of this machine: start them, know them, end them.

Used by the scheduler's thread only, except where a method says otherwise.
"""

import logging
import select
import selectors
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trunkline.jobs.channel import Channel, ChannelClosed, Message
from trunkline.jobs.clocks import Clocks
from trunkline.model.jobs import WorkerInfo
from trunkline.runtimes.kubernetes.status import Outlook

_log = logging.getLogger("trunkline.scheduler")

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes names its pods
_LEAVE_S = 2.0  # idle workers get this long to leave when the server stops


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """A worker process as its scheduler knows it."""

    name: str
    pipeline: str
    version: int
    spec_commit: str  # of that version, which tells it from one of a pipeline that was deleted
    pid: int
    channel: Channel
    started: datetime
    silent_s: float = 0.0  # for how long it was listened to in vain; see `WorkerPool.listened`
    ready: bool = False
    retiring: bool = False
    failure: str = ""  # why it could not get ready
    lease: int | None = None
    job: str = ""  # pipeline@id
    datum: str = ""
    position: int | None = None
    inputs: tuple[str, ...] = ()  # paths of the datum at work
    idle_since: float = 0.0
    watched: int = selectors.EVENT_READ  # what a selector looks for
    runtime: str = "process"  # where it runs commands
    delay: str = ""  # what it waits for before it is ready
    outlook: Outlook | None = None  # how its pod is, if it is in one

    @property
    def idle(self) -> bool:
        return self.ready and self.lease is None and not self.retiring

    def info(self) -> WorkerInfo:
        status = "Running" if self.ready else "Init:0/1"
        ready, restarts = "1/1" if self.ready else "0/1", 0
        if self.outlook is not None:
            status, ready, restarts = (
                self.outlook.status,
                self.outlook.ready,
                self.outlook.restarts,
            )
        return WorkerInfo(
            name=self.name,
            pipeline=self.pipeline,
            version=self.version,
            ready=ready,
            status="Terminating" if self.retiring else status,
            restarts=restarts,
            started=self.started,
            job=self.job,
            datum=self.datum,
            runtime=self.runtime,
            pid=0 if self.outlook is not None else self.pid,
        )


class Launcher(Protocol):
    """Starts and ends the processes behind workers."""

    def start(self) -> None:
        """Get ready, so that the first worker is quick."""

    def new_suffix(self) -> str:
        """What tells the worker to come from others of its pipeline."""

    def launch(self, name: str, pipeline: str, version: int) -> tuple[int, Channel]:
        """Start a worker that goes by this name, for a version of a pipeline.

        Gives its process id, or another number for it, and our end of the line to it. Raises
        OSError.
        """

    def kill(self, pid: int) -> None:
        """End a worker at once; its line then reads as closed."""

    def outlook(self, pid: int) -> Outlook | None:
        """How the pod of a worker is; None for a process of this machine."""

    def has_come(self, pid: int) -> bool:
        """Whether somebody is at the other end of a worker's line, or was."""

    def forget(self, pid: int) -> None:
        """The line of a worker has ended."""

    def close(self) -> None:
        """End all workers, and what they started."""


class WorkerPool:
    """All workers that this server started."""

    def __init__(self, launcher: Launcher, clocks: Clocks) -> None:
        self._launcher = launcher
        self._clocks = clocks
        self._lock = threading.Lock()  # the list is read by other threads
        self._workers: list[Worker] = []
        self._owed: set[Worker] = set()  # who have not taken all that they were sent, or had not

    def apart(self) -> "WorkerPool":
        """An empty pool beside this one, whose workers are started in the same way."""
        return WorkerPool(self._launcher, self._clocks)

    def workers(self, pipeline: str | None = None) -> list[Worker]:
        """The workers there are; any thread may ask."""
        with self._lock:
            return [w for w in self._workers if pipeline is None or w.pipeline == pipeline]

    def spawn(self, pipeline: str, version: int, spec_commit: str) -> Worker:
        """Start a worker for a version of a pipeline; it says `ready` when it can take work."""
        words = pipeline.lower().replace("_", "-").replace("/", "-")
        name = f"pipeline-{words}-v{version}-{self._launcher.new_suffix()}"
        pid, channel = self._launcher.launch(name, pipeline, version)
        worker = Worker(
            name=name,
            pipeline=pipeline,
            version=version,
            spec_commit=spec_commit,
            pid=pid,
            channel=channel,
            started=self._clocks.now(),
            idle_since=self._clocks.monotonic(),
        )
        with self._lock:
            self._workers.append(worker)
        return worker

    def send(self, worker: Worker, message: Message) -> None:
        """Send a message, without waiting; one who can't get it any more is killed.

        Who does not take it is no different from others that are silent.
        """
        try:
            worker.channel.offer(message)
            if worker.channel.owes:
                self._owed.add(worker)
        except ChannelClosed:
            self.kill(worker)

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Have a selector that has the channels tell who can take more of what was sent."""
        for worker in list(self._owed):
            more = selectors.EVENT_WRITE if worker.channel.owes else 0
            events = selectors.EVENT_READ | more
            if events != worker.watched:
                selector.modify(worker.channel, events, worker)
                worker.watched = events
            if not more:
                self._owed.discard(worker)

    def retire(self, worker: Worker) -> None:
        """Ask a worker to leave once it is idle."""
        if not worker.retiring:
            worker.retiring = True
            self.send(worker, {"type": "exit"})

    def give_up(self, worker: Worker) -> None:
        """End one that is not ready yet and that nobody waits for any more."""
        worker.retiring = True
        self.kill(worker)

    def listened(self, worker: Worker, seconds: float, *, most_s: float) -> bool:
        """Count time in which a worker would have been heard; one that is silent so long is killed.

        Returns whether it is.
        """
        worker.outlook = outlook = self._launcher.outlook(worker.pid)
        if outlook is not None and outlook.gone:
            worker.failure = worker.failure or outlook.reason
            self.kill(worker)
            return True
        if self._launcher.has_come(worker.pid):
            worker.silent_s += seconds
        if worker.silent_s <= most_s:
            return False
        _log.warning("worker %s is silent and is killed", worker.name)
        self.kill(worker)
        return True

    def discard(self, worker: Worker) -> None:
        """Forget a worker whose channel is closed; its host has reaped or will reap it."""
        worker.channel.close()
        self._launcher.forget(worker.pid)
        self._owed.discard(worker)
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)

    def kill(self, worker: Worker) -> None:
        """End a worker at once; its channel then reads as closed."""
        self._launcher.kill(worker.pid)

    def close(self) -> None:
        """End all workers; idle ones may leave by themselves, which seals their packs."""
        self._let_idle_leave()
        self._launcher.close()
        with self._lock:
            for worker in self._workers:
                worker.channel.close()
            self._workers.clear()

    def _let_idle_leave(self) -> None:
        leaving = [worker for worker in self.workers() if worker.idle]
        for worker in leaving:
            self.retire(worker)
        deadline = time.monotonic() + _LEAVE_S
        while leaving and (left := deadline - time.monotonic()) > 0:
            said = select.poll()
            for worker in leaving:
                said.register(worker.channel, select.POLLIN)
            readable = {fd for fd, _ in said.poll(left * 1000)}
            for worker in [w for w in leaving if w.channel.fileno() in readable]:
                try:
                    worker.channel.poll()
                except ChannelClosed:
                    leaving.remove(worker)
