"""A worker is silent for as long as the scheduler has listened to it in vain, and no longer."""

import random
import selectors
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from plain_context import plain_context
from ready_catalogs import fill_catalog
from sim_workers import SimLauncher

from trunkline.config import load
from trunkline.db.sqlite import SqliteDatabase
from trunkline.files.tree import Trees
from trunkline.jobs.channel import Channel
from trunkline.jobs.clocks import Clocks
from trunkline.jobs.conductor import Conductor
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.pool import WorkerPool
from trunkline.model.pipelines import Resources
from trunkline.store.chunks import ChunkStore

LEASE_S = 15.0
TICK_S = 1.0  # as the scheduler's loop has it


class Server:
    """A conductor whose time is passed by hand, with one worker that says what it is told to."""

    def __init__(self, database: SqliteDatabase, chunks: ChunkStore, home: Path) -> None:
        self.time = 0.0
        self.killed: list[int] = []
        self._lines: list[Channel] = []
        self._selector = selectors.DefaultSelector()
        clocks = Clocks(
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time),
            monotonic=lambda: self.time,
        )
        launcher = SimLauncher(
            random.Random(1), lambda _, __, line: self._lines.append(line), self.killed.append
        )
        self._conductor = Conductor(
            *(replace(load({}, home=home), lease_s=LEASE_S), database, Trees(chunks), LiveLogs()),
            *(WorkerPool(launcher, clocks), clocks),
            selector=self._selector,
            apart=lambda task: task(),
            apart_for_long=lambda task: task(),
            copy_out=lambda _: True,
            wake=lambda: None,
        )
        self._conductor.dispatcher.crew.ensure(plain_context(), 1, Resources())
        self._conductor.turn()

    def says(self) -> None:
        self._lines[0].send({"type": "alive", "waits": True})

    def listens(self) -> None:
        """As the scheduler's loop does between two turns."""
        for key, _ in self._selector.select(0):
            self._conductor.receive([key.data])

    def turn(self, *, after_s: float = TICK_S) -> None:
        self.time += after_s
        self._conductor.turn()

    def close(self) -> None:
        self._conductor.reset()
        for line in self._lines:
            line.close()
        self._selector.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    fill_catalog(tmp_path / "catalog.db")
    database = SqliteDatabase(tmp_path / "catalog.db", durable=False)
    chunks = ChunkStore(tmp_path / "store")
    opened = Server(database, chunks, tmp_path)
    yield opened
    opened.close()
    chunks.close()
    database.close()


def test_a_worker_that_is_not_heard_in_one_turn_after_the_other_is_killed(server: Server) -> None:
    for _ in range(int(LEASE_S / TICK_S)):
        server.listens()
        server.turn()
    assert not server.killed

    server.turn()

    assert server.killed == [1]


def test_what_a_worker_said_while_the_server_was_held_up_counts(server: Server) -> None:
    server.says()

    server.turn(after_s=100 * LEASE_S)  # what was said has not been read yet
    server.listens()
    for _ in range(int(LEASE_S / TICK_S)):
        server.turn()

    assert not server.killed


def test_a_worker_that_was_held_up_with_the_server_has_its_time_after_that(server: Server) -> None:
    server.turn(after_s=100 * LEASE_S)
    server.listens()
    server.turn(after_s=100 * LEASE_S)
    server.listens()
    server.turn()

    assert not server.killed


def test_a_worker_that_stays_silent_behind_slow_turns_is_killed_in_the_end(server: Server) -> None:
    turns = 0
    while not server.killed:
        server.listens()
        server.turn(after_s=60.0)
        turns += 1

    assert 3 <= turns <= LEASE_S
