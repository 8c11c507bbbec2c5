"""Places for slots of tests. Opening one moves its process into a namespace, so each lives in a
child.
"""

import ctypes
import os
import pickle
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from trunkline.runtimes import scratch
from trunkline.runtimes.base import Command, ExitReport, Slot
from trunkline.runtimes.process import open_slot

NOBODY = 65534
HANG_S = 100  # a child that takes longer is killed, which fails its test
AS_ROOT = os.geteuid() == 0

T = TypeVar("T")


def in_child(function: Callable[[], T], *, uid: int | None = None) -> T:
    """The result of the function, which runs in a forked process of this or another user."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test runner may have threads
        child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            signal.alarm(HANG_S)
            if uid is not None:
                become(uid)
            answer = pickle.dumps((True, function()))
        except BaseException:
            answer = pickle.dumps((False, traceback.format_exc()))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    assert data, f"the child died or took longer than {HANG_S} s"
    done, value = pickle.loads(data)
    assert done, value
    result: T = value
    return result


def become(uid: int) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    # As after exec: a process that changed its user may not write its own /proc/self/uid_map.
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)


@dataclass
class Said:
    """Collects what a command wrote."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def __call__(self, stream: str, data: bytes) -> None:
        getattr(self, stream).extend(data)


@dataclass(frozen=True)
class Ran:
    report: ExitReport
    stdout: bytes
    stderr: bytes


@dataclass
class Place:
    """A scratch directory for slots of one isolation and user."""

    isolation: str
    uid: int | None  # to switch to; None: as we are
    scratch: Path
    marker: str

    def __call__(self, function: Callable[[Slot], T], **options: object) -> T:
        """The result of the function on a fresh slot, in a child process."""
        return self.away(lambda: self.here(function, **options))

    def away(self, function: Callable[[], T]) -> T:
        """The result of the function, which runs in a child process of the place's user."""
        return in_child(function, uid=self.uid)

    def here(self, function: Callable[[Slot], T], **options: object) -> T:
        """The result of the function on a fresh slot, in this very process."""
        slot = open_slot(
            self.scratch,
            isolation=self.isolation,
            marker=self.marker,
            **options,  # type: ignore[arg-type]
        )
        result = function(slot)
        slot.close()
        return result

    @staticmethod
    def run(slot: Slot, *argv: str, **options: object) -> Ran:
        """Run a command, with the options of `Command`, and collect its output."""
        said = Said()
        command = Command(argv=argv, **options)  # type: ignore[arg-type]
        report = slot.run(command, on_output=said, cancelled=lambda: False, tick=lambda: None)
        return Ran(report, bytes(said.stdout), bytes(said.stderr))

    @classmethod
    def sh(cls, slot: Slot, script: str, **options: object) -> Ran:
        """Run a shell script."""
        return cls.run(slot, "/bin/sh", "-c", script, **options)

    def shell(self, script: str, **options: object) -> Ran:
        """Run a shell script in a slot of its own."""

        def work(slot: Slot) -> Ran:
            slot.stage(0)
            return self.sh(slot, script, **options)

        return self(work)


@contextmanager
def scratch_parent(uid: int | None) -> Iterator[Path]:
    """A directory of that user (None: ours) for scratch directories."""
    # Not below the test runner's directory, which no other user may enter.
    parent = Path(tempfile.mkdtemp(prefix="trunkline-slot-"))
    parent.chmod(0o755)
    if uid is not None:
        os.chown(parent, uid, uid)
    yield parent
    scratch.empty(parent)
    parent.rmdir()
