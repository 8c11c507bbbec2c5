"""Keeps the processes of services and spouts: starts, replaces, restarts and ends them.

What is to be done is decided in `resident_state`; this carries it out, in the scheduler's thread.
Each resident has a worker of its own, which ends with it: so it sees its input as datums do, and
nothing of it outlives its worker, nor any of them the server. Nothing is recorded but jobs and
pipeline states: after a crash the newest good job says what is to stand.
"""

import selectors
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.errors import TrunklineError
from trunkline.files.tree import Trees
from trunkline.jobs import resident_targets as targets
from trunkline.jobs.channel import ChannelClosed, Message
from trunkline.jobs.clocks import Clocks
from trunkline.jobs.clusters import doors_of
from trunkline.jobs.contexts import context_of
from trunkline.jobs.crew import Crew
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.pool import Worker, WorkerPool
from trunkline.jobs.records import apply_event
from trunkline.jobs.resident_logs import keep_log, take_up_log
from trunkline.jobs.resident_state import (
    End,
    Event,
    Failed,
    Gone,
    House,
    Kept,
    Looked,
    NoRoom,
    Point,
    Ready,
    Served,
    Start,
    Unwanted,
    Wanted,
    state_of,
    step,
)
from trunkline.jobs.resident_targets import Asked, Target
from trunkline.jobs.residing import Port
from trunkline.jobs.segments import encode_segment
from trunkline.jobs.signing import stored_key
from trunkline.jobs.state import Action, DatumsEnded, Stopped
from trunkline.jobs.steps import Steps
from trunkline.model.images import Runtime
from trunkline.model.jobs import WorkerInfo
from trunkline.model.names import project_of
from trunkline.model.pipelines import PipelineState, ResidentInfo, Service
from trunkline.model.signed import Signer

DRAIN_S = 10.0  # for connections to one that was replaced
_DRAIN_LEAST_S = 0.5  # what was accepted just before is counted by then
_LEAVE_S = 20.0  # for one that was told to end; it has less itself
_CLOSE_S = 3.0  # for all of them, when the server stops
_POLL_S = 0.02


@dataclass(slots=True, kw_only=True, eq=False)
class _Living:
    """A resident and its worker."""

    number: int
    target: Target
    worker: Worker
    commits: tuple[str, ...]
    since: datetime
    port: int = 0  # where it listens, once it does
    leaves: float | None = None  # since when it is to end
    told: bool = False  # that it is
    reason: str = ""  # why it ended
    words: str = ""  # its last ones


@dataclass(slots=True, kw_only=True, eq=False)
class _Home:
    """What is there of one pipeline."""

    name: str
    house: House
    targets: dict[str, Target] = field(default_factory=dict)
    living: dict[int, _Living] = field(default_factory=dict)
    words: str = ""  # the last ones of the resident that ended last
    address: str = ""  # where it is reached, once it is
    ends: bool = False  # it is not asked for any more


