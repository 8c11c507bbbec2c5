"""Runs one datum in a slot: inputs out of the store, the user's command, outputs into the store."""

import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from trunkline.errors import TrunklineError
from trunkline.files.batches import SMALL_BYTES_MAX
from trunkline.files.delta import DeltaWriter
from trunkline.files.export import export_contents
from trunkline.files.manifest import FileRow, RootId
from trunkline.files.tree import Trees
from trunkline.jobs.capture import Capture, LogEntry
from trunkline.jobs.increments import Before, Increment
from trunkline.jobs.outputs import OutputRefused, collect
from trunkline.jobs.redaction import NO_PATTERNS, Patterns, masked
from trunkline.jobs.residing import Residence
from trunkline.jobs.secrets import Given
from trunkline.jobs.segments import PlannedDatum
from trunkline.jobs.staging import Places
from trunkline.model.images import Runtime
from trunkline.model.jobs import DatumState
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import DatumFile
from trunkline.pipelines.environment import datum_environment, job_environment
from trunkline.runtimes import function
from trunkline.runtimes.asking import FUNCTION_COMMAND
from trunkline.runtimes.base import CONTAINER, Command, ExitReport, Slot
from trunkline.runtimes.pipes import Pipes

PACKAGE = Path(function.__file__).resolve().parent.parent  # where Trunkline is installed
PACKAGE_PLACE = "/.trunkline-package"  # the directory that it is in, in containers
GRACE_S = 10.0  # from SIGTERM to SIGKILL, for a process that stays
_LOG_CHUNK_BYTES = 1024 * 1024
_DIRECTORY_FOR_ALL, _FILE_FOR_ALL = 0o777, 0o666
_AHEAD_FILES_MAX = 1000  # inputs that are read before their datums' turn, small ones only
_AHEAD_BYTES_MAX = 8 * 1024 * 1024

Orders = Callable[[PlannedDatum, str], bytes]  # by the id of the job


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all datums of a pipeline version share."""

    pipeline: str
    version: int
    spec_commit: str
    cmd: tuple[str, ...]
    stdin: tuple[str, ...]
    err_cmd: tuple[str, ...]
    err_stdin: tuple[str, ...]
    env: dict[str, str]
    user: str
    working_dir: str
    accept_return_code: tuple[int, ...]
    tries: int
    timeout_s: float | None
    empty_inputs: tuple[str, ...]  # names of inputs whose files are given empty
    lazy_inputs: tuple[str, ...]  # of others, whose files are pipes
    code: str  # root of the file set behind /code, or empty
    code_dir: str  # where that is on this machine, or empty
    lock: str  # chunk of the lock of its Python packages, or empty
    secrets: tuple[dict[str, str], ...]  # the fields of each `SecretUse`
    server_path: str  # where programs that Trunkline needs itself are looked for
    batching: bool  # cmd is one process for many datums, which asks for each
    log_bytes_max: int  # kept of the log of a datum
    memory_bytes: int | None  # limit of a command with all that it starts
    cpu_cores: float | None
    image: dict[str, Any] | None  # the fields of the `Image` that it runs in; None: on this machine
    pull_secrets: tuple[str, ...]  # names of secrets with logins of its registry
    network: str  # of its containers
    in_pod: bool = False  # of a cluster
    stage: dict[str, Any] | None = None  # the fields of the `ClusterStage` in place of a command
    namespace: str = ""  # of its objects
    data_url: str = ""  # where they reach the server
    gpus: tuple[str, ...] = ()  # numbers of those that are the worker's own

    @property
    def runtime(self) -> str:
        if self.in_pod or self.stage is not None:
            return Runtime.KUBERNETES
        return Runtime.PROCESS if self.image is None else Runtime.DOCKER

    @property
    def uncopied_inputs(self) -> Collection[str]:
        """Names of the inputs of which a command is given no content before it begins."""
        return (*self.empty_inputs, *self.lazy_inputs)

    def as_message(self) -> dict[str, Any]:
        return {"type": "context", **asdict(self)}

    @staticmethod
    def parse(message: dict[str, Any], *, home: Path) -> "Context":
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in message.items()
        }
        values.pop("type")
        if values["code"]:
            values["code_dir"] = str(home / "cache" / "code" / str(values["code"]))
        context = Context(**values)
        if context.gpus and context.image is None:
            gpus = {"CUDA_VISIBLE_DEVICES": ",".join(context.gpus)}
            context = replace(context, env={**context.env, **gpus})
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a datum. Times in microseconds since 1970, durations in microseconds."""

    position: int
    key: str
    state: DatumState
    tries: int
    started: int
    finished: int
    downloaded_bytes: int
    uploaded_bytes: int
    files: int
    download_us: int
    process_us: int
    upload_us: int
    log: tuple[str, ...]
    reason: str
    last_words: str  # of one that failed: the end of what its last try printed to stderr

    def failed(self, reason: str) -> "Outcome":
        """The same datum, failed after all."""
        return replace(
            self,
            state=DatumState.FAILED,
            reason=reason,
            uploaded_bytes=0,
            files=0,
            log=(),
            last_words="",
        )

    def as_message(self) -> dict[str, Any]:
        return dict(zip(_OUTCOME_FIELDS, _values(self), strict=True))


