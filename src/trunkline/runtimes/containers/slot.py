"""The docker runtime: user code in a container of its image, which stays warm from datum to datum.

One container for each worker, started before the first datum; inside of it the shell loop of
`agent`, and nothing else of ours. Per datum: fill a directory, one question to the loop, empty two
directories. A command that has to be stopped takes the container with it; the next one gets a new
one. So does one that needs another kind of container: other limits, another user, more secrets.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trunkline.errors import NotSupported, OperationFailed, TrunklineError, Unavailable
from trunkline.runtimes import pythons, scratch, spawn
from trunkline.runtimes.base import (
    CODE,
    CONTAINER,
    OUT,
    PFS,
    Command,
    ExitReport,
    OnOutput,
    SlotLost,
)
from trunkline.runtimes.batch import Batch, with_door
from trunkline.runtimes.bounds import amount
from trunkline.runtimes.containers import container, leftovers, script
from trunkline.runtimes.containers.agent import PLACE, SHELL, Agent, Gone, lay_out
from trunkline.runtimes.containers.container import MEMORY, Box, Container, Mount, Owner
from trunkline.runtimes.containers.engine import ContainerEngine
from trunkline.runtimes.door import Door
from trunkline.runtimes.pythons import Python
from trunkline.runtimes.watch import Following, Quota, Stop, stopped

SMALL_BYTES_MAX = 32 * 1024 * 1024  # inputs up to this size are staged in memory
_MEMORY_BYTES_MIN = 8 * SMALL_BYTES_MAX  # that are free there, else it is left alone
_PAGE_BYTES = 4096  # the least that a file takes in memory
_OUT_MODE = 0o777  # whoever the command runs as; the data directory keeps others out
_DOOR_MODE = 0o666  # the same for the door of a batch
_ENDING_S = 10.0  # for what was killed to be gone
_START_S = 60.0  # for the loop to answer in a container that was started
_OPENING_S = 600.0  # to open what somebody else wrote to /pfs/out


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What all containers of a slot have in common."""

    image: str  # id
    image_name: str
    network: str
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """A container that runs, and the loop in it."""

    box: Box  # without the directory of the loop
    container: Container
    agent: Agent
    end: ExitStack  # all that is to be done at its end


def open_slot(
    engine: ContainerEngine,
    scratch_directory: Path,
    *,
    kind: Kind,
    owner: Owner,
    output_bytes_max: int | None = None,
    shown: Mapping[str, Path] | None = None,
) -> "ContainerSlot":
    """A slot that keeps its files in the scratch directory; `prepare` starts its container.

    `shown` are directories of this machine that commands can read, by the path inside. Afterwards
    the current directory is `/`, and new files are readable by all, as in the process runtime.
    What an earlier slot of that owner left is removed.
    """
    place = scratch.ensure_directory(scratch_directory.absolute()).resolve()
    os.umask(0o022)
    os.chdir("/")
    if leftovers.are_there(Path(owner.home), owner.worker):
        leftovers.clear(Path(owner.home), owner.worker)
    leftovers.note(owner, engine.socket)
    return ContainerSlot(
        engine,
        place,
        kind=kind,
        owner=owner,
        output_bytes_max=output_bytes_max,
        shown=tuple(Mount(source=str(path), target=at) for at, path in (shown or {}).items()),
    )


