"""One process for many datums: started once, it asks for each of them through a door.

While it works on a datum it is held to the same limits as a command of its own. It is ended, with
all that it started, when one of them is exceeded and when there are no more datums for it; what its
orphans do ends with each datum. What it keeps in its own memory is its own business.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from trunkline.errors import plain
from trunkline.runtimes import descendants, spawn
from trunkline.runtimes.base import (
    BATCH_DOOR,
    BATCH_ENV,
    BATCH_VARIABLE,
    PFS,
    Command,
    ExitReport,
    OnOutput,
)
from trunkline.runtimes.door import Door
from trunkline.runtimes.supervise import Launched, Supervisor
from trunkline.runtimes.watch import Stop, Watch

_REASON_CHARACTERS = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # of a shell's variable
_SPECIAL, _BACKSLASH = re.compile(r'[\\"$`]'), r"\\\g<0>"  # between double quotes of a shell
_NEVER_ASKED = (
    "the command ended without asking for a datum; with datum_batching it has to run "
    "`pachctl next datum` before each of them"
)


class Batch:
    """At most one such process at a time, in the slot of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._launched: Launched | None = None
        self._door: Door | None = None

    @property
    def alive(self) -> bool:
        """Whether there is a process now."""
        return self._launched is not None

    @property
    def kept(self) -> tuple[str, ...]:
        """What stays in /pfs between datums."""
        return ("out", BATCH_DOOR) if self.alive else ("out",)

    def run(
        self,
        command: Command,
        told: Mapping[str, str],
        stage: Path,
        *,
        staged: Callable[[], None] = lambda: None,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        """See `base.Slot.run_next`; `stage` is where the host finds /pfs.

        `staged` is called when all is there that belongs there.
        """
        if cancelled():
            self.end()
            return self._supervisor.stopped(Stop.CANCELLED, command)
        began = time.monotonic()
        kills_before = self._supervisor.kills()
        try:
            if self._launched is None:
                refused = self._start(command, stage, on_output)
                if refused is not None:
                    return refused
            assert self._launched is not None
            assert self._door is not None
            launched, asked = self._launched, self._door.asked
            launched.streams.pass_on_to(on_output)

            def until(watch: Watch) -> Stop | None:
                return watch.until_end(
                    launched.streams, cancelled=cancelled, tick=tick, asked=asked
                )

            (stage / BATCH_ENV).write_text(_as_env_file(told), "utf-8")
            staged()
            report = self._through(launched, command, told, kills_before, until)
        except BaseException:
            self.end()
            raise
        return replace(report, seconds=time.monotonic() - began)

    def end(self) -> None:
        """End the process, if there is one, with all that it started."""
        launched, self._launched = self._launched, None
        door, self._door = self._door, None
        try:
            if launched is not None:
                launched.end()
        finally:
            if launched is not None:
                launched.close()
            if door is not None:
                door.close()

    def _start(self, command: Command, stage: Path, on_output: OnOutput) -> ExitReport | None:
        """Start it behind an open door; the report if that is not possible."""
        account = self._supervisor.account(command.user)
        if isinstance(account, spawn.Refusal):
            return ExitReport(code=account.code, reason=account.reason)
        owner = (account.uid, account.gid) if account.switch else None
        self._door = Door(stage / BATCH_DOOR, owner)
        launched = self._supervisor.launch(command, on_output)
        if isinstance(launched, ExitReport):
            self.end()
            return launched
        self._launched = launched
        launched.streams.wake_for(self._door.fileno())
        return None

    def _through(
        self,
        launched: Launched,
        command: Command,
        told: Mapping[str, str],
        kills_before: int,
        until: Callable[[Watch], Stop | None],
    ) -> ExitReport:
        """Give it the datum when it asks, and wait until it asks for the next one."""
        assert self._door is not None
        given = False
        while not given:
            stop = until(self._supervisor.watch(launched, command))
            if stop is not None:
                self.end()
                return self._supervisor.stopped(stop, command, launched)
            if launched.streams.ended():
                self.end()
                report = self._supervisor.ended(launched, kills_before)
                return replace(report, code=None, reason=report.reason or _NEVER_ASKED)
            given = self._door.answer(told)
        watch = self._supervisor.watch(launched, command)
        stop = until(watch)
        asks = stop is None and not launched.streams.ended()
        error = self._door.error
        if asks:  # what was left to run by itself must not reach into the next datum
            descendants.kill_children(spare=launched.spare | {launched.process.pid})
            launched.streams.drain()
        else:
            self.end()
        if stop is None and watch.quota.exceeded():
            stop = Stop.OVER_QUOTA
        if stop is not None:
            self.end()
            return self._supervisor.stopped(stop, command, launched)
        if not asks:
            return self._supervisor.ended(launched, kills_before)
        reason = plain(" ".join(error.split()))[:_REASON_CHARACTERS]
        return ExitReport(code=None if reason else 0, reason=reason)


def with_door(command: Command) -> Command:
    """The command, told where its door is."""
    return replace(command, env={**command.env, BATCH_VARIABLE: f"{PFS}/{BATCH_DOOR}"})


def _as_env_file(variables: Mapping[str, str]) -> str:
    """Lines that a shell can source; names that it can't spell are left out."""
    return "".join(
        f'{name}="{_SPECIAL.sub(_BACKSLASH, value)}"\n'
        for name, value in sorted(variables.items())
        if _NAME.fullmatch(name)
    )
