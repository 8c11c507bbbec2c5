"""Simulated workers: processes that are not there, at the far end of lines that are.

They speak the protocol of `trunkline.jobs.worker` over a socket pair, store real outputs, and do
one small thing whenever the world lets them. Between a worker and its socket lies a network that
the world may have repeat, swap or swallow messages.
"""

import random
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import sim_code
from sim_oracle import Contents, given_at

from trunkline.files.delta import DeltaWriter
from trunkline.files.tree import Trees
from trunkline.jobs.channel import Channel, ChannelClosed, Message
from trunkline.jobs.datum_run import Outcome
from trunkline.jobs.segments import PlannedDatum, decode_segment
from trunkline.model.jobs import DatumState


@dataclass(frozen=True, slots=True, kw_only=True)
class Luck:
    """How likely it is that something goes wrong, each time that it can."""

    death: float = 0.0  # of a worker, at a step
    freeze: float = 0.0
    false_start: float = 0.0
    flaky: float = 0.15  # of the user code that is
    slow: float = 0.0  # that a datum takes seconds
    repeat: float = 0.0  # of a message
    swap: float = 0.0
    lose: float = 0.0
    stray: float = 0.0  # that an old message comes over another line
    lost_copy: float = 0.0  # of the output of a job, on its way elsewhere
    lingering: float = 0.2  # that a killed worker lives on for a while