class ContainerSlot:
    """A slot whose commands run in a container; see `base.Slot`."""

    isolation = CONTAINER

    def __init__(
        self,
        engine: ContainerEngine,
        place: Path,
        *,
        kind: Kind,
        owner: Owner,
        output_bytes_max: int | None,
        shown: tuple[Mount, ...],
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._owner = owner
        self._output_bytes_max = output_bytes_max
        self._shown = shown
        self._memory = _memory_directory(owner)
        self._private = self._memory or scratch.ensure_directory(place / "private")
        self._large = scratch.ensure_directory(place / "large")
        self._small = self._large
        if self._memory is not None:
            self._small = scratch.ensure_directory(self._memory / "small")
        self._staged = self._small
        self._out = scratch.ensure_directory(place / "out")
        self._no_code = scratch.ensure_directory(place / "no-code")
        self._code = self._no_code
        self._secrets: tuple[Mount, ...] = ()
        self._room: _Room | None = None
        self._batch: Batch[_Launched] = Batch(self)
        self._rooms = 0  # that there have been
        self._left = False  # whether one could not be removed
        self._used = True
        for staged in {self._small, self._large}:
            scratch.empty(staged)
            (staged / "out").mkdir()
        self.clear()

    @property
    def out(self) -> Path:
        return self._out

    def stage(self, size_bytes: int, *, files: int = 1) -> Path:
        if self._used:
            self.clear()
        self._used = True
        size_bytes += files * _PAGE_BYTES
        fits = size_bytes <= SMALL_BYTES_MAX and _has_room(self._small)
        if not fits and self._staged != self._large:
            self._staged = self._large  # for good: it takes another container
            self.end_batch()
        return self._staged

    def set_code(self, directory: Path | None) -> None:
        self._code = directory or self._no_code

    def set_secrets(self, directories: Mapping[str, Mapping[str, bytes]]) -> None:
        if directories and self._memory is None:
            raise NotSupported(
                f"secrets can't be shown as files in {next(iter(directories))}: there is no file "
                f"system in memory at {MEMORY} on this machine; use key and env_var"
            )
        below = scratch.ensure_directory(self._private / "secrets")
        shown: list[Mount] = []
        try:
            for target, files in sorted(directories.items()):
                source = scratch.ensure_directory(below / str(len(shown)))
                scratch.empty(source)
                for name, value in files.items():
                    (source / name).write_bytes(value)
                shown.append(Mount(source=str(source), target=target))
        except OSError as error:
            raise OperationFailed(f"secrets can't be shown: {error.strerror}") from error
        self._secrets = tuple(shown)

    def prepare(self, command: Command) -> None:
        self._ready(command)

    def find_python(self, env: Mapping[str, str]) -> tuple[Python, str]:
        """The Python that commands with these variables find in the container that was prepared,
        and their PATH. Raises NotSupported where there is none, and SlotLost.
        """
        if self._room is None:
            raise SlotLost("its container ended before it was asked for its Python")
        asking = Command(argv=pythons.ASKING, env=env)
        given = script.environment(asking, self._owner.marker)
        room = self._room
        try:
            answer = self._ask(room.agent, script.of_command(asking, given), pythons.ANSWER_S)
        except Gone:
            self._discard()
            raise SlotLost("its container ended while it was asked for its Python") from None
        self._settle(room)
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
            return self.stopped(Stop.CANCELLED, command)
        began, kills = time.monotonic(), self.kills()
        try:
            if command.terminal:
                return self._interact(command, cancelled, tick)
            launched = self.launch(command, on_output)
            if isinstance(launched, ExitReport):
                return launched
            try:
                report = self._finish(launched, cancelled, tick)
            except BaseException:
                launched.streams.pass_on_to(_nobody)
                launched.end()
                raise
        except Gone:
            report = self._lost(command, kills_before=kills)
        except Unavailable as error:
            raise SlotLost(str(error)) from error
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
        try:
            return self._batch.run(
                with_door(command),
                told,
                self._staged,
                on_output=on_output,
                cancelled=cancelled,
                tick=tick,
            )
        except Gone:
            return self._lost(command)
        except Unavailable as error:
            raise SlotLost(str(error)) from error

    def end_batch(self) -> None:
        self._batch.end()

    def clear(self) -> None:
        scratch.empty(self._staged, keep=self._batch.kept)
        try:
            scratch.empty(self._out)
        except OperationFailed:
            if os.geteuid() == 0:
                raise
            self._discard()  # somebody else's files, which stay there; the next container has more
            self._rooms += 1
            self._out = scratch.ensure_directory(self._out.with_name(f"out-{self._rooms}"))
        self._out.chmod(_OUT_MODE)
        self._used = False

    def close(self) -> None:
        self.end_batch()
        self._discard()
        self.clear()
        if self._memory is not None:
            shutil.rmtree(self._memory, ignore_errors=True)
        self._engine.close()
        if not self._left:
            leftovers.forget(self._owner)

    # --- one command; for `Batch` too -------------------------------------------------------------

    def launch(self, command: Command, on_output: OnOutput) -> "_Launched | ExitReport":
        """Start the command, or say why that is not possible. Raises Gone, Unavailable."""
        if reason := script.refusal(command):
            return ExitReport(code=spawn.NOT_STARTED, reason=reason)
        try:
            room = self._ready(command)
        except Unavailable:
            raise
        except TrunklineError as error:
            return ExitReport(code=spawn.NOT_STARTED, reason=str(error))
        env = script.environment(command, self._owner.marker)
        launched = _Launched(
            slot=self,
            room=room,
            command=command,
            env=env,
            kills_before=room.container.counters.kills(),
        )
        room.agent.begin(script.of_command(command, env), command.stdin, on_output)
        return launched

    def open_door(self, path: Path, command: Command) -> Door | ExitReport:
        """A door for whoever the command runs as: nobody else sees it."""
        return Door(path, None, mode=_DOOR_MODE)

    def watch(self, launched: "_Launched", command: Command) -> Following:
        """What follows a command from now on, within the limits of one run."""
        quota = Quota(self._out, self._output_bytes_max)
        return Following.within(launched.streams, command, quota)

    def kills(self) -> int:
        """How often the kernel has killed in the container for lack of memory so far."""
        return 0 if self._room is None else self._room.container.counters.kills()

    def ended(self, launched: "_Launched", kills_before: int) -> ExitReport:
        """The report of a command that ended by itself, or that the kernel ended."""
        command, code = launched.command, launched.code
        report = self._report(launched, kills_before)
        if report.code is None or not script.may_not_have_started(code) or self._room is None:
            return report
        question = script.of_question(command, launched.env)
        answer = self._ask(self._room.agent, question, _START_S)
        why = script.answered(answer, command, launched.env, self._kind.image_name)
        return replace(report, reason=why or report.reason)

    def stopped(
        self, stop: Stop, command: Command, launched: "_Launched | None" = None
    ) -> ExitReport:
        """The report of a command that was stopped."""
        return stopped(stop, command, self._output_bytes_max)

    def end(self, launched: "_Launched") -> None:
        """End the command at work, with all that it started; the container stays if it can."""
        room, agent = launched.room, launched.streams
        if self._room is not room or agent.lost:
            return
        if not agent.ended():
            with suppress(TrunklineError):
                room.container.kill_inside()
                agent.until_end(_ENDING_S)
        if agent.ended():
            launched.code, launched.signalled = agent.code, agent.signalled
            self._settle(room)
        else:
            self._remove(room.container)
            agent.drain()
            self._discard()

    def _finish(
        self, launched: "_Launched", cancelled: Callable[[], bool], tick: Callable[[], None]
    ) -> ExitReport:
        """Follow a command to its end, and report how it ended."""
        command, watch = launched.command, self.watch(launched, launched.command)
        stop = watch.until_end(cancelled=cancelled, tick=tick, asked=lambda: False)
        if stop is Stop.CANCELLED and command.grace_s:
            with suppress(TrunklineError):  # it is killed then
                launched.room.container.terminate()
            launched.streams.until_end(command.grace_s, tick)
        launched.end()
        if stop is None and watch.quota.exceeded():
            stop = Stop.OVER_QUOTA
        if stop is not None:
            return self.stopped(stop, command)
        return self.ended(launched, launched.kills_before)

    def _settle(self, room: _Room) -> None:
        """After the end of a command: all that it left ends, and what it wrote is opened.

        Where the loop can't see to that, the container ends.
        """
        try:
            if not self._tidied(room):
                self._discard()
        except Gone:
            self._discard()

    def _tidied(self, room: _Room) -> bool:
        agent = room.agent
        alone = agent.clear_away()
        agent.drain()
        if not alone or room.container.counters.processes() > 1:  # something spoke for the loop
            return False
        if os.geteuid() != 0:
            self._ask(agent, script.OPENING, _OPENING_S)
        return True

    def _interact(
        self, command: Command, cancelled: Callable[[], bool], tick: Callable[[], None]
    ) -> ExitReport:
        """Run a command that has the terminal of this process, beside the loop."""
        room = self._ready(command)
        env = script.environment(command, self._owner.marker)
        code = room.container.interact(
            (SHELL, "-c", script.of_command(command, env).decode("utf-8")),
            terminal=sys.stdin.fileno(),
            cancelled=cancelled,
            tick=tick,
        )
        self._discard()
        if code is None:
            return self.stopped(Stop.CANCELLED, command)
        return ExitReport(code=code, reason=spawn.exit_reason(code))

    def _ask(self, agent: Agent, text: bytes, timeout_s: float) -> bytes:
        """What a script of ours prints in the container. Raises Gone."""
        said = agent.answer_to(text, timeout_s)
        if not agent.ended():
            self._discard()
        return said

    def _report(self, launched: "_Launched", kills_before: int) -> ExitReport:
        code, counters = launched.code, launched.room.container.counters
        limit = launched.command.memory_bytes
        number = code - 128 if launched.signalled and code > 128 else 0
        killed = counters.kills() > kills_before
        if not counters.known and limit is not None:
            killed = code == 128 + signal.SIGKILL
        out_of_memory = killed and code != 0
        reason = spawn.exit_reason(-number if number else code)
        over_quota = number == signal.SIGXFSZ and self._output_bytes_max is not None
        if out_of_memory and counters.known and limit is not None:
            reason = _out_of_memory(max(counters.peak_bytes(), limit), limit)
        elif out_of_memory:
            reason += ", probably out of memory"
        elif over_quota:
            reason = f"the command wrote a file of more than {self._output_bytes_max:,} bytes"
        return ExitReport(
            code=None if number else code,
            signal=number or None,
            reason=reason,
            out_of_memory=out_of_memory,
            over_quota=over_quota,
        )

    def _lost(self, command: Command, *, kills_before: int | None = None) -> ExitReport:
        """The container ended while a command ran in it. Raises SlotLost unless it is its fault.

        The kernel counts first: Podman hears late that it has killed, or never.
        """
        assert self._room is not None, "it has run"
        killed = kills_before is not None and self.kills() > kills_before
        why, out_of_memory = self._room.container.fate()
        self._discard()
        if not out_of_memory and not killed:
            raise SlotLost(why)
        limit = command.memory_bytes
        return ExitReport(
            code=None,
            signal=signal.SIGKILL,
            reason=_out_of_memory(limit, limit) if limit is not None else "out of memory",
            out_of_memory=True,
        )

    # --- the container ----------------------------------------------------------------------------

    def _box(self, command: Command) -> Box:
        most = self._output_bytes_max
        return Box(
            image=self._kind.image,
            image_name=self._kind.image_name,
            network=self._kind.network,
            gpus=self._kind.gpus,
            user=command.user,
            memory_bytes=command.memory_bytes,
            cpu_cores=command.cpu_cores,
            # One more, so that it shows.
            file_bytes_max=None if most is None else most + 1,
            mounts=(
                Mount(source=str(self._staged), target=PFS),
                Mount(source=str(self._out), target=OUT, read_only=False),
                Mount(source=str(self._code), target=CODE),
                *self._secrets,
                *self._shown,
            ),
        )

    def _ready(self, command: Command) -> _Room:
        """The container for a command, new if there is none, or another kind, or it has ended."""
        box = self._box(command)
        room = self._room
        if room is not None and (room.box != box or room.agent.gone):
            self._discard()
        if self._room is None:
            self._room = self._begin(box)
        return self._room

    def _begin(self, box: Box) -> _Room:
        self._rooms += 1
        control = scratch.ensure_directory(self._private / f"control-{self._rooms}")
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, control, ignore_errors=True)
            control.chmod(0o755)
            lay_out(control)
            agent = Agent(control)
            undo.callback(agent.close)
            mount = Mount(source=str(control), target=PLACE)
            whole = replace(box, mounts=(*box.mounts, mount))
            made = container.make(self._engine, whole, self._owner)
            undo.callback(self._remove, made)
            made.start()
            _await(agent, made)
            return _Room(box=box, container=made, agent=agent, end=undo.pop_all())

    def _discard(self) -> None:
        """End the container, if there is one, with all that runs in it."""
        room, self._room = self._room, None
        if room is not None:
            room.end.close()

    def _remove(self, made: Container) -> None:
        try:
            made.remove()
        except TrunklineError:  # whoever clears up after this worker finds it
            self._left = True


