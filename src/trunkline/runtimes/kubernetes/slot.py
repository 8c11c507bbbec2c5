"""The slot of a worker in a pod: commands run in the container beside it, by a loop of the shell.

The containers of a pod share nothing but directories. The user's one is started again by
Kubernetes when it ends; the slot then makes new pipes for its loop, and goes on.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from trunkline.errors import NotSupported, OperationFailed, Unavailable
from trunkline.runtimes import pythons, scratch, spawn
from trunkline.runtimes.base import (
    CONTAINER,
    SLOT_VARIABLE,
    Command,
    ExitReport,
    OnOutput,
    SlotLost,
)
from trunkline.runtimes.batch import Batch, with_door
from trunkline.runtimes.bounds import amount
from trunkline.runtimes.containers import script
from trunkline.runtimes.containers.agent import Agent, Gone
from trunkline.runtimes.door import Door
from trunkline.runtimes.pythons import Python
from trunkline.runtimes.watch import Following, Quota, Stop, stopped

_LOOK_S = 2.0  # for the loop to answer, before whoever waits is told
_BACK_S = 120.0  # for a container that ended to be started again
_END_S = 20.0  # for a command that was killed to be gone
_OPENING_S = 600.0
_BLOCK_BYTES = 512  # in which a shell counts the size of files
_OUT_MODE = 0o777  # whoever the user's container is, it may write there
_DOOR_MODE = 0o666  # whoever the user's container is, it may ask there
_NOT_STARTED = "its container is not started yet"


def open_slot(
    pod: Path, *, secret_places: tuple[str, ...], output_bytes_max: int | None, marker: str
) -> "PodSlot":
    """The slot of this pod, whose directories are below `pod`. New files are readable by all."""
    os.umask(0o022)
    os.chdir("/")
    return PodSlot(
        pod, secret_places=secret_places, output_bytes_max=output_bytes_max, marker=marker
    )


class PodSlot:
    """A slot whose commands run in the container beside this one; see `base.Slot`."""

    isolation = CONTAINER

    def __init__(
        self,
        pod: Path,
        *,
        secret_places: tuple[str, ...],
        output_bytes_max: int | None,
        marker: str,
    ) -> None:
        self._pod = pod
        self._pfs, self._out, self._code = pod / "pfs", pod / "out", pod / "code"
        self._secret_places = secret_places
        self._output_bytes_max = output_bytes_max
        self._marker = marker
        self._agent: Agent | None = None
        self._ready = False
        self._used = True
        self._batch: Batch[_Launched] = Batch(self)
        self.clear()

    @property
    def out(self) -> Path:
        return self._out

    def stage(self, size_bytes: int, *, files: int = 1) -> Path:
        if self._used:
            self.clear()
        self._used = True
        return self._pfs

    def set_code(self, directory: Path | None) -> None:
        scratch.empty(self._code)
        if directory is not None:
            shutil.copytree(directory, self._code, symlinks=True, dirs_exist_ok=True)

    def set_secrets(self, directories: Mapping[str, Mapping[str, bytes]]) -> None:
        unknown = sorted(directories.keys() - set(self._secret_places))
        if unknown:
            raise NotSupported(
                f"secrets can't be shown in {unknown[0]}: the pod has no place there"
            )
        for number, place in enumerate(self._secret_places):
            target = self._pod / f"secret-{number}"
            scratch.empty(target)
            for name, value in directories.get(place, {}).items():
                (target / name).write_bytes(value)

    def prepare(self, command: Command) -> None:
        self._reach(_LOOK_S)

    def find_python(self, env: Mapping[str, str]) -> tuple[Python, str]:
        """The Python that commands with these variables find as python3, and their PATH.

        Raises NotSupported where there is none, and SlotLost.
        """
        agent = self._reached(lambda: False, lambda: None)
        assert agent is not None, "nobody cancels this"
        asking = Command(argv=pythons.ASKING, env=env)
        try:
            answer = self._ask(agent, script.of_command(asking, env, bare=True), pythons.ANSWER_S)
            self._settle(agent)
        except Gone:
            self._discard()
            raise SlotLost("its container ended while it was asked for its Python") from None
        return pythons.found_in(answer)

    def run(
        self,
        command: Command,
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        if cancelled():
            return stopped(Stop.CANCELLED, command, self._output_bytes_max)
        if command.terminal:
            raise NotSupported("a terminal can't be given to a command in a pod yet")
        began = time.monotonic()
        agent = self._reached(cancelled, tick)
        if agent is None:
            return stopped(Stop.CANCELLED, command, self._output_bytes_max)
        try:
            report = self._run(agent, command, on_output, cancelled, tick)
        except Gone:
            self._discard()
            report = _killed(command)
        except BaseException:
            self._give_up(agent)
            raise
        return replace(report, seconds=time.monotonic() - began)

    def run_next(
        self,
        command: Command,
        told: Mapping[str, str],
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        if not self._batch.alive and self._reached(cancelled, tick) is None:
            return stopped(Stop.CANCELLED, command, self._output_bytes_max)
        try:
            return self._batch.run(
                with_door(command),
                told,
                self._pfs,
                on_output=on_output,
                cancelled=cancelled,
                tick=tick,
            )
        except Gone:
            self._discard()
            return _killed(command)

    def end_batch(self) -> None:
        with suppress(Gone):
            self._batch.end()

    def clear(self) -> None:
        scratch.empty(self._pfs, keep=self._batch.kept)
        scratch.empty(self._out)
        with suppress(PermissionError):  # it is root's, and open to all as Kubernetes makes it
            self._out.chmod(_OUT_MODE)
        self._used = False

    def close(self) -> None:
        self.end_batch()
        self._discard()
        self.clear()

    # --- one command; for `Batch` too -------------------------------------------------------------

    def launch(self, command: Command, on_output: OnOutput) -> "_Launched | ExitReport":
        """Start the command in the loop that was reached. Raises Gone."""
        if reason := script.refusal(command):
            return ExitReport(code=spawn.NOT_STARTED, reason=reason)
        assert self._agent is not None, "it has been reached"
        env = {SLOT_VARIABLE: self._marker, **command.env}
        text = _limit(self._output_bytes_max) + script.of_command(command, env, bare=True)
        self._agent.begin(text, command.stdin, on_output)
        return _Launched(slot=self, streams=self._agent, command=command, env=env)

    def open_door(self, path: Path, command: Command) -> Door | ExitReport:
        """A door for whoever the user's container is: nobody else sees it."""
        return Door(path, None, mode=_DOOR_MODE)

    def watch(self, launched: "_Launched", command: Command) -> Following:
        """What follows a command from now on, within the limits of one run."""
        quota = Quota(self._out, self._output_bytes_max)
        return Following.within(launched.streams, command, quota)

    def kills(self) -> int:
        """The kernel kills the whole container, which is noticed as such."""
        return 0

    def ended(self, launched: "_Launched", kills_before: int) -> ExitReport:
        """The report of a command that ended by itself."""
        report, command = launched.report, launched.command
        if report.code is None or not script.may_not_have_started(report.code):
            return report
        question = script.of_question(command, launched.env, bare=True)
        answer = self._ask(launched.streams, question, _LOOK_S)
        why = script.answered(answer, command, launched.env, "of the pipeline")
        return replace(report, reason=why or report.reason)

    def stopped(
        self, stop: Stop, command: Command, launched: "_Launched | None" = None
    ) -> ExitReport:
        """The report of a command that was stopped."""
        return stopped(stop, command, self._output_bytes_max)

    def end(self, launched: "_Launched") -> None:
        """End a command, with all that it started. Raises Gone and SlotLost."""
        agent = launched.streams
        if not agent.ended():
            self._stop(agent)
        agent.stopped()
        launched.report = _report(agent)
        self._settle(agent)

    def _run(
        self,
        agent: Agent,
        command: Command,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        launched = self.launch(command, on_output)
        if isinstance(launched, ExitReport):
            return launched
        watch = self.watch(launched, command)
        stop = watch.until_end(cancelled=cancelled, tick=tick)
        if stop is Stop.CANCELLED and command.grace_s and not agent.ended():
            agent.terminate()
            agent.until_end(command.grace_s)
        launched.end()
        if stop is None and watch.quota.exceeded():
            stop = Stop.OVER_QUOTA
        return self.ended(launched, 0) if stop is None else self.stopped(stop, command)

    def _stop(self, agent: Agent) -> None:
        """Have a command killed. Raises SlotLost where that does not work, and Gone."""
        agent.stop()
        agent.until_end(_END_S)
        if not agent.ended():
            raise SlotLost("a command that was to end can't be killed")

    def _give_up(self, agent: Agent) -> None:
        """End what runs, as nobody will take its report; the loop begins anew."""
        agent.pass_on_to(lambda *_: None)
        with suppress(Gone, SlotLost):
            if not agent.ended():
                self._stop(agent)
        self._discard()

    def _settle(self, agent: Agent) -> None:
        """After the end of a command: all that it left ends, and what it wrote is opened."""
        if not agent.clear_away():
            raise SlotLost("processes that the command left behind can't be killed")
        agent.drain()
        if _closed(self._out):
            self._ask(agent, script.OPENING, _OPENING_S)

    def _ask(self, agent: Agent, text: bytes, timeout_s: float) -> bytes:
        """What a script of ours prints in the container. Raises Gone."""
        said = agent.answer_to(text, timeout_s)
        if not agent.ended():
            raise SlotLost("its container does not answer")
        return said

    # --- the loop ---------------------------------------------------------------------------------

    def _reached(self, cancelled: Callable[[], bool], tick: Callable[[], None]) -> Agent | None:
        """The loop, once the container is there; None where that was cancelled."""
        until = time.monotonic() + _BACK_S
        while True:
            try:
                return self._reach(_LOOK_S)
            except Unavailable as error:
                tick()
                if cancelled():
                    return None
                if time.monotonic() > until:
                    raise SlotLost(f"its container ended and did not come back: {error}") from error

    def _reach(self, timeout_s: float) -> Agent:
        """The loop. Raises Unavailable where it does not answer in time."""
        if self._agent is not None and self._ready and self._agent.gone:
            self._discard()
        if self._agent is None:
            try:
                self._agent = Agent(self._pod / "control", stoppable=True)
            except OSError as error:
                raise OperationFailed(f"the pod has no place for pipes: {error}") from error
        if not self._ready:
            try:
                self._ready = self._agent.ready(timeout_s)
            except Gone:
                self._discard()
            if not self._ready or self._agent is None:
                raise Unavailable(_NOT_STARTED)
        return self._agent

    def _discard(self) -> None:
        """Let go of a loop; it ends, if it has not yet."""
        agent, self._agent, self._ready = self._agent, None, False
        if agent is not None:
            agent.close()


@dataclass(slots=True, kw_only=True, eq=False)
class _Launched:
    """A command that was started; see `batch.Process`."""

    slot: PodSlot
    streams: Agent
    command: Command
    env: Mapping[str, str]
    report: ExitReport = field(default_factory=lambda: ExitReport(code=None))  # once it has ended

    def end(self) -> None:
        """See there. Raises Gone and SlotLost."""
        self.slot.end(self)

    def end_orphans(self) -> None:
        """They can't be told from the rest, and end with the batch."""

    def close(self) -> None:
        self.streams.sleep_soundly()


def _closed(out: Path) -> bool:
    """Whether something is there that we can't read, or can't remove."""
    for folder, _, files in os.walk(out):
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return True
        if not all(os.access(os.path.join(folder, name), os.R_OK) for name in files):
            return True
    return False


def _limit(most: int | None) -> bytes:
    """What keeps a command from files that are larger than all of its output may be."""
    if most is None:
        return b""
    blocks = -(-(most + 1) // _BLOCK_BYTES)
    return b"ulimit -f %d 2> /dev/null\n" % blocks


def _report(agent: Agent) -> ExitReport:
    """The report of a command that ended by itself, or by a signal."""
    code = agent.code
    number = code - 128 if agent.signalled and code > 128 else 0
    return ExitReport(
        code=None if number else code,
        signal=number or None,
        reason=spawn.exit_reason(-number if number else code),
    )


def _killed(command: Command) -> ExitReport:
    """The report of a command whose whole container was killed; only a limit does that."""
    limit = command.memory_bytes
    reason = "its container was killed"
    if limit is not None:
        reason = f"out of memory: its container was killed, limit {amount(limit)}"
    return ExitReport(
        code=None, signal=signal.SIGKILL, reason=reason, out_of_memory=limit is not None
    )