_OUTCOME_FIELDS = tuple(field.name for field in fields(Outcome))  # all flat: `asdict` is slow
_values = attrgetter(*_OUTCOME_FIELDS)


class DatumRun:
    """The one place where a datum is executed; used by one thread."""

    def __init__(self, slot: Slot, trees: Trees, orders: Orders | None = None) -> None:
        """`orders` are what the slot gets of each datum instead of files, where it runs none."""
        self._slot = slot
        self._orders = orders
        self._shown_code: Path | None = None
        self._shown: Given | None = None
        self._masks = NO_PATTERNS
        self._pipes = Pipes(self._content)
        self._at_hand: dict[str, bytes] = {}  # contents that were read ahead, by their digests
        self._copied_bytes = 0  # to the datum, before its command began
        self.trees = trees

    def run(
        self,
        context: Context,
        planned: PlannedDatum,
        *,
        job: str,
        position: int,
        writer: DeltaWriter,
        on_tick: Callable[[], None],
        on_log: Callable[[list[LogEntry]], None],
        cancelled: Callable[[], bool],
        before: Before | None = None,
    ) -> Outcome | None:
        """Run a datum to its outcome: at most `context.tries` tries; None when cancelled.

        It goes on from what it was `before` where that can be. Outputs of a success are added to
        `writer`, which the caller makes durable.
        """
        clock = _Clock()
        log = Capture(
            bytes_max=context.log_bytes_max,
            now_us=_now_us,
            on_log=on_log,
            on_tick=on_tick,
            masks=self._masks,
        )
        state, reason, tried, size, files = DatumState.FAILED, "", 0, 0, 0
        increment = self._increment(planned, before)
        while tried < context.tries and state is DatumState.FAILED:
            tried += 1
            try:
                stage = self._materialise(context, planned, clock, context.lazy_inputs, increment)
                report = self._command(context, planned, job, log, cancelled, clock)
                if report.cancelled:
                    return None
                if not report.reason or report.code in context.accept_return_code:
                    size, files = self._upload(stage, planned, writer, clock)
                    state, reason = DatumState.SUCCESS, ""
                else:
                    reason = report.reason
                    if context.err_cmd:
                        report = self._recovery(context, planned, job, log, cancelled)
                        if report.cancelled:
                            return None
                        if not report.reason:
                            state = DatumState.RECOVERED
            except (TrunklineError, OutputRefused, OSError) as error:
                reason = _sentence(error)
            if state is DatumState.FAILED:
                log.note(f"try {tried} of {context.tries} failed: {reason}")
        self._slot.clear()
        stored_log = self._store_log(log.finish())
        return Outcome(
            position=position,
            key=planned.key,
            state=state,
            tries=tried,
            started=clock.began,
            finished=_now_us(),
            downloaded_bytes=self._copied_bytes + self._pipes.bytes_read,
            uploaded_bytes=size,
            files=files,
            download_us=clock.spent["download"],
            process_us=clock.spent["process"],
            upload_us=clock.spent["upload"],
            log=stored_log,
            reason=masked(reason, self._masks) if state is not DatumState.SUCCESS else "",
            last_words=log.last_words() if state is DatumState.FAILED else "",
        )

    def get_ready(self, context: Context) -> None:
        """Have all there that the commands of a version need and that takes long.

        Raises OperationFailed, Unavailable if it may be there later.
        """
        self._show_code(context)
        self._slot.prepare(_command_of(context))

    def prepared(self, context: Context, planned: PlannedDatum, *, job: str) -> Command:
        """Stage a datum's inputs, none lazily; gives the command that `run` would run then."""
        self._materialise(context, planned, _Clock(), (), None)
        return self._as_command(context, context.cmd, context.stdin, planned, job)

    def read_ahead(self, context: Context, coming: Iterable[PlannedDatum]) -> None:
        """Read small inputs of the datums to come: many at once take far less time than each.

        What can't be read is told when it is a datum's turn.
        """
        self._at_hand = {}
        if self._orders is not None:
            return
        chunks: list[bytes] = []
        size = 0
        for file in chain.from_iterable(planned.datum.files for planned in coming):
            if (
                file.name not in context.uncopied_inputs
                and file.type is FileType.FILE
                and file.digest
                and 0 < file.size_bytes <= SMALL_BYTES_MAX
            ):
                chunks.append(bytes.fromhex(file.digest))
                size += file.size_bytes
            if size > _AHEAD_BYTES_MAX or len(chunks) == _AHEAD_FILES_MAX:
                break
        with suppress(TrunklineError):
            found = self.trees.chunks.read_many(chunks)
            self._at_hand = {digest.hex(): content for digest, content in found.items()}

    def stay(
        self,
        context: Context,
        planned: PlannedDatum,
        residence: Residence,
        *,
        job: str,
        given: Mapping[str, str],
    ) -> tuple[str, str]:
        """Run the command of a process that stays until it ends, or has to.

        `given` are variables that the spec can't change. Returns why it ended, and what it printed
        to stderr last.
        """
        log = Capture(
            bytes_max=None,
            now_us=_now_us,
            on_log=residence.send_log,
            on_tick=residence.tick,
            masks=self._masks,
        )
        try:
            with self.trees.chunks.hold():
                command = self.prepared(context, planned, job=job)
            residence.begins()
            report = self._slot.run(
                replace(command, env={**command.env, **given}, timeout_s=None, grace_s=GRACE_S),
                on_output=log.add,
                cancelled=residence.to_end,
                tick=log.tick,
            )
            reason = report.reason or "the command ended by itself, with code 0"
        except (TrunklineError, OSError) as error:
            reason = _sentence(error)
        log.finish()
        self._slot.clear()
        return masked(reason, self._masks), log.last_words()

    def end_batch(self) -> None:
        """No more datums for what was kept for them: contents, and a process if there is one."""
        self._at_hand = {}
        self._slot.end_batch()

    def show_secrets(self, given: Given) -> None:
        """Let the next commands have these files, and mask the values in all that is captured.

        Raises NotSupported where a slot can't show them, and OperationFailed.
        """
        if given != self._shown:
            self._slot.set_secrets(given.files)
            self._masks = Patterns.of(given.values)
            self._shown = given

    def _increment(self, planned: PlannedDatum, before: Before | None) -> Increment | None:
        """How a datum goes on from what it was before, if it can."""
        increment = None if before is None else Increment(self.trees, before)
        return increment if increment is not None and increment.possible(planned) else None

    def _materialise(
        self,
        context: Context,
        planned: PlannedDatum,
        clock: "_Clock",
        lazy: Collection[str],
        increment: Increment | None,
    ) -> Path:
        if self._orders is not None:
            return self._slot.stage(0)
        with clock.measure("download"):
            self._show_code(context)
            if self._pipes:
                self._pipes = Pipes(self._content)
            without = (*context.empty_inputs, *lazy)
            size = sum(f.size_bytes for f in planned.datum.files if f.name not in without)
            stage = self._slot.stage(size, files=len(planned.datum.files))
            self._copied_bytes = 0
            if increment is not None:
                self._show_output(increment, context.user)
            places = Places(planned.datum.files)
            for name, group in groupby(planned.datum.files, key=lambda file: file.name):
                target, files = stage / name, list(group)
                if name in lazy:
                    for file in files:
                        given = self._given(file, target, places, increment)
                        self._pipes.add(target, file.root, (row.path for row in given))
                    continue
                whole = increment is None and name not in context.empty_inputs
                if whole and not places.shared(name) and self._all_at_hand(files):
                    contents = ((file.path, self._at_hand[file.digest]) for file in files)
                    self._copied_bytes += export_contents(contents, target)
                    continue
                rows: Iterator[FileRow] = chain.from_iterable(
                    self._given(file, target, places, increment) for file in files
                )
                if name in context.empty_inputs:
                    rows = (replace(row, size_bytes=0, chunks=()) for row in rows)
                self._copied_bytes += self.trees.export(
                    rows, target
                )  # many small files of a group at once
        return stage

    def _show_code(self, context: Context) -> None:
        code = self._code(context)
        if code != self._shown_code:
            self._slot.set_code(code)
            self._shown_code = code

    def _show_output(self, increment: Increment, user: str) -> None:
        """Put what a datum wrote the last time into /pfs/out, for its command to change."""
        out = self._slot.out
        self._copied_bytes += self.trees.export(increment.output(), out)
        if user or self._slot.isolation == CONTAINER:  # which may be another one than ours
            for folder, _, files in os.walk(out):
                os.chmod(folder, _DIRECTORY_FOR_ALL)
                for name in files:
                    os.chmod(os.path.join(folder, name), _FILE_FOR_ALL)

    def _given(
        self, file: DatumFile, target: Path, places: Places, increment: Increment | None
    ) -> Iterator[FileRow]:
        """The files to write for what an input gave; a directory is made even if it has none."""
        if increment is None:
            given = self.trees.walk(RootId(file.root), file.path)
        else:
            given = increment.added(file)
        rows = places.claimed(file, given)
        if file.type == FileType.DIR and file.path:
            (target / file.path).mkdir(parents=True, exist_ok=True)
        return rows

    def _all_at_hand(self, files: Iterable[DatumFile]) -> bool:
        return all(file.type is FileType.FILE and file.digest in self._at_hand for file in files)

    def _content(self, root: str, path: str, offset: int) -> Iterator[bytes]:
        row = self.trees.find(RootId(root), path)
        assert row is not None, f"{path} is not in the tree that it was taken from"
        return self.trees.read(row, offset)

    def _code(self, context: Context) -> Path | None:
        """The directory behind /code, made on first use; its name is its content."""
        if not context.code:
            return None
        target = Path(context.code_dir)
        if not target.exists():
            aside = target.with_name(f".{target.name}.{os.getpid()}")
            aside.mkdir(parents=True)
            self.trees.export(self.trees.walk(RootId(context.code)), aside, mode=0o755)
            try:
                aside.rename(target)
            except OSError:
                if not target.exists():
                    raise
        return target

    def _command(
        self,
        context: Context,
        planned: PlannedDatum,
        job: str,
        log: Capture,
        cancelled: Callable[[], bool],
        clock: "_Clock",
    ) -> ExitReport:
        command = self._as_command(context, context.cmd, context.stdin, planned, job)
        if self._orders is not None:
            command = replace(command, stdin=self._orders(planned, job))
        with self._pipes.served(), clock.measure("process"):
            if context.batching:
                shared = _shared_environment(context, job)
                report = self._slot.run_next(
                    replace(command, env=shared),
                    {n: value for n, value in command.env.items() if shared.get(n) != value},
                    on_output=log.add,
                    cancelled=cancelled,
                    tick=log.tick,
                )
            else:
                report = self._slot.run(
                    command, on_output=log.add, cancelled=cancelled, tick=log.tick
                )
        log.end_lines()
        return report

    def _recovery(
        self,
        context: Context,
        planned: PlannedDatum,
        job: str,
        log: Capture,
        cancelled: Callable[[], bool],
    ) -> ExitReport:
        command = self._as_command(context, context.err_cmd, context.err_stdin, planned, job)
        with self._pipes.served():
            report = self._slot.run(command, on_output=log.add, cancelled=cancelled, tick=log.tick)
        log.end_lines()
        return report

    def _as_command(
        self,
        context: Context,
        argv: tuple[str, ...],
        stdin: tuple[str, ...],
        planned: PlannedDatum,
        job: str,
    ) -> Command:
        return replace(
            _command_of(context),
            argv=_started(argv, context),
            stdin=("\n".join(stdin) + "\n").encode("utf-8") if stdin else None,
            env=datum_environment(
                planned.datum,
                env=context.env,
                pipeline=context.pipeline,
                job=job,
                output_commit=job,
                datum_id=planned.key,
                spec_commit=context.spec_commit,
            ),
        )

    def _upload(
        self, stage: Path, planned: PlannedDatum, writer: DeltaWriter, clock: "_Clock"
    ) -> tuple[int, int]:
        """Store what is in /pfs/out; returns its bytes and number of files."""
        with clock.measure("upload"):
            return collect(self._slot, stage, self.trees, planned, writer)

    def _store_log(self, data: bytes) -> tuple[str, ...]:
        pieces = [data[i : i + _LOG_CHUNK_BYTES] for i in range(0, len(data), _LOG_CHUNK_BYTES)]
        try:
            return tuple(str(self.trees.chunks.put(piece)) for piece in pieces)
        except TrunklineError:  # a full disk loses the log, not the outcome
            return ()


