"""The workers of pipeline versions: how many there are to be, and what to make of their ends.

Used by the scheduler's thread only.
"""

import logging
import os
import selectors
from collections import Counter
from dataclasses import replace

from trunkline.config import Config
from trunkline.jobs.budget import Budget, machine_of
from trunkline.jobs.datum_run import Context
from trunkline.jobs.health import Health
from trunkline.jobs.pool import Worker, WorkerPool
from trunkline.model.pipelines import PipelineSpec, Resources
from trunkline.pipelines.spec import worker_count

_FALSE_STARTS_MAX = 3  # workers of one version, one after the other, that say why they end
_FALSE_STARTS_SHARE = 0.1  # or so many of those that there are to be, where they are many
_SILENT_STARTS_MAX = 30  # that end before they are ready without a word, as when killed

_log = logging.getLogger("trunkline.scheduler")


class Crew:
    """Starts workers, listens to their channels, and counts those that never get ready."""

    def __init__(self, config: Config, pool: WorkerPool, health: Health) -> None:
        self._config = config
        self._pool = pool
        self._health = health
        self._selector: selectors.BaseSelector | None = None
        self._false_starts: Counter[tuple[str, int]] = Counter()  # by version
        self._asked: dict[tuple[str, int], int] = {}  # how many workers there are to be, by version
        self._budget = Budget(machine_of(config))
        self.waiting: dict[str, str] = {}  # by pipeline: why it has fewer workers than it wants

    def attach(self, selector: selectors.BaseSelector) -> None:
        """Workers' channels are registered with this selector."""
        self._selector = selector

    def size(self, pipeline: PipelineSpec) -> int:
        """How many workers a pipeline asks for on this machine."""
        return min(
            worker_count(pipeline.parallelism, os.cpu_count() or 1), self._config.workers_max
        )

    def ensure(self, context: Context, count: int, wanted: Resources) -> None:
        """Start what a version lacks to so many workers, as far as what each requests is there.

        Where it is not, idle workers of others that hold some leave.
        """
        pipeline, version, spec_commit = context.pipeline, context.version, context.spec_commit
        ours = [w for w in self._pool.workers(pipeline) if w.spec_commit == spec_commit]
        there = [worker for worker in ours if not worker.retiring]
        self.waiting.pop(pipeline, None)
        self._asked[pipeline, version] = count
        for number in range(len(there), count):
            if missing := self._budget.missing(wanted):
                self.waiting[pipeline] = (
                    f"{count - number} of {count} workers wait: each requests {missing} free"
                )
                self._make_room(pipeline, spec_commit)
                return
            try:
                worker = self._pool.spawn(pipeline, version, spec_commit)
            except OSError as error:
                _log.error("a worker of %s can't be started: %s", pipeline, error)
                self._health.crashing(pipeline, version, f"a worker can't be started: {error}")
                return
            self.introduce(worker, context, wanted)
            assert self._selector is not None
            self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def room(self, pipeline: str, spec_commit: str, wanted: Resources) -> str:
        """What keeps one more process of a version from starting now, or nothing.

        If something does, idle workers of others that hold some leave.
        """
        missing = self._budget.missing(wanted)
        if missing:
            self._make_room(pipeline, spec_commit)
        return missing

    def introduce(self, worker: Worker, context: Context, wanted: Resources) -> None:
        """Tell a worker that was started what it is for, and count what it holds from now on."""
        self._budget.hold(worker.name, wanted)
        gpus = self._budget.gpus_of(worker.name)
        worker.runtime = context.runtime
        self._pool.send(worker, replace(context, gpus=gpus).as_message())

    def give_back(self, worker: Worker) -> None:
        """One that is no worker of ours is gone."""
        self._budget.give_back(worker.name)

    def never(self, wanted: Resources) -> str:
        """Why no worker that requests this can ever start here, or nothing."""
        return self._budget.never(wanted)

    def _make_room(self, pipeline: str, spec_commit: str) -> None:
        for worker in self._pool.workers():
            holds = self._budget.holds(worker.name)
            ours = (worker.pipeline, worker.spec_commit) == (pipeline, spec_commit)
            if holds and worker.idle and not ours:
                self._pool.retire(worker)

    def watch(self) -> None:
        """Listen to those who have not taken all that they were sent."""
        assert self._selector is not None
        self._pool.watch(self._selector)

    def ready(self, worker: Worker) -> None:
        """A worker can take work."""
        if self._false_starts.pop((worker.pipeline, worker.version), None):
            self._health.well(worker.pipeline, worker.version)

    def forget(self, worker: Worker) -> None:
        """A worker's channel is closed."""
        assert self._selector is not None
        self._selector.unregister(worker.channel)
        self._budget.give_back(worker.name)
        self._pool.discard(worker)

    def false_start(self, worker: Worker) -> str:
        """A worker ended before it was ready; why its version is given up, if it is by now."""
        version = (worker.pipeline, worker.version)
        self._false_starts[version] += 1
        reason = f"its workers can't be started: {worker.failure or 'they end at once'}"
        tell = self._health.crashing if worker.failure else self._health.lost
        tell(*version, reason)
        most = _FALSE_STARTS_MAX if worker.failure else _SILENT_STARTS_MAX
        most = max(most, int(self._asked.get(version, 0) * _FALSE_STARTS_SHARE))
        return reason if self._false_starts[version] >= most else ""
