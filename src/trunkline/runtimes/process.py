"""The process runtime: user code on this machine, with its own /pfs and /code where possible.

A worker process calls `open_slot` once, before it starts any thread, and from then on lives in a
mount namespace of its own. Per datum: fill a directory, spawn, empty two directories; no mount,
except when the inputs change between memory (small) and disk (large). The host never gets a /pfs.

Not a sandbox: the command runs with the worker's rights (or those of `user`) on this machine.
"""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from trunkline.errors import InvalidInput, NotSupported, OperationFailed
from trunkline.runtimes import namespace, scratch
from trunkline.runtimes.base import CODE, OUT, PFS, Command, ExitReport, OnOutput, Slot
from trunkline.runtimes.batch import Batch, with_door
from trunkline.runtimes.rewrite import rewritten
from trunkline.runtimes.supervise import Supervisor

AUTO, NAMESPACE, REWRITE = "auto", "namespace", "rewrite"
SMALL_BYTES_MAX = 32 * 1024 * 1024  # inputs up to this size are staged in memory
MEMORY_BYTES_MAX = 256 * 1024 * 1024  # of the file system in memory
_SECRETS_BYTES_MAX = 8 * 1024 * 1024  # a page for each key at least
_PAGE_BYTES = 4096  # the least that a file takes in memory
_PROBE_TIMEOUT_S = 20.0
_PROBE = (
    "from trunkline.runtimes import bounds, process; "
    "print(process.why_no_namespace()); print(bounds.how_limited())"
)


def open_slot(
    scratch_directory: Path,
    *,
    isolation: str = AUTO,
    output_bytes_max: int | None = None,
    marker: str = "",
) -> Slot:
    """Turn this worker process into a slot that keeps its files in the scratch directory.

    `auto` takes the namespace where it works and rewrites paths elsewhere. Afterwards the current
    directory is `/`, new files are readable by all (the home directory is what keeps others out),
    and orphaned descendants of this process become its children. What an earlier slot left in the
    scratch directory is removed. Each command carries `TRUNKLINE_SLOT=<marker>`.
    """
    if isolation not in (AUTO, NAMESPACE, REWRITE):
        raise InvalidInput(f"the isolation is {isolation!r}; it must be auto, namespace or rewrite")
    place = scratch.ensure_directory(scratch_directory.absolute()).resolve()
    os.umask(0o022)
    os.chdir("/")
    if isolation != REWRITE:
        root = scratch.ensure_directory(place / "root")
        reason = _hidden(place) or namespace.why_not(root, private=(PFS, CODE))
        if not reason:
            namespace.enter(root, private=(PFS, CODE))
            return NamespaceSlot(place, output_bytes_max=output_bytes_max, marker=marker)
        if isolation == NAMESPACE:
            raise NotSupported(f"user code can't get a private /pfs here: {reason}")
    return RewriteSlot(place, output_bytes_max=output_bytes_max, marker=marker)


def isolation_available() -> str:
    """What `auto` gives on this machine: `namespace`, or `rewrite (<why>)`."""
    reason = _probed()[0]
    return f"{REWRITE} ({reason})" if reason else NAMESPACE


def limits_available() -> str:
    """What keeps commands within their limits on this machine, as a phrase."""
    return _probed()[1]


@functools.cache
def _probed() -> tuple[str, str]:
    """Why there is no namespace (or ""), and how limits are kept.

    Tried in a process of its own, so it may be asked by a server with many threads.
    """
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it could not be tried: {error}", "unknown"
    if tried.returncode != 0:
        return "the attempt failed", "unknown"
    reason, limits = tried.stdout.split("\n")[:2]
    return reason, limits


def why_no_namespace() -> str:
    """Why this single-threaded process could not enter a namespace, or "" if it could."""
    with tempfile.TemporaryDirectory(prefix="trunkline-probe-") as root:
        return namespace.why_not(Path(root), private=(PFS, CODE))


