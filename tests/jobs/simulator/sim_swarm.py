"""One job of very many datums and workers: the real scheduler, catalog and store, simulated rest.

Workers are events on a virtual clock: they speak the real protocol over real sockets and store real
outputs, but run nothing and wait for nobody. The clock goes on by what they wait for, and by what
the scheduler takes for its turns, in real seconds if that is to be measured: so it falls behind as
it would, and what it can do at most shows.
"""

import heapq
import random
import selectors
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from sim_workers import SimLauncher

from trunkline.api.changes import CopyFile, PutFile
from trunkline.config import load
from trunkline.db.database import Database, Transaction
from trunkline.engine.files import EngineFiles
from trunkline.engine.gits import GitLooks
from trunkline.engine.pipelines import EnginePipelines
from trunkline.engine.repos import EngineRepos
from trunkline.engine.services import Services, random_id
from trunkline.files.delta import DeltaWriter
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.channel import Channel, ChannelClosed, Message
from trunkline.jobs.clocks import Clocks
from trunkline.jobs.conductor import Conductor
from trunkline.jobs.datum_run import Outcome
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.pool import WorkerPool
from trunkline.jobs.segments import PlannedDatum, decode_segment
from trunkline.jobs.tables import JobRecord
from trunkline.model.jobs import DatumState, JobState
from trunkline.model.pipelines import PipelineState
from trunkline.store.chunks import ChunkStore

IN_DIRECTORY = 1000
SYNC_S = 0.001  # what a disk takes to make a transaction durable; the real one has other work, too
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_TICK_S = 1.0  # a turn is due this often, see `jobs.scheduler`
_HEARTBEAT_S, _SAY_STARTED_S = 2.0, 0.2  # as real workers have them
_OUTPUTS = 1000  # different contents: what is stored per datum is then what we make of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishaps:
    """How often things go wrong."""

    false_start: float = 0.0  # of a worker
    death: float = 0.0  # of a worker or its connection, in a lease
    silence: float = 0.0  # of a worker, in a lease, for longer than is waited for
    lost_report: float = 0.0  # on its way
    retry: float = 0.0  # of a datum, by its worker
    failure: float = 0.0  # of a datum, in the end


@dataclass(slots=True, kw_only=True)
class Spent:
    """Real seconds of a phase, all and of a processor; peak memory of the process."""

    wall_s: float = 0.0
    processor_s: float = 0.0
    transactions: int = 0  # that write
    snapshots: int = 0  # transactions that only read
    peak_mb: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Hand:
    """A simulated worker; what it is about to do is in the calendar."""

    pid: int
    line: Channel
    waits: bool = False
    gone: bool = False
    silent_until: float = 0.0
    arrives: float = 0.0  # when what it said last is there: a line keeps the order
    cancelled: set[int] = field(default_factory=set)


