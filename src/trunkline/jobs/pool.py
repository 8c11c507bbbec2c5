"""The workers of this machine: start them, know them, end them.

Used by the scheduler's thread only, except where a method says otherwise.
"""

import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trunkline.jobs.channel import Channel, ChannelClosed, Message
from trunkline.jobs.host import spawn_request
from trunkline.jobs.worker import WorkerSettings
from trunkline.model.jobs import WorkerInfo

_SEND_TIMEOUT = struct.pack("ll", 5, 0)  # seconds and microseconds, as a struct timeval
_LEAVE_S = 2.0  # idle workers get this long to leave when the server stops
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes names its pods


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """A worker process as its scheduler knows it."""

    name: str
    pipeline: str
    version: int
    pid: int
    channel: Channel
    started: datetime
    heard: float  # monotonic seconds
    ready: bool = False
    retiring: bool = False
    failure: str = ""  # why it could not get ready
    lease: int | None = None
    job: str = ""  # pipeline@id
    datum: str = ""
    position: int | None = None
    inputs: tuple[str, ...] = ()  # paths of the datum at work
    idle_since: float = 0.0
    context: str = ""  # spec commit of the context that it was sent last

    @property
    def idle(self) -> bool:
        return self.ready and self.lease is None and not self.retiring

    def info(self, runtime: str) -> WorkerInfo:
        status = "Running" if self.ready else "Init:0/1"
        return WorkerInfo(
            name=self.name,
            pipeline=self.pipeline,
            version=self.version,
            ready="1/1" if self.ready else "0/1",
            status="Terminating" if self.retiring else status,
            restarts=0,
            started=self.started,
            job=self.job,
            datum=self.datum,
            runtime=runtime,
            pid=self.pid,
        )


class WorkerPool:
    """All workers that this server started."""

    def __init__(
        self,
        *,
        home: Path,
        isolation: str,
        marker: str,
        output_bytes_max: int | None,
    ) -> None:
        self._home = home
        self._isolation = isolation
        self._marker = marker
        self._output_bytes_max = output_bytes_max
        self._lock = threading.Lock()  # the list is read by other threads
        self._workers: list[Worker] = []
        self._host: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def workers(self, pipeline: str | None = None) -> list[Worker]:
        """The workers there are; any thread may ask."""
        with self._lock:
            return [w for w in self._workers if pipeline is None or w.pipeline == pipeline]

    def start_host(self) -> None:
        """Start the worker host, so that the first worker is quick."""
        if self._host is not None and self._host.poll() is None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._host = subprocess.Popen(
            [sys.executable, "-m", "trunkline.jobs.host", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        theirs.close()
        if self._control is not None:
            self._control.close()
        self._control = ours

    def spawn(self, pipeline: str, version: int, *, now: datetime) -> Worker:
        """Start a worker for a version of a pipeline; it says `ready` when it can take work."""
        suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
        words = pipeline.lower().replace("_", "-").replace("/", "-")
        name = f"pipeline-{words}-v{version}-{suffix}"
        settings = WorkerSettings(
            name=name,
            home=str(self._home),
            isolation=self._isolation,
            marker=self._marker,
            output_bytes_max=self._output_bytes_max or 0,
        )
        self.start_host()
        assert self._control is not None
        ours, theirs = socket.socketpair()
        # A frozen worker must not hold up the scheduler.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
        try:
            pid = spawn_request(self._control, settings, theirs)
        except OSError:
            # The host died since; a new one takes over.
            assert self._host is not None
            self._host.kill()
            self._host.wait()
            self.start_host()
            pid = spawn_request(self._control, settings, theirs)
        finally:
            theirs.close()
        worker = Worker(
            name=name,
            pipeline=pipeline,
            version=version,
            pid=pid,
            channel=Channel(ours),
            started=now,
            heard=time.monotonic(),
            idle_since=time.monotonic(),
        )
        with self._lock:
            self._workers.append(worker)
        return worker

    def send(self, worker: Worker, message: Message) -> None:
        """Send a message; one who does not take it is killed, and noticed by its closed channel."""
        try:
            worker.channel.send(message)
        except ChannelClosed:
            self.kill(worker)

    def retire(self, worker: Worker) -> None:
        """Ask a worker to leave once it is idle."""
        if not worker.retiring:
            worker.retiring = True
            self.send(worker, {"type": "exit"})

    def discard(self, worker: Worker) -> None:
        """Forget a worker whose channel is closed; its host has reaped or will reap it."""
        worker.channel.close()
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)

    def kill(self, worker: Worker) -> None:
        """End a worker at once; its channel then reads as closed."""
        try:
            os.kill(worker.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        """End the host and with it all workers and what they started.

        Idle workers may leave by themselves, which seals their packs.
        """
        self._let_idle_leave()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._host is not None:
            self._host.wait()
            self._host = None
        with self._lock:
            for worker in self._workers:
                worker.channel.close()
            self._workers.clear()

    def _let_idle_leave(self) -> None:
        leaving = [worker for worker in self.workers() if worker.idle]
        for worker in leaving:
            self.retire(worker)
        deadline = time.monotonic() + _LEAVE_S
        while leaving and (left := deadline - time.monotonic()) > 0:
            said = select.poll()
            for worker in leaving:
                said.register(worker.channel, select.POLLIN)
            readable = {fd for fd, _ in said.poll(left * 1000)}
            for worker in [w for w in leaving if w.channel.fileno() in readable]:
                try:
                    worker.channel.poll()
                except ChannelClosed:
                    leaving.remove(worker)