class NamespaceSlot:
    """A slot whose /pfs and /code are mounts that only this worker and its commands see."""

    isolation = NAMESPACE

    def __init__(self, place: Path, *, output_bytes_max: int | None, marker: str) -> None:
        self._small = scratch.ensure_directory(place / "small")
        self._large = scratch.ensure_directory(place / "large")
        self._out = scratch.ensure_directory(place / "out")
        self._staged = self._small
        self._code: Path | None = None
        self._secrets: list[str] = []  # where they are mounted
        self._used = True
        self._supervisor = Supervisor(
            out=self._out, output_bytes_max=output_bytes_max, marker=marker
        )
        self._batch = Batch(self._supervisor)
        self._mounts = namespace.MountTable(
            str(self._small), str(self._large), str(self._out), PFS, CODE
        )
        self._mount_all()
        self._empty(self._large)
        self.clear()

    @property
    def out(self) -> Path:
        return self._out

    def stage(self, size_bytes: int, *, files: int = 1) -> Path:
        if self._used:
            self.clear()
        small = size_bytes + files * _PAGE_BYTES <= SMALL_BYTES_MAX
        chosen = self._small if small else self._large
        if self._batch.alive and self._staged == self._large:
            chosen = self._large  # a running process keeps what it sees as /pfs
        if chosen != self._staged:
            self._staged = chosen
            self._mount_pfs()
        self._used = True
        return chosen

    def set_code(self, directory: Path | None) -> None:
        self._code = directory
        self._mount_code()

    def set_secrets(self, directories: Mapping[str, Mapping[str, bytes]]) -> None:
        while self._secrets:
            namespace.unmount(self._secrets.pop())
        for place, files in directories.items():
            for needed in (str(self._out), sys.prefix, sys.base_prefix):
                if Path(needed).is_relative_to(os.path.realpath(place)):
                    raise OperationFailed(
                        f"secrets can't be shown in {place}, as that would hide {needed}"
                    )
            try:
                namespace.make_mount_point(place)
                namespace.mount_memory(place, size_bytes=_SECRETS_BYTES_MAX)
                self._secrets.append(place)
                for name, value in files.items():
                    Path(place, name).write_bytes(value)
                namespace.make_read_only(place)
            except OSError as error:
                raise OperationFailed(
                    f"secrets can't be shown in {place}: {error.strerror}"
                ) from error
        self._mounts.settle()

    def prepare(self, command: Command) -> None:
        """Nothing takes long here."""

    def run(
        self,
        command: Command,
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        return self._supervisor.run(command, on_output=on_output, cancelled=cancelled, tick=tick)

    def run_next(
        self,
        command: Command,
        told: Mapping[str, str],
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        return self._batch.run(
            with_door(command),
            told,
            self._staged,
            on_output=on_output,
            cancelled=cancelled,
            tick=tick,
        )

    def end_batch(self) -> None:
        self._batch.end()

    def clear(self) -> None:
        if self._mounts.changed():
            self._mount_all()
        self._empty(self._staged)
        scratch.empty(self._out)
        self._used = False

    def close(self) -> None:
        self.end_batch()
        self.clear()
        self._mounts.close()
        self._supervisor.close()

    def _empty(self, staged: Path) -> None:
        scratch.empty(staged, keep=self._batch.kept)

    def _mount_all(self) -> None:
        """Begin again with our own mounts only; what user code mounted (as root) goes away."""
        self._batch.end()
        self._unmount(str(self._small), str(self._large), str(self._out))
        namespace.mount_memory(str(self._small), size_bytes=MEMORY_BYTES_MAX)
        for staged in (self._small, self._large):
            scratch.ensure_directory(staged / "out")
        self._mount_pfs()
        self._mount_code()

    def _mount_pfs(self) -> None:
        self._batch.end()  # its process would go on seeing what was there before
        self._unmount(PFS)
        namespace.bind(str(self._staged), PFS, read_only=True)
        namespace.bind(str(self._out), OUT)
        self._mounts.settle()

    def _mount_code(self) -> None:
        self._unmount(CODE)
        if self._code is not None:
            try:
                namespace.bind(str(self._code), CODE, read_only=True)
            except OSError as error:
                raise OperationFailed(
                    f"the code directory {self._code} can't be shown as {CODE}: {error.strerror}"
                ) from error
        self._mounts.settle()

    def _unmount(self, *places: str) -> None:
        for point in self._mounts.below(*places):
            namespace.unmount(point)


class RewriteSlot:
    """A slot on a machine without namespaces: commands are told where the real directories are."""

    isolation = REWRITE

    def __init__(self, place: Path, *, output_bytes_max: int | None, marker: str) -> None:
        self._pfs = scratch.ensure_directory(place / "pfs")
        self._out = scratch.ensure_directory(self._pfs / "out")
        self._no_code = scratch.ensure_directory(place / "no-code")
        self._code = self._no_code
        self._used = True
        self._protected = False
        self._supervisor = Supervisor(
            out=self._out, output_bytes_max=output_bytes_max, marker=marker
        )
        self._batch = Batch(self._supervisor)
        # Only root's commands can mount something on the host.
        may_mount = sys.platform == "linux" and os.geteuid() == 0
        self._mounts = namespace.MountTable(str(self._pfs)) if may_mount else None
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
        self._code = directory or self._no_code

    def set_secrets(self, directories: Mapping[str, Mapping[str, bytes]]) -> None:
        if directories:
            raise NotSupported(
                f"secrets can't be shown as files in {next(iter(directories))} on this machine, "
                "where user code has no mounts of its own; use key and env_var"
            )

    def prepare(self, command: Command) -> None:
        """Nothing takes long here."""

    def run(
        self,
        command: Command,
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        self._protect()
        return self._supervisor.run(
            self._rewritten(command), on_output=on_output, cancelled=cancelled, tick=tick
        )

    def run_next(
        self,
        command: Command,
        told: Mapping[str, str],
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        return self._batch.run(
            self._rewritten(with_door(command)),
            self._rewritten(replace(command, env=told)).env,
            self._pfs,
            staged=self._protect,
            on_output=on_output,
            cancelled=cancelled,
            tick=tick,
        )

    def end_batch(self) -> None:
        self._batch.end()

    def clear(self) -> None:
        if self._mounts is not None and self._mounts.changed():
            for point in self._mounts.below(str(self._pfs)):
                namespace.unmount(point)
            self._mounts.settle()
        scratch.empty(self._pfs, keep=self._batch.kept)
        scratch.empty(self._out)
        self._protected = False
        self._used = False

    def _protect(self) -> None:
        if not self._protected:
            scratch.protect(self._pfs, except_for="out")
            self._protected = True

    def _rewritten(self, command: Command) -> Command:
        return rewritten(command, pfs=str(self._pfs), code=str(self._code))

    def close(self) -> None:
        self.end_batch()
        self.clear()
        if self._mounts is not None:
            self._mounts.close()
        self._supervisor.close()


def _hidden(place: Path) -> str:
    for name in (PFS, CODE):
        if place.is_relative_to(name):
            return f"the scratch directory {place} would be hidden by {name}"
    return ""
