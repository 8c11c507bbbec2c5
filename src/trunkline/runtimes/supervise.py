"""Runs one command within its limits and reports how it ended; nothing of it survives."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from trunkline.runtimes import cgroups, descendants, spawn
from trunkline.runtimes.base import Command, ExitReport, OnOutput
from trunkline.runtimes.bounds import Bounds
from trunkline.runtimes.door import Door
from trunkline.runtimes.memory import OutOfMemoryCounter
from trunkline.runtimes.streams import Streams
from trunkline.runtimes.terminal import Terminal
from trunkline.runtimes.watch import Quota, Stop, Watch, end_all, stopped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Launched:
    """A command that was started."""

    process: spawn.Process
    streams: Streams
    spare: frozenset[int]  # children of this process that are none of the command's
    account: spawn.Account
    bounds: Bounds
    terminal: Terminal | None  # that it was lent

    def tend(self) -> None:
        """To be called now and then while it runs."""
        if self.terminal is not None:
            self.terminal.tend(self.process.pid)

    def ask_to_end(self) -> None:
        """Let the command and what is in its group end by themselves."""
        descendants.terminate_group(self.process.pid)

    def end(self) -> None:
        """Kill what is alive of it, and take what it still had to say."""
        end_all(self.process, self.spare)
        self.bounds.ended(self.process.peak_bytes)
        self.streams.drain()

    def end_orphans(self) -> None:
        """Kill what was left to run by itself by a command that goes on."""
        descendants.kill_children(spare=self.spare | {self.process.pid})

    def close(self) -> None:
        """Give back what it held, once it has ended."""
        self.streams.close()
        self.bounds.close()
        if self.terminal is not None:
            self.terminal.take_back()


class Supervisor:
    """Runs commands one after the other in this process, which becomes the reaper of orphans."""

    def __init__(self, *, out: Path, output_bytes_max: int | None, marker: str) -> None:
        self._out = out
        self._output_bytes_max = output_bytes_max
        self._marker = marker
        self._memory = OutOfMemoryCounter()
        self._groups: cgroups.Groups | None = None  # looked for when a command has limits
        self._accounts: dict[str, spawn.Account] = {}  # looking one up reads several files
        descendants.adopt_orphans()
        spawn.keep_files_to_ourselves()

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
            return self.stopped(Stop.CANCELLED, command)
        kills_before = self.kills()
        began = time.monotonic()
        launched = self.launch(command, on_output)
        if isinstance(launched, ExitReport):
            return launched
        try:
            watch = self.watch(launched, command)
            tend = _both(launched.tend, tick)
            stop = watch.until_end(cancelled=cancelled, tick=tend)
            if stop is Stop.CANCELLED and command.grace_s:
                launched.ask_to_end()
                until = time.monotonic() + command.grace_s
                watch.until_end(cancelled=lambda: time.monotonic() >= until, tick=tend)
            launched.end()
        except BaseException:
            launched.end()
            raise
        finally:
            launched.close()
        if stop is None and watch.quota.exceeded():
            stop = Stop.OVER_QUOTA
        seconds = time.monotonic() - began
        if stop is None:
            return self.ended(launched, kills_before, seconds=seconds)
        return replace(self.stopped(stop, command, launched), seconds=seconds)

    def launch(self, command: Command, on_output: OnOutput) -> Launched | ExitReport:
        """Start the command, or say why that is not possible."""
        account = self.account(command.user)
        if isinstance(account, spawn.Refusal):
            return ExitReport(code=account.code, reason=account.reason)
        if account.switch:
            os.chown(self._out, account.uid, account.gid, follow_symlinks=False)
        terminal = Terminal(sys.stdin.fileno()) if command.terminal else None
        spare = descendants.children()
        bounds = self._bounds(command)
        try:
            with self._files_limited(), bounds.starting():
                process = spawn.start(command, account, marker=self._marker)
        except BaseException:
            bounds.close()
            raise
        if isinstance(process, spawn.Refusal):
            bounds.close()
            return ExitReport(code=process.code, reason=process.reason)
        if terminal is not None:
            terminal.lend(process.pid)
        bounds.started(process.pid)
        streams = Streams(process, stdin=command.stdin, on_output=on_output)
        return Launched(
            process=process,
            streams=streams,
            spare=spare,
            account=account,
            bounds=bounds,
            terminal=terminal,
        )

    def open_door(self, path: Path, command: Command) -> Door | ExitReport:
        """A door for the account that the command runs as; the report if there is none."""
        account = self.account(command.user)
        if isinstance(account, spawn.Refusal):
            return ExitReport(code=account.code, reason=account.reason)
        return Door(path, (account.uid, account.gid) if account.switch else None)

    def account(self, user: str) -> spawn.Account | spawn.Refusal:
        """Whom a command runs as; one that was found stays the same."""
        found = self._accounts.get(user) or spawn.find_account(user)
        if isinstance(found, spawn.Account):
            self._accounts[user] = found
        return found

    def watch(self, launched: Launched, command: Command) -> Watch:
        """What follows the command from now on, within the limits of one run."""
        timeout_s = command.timeout_s
        return Watch(
            launched.process,
            launched.streams,
            deadline=None if timeout_s is None else time.monotonic() + timeout_s,
            spare=launched.spare | {launched.process.pid},
            quota=Quota(self._out, self._output_bytes_max),
            bounds=launched.bounds,
        )

    def kills(self) -> int:
        """How often the kernel has killed for lack of memory so far."""
        return self._memory.count()

    def stopped(self, stop: Stop, command: Command, launched: Launched | None = None) -> ExitReport:
        """The report of a command that was stopped; if it had been launched, it is closed."""
        report = stopped(stop, command, self._output_bytes_max)
        if stop is Stop.OUT_OF_MEMORY and launched is not None:
            report = replace(report, reason=launched.bounds.failure())
        return report

    def _bounds(self, command: Command) -> Bounds:
        limited = command.memory_bytes is not None or command.cpu_cores is not None
        if self._groups is None and limited:
            self._groups = cgroups.find()
        return Bounds(command, self._groups or cgroups.Groups())

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

    def ended(self, launched: Launched, kills_before: int, *, seconds: float = 0.0) -> ExitReport:
        """The report of a command that ended by itself, or that the kernel ended; it is closed."""
        returncode = launched.process.returncode
        assert returncode is not None, "a command that ended was not reaped"
        reason = spawn.exit_reason(returncode)
        beyond = launched.bounds.failure() if returncode != 0 else ""
        out_of_memory = returncode != 0 and (bool(beyond) or self._memory.count() > kills_before)
        if beyond:
            reason = beyond
        elif out_of_memory:
            reason += ", probably out of memory"
        if returncode == -signal.SIGXFSZ and self._output_bytes_max is not None:
            reason = f"the command wrote a file of more than {self._output_bytes_max:,} bytes"
        return ExitReport(
            code=returncode if returncode >= 0 else None,
            signal=-returncode if returncode < 0 else None,
            reason=reason,
            out_of_memory=out_of_memory,
            over_quota=returncode == -signal.SIGXFSZ and self._output_bytes_max is not None,
            seconds=seconds,
        )


def _both(one: Callable[[], None], other: Callable[[], None]) -> Callable[[], None]:
    def act() -> None:
        one()
        other()

    return act
