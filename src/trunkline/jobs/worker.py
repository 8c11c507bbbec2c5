"""A worker: takes leases of datums, runs them one after the other, reports what came of them.

It trusts nothing that user code leaves behind, and touches the catalog never: it reads inputs from
and writes outputs to the chunk store, and tells its scheduler about it. Outcomes are reported only
when all that they name is durable.
"""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from trunkline.db.times import to_microseconds
from trunkline.errors import NotSupported, TrunklineError, Unavailable
from trunkline.files.delta import DeltaWriter
from trunkline.files.tree import Trees
from trunkline.jobs.capture import NOTE, LogEntry
from trunkline.jobs.channel import Channel, ChannelClosed, Message
from trunkline.jobs.datum_run import Context, DatumRun, Outcome
from trunkline.jobs.increments import Before
from trunkline.jobs.orders import orders_for
from trunkline.jobs.places import AskedPlaces
from trunkline.jobs.residing import Port, Residence, left
from trunkline.jobs.secrets import SecretStore
from trunkline.jobs.segments import decode_segment
from trunkline.jobs.slots import Ground, NotWanted, PythonFinder, open_slot, python_finder
from trunkline.model.pipelines import SecretUse
from trunkline.pipelines import requirements
from trunkline.runtimes.base import SlotLost
from trunkline.runtimes.environments import (
    SEEN_AT,
    Cancelled,
    Environments,
    environments_below,
    variables,
)
from trunkline.runtimes.kubernetes.pods import PACKAGES
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.opening import Joined

T = TypeVar("T")

_HEARTBEAT_S = 2.0
_AHEAD = 64  # datums whose inputs are read together
_PATIENCE_S = 600.0  # for a container engine that does not answer
_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker needs to know to start; travels as text."""

    name: str
    home: str
    isolation: str
    marker: str
    container_host: str
    output_bytes_max: int  # 0: no limit
    pod: str = ""  # where the pod of this worker has what its containers share
    secret_places: str = ""  # of that pod, a line each
    store: str = ""  # where packs are, for one that has nothing of the server's disk
    packages: str = ""  # JSON of variables that say where Python packages come from

    @staticmethod
    def names() -> tuple[str, ...]:
        return tuple(field.name for field in fields(WorkerSettings))

    @staticmethod
    def parse(values: dict[str, str]) -> "WorkerSettings":
        texts: dict[str, Any] = dict(values)
        texts["output_bytes_max"] = int(values["output_bytes_max"])
        return WorkerSettings(**texts)


def work(
    channel: Channel, settings: WorkerSettings, *, places: socket.socket | None = None
) -> None:
    """Serve leases until told to exit, or until the scheduler is gone.

    The first message says of which version of a pipeline. Without a line for `places`, the index is
    beside the packs.
    """
    pulse = _Pulse(channel)
    with ExitStack() as ending:
        try:
            first = channel.receive()
            if first["type"] != "context":  # it is not wanted any more
                return
            context = Context.parse(first, home=Path(settings.home))
            asked = AskedPlaces(Channel(places)) if places is not None else None
            _open(context, settings, channel, pulse, ending, asked).serve()
        except (ChannelClosed, NotWanted):
            pass
        except SlotLost as error:
            channel.send({"type": "failed", "reason": str(error)})
        except (TrunklineError, OSError) as error:
            channel.send({"type": "failed", "reason": str(error)})
            raise


def _open(
    context: Context,
    settings: WorkerSettings,
    channel: Channel,
    pulse: "_Pulse",
    ending: ExitStack,
    asked: AskedPlaces | None,
) -> "_Worker":
    """A worker that can take leases; what is left to do at its end is added to `ending`.

    Raises NotWanted.
    """
    home = Path(settings.home)
    ground = Ground(
        home=home,
        name=settings.name,
        scratch=home / "scratch" / settings.name,
        isolation=settings.isolation,
        marker=settings.marker,
        container_host=settings.container_host,
        output_bytes_max=settings.output_bytes_max or None,
        pod=settings.pod,
        secret_places=tuple(settings.secret_places.splitlines()),
        shared=asked is not None,
    )
    ground.scratch.mkdir(parents=True)
    ending.callback(shutil.rmtree, ground.scratch, ignore_errors=True)
    contained = context.image is not None or context.in_pod
    if contained:
        pulse.begin("its container is not started yet")  # which may take longer than silence may
    slot = _patiently(
        pulse,
        lambda: open_slot(context, ground, on_delay=pulse.say_delay, cancelled=pulse.unwanted),
    )
    ending.callback(slot.close)
    store = Joined(asked, asked) if asked is not None else None
    secrets = SecretStore(home, asked.secret if asked is not None and settings.store else None)
    chunks = ChunkStore(home / "store", writer=settings.name, rebuild=False, joined=store)
    ending.callback(_close, chunks)
    runner = DatumRun(slot, Trees(chunks), orders_for(context, home))
    if contained:
        with suppress(TrunklineError):  # the first lease tells what is missing
            with_secrets(context, secrets, runner)
        _patiently(pulse, lambda: runner.get_ready(context))
    finder = python_finder(slot)
    worker = _Worker(channel, settings, context, runner, chunks, secrets, pulse, finder)
    pulse.begin()
    channel.send({"type": "ready", "isolation": slot.isolation})
    return worker


def _patiently(pulse: "_Pulse", act: Callable[[], T]) -> T:
    """What an action gives, once what it needs answers. Raises NotWanted, and what it raises."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return act()
        except Unavailable as error:
            if time.monotonic() > until:
                raise
            pulse.say_delay(str(error))
        if pulse.unwanted():
            raise NotWanted
        time.sleep(_AGAIN_S)