def _command_of(context: Context) -> Command:
    """The command of a version, as far as it is the same for all datums."""
    return Command(
        argv=context.cmd,
        env=context.env,
        working_dir=context.working_dir,
        user=context.user,
        timeout_s=context.timeout_s,
        memory_bytes=context.memory_bytes,
        cpu_cores=context.cpu_cores,
    )


def runs_function(argv: tuple[str, ...]) -> bool:
    """Whether a command runs a function, which takes a program of ours."""
    return argv[: len(FUNCTION_COMMAND)] == FUNCTION_COMMAND


def _started(argv: tuple[str, ...], context: Context) -> tuple[str, ...]:
    """What is started for a command: one that runs a function is ours, whatever PATH has.

    It runs in the Python of the image, in a container; else in the Python environment of the
    pipeline if there is one, or in that of Trunkline.
    """
    if not runs_function(argv):
        return argv
    words = len(FUNCTION_COMMAND)
    if context.image is not None:
        inside = Path(function.__file__).resolve().relative_to(PACKAGE.parent)
        return (FUNCTION_COMMAND[0], f"{PACKAGE_PLACE}/{inside}", *argv[words:])
    place = context.env.get("VIRTUAL_ENV")
    python = os.path.join(place, "bin", "python") if place else sys.executable
    return (python, function.__file__, *argv[words:])


def _shared_environment(context: Context, job: str) -> dict[str, str]:
    return context.env | job_environment(
        pipeline=context.pipeline, job=job, output_commit=job, spec_commit=context.spec_commit
    )


class _Clock:
    """Adds up how long the phases of a datum took."""

    def __init__(self) -> None:
        self.began = _now_us()
        self.spent = {"download": 0, "process": 0, "upload": 0}
        self._phase = ""
        self._since = 0.0

    def measure(self, phase: str) -> "_Clock":
        self._phase = phase
        return self

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.spent[self._phase] += int((time.monotonic() - self._since) * 1e6)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _now_us() -> int:
    return time.time_ns() // 1000
