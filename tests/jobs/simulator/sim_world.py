"""A world for the scheduler: virtual time, simulated workers, users, and all that goes wrong.

Everything real but time, processes and threads: the conductor and dispatcher, the catalog, the
store, the operations of users. One thread does one small step after the other, drawn from one seed;
before a transaction begins it may do other steps first, as other threads would. The server can die
before and after each transaction of the catalog; a new one then goes on from what is recorded.
"""

import random
import selectors
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sim_oracle import Contents
from sim_workers import Luck, SimLauncher, SimWorker

from trunkline.config import load
from trunkline.db.database import Transaction
from trunkline.db.sqlite import SqliteDatabase
from trunkline.engine.services import Services
from trunkline.errors import OperationFailed, StorageFull, Unavailable
from trunkline.files.tree import Trees
from trunkline.jobs.channel import Channel, Message
from trunkline.jobs.clocks import Clocks
from trunkline.jobs.conductor import Conductor
from trunkline.jobs.held import Held
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.pool import WorkerPool
from trunkline.jobs.tables import JobRecord
from trunkline.model.names import RunId
from trunkline.model.pipelines import PipelineSpec, PipelineState, ResidentInfo
from trunkline.store.chunks import ChunkStore

LEASE_S = 5.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_DEPTH_MAX = 3
_QUIET_ROUNDS_MAX = 12000  # of which a job of many slow datums takes some hundred
_FULL = "no space is left (simulated)"
_OUT = "the catalog can't be reached (simulated)"
_OUTAGE_MOST = 5  # transactions of the server in a row that fail


class Crash(BaseException):
    """The server dies here."""


class Violation(BaseException):
    """Something that must hold does not. No handler of ordinary errors may take it for one."""


class Defect(Exception):
    """A mistake of ours that shows in a step of the server."""


