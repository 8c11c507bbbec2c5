"""Processes that die at the n-th transaction of their database, before or after it commits."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline.db.database import Transaction
from trunkline.db.sqlite import SqliteDatabase

KILLED = 137


def die_at(crash_at: int, moment: str) -> None:
    """Have this process die at a transaction, counted from now on; 0 is none."""
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


def run_dying(
    script: str, home: Path, *, crash_at: int, moment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in its own process; its arguments: a directory, and what `die_at` takes."""
    words = [sys.executable, "-c", script, str(home), str(crash_at), moment]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
