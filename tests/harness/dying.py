"""Sessions that die at the n-th transaction of their database, before or after it commits.

Each runs in a fork of this process, which has imported all it needs; its engine is its own.
"""

import gc
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from trunkline.db.database import Transaction
from trunkline.db.sqlite import SqliteDatabase

KILLED = 137
_HANG_S = 120  # a session that takes longer is killed, which fails its test

# What a session does in a data directory, and what it found, as lines. It can be repeated after a
# crash at any point of it; transactions count from the call of its second argument on.
Session = Callable[[Path, Callable[[], None]], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a session ended: its exit status, what it found, and what was said of errors."""

    status: int
    found: list[str]
    errors: str


def run_dying(session: Session, home: Path, *, crash_at: int, moment: str) -> Ended:
    """Run a session in a process that dies at a transaction; 0 is none."""
    found_out, found_in = os.pipe()
    told_out, told_in = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test runner may have threads
        child = os.fork()
    if not child:
        # The worker host writes there as well, so that its end is that of all it had started.
        for fd in (1, 2):
            os.dup2(told_in, fd)
        for fd in (found_out, told_out, told_in):
            os.close(fd)
        _be_session(session, home, lambda: _die_at(crash_at, moment), found_in)
    os.close(found_in)
    os.close(told_in)
    with os.fdopen(told_out) as told, os.fdopen(found_out) as found:
        errors, lines = told.read(), found.read()
    _, status = os.waitpid(child, 0)
    return Ended(status=os.waitstatus_to_exitcode(status), found=lines.splitlines(), errors=errors)


def _be_session(session: Session, home: Path, begin: Callable[[], None], found: int) -> NoReturn:
    status = 1
    try:
        gc.freeze()  # what the test runner has is neither looked through nor copied
        signal.alarm(_HANG_S)
        lines = session(home, begin)
        with os.fdopen(found, "w") as pipe:  # few enough for a pipe that nobody reads yet
            pipe.writelines(f"{line}\n" for line in lines)
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _die_at(crash_at: int, moment: str) -> None:
    count = 0
    real_write = SqliteDatabase.write

    @contextmanager
    def write(self: SqliteDatabase) -> Iterator[Transaction]:
        nonlocal count
        count += 1
        mine = count
        with real_write(self) as tx:
            yield tx
            if mine == crash_at and moment == "before":
                os._exit(KILLED)
        if mine == crash_at and moment == "after":
            os._exit(KILLED)

    SqliteDatabase.write = write  # type: ignore[method-assign]


def deaths(session: Session, places: Path, *, moment: str) -> Iterator[tuple[int, Path, Ended]]:
    """Let a session die at its n-th transaction for n = 1, 2, … until it gets through once.

    Every other one, unless all are wanted: those that are odd before, the others after. Yields n,
    the data directory, and how the session ended when it was said again there.
    """
    step = 1 if os.environ.get("TRUNKLINE_CRASH_EVERY") == "1" else 2
    crash_at = 2 if step == 2 and moment == "after" else 1
    while True:
        home = places / f"home-{crash_at}"
        crashed = run_dying(session, home, crash_at=crash_at, moment=moment)
        if crashed.status == 0:
            return
        assert crashed.status == KILLED, crashed.errors
        yield crash_at, home, run_dying(session, home, crash_at=0, moment=moment)
        crash_at += step
