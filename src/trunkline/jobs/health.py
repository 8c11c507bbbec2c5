"""How pipelines fare: what went wrong with their workers last, and the state that makes.

Who runs something for a pipeline tells `Health`; states are derived from that whenever somebody
asks, and never stored, so none can be out of date.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.jobs.pool import Worker
from trunkline.model.pipelines import PipelineState

_LOSSES_TOLERATED = 1  # a worker may be lost by bad luck


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong last, so many `times` without anything that went well in between."""

    version: int
    reason: str
    crashing: bool  # it is not to be expected that the next attempt goes well
    times: int


class Health:
    """The troubles of pipelines. Any thread may tell and ask.

    In memory alone: what is still wrong after a restart shows again at the next attempt.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._troubles: dict[str, Trouble] = {}

    def crashing(self, pipeline: str, version: int, reason: str) -> None:
        """What a version needs to work can't be started, or ended at once."""
        self._count(pipeline, version, reason, tolerated=0)

    def lost(self, pipeline: str, version: int, reason: str) -> None:
        """What worked for a version died; that is bad luck once, and a trouble the next time."""
        self._count(pipeline, version, reason, tolerated=_LOSSES_TOLERATED)

    def well(self, pipeline: str, version: int) -> None:
        """A version got something done."""
        with self._lock:
            trouble = self._troubles.get(pipeline)
            if trouble is not None and trouble.version == version:
                del self._troubles[pipeline]

    def forget(self, pipeline: str) -> None:
        """A pipeline gets a new start: it is made, changed or started by its user."""
        with self._lock:
            self._troubles.pop(pipeline, None)

    def trouble(self, pipeline: str, version: int) -> Trouble | None:
        """What is wrong with a version, if anything."""
        with self._lock:
            trouble = self._troubles.get(pipeline)
        return trouble if trouble is not None and trouble.version == version else None

    def _count(self, pipeline: str, version: int, reason: str, *, tolerated: int) -> None:
        with self._lock:
            before = self._troubles.get(pipeline)
            times = before.times + 1 if before is not None and before.version == version else 1
            said = f"{reason} ({times} times in a row)" if times > 1 else reason
            self._troubles[pipeline] = Trouble(
                version=version, reason=said, crashing=times > tolerated, times=times
            )


def condition(
    trouble: Trouble | None,
    workers: Sequence[Worker],
    *,
    autoscaling: bool,
    open_jobs: int,
    running_jobs: int,
    waiting: str,
    never: str,
) -> tuple[PipelineState, str]:
    """The state of a pipeline that is not stopped, and why it is not simply `running`.

    `workers` are those of its newest version, `waiting` says why it has fewer than it wants, and
    `never` why it can't have any on this machine.
    """
    if never:
        return PipelineState.FAILURE, never
    pods = [worker.outlook for worker in workers if worker.outlook is not None]
    held = next((pod.reason for pod in pods if pod.reason), "")
    delay = held or next((one.delay for one in workers if one.delay and not one.ready), "")
    if trouble is not None:
        told = f"{trouble.reason}; its next worker waits: {delay}" if delay else trouble.reason
        if trouble.crashing:
            return PipelineState.CRASHING, told
    if stuck := next((pod.reason for pod in pods if pod.crashing), ""):
        return PipelineState.CRASHING, stuck
    if running_jobs and not any(worker.ready for worker in workers):
        if trouble is not None:
            return PipelineState.RESTARTING, told
        return PipelineState.STARTING, waiting or delay or "none of its workers is ready yet"
    if autoscaling and not workers and not open_jobs:
        return PipelineState.STANDBY, ""
    return PipelineState.RUNNING, waiting
