"""How far a put has got: for the person at the terminal, for a log, or for a program.

On a terminal one line that changes; elsewhere a line every ten seconds; with `json` one object a
second. Always on stderr, and only once a second has passed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from trunkline.cli.output import note, size
from trunkline.cli.progress import transfer
from trunkline.errors import TrunklineError

if TYPE_CHECKING:
    from trunkline.model.versions import PutProgress

_FIRST_S = 1.0
_EVERY_S = {"line": 0.5, "plain": 10.0, "json": 1.0}
_CLEAR = "\r\x1b[K"

Ask = Callable[[], "PutProgress"]


@contextmanager
def watched(mode: str, ask: Ask) -> Iterator[None]:
    """While inside, a put is asked for its progress, and that is shown."""
    shape = _shape(mode)
    if shape is None:
        yield
        return
    done = threading.Event()
    watching = threading.Thread(
        target=_watch, args=(shape, ask, done, time.monotonic()), name="progress", daemon=True
    )
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


@contextmanager
def sending(label: str, total_bytes: int | None, mode: str) -> Iterator[Callable[[int], None]]:
    """What to call with each number of bytes of a put that go by the command itself."""
    sent = 0

    def advance(count: int) -> None:
        nonlocal sent
        sent += count

    def ask() -> PutProgress:
        from trunkline.model.versions import PutProgress

        return PutProgress(
            files=0,
            size_bytes=sent,
            known_files=0,
            known_bytes=0,
            total_files=None,
            total_bytes=total_bytes,
        )

    if _shape(mode) == "line":
        with transfer(label, total_bytes) as bar:
            yield bar
        return
    with watched(mode, ask) if total_bytes is not None else nullcontext():
        yield advance


@contextmanager
def noting_interruption(*, resumes: bool) -> Iterator[None]:
    """Say what an interrupted put leaves behind."""
    try:
        yield
    except KeyboardInterrupt:
        hint = "; the same command goes on where it was" if resumes else ""
        note(f"stopped: nothing was changed{hint}")
        raise


def _shape(mode: str) -> str | None:
    if mode == "auto":
        return "line" if sys.stderr.isatty() else "plain"
    return None if mode == "none" else mode


def _watch(shape: str, ask: Ask, done: threading.Event, began: float) -> None:
    shown = False
    wait_s = _FIRST_S if shape != "plain" else _EVERY_S[shape]
    while not done.wait(wait_s):
        wait_s = _EVERY_S[shape]
        try:
            progress = ask()
        except TrunklineError:
            continue  # it has not begun, or is over
        elapsed_s = time.monotonic() - began
        if shape == "json":
            import json
            from dataclasses import asdict

            text = json.dumps({**asdict(progress), "elapsed_s": round(elapsed_s, 1)}) + "\n"
        else:
            text = describe(progress, elapsed_s)
            text = f"{_CLEAR}{text}" if shape == "line" else f"{text}\n"
        sys.stderr.write(text)
        sys.stderr.flush()
        shown = True
    if shown and shape == "line":
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()


def describe(progress: PutProgress, elapsed_s: float) -> str:
    """One line: how much of how much, how quick, how long still, how much needed no reading."""
    parts: list[str] = []
    if progress.files:
        of = "" if progress.total_files is None else f" of {progress.total_files:,}"
        parts.append(f"{progress.files:,}{of} files")
    of = "" if progress.total_bytes is None else f" of {size(progress.total_bytes)}"
    parts.append(f"{size(progress.size_bytes)}{of}")
    read = progress.size_bytes - progress.known_bytes
    parts.append(f"{size(round(read / elapsed_s))}/s")
    left_s = _left_s(progress, elapsed_s)
    if left_s is not None:
        parts.append(f"{left_s // 60}:{left_s % 60:02} left")
    if progress.known_files:
        parts.append(f"{100 * progress.known_files // progress.files} % not changed")
    return ", ".join(parts)


def _left_s(progress: PutProgress, elapsed_s: float) -> int | None:
    """Seconds to go, if the rest takes as long as what is done, by files or bytes."""
    shares = [
        min(1.0, done / total)
        for done, total in (
            (progress.files, progress.total_files),
            (progress.size_bytes, progress.total_bytes),
        )
        if total
    ]
    share = min(shares, default=0.0)
    return round(elapsed_s * (1 - share) / share) if share else None
