"""Watches one command within its limits: time, cancellation, memory, bytes of output.

The output is measured by walking it now and then (a file system with a fixed size could not be on
disk), so a command may exceed its quota for a moment; a single file can't, because the kernel
refuses to let it grow.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from trunkline.runtimes import descendants, scratch
from trunkline.runtimes.base import OUT, Command, ExitReport
from trunkline.runtimes.bounds import Bounds
from trunkline.runtimes.spawn import Process
from trunkline.runtimes.streams import Streams

TICK_S = 0.2
GRACE_S = 0.1  # for children that end by themselves, such as bash's `> >(tee log)`
GRACE_STEP_S = 0.005
_REAP_STEP_S = 0.0002
_MEASURE_SHARE = 20  # at most this fraction of the time goes into measuring the output


class Stop(Enum):
    """Why a command was stopped that had not ended by itself."""

    CANCELLED = auto()
    TIMED_OUT = auto()
    OVER_QUOTA = auto()
    OUT_OF_MEMORY = auto()


class Quota:
    """Measures the output, seldom enough that it costs little."""

    def __init__(self, out: Path, most: int | None) -> None:
        self._out = out
        self._most = most
        self._next = 0.0

    def exceeded(self) -> bool:
        if self._most is None:
            return False
        began = time.monotonic()
        found = scratch.bytes_below(self._out, most=self._most)
        ended = time.monotonic()
        self._next = ended + (ended - began) * _MEASURE_SHARE
        return found > self._most

    def exceeded_now_and_then(self) -> bool:
        return time.monotonic() >= self._next and self.exceeded()


class Running(Protocol):
    """A command at work, as its streams tell."""

    def ended(self) -> bool:
        """Has it ended by itself?"""
        ...

    def wait(self, timeout_s: float) -> None:
        """Move what it prints and reads, after waiting at most so long for that or for the end."""
        ...


def follow(
    running: Running,
    *,
    deadline: float | None,
    quota: Quota,
    cancelled: Callable[[], bool],
    tick: Callable[[], None],
    asked: Callable[[], bool] = lambda: False,
    look: Callable[[], Stop | None] = lambda: None,
) -> Stop | None:
    """Why a command must be stopped; None when it ended by itself, or `asked`.

    `deadline` is in monotonic seconds. `look` is called as often as `tick`, for reasons of its own.
    """
    next_tick = time.monotonic() + TICK_S
    while not running.ended():
        if asked():
            return None
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return Stop.TIMED_OUT
        if now >= next_tick:
            tick()
            if cancelled():
                return Stop.CANCELLED
            if quota.exceeded_now_and_then():
                return Stop.OVER_QUOTA
            if (stop := look()) is not None:
                return stop
            next_tick = time.monotonic() + TICK_S
        wake = next_tick if deadline is None else min(next_tick, deadline)
        running.wait(wake - now)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Follows one command, or one datum of a batch, in a place that keeps it within its memory."""

    running: Running
    deadline: float | None
    quota: Quota

    @classmethod
    def within(cls, running: Running, command: Command, quota: Quota) -> "Following":
        """From now on, for as long as the command may run once."""
        timeout_s = command.timeout_s
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        return cls(running=running, deadline=deadline, quota=quota)

    def until_end(
        self,
        *,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
        asked: Callable[[], bool] = lambda: False,
    ) -> Stop | None:
        """See `follow`."""
        return follow(
            self.running,
            deadline=self.deadline,
            quota=self.quota,
            cancelled=cancelled,
            tick=tick,
            asked=asked,
        )


class Watch:
    """Follows one command until it ends or has to be stopped."""

    def __init__(
        self,
        process: Process,
        streams: Streams,
        *,
        deadline: float | None,
        spare: frozenset[int],
        quota: Quota,
        bounds: Bounds,
    ) -> None:
        self.quota = quota
        self._process = process
        self._streams = streams
        self._bounds = bounds
        self._deadline = deadline
        self._spare = spare

    def until_end(
        self,
        *,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
        asked: Callable[[], bool] = lambda: False,
    ) -> Stop | None:
        """Why the command must be stopped; None when it ended by itself, or `asked`.

        One that ended is reaped: then a single question tells that it left nothing behind.
        """
        stop = follow(
            self._streams,
            deadline=self._deadline,
            quota=self.quota,
            cancelled=cancelled,
            tick=tick,
            asked=asked,
            look=self._look,
        )
        if stop is None and self._streams.ended():
            self._process.reap()
            self._let_children_finish()
        return stop

    def _look(self) -> Stop | None:
        if self._bounds.exceeded(self._spare):
            return Stop.OUT_OF_MEMORY
        # Dead daemons would pile up during a long command.
        descendants.reap(descendants.children() - self._spare)
        return None

    def _let_children_finish(self) -> None:
        """A moment for what writes the last output in the background; then it is killed too."""
        patience = time.monotonic() + GRACE_S
        while left := descendants.children() - self._spare:
            if time.monotonic() >= patience:
                return
            self._streams.wait(GRACE_STEP_S)
            descendants.reap(left)


def end_all(process: Process, spare: frozenset[int]) -> None:
    """Kill the command's group, the command and all that descends from it, and reap them."""
    if process.returncode is None:  # not reaped yet, so the number is still its own
        descendants.kill_group(process.pid)
        descendants.kill(process.pid)
        # Unless it is stuck in the kernel; the next step then says so.
        deadline = time.monotonic() + descendants.KILL_WAIT_S
        while not process.reap() and time.monotonic() < deadline:
            time.sleep(_REAP_STEP_S)
    descendants.kill_children(spare=spare)


def stopped(stop: Stop, command: Command, output_bytes_max: int | None) -> ExitReport:
    match stop:
        case Stop.CANCELLED:
            reason = "the command was cancelled"
        case Stop.TIMED_OUT:
            reason = f"the command timed out after {command.timeout_s:g} s"
        case Stop.OVER_QUOTA:
            reason = f"the command wrote more than {output_bytes_max:,} bytes to {OUT}"
        case Stop.OUT_OF_MEMORY:
            reason = "out of memory"
    return ExitReport(
        code=None,
        signal=signal.SIGKILL,
        reason=reason,
        timed_out=stop is Stop.TIMED_OUT,
        cancelled=stop is Stop.CANCELLED,
        over_quota=stop is Stop.OVER_QUOTA,
        out_of_memory=stop is Stop.OUT_OF_MEMORY,
    )