class SimWorker:
    """One worker. `step` does the next small thing; the world says when."""

    def __init__(
        self, name: str, pid: int, line: Channel, trees: Trees, contents: Contents
    ) -> None:
        self.name, self.pid, self.line = name, pid, line
        self.inbox: deque[Message] = deque()
        self.outbox: deque[Message] = deque()
        self.dead = self.ready = self.leaving = False
        self.speaking = False  # whether it did something when it was last let
        self.frozen_until, self.dies_at = 0.0, float("inf")
        self._slow_until_us = 0  # the datum at work takes until then
        self._trees, self._contents = trees, contents
        self._contexts: dict[tuple[str, int], Message] = {}
        self._lease: Message | None = None
        self._todo: deque[tuple[int, PlannedDatum]] = deque()
        self._pending: list[Outcome] = []
        self._writer = DeltaWriter(trees, by_datum=True)

    def busy(self, now_us: int) -> bool:
        """Whether it has something to do without being told more, or time to pass."""
        if self.leaving or (now_us < self._slow_until_us and not self._is_told_to_stop()):
            return False
        return not self.ready or self._lease is not None or bool(self.inbox)

    def die(self) -> None:
        self.dead = True
        self.line.close()

    def alive(self) -> None:
        """Its heartbeat, which comes from a thread of its own."""
        if self.ready:
            waits = self._lease is None and not self.inbox
            self.outbox.append({"type": "alive", "waits": waits})

    def deliver(self, luck: Luck, rng: random.Random) -> None:
        """Put the next message on the line, unless it gets lost."""
        if len(self.outbox) > 1 and rng.random() < luck.swap:
            self.outbox.append(self.outbox.popleft())
        message = self.outbox.popleft()
        if rng.random() < luck.repeat:
            self.outbox.append(message)
        if rng.random() >= luck.lose:
            self.say(message)
        if self.leaving and not self.outbox:
            self.die()

    def say(self, message: Message) -> None:
        """Put a message on the line; nobody there is the end of a worker."""
        try:
            self.line.send(message)
        except ChannelClosed:
            self.die()

    def pump(self, luck: Luck, rng: random.Random) -> None:
        """Take what has arrived off the socket; dies as a worker does when it is closed."""
        try:
            arrived = self.line.poll()
        except ChannelClosed:
            self.die()
            return
        for message in arrived:
            if rng.random() < luck.lose:
                continue
            self.inbox.append(message)
            if rng.random() < luck.repeat:
                self.inbox.append(message)
            if len(self.inbox) > 1 and rng.random() < luck.swap:
                self.inbox.append(self.inbox.popleft())

    def step(self, luck: Luck, rng: random.Random, now_us: int) -> str:
        """Do one thing; returns what that was."""
        if not self.ready:
            return self._start(luck, rng)
        if self._lease is not None:
            return self._work(luck, rng, now_us)
        message = self.inbox.popleft()
        match message["type"]:
            case "context":
                self._contexts[(message["pipeline"], message["version"])] = message
            case "lease" if (message["pipeline"], message["version"]) not in self._contexts:
                self.die()  # as the real one does of a KeyError
            case "lease":
                self._lease = message
                planned = decode_segment(message["datums"].encode())
                self._todo = deque(zip(message["positions"], planned, strict=True))
            case "exit":
                self.die()
        return f"takes {message['type']} {message.get('lease', '')}"

    def _start(self, luck: Luck, rng: random.Random) -> str:
        if rng.random() < luck.false_start:
            self.outbox.append({"type": "failed", "reason": "no room for a worker"})
            self.leaving = True
            return "can't start"
        self.ready = True
        self.outbox.append({"type": "ready", "isolation": "namespace"})
        return "is ready"

    def _work(self, luck: Luck, rng: random.Random, now_us: int) -> str:
        assert self._lease is not None
        lease = int(self._lease["lease"])
        told = self._is_told_to_stop()
        if told or not self._todo:
            self._report(last=True)
            self._lease, self._slow_until_us = None, 0
            return f"ends lease {lease}{' that was cancelled' if told else ''}"
        position, datum = self._todo[0]
        started = {"type": "started", "lease": lease, "position": position, "key": datum.key}
        if not self._slow_until_us and rng.random() < luck.slow:
            self._slow_until_us = now_us + rng.randint(1, 12) * 500_000
            self.outbox.append(started)
            return f"is slow with datum {position} of lease {lease}"
        self._todo.popleft()
        self._slow_until_us = 0
        if rng.random() < 0.3:
            self.outbox.append(started)
        outcome = self._run(position, datum, luck, rng, now_us)
        self._pending.append(outcome)
        if self._todo and rng.random() < 0.3:
            self._report(last=False)
        return f"runs datum {position} of lease {lease}: {outcome.state}"

    def _is_told_to_stop(self) -> bool:
        lease = None if self._lease is None else self._lease["lease"]
        return any(m["type"] == "cancel" and m["lease"] == lease for m in self.inbox)

    def _run(
        self, position: int, planned: PlannedDatum, luck: Luck, rng: random.Random, now_us: int
    ) -> Outcome:
        assert self._lease is not None
        context = self._contexts[(self._lease["pipeline"], self._lease["version"])]
        given = tuple(
            given_at(file.name, file.path, self._contents.of(file.root))
            for file in planned.datum.files
        )
        ran = sim_code.run(context["cmd"], context["err_cmd"], given)
        state, files = DatumState(ran.state), ran.files
        if sim_code.is_flaky(context["cmd"]) and rng.random() < luck.flaky:
            state, files = DatumState.RECOVERED if context["err_cmd"] else DatumState.FAILED, {}
        for path, content in files.items():
            self._writer.put(path, [content], datum=planned.key)
        return Outcome(
            position=position,
            key=planned.key,
            state=state,
            tries=1,
            started=now_us,
            finished=now_us,
            downloaded_bytes=1,
            uploaded_bytes=sum(map(len, files.values())),
            files=len(files),
            download_us=1,
            process_us=1,
            upload_us=1,
            log=(),
            reason="exit code 1" if state is DatumState.FAILED else "",
            last_words="",
        )

    def _report(self, *, last: bool) -> None:
        assert self._lease is not None
        output = [str(delta) for delta in self._writer.finish()] if self._pending else []
        message = {
            "type": "ended",
            "lease": self._lease["lease"],
            "last": last,
            "output": output,
            "outcomes": [outcome.as_message() for outcome in self._pending],
        }
        self.outbox.append(message)
        self._pending, self._writer = [], DeltaWriter(self._trees, by_datum=True)


class SimLauncher:
    """See `trunkline.jobs.pool.Launcher`; `born` is told of each worker."""

    def __init__(
        self,
        rng: random.Random,
        born: Callable[[str, int, Channel], None],
        killed: Callable[[int], None],
    ) -> None:
        self._rng = rng
        self._born = born
        self._killed = killed
        self._pids = 0

    def start(self) -> None:
        pass

    def new_suffix(self) -> str:
        return f"{self._rng.randrange(16**5):05x}"

    def launch(self, name: str, pipeline: str, version: int) -> tuple[int, Channel]:
        ours, theirs = socket.socketpair()
        self._pids += 1
        self._born(name, self._pids, Channel(theirs))
        return self._pids, Channel(ours)

    def kill(self, pid: int) -> None:
        self._killed(pid)

    def outlook(self, pid: int) -> None:
        return None

    def has_come(self, pid: int) -> bool:
        return True

    def forget(self, pid: int) -> None:
        pass

    def close(self) -> None:
        pass
