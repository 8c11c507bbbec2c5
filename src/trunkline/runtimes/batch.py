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
from typing import Generic, Protocol, TypeVar

from trunkline.errors import plain
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
from trunkline.runtimes.watch import Quota, Running, Stop

_REASON_CHARACTERS = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # of a shell's variable
_SPECIAL, _BACKSLASH = re.compile(r'[\\"$`]'), r"\\\g<0>"  # between double quotes of a shell
_NEVER_ASKED = (
    "the command ended without asking for a datum; with datum_batching it has to run "
    "`pachctl next datum` before each of them"
)


class Talking(Running, Protocol):
    """The streams of a process that is followed for longer than one datum."""

    def pass_on_to(self, on_output: OnOutput) -> None:
        """What comes from now on goes there."""

    def wake_for(self, descriptor: int) -> None:
        """Let `wait` return also when this can be read."""

    def drain(self) -> None:
        """Take what was printed and not read yet."""


class Process(Protocol):
    """A process that was started."""

    @property
    def streams(self) -> Talking: ...

    def end(self) -> None:
        """Kill what is alive of it, and take what it still had to say."""

    def end_orphans(self) -> None:
        """Kill what it left to run by itself, as far as that can be told from the rest of it."""

    def close(self) -> None:
        """Give back what it held, once it has ended."""


P = TypeVar("P", bound=Process)


class Follower(Protocol):
    """Follows a process through one datum."""

    @property
    def quota(self) -> Quota: ...

    def until_end(
        self,
        *,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
        asked: Callable[[], bool],
    ) -> Stop | None:
        """Why it must be stopped; None when it ended by itself, or `asked`."""


class Starter(Protocol[P]):
    """Starts such processes, and reports how they ended."""

    def open_door(self, path: Path, command: Command) -> Door | ExitReport:
        """The door for whoever the command runs as; the report if it can't run."""

    def launch(self, command: Command, on_output: OnOutput) -> P | ExitReport:
        """Start the command, or say why that is not possible."""

    def watch(self, launched: P, command: Command) -> Follower:
        """What follows it from now on, within the limits of one run."""

    def kills(self) -> int:
        """How often the kernel has killed for lack of memory so far."""

    def ended(self, launched: P, kills_before: int) -> ExitReport:
        """The report of one that ended by itself; it is closed."""

    def stopped(self, stop: Stop, command: Command, launched: P | None = None) -> ExitReport:
        """The report of one that was stopped; if it had been launched, it is closed."""


class Batch(Generic[P]):
    """At most one such process at a time."""

    def __init__(self, starter: Starter[P]) -> None:
        self._starter = starter
        self._launched: P | None = None
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
            return self._starter.stopped(Stop.CANCELLED, command)
        began = time.monotonic()
        kills_before = self._starter.kills()
        try:
            if self._launched is None:
                refused = self._start(command, stage, on_output)
                if refused is not None:
                    return refused
            assert self._launched is not None
            assert self._door is not None
            launched, asked = self._launched, self._door.asked
            launched.streams.pass_on_to(on_output)

            def until(watch: Follower) -> Stop | None:
                return watch.until_end(cancelled=cancelled, tick=tick, asked=asked)

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
        door = self._starter.open_door(stage / BATCH_DOOR, command)
        if isinstance(door, ExitReport):
            return door
        self._door = door
        launched = self._starter.launch(command, on_output)
        if isinstance(launched, ExitReport):
            self.end()
            return launched
        self._launched = launched
        launched.streams.wake_for(self._door.fileno())
        return None

    def _through(
        self,
        launched: P,
        command: Command,
        told: Mapping[str, str],
        kills_before: int,
        until: Callable[[Follower], Stop | None],
    ) -> ExitReport:
        """Give it the datum when it asks, and wait until it asks for the next one."""
        assert self._door is not None
        given = False
        while not given:
            stop = until(self._starter.watch(launched, command))
            if stop is not None:
                self.end()
                return self._starter.stopped(stop, command, launched)
            if launched.streams.ended():
                self.end()
                report = self._starter.ended(launched, kills_before)
                return replace(report, code=None, reason=report.reason or _NEVER_ASKED)
            given = self._door.answer(told)
        watch = self._starter.watch(launched, command)
        stop = until(watch)
        asks = stop is None and not launched.streams.ended()
        error = self._door.error
        if asks:  # what was left to run by itself must not reach into the next datum
            launched.end_orphans()
            launched.streams.drain()
        else:
            self.end()
        if stop is None and watch.quota.exceeded():
            stop = Stop.OVER_QUOTA
        if stop is not None:
            self.end()
            return self._starter.stopped(stop, command, launched)
        if not asks:
            return self._starter.ended(launched, kills_before)
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