class Counted:
    """A catalog that counts its transactions."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.reads = self.writes = 0

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        self.reads += 1
        with self._inner.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        self.writes += 1
        with self._inner.write() as tx:
            yield tx

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Swarm:
    """A server, a pipeline that copies files, and its workers."""

    def __init__(
        self,
        database: Database,
        chunks: ChunkStore,
        home: Path,
        *,
        seed: int,
        workers: int,
        datum_s: float,
        latency_s: float = 0.001,
        mishaps: Mishaps,
        turn_s: float | None = None,
    ) -> None:
        """`datum_s` is what a datum takes on average, `latency_s` what a message does, and `turn_s`
        what the scheduler does for one turn; None: its processor time, and SYNC_S for each
        transaction.
        """
        self._rng = random.Random(seed)
        self._datum_s, self._latency_s = datum_s, latency_s
        self._mishaps, self._turn_s = mishaps, turn_s
        self.workers = workers
        self.busy_s = 0.0  # of the scheduler, in virtual time
        self.worked_s = 0.0  # of all workers, in virtual time
        self.database = Counted(database)
        self.trees = Trees(chunks)
        self.time = 0.0
        self.turns = 0
        self.seen: Counter[str] = Counter()  # what went wrong, and messages
        self.phases = {name: Spent() for name in ("plan", "dispatch", "assemble")}
        self._numbers = count()
        self._calendar: list[tuple[float, int, Callable[[], None]]] = []
        self._hands: dict[int, _Hand] = {}
        self._heard = selectors.DefaultSelector()  # the lines of workers, at their end
        self._selector = selectors.DefaultSelector()  # at the end of the server
        self._tasks: deque[Callable[[], None]] = deque()
        config = replace(load({}, home=home), workers_max=workers)
        clocks = Clocks(now=self._now, monotonic=lambda: self.time)
        live = LiveLogs()
        launcher = SimLauncher(self._rng, self._born, self._killed)
        self.conductor = Conductor(
            *(config, self.database, self.trees, live, WorkerPool(launcher, clocks), clocks),
            selector=self._selector,
            apart=self._tasks.append,
            apart_for_long=self._tasks.append,
            copy_out=lambda _: True,
            wake=lambda: None,
        )
        self.services = Services(
            config=config,
            database=self.database,
            chunks=chunks,
            trees=self.trees,
            live=live,
            scheduler=self,  # type: ignore[arg-type]
            collector=None,  # type: ignore[arg-type]
            closing=threading.Event(),
            started=0.0,
            clock=self._now,
            ids=random_id,
        )

    def _now(self) -> datetime:
        return _BEGIN + timedelta(seconds=self.time)

    def prewarm(self, pipeline: str) -> None:
        """For the operations, as that of the scheduler."""

    def condition(self, *_: object, **__: object) -> tuple[PipelineState, str]:
        """For the operations, as that of the scheduler."""
        return PipelineState.RUNNING, ""

    def resident(self, _: str) -> None:
        """For the operations, as that of the scheduler."""

    # --- what is to be done -----------------------------------------------------------------------

    def fill(self, datums: int) -> None:
        """A repo `data` of so many files in directories, and a pipeline `copy` on it."""
        EngineRepos(self.services).create_repo("data")
        files = EngineFiles(self.services)
        first = min(datums, IN_DIRECTORY)
        start = [PutFile(path=path_of(n), content=[b"%d" % n]) for n in range(first)]
        made = files.modify_files("data", "begin", start)
        whole, rest = divmod(datums, IN_DIRECTORY)
        changes: list[Any] = [
            CopyFile(
                path=f"d{number:05}",
                source_repo="data",
                source_commit=made.id,
                source_path="d00000",
            )
            for number in range(max(1, whole))
        ]
        changes += [
            PutFile(path=path_of(whole * IN_DIRECTORY + n), content=[b"%d" % n])
            for n in range(rest if whole else 0)
        ]
        files.modify_files("data", "master", changes)
        EnginePipelines(self.services, GitLooks(self.services)).create_pipeline(
            {
                "pipeline": {"name": "copy"},
                "transform": {"cmd": ["copied", "by", "nobody"]},
                "input": {"pfs": {"repo": "data", "glob": "/*/*"}},
                "parallelism_spec": {"constant": self.workers},
                "on_failure": {"quarantine": {"max": 10_000}},
            }
        )

    def run(self) -> JobRecord:
        """Live until the job has ended; gives its record."""
        self.conductor.count_restarts()
        self.conductor.resume()
        job, seen = self.job(), -1
        while not job.state.ended:
            if self._tasks:
                self._run_task()
            else:
                self._server_acts()
            if self.database.revision != seen:
                seen, job = self.database.revision, self.job()
        return job

    def close(self) -> None:
        self.conductor.reset()
        for hand in self._hands.values():
            self._leave(hand)
        self._selector.close()
        self._heard.close()

    def job(self) -> JobRecord:
        """The job, as it is recorded."""
        with self.database._inner.read() as tx:
            [job] = tables.list_jobs(tx, pipeline="copy", run=None, before=None, number=1)
        return job

    # --- the server -------------------------------------------------------------------------------

    def _server_acts(self) -> None:
        """What `Scheduler` does in its thread, once; then time passes until there is more."""
        with self._in_phase("dispatch"):
            self.conductor.turn()
            self.turns += 1
        self._listen()
        self._pass_time()
        speakers = [key.data for key, _ in self._selector.select(0)]
        with self._in_phase("dispatch"):
            self.conductor.receive(speakers)

    def _run_task(self) -> None:
        """Plan the job or make its output tree: what threads do beside the turns."""
        self.phases["dispatch"].peak_mb = peak_mb()
        name = "assemble" if self.job().state is JobState.FINISHING else "plan"
        _forget_peak()
        with self._in_phase(name):
            self._tasks.popleft()()
        self.phases[name].peak_mb = peak_mb()
        _forget_peak()

    @contextmanager
    def _in_phase(self, name: str) -> Iterator[None]:
        spent = self.phases[name]
        before = self.database.writes, self.database.reads
        wall, processor = time.perf_counter(), time.thread_time()
        yield
        spent.wall_s += time.perf_counter() - wall
        spent.processor_s += time.thread_time() - processor
        wrote = self.database.writes - before[0]
        spent.transactions += wrote
        spent.snapshots += self.database.reads - before[1]
        if name == "dispatch":
            took_s = time.thread_time() - processor + wrote * SYNC_S
            took_s = took_s if self._turn_s is None else self._turn_s / 2
            self.time += took_s
            self.busy_s += took_s

    def _pass_time(self) -> None:
        """Everything happens that is due; if the server has nothing to do, what comes next is."""
        if not self._selector.select(0):
            due = self._calendar[0][0] if self._calendar else self.time + _TICK_S
            self.time = max(self.time, min(due, self.time + _TICK_S))
        while self._calendar and self._calendar[0][0] <= self.time:
            heapq.heappop(self._calendar)[2]()

    def _in(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._calendar, (self.time + seconds, next(self._numbers), what))

    # --- the workers ------------------------------------------------------------------------------

    def _born(self, name: str, pid: int, line: Channel) -> None:
        hand = self._hands[pid] = _Hand(pid=pid, line=line)
        self._heard.register(line, selectors.EVENT_READ, hand)
        if self._rng.random() < self._mishaps.false_start:
            self.seen["false starts"] += 1
            self._say(hand, {"type": "failed", "reason": "no room for a worker"})
            self._in(0.2, lambda: self._leave(hand))
            return
        starts_s = self._rng.uniform(0.2, 1.0)
        self._in(starts_s, lambda: self._say(hand, {"type": "ready", "isolation": "namespace"}))
        self._in(starts_s, lambda: self._beat(hand))

    def _killed(self, pid: int) -> None:
        self._leave(self._hands[pid])

    def _leave(self, hand: _Hand) -> None:
        """A worker, its machine or its connection ends."""
        if not hand.gone:
            hand.gone = True
            self._heard.unregister(hand.line)
            hand.line.close()

    def _beat(self, hand: _Hand) -> None:
        if hand.gone:
            return
        if self.time >= hand.silent_until:
            self._say(hand, {"type": "alive", "waits": hand.waits})
        self._in(_HEARTBEAT_S, lambda: self._beat(hand))

    def _say(self, hand: _Hand, message: Message, *, after_s: float = 0.0) -> None:
        """Send a message, which is there a little later, behind what was sent before."""
        takes_s = after_s + self._rng.uniform(0.5, 1.5) * self._latency_s
        hand.arrives = max(hand.arrives, self.time + takes_s)
        self._in(hand.arrives - self.time, lambda: self._deliver(hand, message))

    def _deliver(self, hand: _Hand, message: Message) -> None:
        if not hand.gone:
            try:
                hand.line.send(message)
            except ChannelClosed:
                self._leave(hand)

    def _listen(self) -> None:
        """Workers take what the server has sent them."""
        for key, _ in self._heard.select(0):
            hand: _Hand = key.data
            try:
                arrived = hand.line.poll()
            except ChannelClosed:
                self._leave(hand)
                continue
            for message in arrived:
                self._take(hand, message)

    def _take(self, hand: _Hand, message: Message) -> None:
        self.seen[f"{message['type']} messages"] += 1
        if message["type"] == "lease":
            hand.waits = False
            self._in(self._latency_s, lambda: self._serve(hand, message))
        elif message["type"] == "cancel":
            hand.cancelled.add(message["lease"])
        elif message["type"] == "exit":
            self._in(self._latency_s, lambda: self._leave(hand))

    def _serve(self, hand: _Hand, message: Message) -> None:
        """Decide what comes of a lease, and when it is told."""
        planned = decode_segment(message["datums"].encode())
        todo = list(zip(message["positions"], planned, strict=True))
        fate = self._rng.random()
        ends_at = None
        if fate < self._mishaps.death + self._mishaps.silence:
            ends_at = self._rng.randrange(len(todo))
        dies = fate < self._mishaps.death
        self._go_on(hand, message, todo, 0, ends_at, dies=dies)

    def _go_on(
        self,
        hand: _Hand,
        message: Message,
        todo: list[tuple[int, PlannedDatum]],
        at: int,
        ends_at: int | None,
        *,
        dies: bool,
    ) -> None:
        """Work from a datum on until it is time for a report, or until the worker ends."""
        if hand.gone:
            return
        lease, report_s = message["lease"], message["report_s"]
        if lease in hand.cancelled:
            self._report(hand, lease, [], [], last=True)
            return
        took_s, rng = 0.0, self._rng
        times: list[tuple[int, PlannedDatum, float, int]] = []
        while at < len(todo) and took_s <= report_s:
            if at == ends_at:
                self._in(took_s, lambda: self._end_at_work(hand, dies=dies))
                return
            tries = 1 + (rng.random() < self._mishaps.retry)
            datum_s = tries * rng.uniform(0.5, 1.5) * self._datum_s
            if datum_s > _SAY_STARTED_S:
                about = {"lease": lease, "position": todo[at][0], "key": todo[at][1].key}
                self._say(hand, {"type": "started", **about}, after_s=took_s + _SAY_STARTED_S)
            times.append((*todo[at], datum_s, tries))
            took_s += datum_s
            at += 1
        last = at == len(todo) and took_s <= report_s

        def tell() -> None:
            if hand.gone:
                return
            outcomes, output = self._outcomes(times)
            self._report(hand, lease, outcomes, output, last=last)
            if not last:
                self._go_on(hand, message, todo, at, ends_at, dies=dies)

        self.worked_s += took_s
        self._in(took_s, tell)

    def _end_at_work(self, hand: _Hand, *, dies: bool) -> None:
        if dies:
            self.seen["deaths at work"] += 1
            self._leave(hand)
        else:
            self.seen["silent workers"] += 1
            hand.silent_until = float("inf")

    def _outcomes(
        self, times: list[tuple[int, PlannedDatum, float, int]]
    ) -> tuple[list[Message], list[str]]:
        """What is to be told of some datums, and the deltas with what they wrote."""
        writer = DeltaWriter(self.trees, by_datum=True)
        outcomes = []
        now_us = round(self._now().timestamp() * 1e6)
        wrote = False
        for position, planned, datum_s, tries in times:
            fails = self._rng.random() < self._mishaps.failure
            self.seen["datums run"] += 1
            self.seen["failed datums"] += fails
            content = output_of(position)
            if not fails:
                [file] = planned.datum.files
                writer.put(file.path.removeprefix("/"), [content], datum=planned.key)
                wrote = True
            outcome = Outcome(
                position=position,
                key=planned.key,
                state=DatumState.FAILED if fails else DatumState.SUCCESS,
                tries=tries,
                started=now_us - round(datum_s * 1e6),
                finished=now_us,
                downloaded_bytes=1,
                uploaded_bytes=0 if fails else len(content),
                files=int(not fails),
                download_us=1,
                process_us=round(datum_s * 1e6),
                upload_us=1,
                log=(),
                reason="exit code 1" if fails else "",
                last_words="",
            )
            outcomes.append(outcome.as_message())
        return outcomes, [str(delta) for delta in writer.finish()] if wrote else []

    def _report(
        self, hand: _Hand, lease: int, outcomes: list[Message], output: list[str], *, last: bool
    ) -> None:
        hand.waits = last
        message = {"type": "ended", "lease": lease, "last": last, "output": output}
        if self._rng.random() < self._mishaps.lost_report:
            self.seen["lost reports"] += 1
            return
        self.seen["reports"] += 1
        self._say(hand, {**message, "outcomes": outcomes})


def peak_mb() -> float:
    """The most memory that this process had since `_forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak() -> None:
    with suppress(OSError):  # where it is not allowed, the peak is that of all phases so far
        Path("/proc/self/clear_refs").write_text("5")


def path_of(number: int) -> str:
    """The path of a file of the input."""
    return f"d{number // IN_DIRECTORY:05}/f{number % IN_DIRECTORY:03}"


def output_of(position: int) -> bytes:
    """What the datum at a position writes."""
    return b"%d\n" % (position % _OUTPUTS)