class SimDatabase:
    """The catalog of a world, at whose transactions other things happen first, and fates strike."""

    def __init__(self, inner: SqliteDatabase, world: "World", *, alone: bool = False) -> None:
        """`alone`: its writer holds a lock that keeps the others away."""
        self._inner = inner
        self._world = world
        self._alone = alone

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        self._world.meanwhile()
        self._reach()
        with self._inner.read() as tx, self._world.in_transaction():
            yield tx

    def _reach(self) -> None:
        if self._world.out():
            self._world.say("the catalog can't be reached")
            raise Unavailable(_OUT)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        if not self._alone:
            self._world.meanwhile()
        self._reach()
        fate = self._world.fate()
        with self._inner.write() as tx, self._world.in_transaction():
            yield tx
            if fate == "full":
                self._world.say("there is no space for a transaction")
                raise StorageFull(_FULL)
            if fate == "defect" and self._world.in_server():
                self._world.say("a defect shows in a step of the server")
                raise Defect("simulated")
            if fate == "dies before":
                self._world.say("the server dies before it has committed")
                raise Crash
        if fate == "dies after":
            self._world.say("the server dies after it has committed")
            raise Crash
        if self._world.out():
            self._world.say("the catalog is lost before it says that it has committed")
            raise Unavailable(_OUT)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class World:
    """One life of a server and its users, from a seed."""

    def __init__(self, seed: int, database: SqliteDatabase, chunks: ChunkStore, home: Path) -> None:
        self.rng = random.Random(seed)
        self.catalog = database
        self.trees = Trees(chunks)
        self.contents = Contents(self.trees)
        self.trace: list[str] = []
        self.luck, self.fates = _fortune(self.rng)
        self.first_luck = self.luck
        self._outages = random.Random(f"outages of {seed}")
        often = self._outages.random() < 0.3
        self.outage = self._outages.uniform(0.002, 0.02) if often else 0.0
        self._out_for = 0  # transactions of the server that fail before the next that does not
        self.config = replace(
            load({}, home=home),
            lease_s=LEASE_S,
            worker_idle_s=20.0,
            cpus=2.0,
            job_patience_s=self.rng.choice((1.0, 600.0)),
        )
        self.time = 0.0
        self.restarts = 0
        self.pace = self.rng.choice((6, 15, 40) if not self.luck.slow else (40, 80))
        self.users: Callable[[], bool] = lambda: False  # does one thing; False: has nothing to do
        self.check: Callable[[], None] = lambda: None
        self.before_receive: Callable[[], Callable[[], None]] = lambda: lambda: None
        self.copied: set[int] = set()  # jobs whose output is elsewhere
        self._chunks = chunks
        self._database = SimDatabase(database, self)
        self.database_alone = SimDatabase(database, self, alone=True)
        self._clocks = Clocks(now=self.now, monotonic=lambda: self.time)
        self._lanes: list[str] = []  # what is being done, the innermost last
        self._inside = False
        self._calm = True  # nothing goes wrong, and nothing happens meanwhile
        self._stray: list[Message] = []  # what dead workers did not get out
        self._selector: selectors.BaseSelector | None = None
        self._start_server()

    # --- what the server needs --------------------------------------------------------------------

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.time)

    def new_id(self) -> RunId:
        return RunId(uuid.UUID(int=self.rng.getrandbits(128), version=4).hex)

    def say(self, line: str) -> None:
        self.trace.append(f"{self.time:8.2f} {'  ' * len(self._lanes)}{line}")

    def prewarm(self, pipeline: str) -> None:
        """For the operations, as that of the scheduler."""
        conductor = self.conductor
        conductor.call(lambda: conductor.prewarm(pipeline))

    def trouble(self, job: JobRecord) -> str:
        return self.conductor.steps.reason_of(job)

    def waiting(self, pipeline: str) -> str:
        return self.conductor.dispatcher.waiting(pipeline)

    def resident(self, pipeline: str) -> ResidentInfo | None:
        return self.conductor.residents.info(pipeline)

    def condition(
        self, pipeline: str, version: int, spec: PipelineSpec, *, open_jobs: int, running_jobs: int
    ) -> tuple[PipelineState, str]:
        return self.conductor.dispatcher.condition(
            pipeline, version, spec, open_jobs=open_jobs, running_jobs=running_jobs
        )

    def leases(self) -> list[Held]:
        """What workers have in their hands, as far as the scheduler knows."""
        return list(self.conductor.dispatcher._held.values())

    def holds(self) -> int:
        """How many there are on what workers store."""
        return sum(self._chunks.epochs._counts)

    def restart_datums(self, job: int, paths: list[str]) -> int:
        return self.conductor.dispatcher.restart_datums(job, paths)

    def _copy_out(self, job: JobRecord) -> bool:
        """The egress of a job, which takes a while and may fail."""
        self.meanwhile()
        if self.rng.random() < self.luck.lost_copy:
            raise OperationFailed("egress to s3://bucket failed 3 times: nobody answers")
        self.copied.add(job.number)
        return True

    def _start_server(self) -> None:
        self.workers: dict[int, SimWorker] = {}
        self._tasks: list[Callable[[], None]] = []
        self._selector = selectors.DefaultSelector()
        self._counted = self._resumed = False
        live = LiveLogs()
        pool = WorkerPool(SimLauncher(self.rng, self._born, self._killed), self._clocks)
        self.conductor = Conductor(
            self.config,
            self._database,
            self.trees,
            live,
            pool,
            self._clocks,
            selector=self._selector,
            apart=self._tasks.append,
            apart_for_long=self._tasks.append,
            copy_out=self._copy_out,
            wake=lambda: None,
        )
        self.services = Services(
            config=self.config,
            database=self._database,
            chunks=self._chunks,
            trees=self.trees,
            live=live,
            scheduler=self,  # type: ignore[arg-type]
            collector=None,  # type: ignore[arg-type]
            closing=threading.Event(),
            started=0.0,
            clock=self.now,
            ids=self.new_id,
        )

    def close(self) -> None:
        """What the system does for a dead process: its locks and lines end, and its workers."""
        self.conductor.reset()
        for worker in self.workers.values():
            if not worker.dead:
                self._bury(worker)
        assert self._selector is not None
        self._selector.close()

    def _restart(self) -> None:
        self.restarts += 1
        self._lanes.clear()
        self.close()
        self._start_server()

    # --- workers ----------------------------------------------------------------------------------

    def _born(self, name: str, pid: int, line: Channel) -> None:
        self.workers[pid] = SimWorker(name, pid, line, self.trees, self.contents)
        self.say(f"worker {pid} starts: {name}")

    def _killed(self, pid: int) -> None:
        worker = self.workers[pid]
        self.say(f"worker {pid} is killed")
        if self.rng.random() < self.luck.lingering and not self._calm:
            worker.dies_at = min(worker.dies_at, self.time + self.rng.uniform(0.0, 3.0))
        elif not worker.dead:
            self._bury(worker)

    def _bury(self, worker: SimWorker) -> None:
        """A worker dies; of what it had to say a part may be on its way already."""
        while worker.outbox and not worker.dead and self.rng.random() < 0.5:
            worker.deliver(self.luck, self.rng)
        self._stray += [m for m in worker.outbox if m["type"] == "ended"]
        if not worker.dead:
            worker.die()

    # --- steps ------------------------------------------------------------------------------------

    def fate(self) -> str:
        """What a transaction that begins now comes to."""
        if self._calm:
            return ""
        drawn = self.rng.random()
        for name, chance in self.fates.items():
            drawn -= chance
            if drawn < 0:
                return name
        return ""

    def out(self) -> bool:
        """Whether the catalog is out of the server's reach, for this transaction."""
        if self._calm or not self.in_server():
            return False
        if not self._out_for and self._outages.random() < self.outage:
            self._out_for = self._outages.randint(1, _OUTAGE_MOST)
        out = self._out_for > 0
        self._out_for -= out
        return out

    def in_server(self) -> bool:
        """Whether what is being done is a step of the server, of its own accord."""
        return self._lanes[-1:] in (["loop"], ["task"])

    def meanwhile(self) -> None:
        """Other threads do something, now and then."""
        if self._calm or self._inside:
            return
        chance = 0.3 if self._lanes[-1:] == ["task"] else 0.15  # plans and trees take longer
        while len(self._lanes) < _DEPTH_MAX and self.rng.random() < chance:
            self._step()

    @contextmanager
    def in_transaction(self) -> Iterator[None]:
        """A transaction sees one moment: nothing happens in the middle of it."""
        before, self._inside = self._inside, True
        try:
            yield
        finally:
            self._inside = before

    def live(self, steps: int) -> None:
        """Do some steps, with all that may go wrong."""
        self._calm = False
        for _ in range(steps):
            self._guarded(self._step)
        self._calm = True

    def settle(self, done: Callable[[], bool], still: Callable[[], list[str]]) -> None:
        """Nothing goes wrong any more: everything must end; `still` tells what does not."""
        self.luck = Luck(flaky=self.luck.flaky, slow=self.luck.slow)
        for _ in range(_QUIET_ROUNDS_MAX):
            if not self._settle_round() and done():
                return
        raise Violation("\n".join(["nothing goes wrong any more, and jobs do not end:", *still()]))

    def _settle_round(self) -> bool:
        """Let everybody do what they can; whether anybody did anything."""
        acted = bool(self._tasks)
        while self._tasks:
            self._in_lane("task", self._tasks.pop(0))
        for worker in list(self.workers.values()):
            self._in_lane("worker", lambda worker=worker: self._worker(worker, most=8))
            acted = acted or worker.speaking
        self._in_lane("loop", lambda: self._loop(most=8))
        if not acted:
            self._pass_time(1.0)
        self.check()
        return acted

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Crash:
            self._restart()
        self.check()

    def _step(self) -> None:
        """One thing that can happen beside all that is being done."""
        busy = set(self._lanes) - {"worker"}
        choices: list[tuple[int, Callable[[], None]]] = [(6, self._some_worker)]
        if "loop" not in busy:
            choices.append((4, lambda: self._in_lane("loop", lambda: self._loop(most=1))))
        if self._tasks and self._lanes.count("task") < 2:
            choices.append((4, self._some_task))
        if "user" not in busy and self.rng.random() < 1 / self.pace:
            self._in_lane("user", self.users)
            return
        if not busy:
            choices.append((2, lambda: self._pass_time(self.rng.choice((0.01, 0.1, 0.5, 1.5)))))
        weights = [weight for weight, _ in choices]
        self.rng.choices([choice for _, choice in choices], weights)[0]()

    def _in_lane(self, lane: str, work: Callable[[], object]) -> None:
        """Do something of one thread; what is no failure that we caused is a violation."""
        self._lanes.append(lane)
        depth = len(self._lanes)
        try:
            work()
        except Exception:
            raise Violation(f"in the lane of {lane}: {traceback.format_exc()}") from None
        finally:
            del self._lanes[depth - 1 :]

    def _loop(self, *, most: int) -> None:
        """What `Scheduler` does in its thread, in smaller portions."""
        assert self._selector is not None
        try:
            if not self._counted:
                self.conductor.count_restarts()
                self._counted = True
            if not self._resumed:
                self.conductor.resume()
                self._resumed = True
            keys = [key for key, _ in self._selector.select(0)]
            speakers = sorted((key.data for key in keys), key=lambda worker: worker.pid)
            if heard := self.rng.sample(speakers, min(most, len(speakers))):
                verify = self.before_receive()
                self.conductor.receive(heard)
                verify()
            if most > 1 or not speakers or self.rng.random() < 0.3:
                self.conductor.turn()
        except (Unavailable, Defect) as error:  # in a step that is of no job
            self.say(f"the scheduler begins again: {error}")
            self.conductor.reset()
            self._resumed = False

    def _some_task(self) -> None:
        task = self._tasks.pop(self.rng.randrange(len(self._tasks)))
        self._in_lane("task", task)

    def _some_worker(self) -> None:
        living = [worker for worker in self.workers.values() if not worker.dead]
        if living:
            worker, most = self.rng.choice(living), self.rng.randint(1, 4)
            self._in_lane("worker", lambda: self._worker(worker, most=most))

    def _worker(self, worker: SimWorker, *, most: int) -> None:
        """Let a worker and its line do a few things."""
        worker.speaking = False
        for _ in range(most):
            if worker.dead:
                break
            if self.time >= worker.dies_at or self.rng.random() < self.luck.death:
                self.say(f"worker {worker.pid} dies")
                self._bury(worker)
                break
            if self._stray and self.rng.random() < self.luck.stray:
                worker.say(self.rng.choice(self._stray))
            if worker.outbox and self.rng.random() < 0.5:
                worker.deliver(self.luck, self.rng)
                worker.speaking = True
                continue
            if self.time < worker.frozen_until:
                continue
            if self.rng.random() < self.luck.freeze:
                worker.frozen_until = self.time + self.rng.uniform(0.5, 3 * LEASE_S)
                self.say(f"worker {worker.pid} freezes")
                continue
            worker.pump(self.luck, self.rng)
            now_us = round((self.now().timestamp()) * 1e6)
            if not worker.dead and worker.busy(now_us):
                did = worker.step(self.luck, self.rng, now_us)
                self.say(f"worker {worker.pid} {did}")
                worker.speaking = True

    def _pass_time(self, seconds: float) -> None:
        self.time += seconds
        for worker in self.workers.values():
            quiet = all(message["type"] != "alive" for message in worker.outbox)
            if not worker.dead and self.time >= worker.frozen_until and quiet:
                worker.alive()


def _fortune(rng: random.Random) -> tuple[Luck, dict[str, float]]:
    """What goes wrong in a world, and how often: not everything in each, so that each shows."""

    def maybe(chance: float, most: float) -> float:
        return rng.uniform(0.1, 1.0) * most if rng.random() < chance else 0.0

    noisy = rng.random() < 0.4
    luck = Luck(
        death=maybe(0.5, 0.02),
        freeze=maybe(0.4, 0.02),
        false_start=maybe(0.15, 0.5),
        repeat=maybe(0.7, 0.2) if noisy else 0.0,
        swap=maybe(0.7, 0.2) if noisy else 0.0,
        lose=maybe(0.5, 0.1) if noisy else 0.0,
        stray=maybe(0.5, 0.05),
        lost_copy=maybe(0.3, 0.5),
        slow=maybe(0.5, 0.8),
    )
    crashes = maybe(0.6, 0.03)
    return luck, {
        "dies before": crashes,
        "dies after": crashes,
        "full": maybe(0.2, 0.1),
        "defect": maybe(0.3, 0.05),
    }
