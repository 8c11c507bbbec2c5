"""What the benchmarks share: a private home, medians, and printing of ratios.

Machines differ and this kind of machine is noisy, so a figure is always a ratio to a peer that was
measured in the same run, as a median of several interleaved repetitions.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def private_home() -> Iterator[Path]:
    """A working directory with a data directory of its own; its server is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as place:
        for name in ("CONFIG", "DATA", "CACHE", "STATE"):
            os.environ[f"XDG_{name}_HOME"] = f"{place}/{name.lower()}"
        for name in ("TRUNKLINE_ADDRESS", "PACHD_ADDRESS", "TRUNKLINE_CONFIG"):
            os.environ.pop(name, None)
        os.environ["TRUNKLINE_HOME"] = f"{place}/home"
        # Commands as they are installed: with their bytecode, which installers write.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ.setdefault("PYTHONPYCACHEPREFIX", f"{place}/bytecode")
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        try:
            yield Path(place)
        finally:
            subprocess.run(["trunkline", "down"], capture_output=True)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(repetitions: int, *works: Callable[[], object]) -> list[float]:
    """The median time of each piece of work; the pieces take turns, so that noise hits all."""
    times = [[seconds(work) for work in works] for _ in range(repetitions)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def run(*words: str, cwd: Path | None = None) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout
