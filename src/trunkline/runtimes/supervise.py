"""Runs one command within its limits and reports how it ended; nothing of it survives.

The limits are time, cancellation, bytes of output. The output is measured by walking
it now and then (a file system with a fixed size could not be on disk), so a command may exceed its
quota for a moment; a single file can't, because the kernel refuses to let it grow.
"""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

from trunkline.runtimes import descendants, scratch, spawn
from trunkline.runtimes.base import OUT, Command, ExitReport, OnOutput
from trunkline.runtimes.memory import OutOfMemoryCounter
from trunkline.runtimes.streams import Streams

TICK_S = 0.2
_GRACE_S = 0.1  # for children that end by themselves, such as bash's `> >(tee log)`
_GRACE_STEP_S = 0.005
_MEASURE_SHARE = 20  # at most this fraction of the time goes into measuring the output


class _Stop(Enum):
    """Why a command was stopped that had not ended by itself."""

    CANCELLED = auto()
    TIMED_OUT = auto()
    OVER_QUOTA = auto()


class Supervisor:
    """Runs commands one after the other in this process, which becomes the reaper of orphans."""

    def __init__(self, *, out: Path, output_bytes_max: int | None, marker: str) -> None:
        self._out = out
        self._output_bytes_max = output_bytes_max
        self._marker = marker
        self._memory = OutOfMemoryCounter()
        descendants.adopt_orphans()

    def close(self) -> None:
        self._memory.close()

    def run(
        self,
        command: Command,
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        """See `base.Slot.run`."""
        if cancelled():
            return _stopped(_Stop.CANCELLED, command, self._output_bytes_max)
        account = spawn.find_account(command.user)
        if isinstance(account, spawn.Refusal):
            return ExitReport(code=account.code, reason=account.reason)
        if account.switch:
            os.chown(self._out, account.uid, account.gid, follow_symlinks=False)
        spare = descendants.children()
        kills_before = self._memory.count()
        began = time.monotonic()
        with self._files_limited():
            process = spawn.start(command, account, marker=self._marker)
        if isinstance(process, spawn.Refusal):
            return ExitReport(code=process.code, reason=process.reason)
        streams = Streams(process, stdin=command.stdin, on_output=on_output)
        try:
            watch = _Watch(
                deadline=None if command.timeout_s is None else began + command.timeout_s,
                spare=spare | {process.pid},
                quota=_Quota(self._out, self._output_bytes_max),
            )
            stop = watch.until_end(streams, cancelled=cancelled, tick=tick)
            _end_all(process, spare)
            streams.drain()
        except BaseException:
            _end_all(process, spare)
            raise
        finally:
            streams.close()
        if stop is None and watch.quota.exceeded():
            stop = _Stop.OVER_QUOTA
        if stop is None:
            report = self._ended(process.returncode, kills_before)
        else:
            report = _stopped(stop, command, self._output_bytes_max)
        return replace(report, seconds=time.monotonic() - began)

    @contextmanager
    def _files_limited(self) -> Iterator[None]:
        """Let no single file grow beyond the quota (one byte more, so that it shows).

        What is started inherits the limit. It holds for this process too while it starts it, which
        a single-threaded worker does not notice; setting it in the child would cost a slow fork.
        """
        if self._output_bytes_max is None:
            yield
            return
        before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        most = self._output_bytes_max + 1
        lowest = min((most, *(limit for limit in (before, hard) if limit >= 0)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (lowest, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))

    def _ended(self, returncode: int, kills_before: int) -> ExitReport:
        """The report of a command that ended by itself, or that the kernel ended."""
        reason = spawn.exit_reason(returncode)
        out_of_memory = returncode != 0 and self._memory.count() > kills_before
        if out_of_memory:
            reason += ", probably out of memory"
        if returncode == -signal.SIGXFSZ and self._output_bytes_max is not None:
            reason = f"the command wrote a file of more than {self._output_bytes_max:,} bytes"
        return ExitReport(
            code=returncode if returncode >= 0 else None,
            signal=-returncode if returncode < 0 else None,
            reason=reason,
            out_of_memory=out_of_memory,
            over_quota=returncode == -signal.SIGXFSZ and self._output_bytes_max is not None,
        )


class _Quota:
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


class _Watch:
    """Follows one command until it ends or has to be stopped."""

    def __init__(self, *, deadline: float | None, spare: frozenset[int], quota: _Quota) -> None:
        self.quota = quota
        self._deadline = deadline
        self._spare = spare

    def until_end(
        self, streams: Streams, *, cancelled: Callable[[], bool], tick: Callable[[], None]
    ) -> _Stop | None:
        """Why the command must be stopped; None when it ended by itself."""
        next_tick = time.monotonic() + TICK_S
        while not streams.ended():
            now = time.monotonic()
            if self._deadline is not None and now >= self._deadline:
                return _Stop.TIMED_OUT
            if now >= next_tick:
                tick()
                if cancelled():
                    return _Stop.CANCELLED
                if self.quota.exceeded_now_and_then():
                    return _Stop.OVER_QUOTA
                # Dead daemons would pile up during a long command.
                descendants.reap(descendants.children() - self._spare)
                next_tick = time.monotonic() + TICK_S
            wake = next_tick if self._deadline is None else min(next_tick, self._deadline)
            streams.wait(wake - now)
        self._let_children_finish(streams)
        return None

    def _let_children_finish(self, streams: Streams) -> None:
        """A moment for what writes the last output in the background; then it is killed too."""
        patience = time.monotonic() + _GRACE_S
        while left := descendants.children() - self._spare:
            if time.monotonic() >= patience:
                return
            streams.wait(_GRACE_STEP_S)
            descendants.reap(left)


def _end_all(process: subprocess.Popen[bytes], spare: frozenset[int]) -> None:
    """Kill the command's group, the command and all that descends from it, and reap them."""
    if process.returncode is None:  # not reaped yet, so the number is still its own
        descendants.kill_group(process.pid)
        descendants.kill(process.pid)
        try:
            process.wait(descendants.KILL_WAIT_S)
        except subprocess.TimeoutExpired:
            pass  # stuck in the kernel; the next line says so
    descendants.kill_children(spare=spare)


def _stopped(stop: _Stop, command: Command, output_bytes_max: int | None) -> ExitReport:
    match stop:
        case _Stop.CANCELLED:
            reason = "the command was cancelled"
        case _Stop.TIMED_OUT:
            reason = f"the command timed out after {command.timeout_s:g} s"
        case _Stop.OVER_QUOTA:
            reason = f"the command wrote more than {output_bytes_max:,} bytes to {OUT}"
    return ExitReport(
        code=None,
        signal=signal.SIGKILL,
        reason=reason,
        timed_out=stop is _Stop.TIMED_OUT,
        cancelled=stop is _Stop.CANCELLED,
        over_quota=stop is _Stop.OVER_QUOTA,
    )
