"""What a runtime promises: a slot that runs one command at a time on staged inputs.

The user's code sees `/pfs/<input>/<path>` (read-only), `/pfs/out` (its own to fill) and `/code`
(read-only). Where the runtime keeps those on the host is its own business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

PFS = "/pfs"
OUT = "/pfs/out"
CODE = "/code"
BATCH_DOOR = ".next"  # below /pfs: where a command with datum_batching asks for the next datum
BATCH_ENV = ".env"  # below /pfs: the variables of the datum that it was given, for a shell
BATCH_VARIABLE = "TRUNKLINE_NEXT_DATUM"  # in its environment: the path of that door
SLOT_VARIABLE = "TRUNKLINE_SLOT"  # in the environment of every command: the slot's marker

CONTAINER = "container"  # an isolation, see `Slot.isolation`

OnOutput = Callable[[str, bytes], None]  # ("stdout" or "stderr", the bytes as they arrived)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program to run, exactly as given: no shell, no environment but this one.

    `PATH`, `HOME` and `LANG` get defaults when `env` lacks them: the usual system directories, the
    home of the account that runs the command (`/tmp` if it has none), and `C.UTF-8`.
    """

    argv: tuple[str, ...]
    stdin: bytes | None = None  # None: nothing to read
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""  # absolute, or below /pfs; empty: /pfs
    user: str = ""  # name or number, with or without `:group`; empty: whoever runs the worker
    timeout_s: float | None = None
    memory_bytes: int | None = None  # of it and all that it starts
    cpu_cores: float | None = None  # of CPU time per time, where that can be limited
    terminal: bool = False  # it has that of this process (stdin) instead of pipes
    grace_s: float = 0.0  # from SIGTERM to SIGKILL when it is cancelled; 0: SIGKILL at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How a command ended.

    Invariant: `reason` is empty exactly when the command ended by itself with code 0 and within
    its limits. `code` is None when a signal ended it; `signal` is None when it exited by itself.
    """

    code: int | None
    signal: int | None = None
    reason: str = ""
    timed_out: bool = False
    cancelled: bool = False
    out_of_memory: bool = False
    over_quota: bool = False
    seconds: float = 0.0


class SlotLost(Exception):
    """What a slot stands on is gone, which says nothing of the command that ran; it is of no use.

    The text says why, as a phrase.
    """


class Slot(Protocol):
    """A place for one command at a time; made once per worker and used for many datums.

    Order: `stage`, fill the directory, `run` or `run_next` (as often as needed), read `out`,
    `clear`.
    """

    @property
    def isolation(self) -> str:
        """`namespace` (a private /pfs and /code), `rewrite` (their names are replaced), `container`
        (they are in one, and nowhere on this machine).
        """
        ...

    @property
    def out(self) -> Path:
        """Where the host finds what the command wrote to /pfs/out; empty after `stage`."""
        ...

    def stage(self, size_bytes: int, *, files: int = 1) -> Path:
        """The host directory that user code will see as /pfs, to be filled with <input>/<path>.

        It is empty but for `out`, which belongs to the runtime. The size decides between memory
        and disk; `files` counts too, because the smallest file takes a page of memory.
        """
        ...

    def set_code(self, directory: Path | None) -> None:
        """Make the directory (absolute) visible as /code; None: an empty one."""
        ...

    def set_secrets(self, directories: Mapping[str, Mapping[str, bytes]]) -> None:
        """Show these files (by directory, then name) to commands, in memory, instead of earlier
        ones. Raises NotSupported where there is no private place for them, and OperationFailed.
        """
        ...

    def prepare(self, command: Command) -> None:
        """Have all there that running the command takes, if that takes long; `run` does so else.

        Raises OperationFailed, Unavailable if that may go well later.
        """
        ...

    def run(
        self,
        command: Command,
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        """Run the command to its end; nothing that it started is alive afterwards.

        `tick` is called about five times a second. What `on_output` or `tick` raises stops the
        command and is passed on. Raises SlotLost.
        """
        ...

    def run_next(
        self,
        command: Command,
        told: Mapping[str, str],
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        """Have one datum processed by a command that asks for one after the other (`asking`).

        Its process stays for the calls to come; it is started if there is none. `told` are the
        variables of the datum, `command.env` those that all datums share. The limits of the command
        are those of each datum. That it asks for the next one, without an error, counts as code 0;
        its end counts as that of a command. Without another call, `end_batch`.
        """
        ...

    def end_batch(self) -> None:
        """End the process of `run_next` with all that it started; nothing to do if there is none.

        So do `close`, and `clear` and `stage` where they can't keep it.
        """
        ...

    def clear(self) -> None:
        """Remove the staged inputs and the outputs, however hostile they are."""
        ...

    def close(self) -> None:
        """Clear, and give back what the slot holds; it can't be used afterwards."""
        ...