class Residents:
    """All services and spouts of one catalog. Used by one thread, but where a method says so."""

    def __init__(
        self,
        config: Config,
        database: Database,
        trees: Trees,
        live: LiveLogs,
        pool: WorkerPool,
        crew: Crew,
        clocks: Clocks,
        steps: Steps,
        *,
        act: Callable[[int, tuple[Action, ...]], None],
    ) -> None:
        """`pool` has no other workers; `act` carries out what is left to do for a job."""
        self._config = config
        self._database = database
        self._trees = trees
        self._live = live
        self._pool = pool
        self._crew = crew
        self._clocks = clocks
        self._steps = steps
        self._act = act
        self._doors = doors_of(config)
        self._selector: selectors.BaseSelector | None = None
        self._homes: dict[str, _Home] = {}
        self._owners: dict[Worker, tuple[_Home, _Living]] = {}
        self._looked_at = -1
        self._began = False  # looking at the catalog
        # Replaced as a whole, as other threads read them.
        self._infos: dict[str, ResidentInfo] = {}
        self._conditions: dict[str, tuple[PipelineState, str]] = {}

    def attach(self, selector: selectors.BaseSelector) -> None:
        """Workers' channels are registered with this selector."""
        self._selector = selector

    def info(self, pipeline: str) -> ResidentInfo | None:
        """The resident of a pipeline that serves, or comes; any thread may ask."""
        return self._infos.get(pipeline)

    def condition(self, pipeline: str) -> tuple[PipelineState, str]:
        """The state of a service or a spout that is not stopped, and why; any thread may ask."""
        return self._conditions.get(pipeline, (PipelineState.STARTING, ""))

    def workers(self, pipeline: str | None = None) -> list[WorkerInfo]:
        """The workers that residents are in; any thread may ask."""
        return [worker.info() for worker in self._pool.workers(pipeline)]

    def let_go(self, pipelines: set[str]) -> list[str]:
        """End what runs of some pipelines at once; it comes back by itself. Any thread may ask.

        Returns the names of the workers.
        """
        leaving = [worker for worker in self._pool.workers() if worker.pipeline in pipelines]
        for worker in leaving:
            self._pool.kill(worker)
        return [worker.name for worker in leaving]

    def takes(self, number: int) -> bool:
        """Whether a running job is one of a service, which needs no worker but its instance."""
        with self._database.read() as tx:
            job = targets.running_job(tx, number)
            return job is not None and targets.of_job(tx, job).spec.resident

    def owns(self, worker: Worker) -> bool:
        return worker in self._owners

    def turn(self, listened_s: float) -> None:
        """Do all that is due now; `listened_s` is as for `Dispatcher.tend_workers`."""
        self._look_at_catalog()
        now = self._clocks.monotonic()
        for home in list(self._homes.values()):
            for living in list(home.living.values()):
                self._pool.listened(living.worker, listened_s, most_s=self._config.lease_s)
                self._see_off(living, now)
            self._tell(home, Looked())
        assert self._selector is not None, "there is one before the first turn"
        self._pool.watch(self._selector)

    def receive(self, worker: Worker) -> None:
        """Take the messages that a worker sent."""
        home, living = self._owners[worker]
        try:
            for message in worker.channel.poll():
                worker.silent_s = 0.0
                self._take(home, living, message)
        except ChannelClosed:
            self._gone(home, living)

    def reset(self) -> None:
        """End all at once, and forget what there is: somebody begins again from the catalog."""
        for home in list(self._homes.values()):
            self._clear(home)
        self._infos, self._conditions = {}, {}

    def let_go_job(self, number: int) -> None:
        """The same for the pipeline of a job, if it is one of a service."""
        for home in list(self._homes.values()):
            if str(number) in home.targets:
                self._clear(home)

    def _clear(self, home: _Home) -> None:
        for living in home.living.values():
            self._pool.kill(living.worker)
            self._forget(living.worker)
        self._doors.shut(home.name)
        del self._homes[home.name]
        self._looked_at = -1

    def close(self) -> None:
        """Let all end in order, as far as they do so soon."""
        for home in list(self._homes.values()):
            self._tell(home, Unwanted(), Kept(target=""))
        for worker in self._owners:
            self._pool.send(worker, {"type": "leave"})
        deadline = time.monotonic() + _CLOSE_S
        while self._owners and time.monotonic() < deadline:
            for worker in list(self._owners):
                self.receive(worker)
            time.sleep(_POLL_S)
        for worker, (home, living) in list(self._owners.items()):
            self._pool.kill(worker)
            self._gone(home, living)
        self._doors.close()

    # --- what is to be ----------------------------------------------------------------------------

    def _look_at_catalog(self) -> None:
        revision = self._database.revision
        if revision == self._looked_at:
            return
        self._looked_at = revision
        with self._database.read() as tx:
            found = {one.record.name: one for one in targets.asked(tx)}
            lost = {
                name
                for name, home in self._homes.items()
                if any(not targets.is_there(tx, target) for target in home.targets.values())
            }
            stand = {
                name: targets.to_stand(tx, one)
                for name, one in found.items()
                if one.spec.spout or not self._stands(name)
            }
        for name in [name for name in self._homes if name not in found or name in lost]:
            self._homes[name].ends = True
            self._tell(self._homes[name], Unwanted(), Kept(target=""))
        if not self._began:
            self._began = True
            self._doors.keep(found)
        for name, one in found.items():
            if name not in lost:  # what bears its name by now is looked at once that is gone
                self._ask(one, stand.get(name))

    def _stands(self, name: str) -> bool:
        """Whether it is known what is to serve for a pipeline."""
        home = self._homes.get(name)
        return home is not None and bool(home.house.kept)

    def _ask(self, one: Asked, stand: Target | None) -> None:
        name = one.record.name
        home = self._homes.get(name)
        if home is None:
            spout = one.spec.spout and one.spec.service is None
            home = _Home(name=name, house=House(alone=spout))
            self._homes[name] = home
        home.ends = False
        events: list[Event] = []
        if stand is not None:
            home.targets[stand.key] = stand
            events.append(Kept(target=stand.key))
        for target in one.running[:-1]:
            self._supersede(target)
        newest = one.running[-1] if one.running else None
        if newest is None:
            events.append(Unwanted())
        elif newest.job is not None and newest.job.total != 1:
            self._steps.fail(newest.job.number, _one_datum(newest.job.total))
        else:
            home.targets[newest.key] = newest
            home.house = replace(home.house, tries=newest.spec.datum_tries)
            events.append(Wanted(target=newest.key))
        self._tell(home, *events)

    def _supersede(self, target: Target) -> None:
        self._job_event(target, Stopped(reason="a newer commit came before this one was served"))

    def _job_event(self, target: Target, event: Stopped | DatumsEnded) -> None:
        if target.job is None:
            return
        number = target.job.number
        with self._steps.of_job(number, "recording how its service is"):
            with self._database.write() as tx:
                actions = apply_event(tx, number, event, now=self._now())
            self._act(number, actions)

    # --- what is done -----------------------------------------------------------------------------

    def _tell(self, home: _Home, *events: Event) -> None:
        """Have a house take the next steps, and carry out what follows."""
        waiting = deque(events)
        while waiting:
            now = self._clocks.monotonic()
            home.house, actions = step(home.house, waiting.popleft(), now=now)
            for action in actions:
                match action:
                    case Start(number=number, target=key):
                        waiting.extend(self._start(home, number, home.targets[key]))
                    case End(number=number):
                        living = home.living.get(number)
                        if living is not None:
                            living.leaves = now
                        else:  # it has not been started, for lack of room
                            waiting.append(Gone(number=number, reason=""))
                    case Point(number=number):
                        self._point(home, number)
                    case Served(target=key):
                        self._job_event(home.targets[key], DatumsEnded(processed=1))
                    case Failed(target=key, reason=reason):
                        failed = DatumsEnded(failed=1, failure=reason, last_words=home.words)
                        self._job_event(home.targets[key], failed)
        self._settle(home)

    def _settle(self, home: _Home) -> None:
        """Forget what nothing stands for any more, and tell how things are."""
        house = home.house
        used = {house.wanted, house.kept, *(living.target.key for living in home.living.values())}
        for key in [key for key in home.targets if key not in used]:
            job = home.targets.pop(key).job
            if job is not None:
                keep_log(self._database, self._trees, self._live, job, self._now())
        if not house.target:
            self._doors.shut(home.name)
        if home.ends and house.empty:
            self._live.end(home.name, 0)
            self._homes.pop(home.name, None)
            self._looked_at = -1  # there may be another pipeline of its name
        self._say(home)

    def _say(self, home: _Home) -> None:
        """Have other threads know how things are."""
        house = home.house
        shown = house.serving or house.coming
        living = None if shown is None else home.living.get(shown.number)
        infos = {name: info for name, info in self._infos.items() if name != home.name}
        if living is not None:
            infos[home.name] = self._info(home, living)
        state, reason = state_of(house)
        if state is PipelineState.CRASHING and home.words:
            words = "\n".join(f"  {line}" for line in home.words.splitlines())
            reason = f"{reason}\nthe last lines of its stderr:\n{words}"
        if house.serving and (trouble := self._doors.trouble(home.name)):
            state, reason = PipelineState.CRASHING, trouble
        conditions = {
            name: found for name, found in self._conditions.items() if name in self._homes
        }
        if conditions.get(home.name) != (state, reason) or infos != self._infos:
            self._infos, self._conditions = infos, {**conditions, home.name: (state, reason)}
            self._database.notify()

    def _info(self, home: _Home, living: _Living) -> ResidentInfo:
        job = living.target.job
        serves = home.house.serving is not None
        service = living.target.spec.service
        address = ""
        if service is not None and serves:
            address = home.address
        return ResidentInfo(
            version=living.target.record.version,
            job="" if job is None else job.name,
            commits=living.commits,
            address=address,
            healthy=serves,
            since=living.since,
            restarts=home.house.ends,
        )

    # --- residents --------------------------------------------------------------------------------

    def _start(self, home: _Home, number: int, target: Target) -> list[Event]:
        record, wanted = target.record, target.spec.requests
        if missing := self._crew.room(record.name, record.spec_commit, wanted):
            return [NoRoom(reason=f"its code waits: it requests {missing} free")]
        try:
            with self._database.read() as tx:
                planned = targets.datum_of(tx, self._trees, target)
            if target.job is not None:
                take_up_log(self._database, self._trees, self._live, target.job)
            worker = self._pool.spawn(record.name, record.version, record.spec_commit)
        except (TrunklineError, OSError) as error:
            return [Gone(number=number, reason=str(error))]
        sources = {f"{file.repo}@{file.commit}": None for file in planned.datum.files}
        living = _Living(
            number=number,
            target=target,
            worker=worker,
            commits=tuple(sources),
            since=self._now(),
        )
        home.living[number] = living
        self._owners[worker] = (home, living)
        assert self._selector is not None, "there is one before the first turn"
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)
        job = target.job
        if job is not None:
            worker.job, worker.datum = job.name, planned.key
        self._live.begin_again(target.log, key=planned.key, worker=worker.name)
        context = context_of(target.spec, record, self._config)
        here = self._config.runtime != Runtime.KUBERNETES
        if here and target.spec.spout and "PATH" not in target.spec.transform.env:
            # First, so that `trunkline`, `pachctl` and a Python that has the client are found.
            path = f"{Path(sys.executable).parent}:{self._config.path}"
            context = replace(context, env={**context.env, "PATH": path})
        self._crew.introduce(worker, context, wanted)
        service = target.spec.service
        self._pool.send(
            worker,
            {
                "type": "reside",
                "pipeline": record.name,
                "version": record.version,
                "job": "" if job is None else job.id,
                "datums": encode_segment([planned]).decode("utf-8"),
                "port": None if service is None else _port_of(service).as_message(),
                "env": self._variables(target),
            },
        )
        return []

    def _variables(self, target: Target) -> dict[str, str]:
        """What a spout needs so that commands and Python clients put into its repo."""
        if not target.spec.spout:
            return {}
        if self._config.runtime == Runtime.KUBERNETES:
            name = target.record.name
            key = stored_key(self._config.home, self._config.workers_key)
            return {
                "TRUNKLINE_ADDRESS": self._config.data_url,
                "TRUNKLINE_TOKEN": Signer(key=key).repo_token(name),
                "TRUNKLINE_PROJECT": project_of(name),
            }
        return {
            "TRUNKLINE_ADDRESS": f"unix://{self._config.socket_path}",
            "TRUNKLINE_PROJECT": project_of(target.record.name),
        }

    def _see_off(self, living: _Living, now: float) -> None:
        """Have one that is to end do so, once nobody is connected to it."""
        worker = living.worker
        if living.leaves is None:
            return
        gone_for = now - living.leaves
        drained = not living.port or (
            gone_for >= _DRAIN_LEAST_S and not self._doors.connections(living.port)
        )
        if not living.told and (drained or gone_for >= DRAIN_S):
            living.told = True
            worker.retiring = True
            self._pool.send(worker, {"type": "leave"})
        elif gone_for >= DRAIN_S + _LEAVE_S:
            self._pool.kill(worker)

    def _take(self, home: _Home, living: _Living, message: Message) -> None:
        match message["type"]:
            case "ready":
                living.worker.ready = True
            case "log":
                self._live.add(living.target.log, 0, message["lines"])
                self._database.notify()
            case "healthy":
                self._healthy(home, living, message)
            case "left":
                living.reason = living.reason or message["reason"]
                living.words = message["last_words"]
            case "failed":
                living.reason = message["reason"]
            case _:
                pass

    def _healthy(self, home: _Home, living: _Living, message: Message) -> None:
        living.port = message["port"]
        service = living.target.spec.service
        if service is not None and living.leaves is None:
            try:
                home.address = self._doors.open(home.name, service, living.port)
            except OSError as error:
                where = f"{service.ip}:{service.external_port or service.internal_port}"
                living.reason = f"{where} can't be listened on: {error.strerror or error}"
                self._pool.kill(living.worker)
                return
        living.since = self._now()
        # In a pod nobody else is on its ports.
        alone = message["alone"] and living.worker.runtime != Runtime.KUBERNETES
        self._tell(home, Ready(number=living.number, alone=alone))

    def _point(self, home: _Home, number: int | None) -> None:
        living = home.living.get(number) if number is not None else None
        if living is None:
            self._doors.point(home.name, "", 0)
        else:
            self._doors.point(home.name, living.worker.name, living.port)

    def _gone(self, home: _Home, living: _Living) -> None:
        self._forget(living.worker)
        home.living.pop(living.number, None)
        reason = living.reason or "its process was killed"
        if living.leaves is None:
            home.words = living.words
            reason = _explained(living, home, reason)
        self._tell(home, Gone(number=living.number, reason=reason))

    def _forget(self, worker: Worker) -> None:
        assert self._selector is not None, "it was registered with one"
        self._selector.unregister(worker.channel)
        self._owners.pop(worker, None)
        self._crew.give_back(worker)
        self._pool.discard(worker)

    def _now(self) -> datetime:
        return self._clocks.now()


def _explained(living: _Living, home: _Home, reason: str) -> str:
    """Why a resident ended that was not to, as a sentence for whoever looks at its pipeline."""
    job = living.target.job
    what = f"the code of version {living.target.record.version}"
    if job is not None:
        what += f" for job {job.name}"
    serving = home.house.serving
    if serving is not None and serving.number == living.number:
        return f"{what} ended: {reason}"
    sentence = f"{what} did not get ready: {reason}"
    other = None if serving is None else home.living.get(serving.number)
    if other is None or other.target.job is None:
        return sentence
    return f"{sentence}; job {other.target.job.name} is still served"


def _one_datum(there: int) -> str:
    return f'a service sees one datum, and its input makes {there:,}: give the input the glob "/"'


def _port_of(service: Service) -> Port:
    return Port(
        fixed=service.internal_port,
        path=service.health_path,
        timeout_s=service.health_timeout_s,
    )
