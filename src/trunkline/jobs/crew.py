"""The workers of pipeline versions: how many there are to be, and what to make of their ends.

Used by the scheduler's thread only.
"""

import logging
import os
import selectors
from collections import Counter

from trunkline.config import Config
from trunkline.jobs.pool import Worker, WorkerPool
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.spec import worker_count

_FALSE_STARTS_MAX = 3  # workers of one version, one after the other, that say why they end
_SILENT_STARTS_MAX = 30  # that end before they are ready without a word, as when killed

_log = logging.getLogger("trunkline.scheduler")


class Crew:
    """Starts workers, listens to their channels, and counts those that never get ready."""

    def __init__(self, config: Config, pool: WorkerPool) -> None:
        self._config = config
        self._pool = pool
        self._selector: selectors.BaseSelector | None = None
        self._false_starts: Counter[tuple[str, int]] = Counter()  # by version

    def attach(self, selector: selectors.BaseSelector) -> None:
        """Workers' channels are registered with this selector."""
        self._selector = selector

    def size(self, pipeline: PipelineSpec) -> int:
        """How many workers a pipeline asks for on this machine."""
        return min(
            worker_count(pipeline.parallelism, os.cpu_count() or 1), self._config.workers_max
        )

    def ensure(self, pipeline: str, version: int, count: int) -> None:
        """Start what a version lacks to so many workers."""
        there = [w for w in self._pool.workers(pipeline) if w.version == version and not w.retiring]
        for _ in range(count - len(there)):
            try:
                worker = self._pool.spawn(pipeline, version)
            except OSError as error:
                _log.error("a worker of %s can't be started: %s", pipeline, error)
                return
            assert self._selector is not None
            self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def ready(self, worker: Worker) -> None:
        """A worker can take work."""
        self._false_starts.pop((worker.pipeline, worker.version), None)

    def forget(self, worker: Worker) -> None:
        """A worker's channel is closed."""
        assert self._selector is not None
        self._selector.unregister(worker.channel)
        self._pool.discard(worker)

    def false_start(self, worker: Worker) -> str:
        """A worker ended before it was ready; why its version is given up, if it is by now."""
        version = (worker.pipeline, worker.version)
        self._false_starts[version] += 1
        most = _FALSE_STARTS_MAX if worker.failure else _SILENT_STARTS_MAX
        if self._false_starts[version] < most:
            return ""
        return f"its workers can't be started: {worker.failure or 'they end at once'}"