def _close(chunks: ChunkStore) -> None:
    with suppress(TrunklineError):  # on a full disk the server seals the pack later
        chunks.close()


class _Pulse:
    """Tells the scheduler that there still is a worker, from a thread of its own."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._thread: threading.Thread | None = None
        self._delay = ""  # why it is not ready
        self.waits = False  # for a message, with nothing else to do

    def begin(self, delay: str = "") -> None:
        """Be heard from now on, as ready unless something delays that."""
        self._delay = delay
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()

    def say_delay(self, why: str) -> None:
        """What it waits for now."""
        self._delay = why
        self._channel.send({"type": "starting", "reason": why})

    def unwanted(self) -> bool:
        """Whether the worker has been told to end before it was ready."""
        return any(message["type"] in ("exit", "leave") for message in self._channel.poll())

    def _beat(self) -> None:
        while True:
            try:
                if self._delay:
                    self._channel.send({"type": "starting", "reason": self._delay})
                else:
                    self._channel.send({"type": "alive", "waits": self.waits})
            except ChannelClosed:
                return
            time.sleep(_HEARTBEAT_S)


def with_packages(
    context: Context,
    chunks: ChunkStore,
    environments: Environments,
    *,
    find_python: PythonFinder | None = None,
    on_build: Callable[[tuple[str, ...]], None],
    cancelled: Callable[[], bool],
) -> tuple[Context, int]:
    """A context that has a lock, with commands run in the Python environment that it asks for.

    `find_python` gives the Python that commands have, where that is not ours. The descriptor keeps
    the environment from removal until it is closed. Raises Cancelled, and NotSupported for a Python
    of its image that can't have it.
    """
    lock = requirements.parse(chunks.get(ChunkId(context.lock)))
    found = None if find_python is None else find_python(context.env)
    if found is not None and (why := lock.lacking(found[0].implementation, found[0].minor)):
        raise NotSupported(
            f"the packages of transform.requirements are not for {found[0].name}, which is in the "
            f"image of the pipeline: {why}; use an image with that, or one that has the packages"
        )
    place, held = environments.ensure(
        context.lock,
        lock.body,
        hashed=lock.hashed,
        python=None if found is None else found[0],
        path=context.server_path,
        on_build=lambda: on_build(lock.packages),
        cancelled=cancelled,
    )
    if found is None:
        env = variables(place, context.env["PATH"])
    else:
        env = variables(Path(SEEN_AT, place.name), found[1])
    return replace(context, env={**context.env, **env}, lock=""), held


def with_secrets(context: Context, secrets: SecretStore, runner: DatumRun) -> Context:
    """The context with the secrets as they are now; not to be kept, they may change."""
    given = secrets.give(SecretUse(**use) for use in context.secrets)
    runner.show_secrets(given)
    return replace(context, env={**context.env, **given.env})


class _Worker:
    """The loop of one worker. Messages that arrive during a datum are looked at between ticks."""

    def __init__(
        self,
        channel: Channel,
        settings: WorkerSettings,
        context: Context,
        runner: DatumRun,
        chunks: ChunkStore,
        secrets: SecretStore,
        pulse: _Pulse,
        find_python: PythonFinder | None,
    ) -> None:
        self._channel = channel
        self._context = context
        self._runner = runner
        self._chunks = chunks
        self._pulse = pulse
        self._secrets = secrets
        self._environments = Environments(
            Path(settings.pod, PACKAGES)
            if settings.pod
            else environments_below(Path(settings.home))
        )
        self._find_python = find_python
        self._environment: int | None = None  # descriptor that keeps the one in use from removal
        self._waiting: list[Message] = []
        self._cancelled: set[int] = set()  # leases
        self._restart: set[tuple[int, int]] = set()  # (lease, position)

    def serve(self) -> None:
        while True:
            message = self._waiting.pop(0) if self._waiting else self._receive()
            match message["type"]:
                case "lease":
                    with self._chunks.hold():
                        self._serve_lease(message)
                    self._chunks.let_go()
                case "reside":
                    self._reside(message)
                    return
                case "exit" | "leave":
                    return
                case _:  # cancel and restart of what has ended
                    pass

    def _reside(self, message: Message) -> None:
        """Be the place of a process that stays; there is nothing else for this worker to do."""
        residence = Residence(self._channel, Port(**message["port"]) if message["port"] else None)

        def say_building(packages: tuple[str, ...]) -> None:
            residence.send_log([_building(packages)])

        words = ""
        try:
            with self._chunks.hold():
                ready = self._with_packages(say_building, residence.to_end)
                ready = with_secrets(ready, self._secrets, self._runner)
            [planned] = decode_segment(message["datums"].encode("utf-8"))
            reason, words = self._runner.stay(
                replace(ready, env={**residence.variables, **ready.env}),
                planned,
                residence,
                job=message["job"],
                given=message["env"],
            )
        except Cancelled:
            reason = "it was ended before it began"
        except (TrunklineError, OSError) as error:
            reason = str(error)
        self._channel.send(left(residence.failure or reason, words))

    def _receive(self) -> Message:
        self._pulse.waits = True
        try:
            return self._channel.receive()
        finally:
            self._pulse.waits = False

    def _serve_lease(self, message: Message) -> None:
        lease = int(message["lease"])
        context = self._prepared(message, lease)
        if context is None:
            self._report(lease, [], DeltaWriter(self._runner.trees), last=True)
            self._cancelled.discard(lease)
            return
        positions: list[int] = message["positions"]
        planned = decode_segment(message["datums"].encode("utf-8"))
        pending: list[Outcome] = []
        writer = DeltaWriter(self._runner.trees, by_datum=True)
        reported = time.monotonic()
        for number, (position, datum) in enumerate(zip(positions, planned, strict=True)):
            if number % _AHEAD == 0:
                self._runner.read_ahead(context, planned[number : number + _AHEAD])
            self._look(lease)
            if lease in self._cancelled:
                break
            outcome = self._run_one(context, message, lease, position, datum, writer)
            if outcome is None:
                break
            pending.append(outcome)
            if time.monotonic() - reported > message["report_s"]:
                self._report(lease, pending, writer, last=False)
                pending, reported = [], time.monotonic()
                writer = DeltaWriter(self._runner.trees, by_datum=True)
        self._runner.end_batch()
        self._report(lease, pending, writer, last=True)
        self._cancelled.discard(lease)

    def _prepared(self, message: Message, lease: int) -> Context | None:
        """The context of a lease, with all that its commands need there.

        None when the lease was cancelled meanwhile, or when they can't be given it, which breaks
        the job: the next one tries again.
        """
        try:
            ready = self._with_packages(
                lambda packages: self._say_building(message, packages),
                lambda: self._look(lease),
            )
            return with_secrets(ready, self._secrets, self._runner)
        except Cancelled:
            return None
        except (TrunklineError, OSError) as error:
            self._channel.send({"type": "broken", "lease": lease, "reason": str(error)})
            return None

    def _with_packages(
        self,
        on_build: Callable[[tuple[str, ...]], None],
        cancelled: Callable[[], bool],
    ) -> Context:
        """The context with commands run in the Python environment that it asks for."""
        if not self._context.lock:
            return self._context
        ready, held = with_packages(
            self._context,
            self._chunks,
            self._environments,
            find_python=self._find_python,
            on_build=on_build,
            cancelled=cancelled,
        )
        if self._environment is not None:
            os.close(self._environment)
        self._environment = held
        self._context = ready
        return ready

    def _say_building(self, message: Message, packages: tuple[str, ...]) -> None:
        """Let who follows the log know what the first datum waits for."""
        first = next(iter(decode_segment(message["datums"].encode("utf-8"))), None)
        if first is None:
            return
        about = {"lease": message["lease"], "position": message["positions"][0]}
        self._channel.send({"type": "started", **about, "key": first.key})
        self._channel.send({"type": "log", **about, "lines": [_building(packages)]})

    def _run_one(
        self,
        context: Context,
        message: Message,
        lease: int,
        position: int,
        datum: Any,
        writer: DeltaWriter,
    ) -> Outcome | None:
        """The outcome of a datum, or None when its lease was cancelled.

        The scheduler hears of a datum at work when it takes a while or prints something: a message
        for each of thousands of short ones would cost more than they do.
        """
        said = False

        def say_started() -> None:
            nonlocal said
            if not said:
                said = True
                self._channel.send(
                    {"type": "started", "lease": lease, "position": position, "key": datum.key}
                )

        def send_log(lines: list[LogEntry]) -> None:
            say_started()
            self._channel.send(
                {"type": "log", "lease": lease, "position": position, "lines": lines}
            )

        while True:
            said = False  # a run that begins again begins its log again
            outcome = self._runner.run(
                context,
                datum,
                job=message["job"],
                position=position,
                writer=writer,
                on_tick=say_started,
                on_log=send_log,
                cancelled=lambda: self._look(lease, position),
                before=Before.parse(message.get("before", {}).get(str(position))),
            )
            restart = (lease, position) in self._restart
            self._restart.discard((lease, position))
            if outcome is not None or not restart or lease in self._cancelled:
                return outcome

    def _look(self, lease: int, position: int = -1) -> bool:
        """Whether the datum at work has been cancelled or restarted."""
        for message in self._channel.poll():
            match message["type"]:
                case "cancel":
                    self._cancelled.add(int(message["lease"]))
                case "restart":
                    self._restart.add((int(message["lease"]), int(message["position"])))
                case _:
                    self._waiting.append(message)
        return lease in self._cancelled or (lease, position) in self._restart

    def _report(
        self, lease: int, outcomes: list[Outcome], writer: DeltaWriter, *, last: bool
    ) -> None:
        """Make outcomes durable, then report them; a full disk fails the datums, not the worker."""
        output: list[str] = []
        try:
            output = [str(delta) for delta in writer.finish()] if outcomes else []
            self._chunks.flush()
        except TrunklineError as error:
            outcomes = [outcome.failed(str(error)) for outcome in outcomes]
            output = []
        self._channel.send(
            {
                "type": "ended",
                "lease": lease,
                "last": last,
                "output": output,
                "outcomes": [outcome.as_message() for outcome in outcomes],
            }
        )


def _building(packages: tuple[str, ...]) -> LogEntry:
    s = "" if len(packages) == 1 else "s"
    text = f"building the Python environment, of {len(packages)} package{s}"
    return to_microseconds(datetime.now(UTC)), NOTE, text