@dataclass(slots=True, kw_only=True, eq=False)
class _Launched:
    """A command that was started; see `batch.Process`."""

    slot: ContainerSlot
    room: _Room
    command: Command
    env: Mapping[str, str]
    kills_before: int
    code: int = 0  # once it has ended, as a shell tells it
    signalled: bool = False  # whether a signal ended it

    @property
    def streams(self) -> Agent:
        return self.room.agent

    def end(self) -> None:
        """See there. Raises Gone."""
        self.slot.end(self)

    def end_orphans(self) -> None:
        """They can't be told from the rest, and end with the batch."""

    def close(self) -> None:
        self.room.agent.sleep_soundly()


def _nobody(_: str, __: bytes) -> None:
    """Takes output that nobody wants."""


def _await(agent: Agent, made: Container) -> None:
    """Wait until the loop answers. Raises OperationFailed if it does not."""
    image = made.box.image_name
    try:
        if agent.ready(_START_S):
            return
        why = "its shell does not answer through pipes in a directory of this machine"
    except Gone:
        why, _ = made.fate()
    raise OperationFailed(f"a container of image {image} was started, but {why}")


def _out_of_memory(peak_bytes: int, limit_bytes: int) -> str:
    return f"out of memory: peak {amount(peak_bytes)}, limit {amount(limit_bytes)}"


def _memory_directory(owner: Owner) -> Path | None:
    """A new directory in memory, where this machine has room for one that programs can run in."""
    try:
        has = os.statvfs(MEMORY)
        if has.f_flag & os.ST_NOEXEC or not _has_room(MEMORY):
            return None
        return Path(tempfile.mkdtemp(prefix=owner.memory_prefix, dir=MEMORY))
    except OSError:
        return None


def _has_room(directory: Path) -> bool:
    has = os.statvfs(directory)
    return has.f_bavail * has.f_frsize >= _MEMORY_BYTES_MIN
