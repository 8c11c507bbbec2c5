"""A server where nothing happens collects what has been kept long enough."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine import collector
from trunkline.engine.engine import Engine

INTERVAL_S = 0.02
IDLE_TURNS = 10  # without a change, until the collector counts as idle


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def collecting_engine(directory: Path, clock: Clock) -> Engine:
    """One that collects all the time, without grace."""
    settings = {
        "HOME": str(directory),
        "TRUNKLINE_GC_INTERVAL_S": str(INTERVAL_S),
        "TRUNKLINE_GC_GRACE_S": "0",
    }
    return Engine(load(settings, home=directory / "home"), clock=clock)


def until_idle(engine: Engine) -> None:
    """Until several turns of the collector have changed nothing."""
    database = engine._services.database
    same, seen = 0, -1
    while same < IDLE_TURNS:
        time.sleep(INTERVAL_S)
        same = same + 1 if database.revision == seen else 0
        seen = database.revision


@pytest.mark.parametrize("kept", ["deleted", "file set"])
def test_what_was_kept_long_enough_goes_though_nothing_else_happens(
    tmp_path: Path, kept: str
) -> None:
    clock = Clock()
    engine = collecting_engine(tmp_path, clock)
    try:
        content = PutFile(path="x", content=[os.urandom(500_000)])
        if kept == "deleted":
            engine.repos.create_repo("data")
            engine.files.modify_files("data", "master", [content])
            engine.repos.delete_repo("data")
        else:
            engine.files.create_file_set([content])
        engine._services.chunks.seal()
        until_idle(engine)
        before = engine.admin.status().stored_bytes

        clock.now += timedelta(days=8)
        while engine.admin.status().stored_bytes > 100_000:
            time.sleep(INTERVAL_S)

        assert before > 500_000
        until_idle(engine)
    finally:
        engine.close()


def test_nor_has_anything_else_to_happen_when_it_goes_in_a_cycle_that_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves the catalog in a cycle that removes what an earlier one condemned counts as
    needed once more; nothing is condemned then, and yet there is something to do.
    """
    clock = Clock()
    jumps = [timedelta(days=8)]
    end_watch = collector.versions.end_watch

    def end_and_let_days_pass(tx: Any, *, until: int, watching: bool) -> None:
        end_watch(tx, until=until, watching=watching)
        if watching and jumps:
            clock.now += jumps.pop()

    monkeypatch.setattr(collector.versions, "end_watch", end_and_let_days_pass)
    engine = collecting_engine(tmp_path, clock)
    try:
        engine.files.create_file_set([PutFile(path="x", content=[os.urandom(500_000)])])
        engine._services.chunks.seal()
        while jumps or engine.admin.status().stored_bytes > 100_000:
            time.sleep(INTERVAL_S)
    finally:
        engine.close()
