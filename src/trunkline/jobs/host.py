"""The worker host: a small single-threaded process that forks workers.

The server has threads, so it can't fork safely, and starting Python for each worker would be slow.
The host imports all that a worker needs once; a worker is then a fork. When the server goes away,
however it dies, the host's control socket closes: it kills all workers with all they started, and
exits.

Run as `python -m trunkline.jobs.host FD`, where FD is the control socket.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trunkline.jobs.channel import Channel
from trunkline.jobs.worker import WorkerSettings, work
from trunkline.runtimes import cgroups
from trunkline.runtimes.containers import leftovers

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_REQUEST_BYTES_MAX = 64 * 1024


def spawn_request(
    control: socket.socket, settings: WorkerSettings, lines: Sequence[socket.socket]
) -> int:
    """Ask the host for a worker; returns its process id.

    Its lines are that to the scheduler, and one for places if it is to ask for those.
    """
    request = json.dumps({name: str(getattr(settings, name)) for name in WorkerSettings.names()})
    socket.send_fds(control, [request.encode("utf-8")], [line.fileno() for line in lines])
    answer = control.recv(64)
    if not answer:
        raise ConnectionError("the worker host is gone")
    return int(answer)


def host(control: socket.socket) -> None:
    """Serve requests until the control socket closes."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    workers: dict[int, WorkerSettings | None] = {}  # by process; None: one that clears up
    asked = select.poll()  # not `select`: the server may have had thousands of files open
    asked.register(control, select.POLLIN)
    while True:
        ready = asked.poll(1000)
        _reap(workers)
        if not ready:
            continue
        try:
            data, fds, _, _ = socket.recv_fds(control, _REQUEST_BYTES_MAX, 2)
        except OSError:
            data, fds = b"", []
        if not data:
            break
        settings = WorkerSettings.parse(json.loads(data))
        workers[_fork_worker(control, settings, fds)] = settings
    _kill_all_children()
    _clear_up(filter(None, workers.values()))


def _fork_worker(control: socket.socket, settings: WorkerSettings, fds: list[int]) -> int:
    pid = os.fork()
    if pid:
        for fd in fds:
            os.close(fd)
        control.sendall(str(pid).encode())
        return pid
    status = 1
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        control.close()
        line, *others = (socket.socket(fileno=fd) for fd in fds)
        work(Channel(line), settings, places=others[0] if others else None)
        status = 0
    except BaseException as error:
        print(f"worker {settings.name}: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _reap(workers: dict[int, WorkerSettings | None]) -> None:
    """Collect the dead, and kill what a dead worker left behind (orphans come to us).

    Its containers are removed by one more process of ours, as that may take a while.
    """
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            break
        settings = workers.pop(pid, None)
        if settings is not None and leftovers.are_there(Path(settings.home), settings.name):
            workers[_fork_clearing(settings)] = None
    for pid in _children() - workers.keys():
        _kill(pid)


def _fork_clearing(settings: WorkerSettings) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _clear_up([settings])
    finally:
        os._exit(0)


def _clear_up(dead: Iterable[WorkerSettings]) -> None:
    """Remove the containers of workers, and what could not be removed before."""
    homes = set()
    for settings in dead:
        home = Path(settings.home)
        if leftovers.are_there(home, settings.name):
            shutil.rmtree(home / "scratch" / settings.name, ignore_errors=True)
            homes.add(home)
    for home in homes:
        leftovers.clear_all(home)


def _kill_all_children() -> None:
    """Kill the children until none are left: killing a worker hands its children to us."""
    while children := _children():
        for pid in children:
            _kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> set[int]:
    me = os.getpid()
    try:
        text = Path(f"/proc/{me}/task/{me}/children").read_text("ascii")
    except OSError:  # not Linux, or a kernel without the file
        return set()
    return {int(word) for word in text.split()}


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None, use_errno=True)
        libc.prctl(option, value, 0, 0, 0)


def _nothing(*_: object) -> None:
    pass


def main() -> None:
    """Entry point of the process."""
    # The server ends us by closing the socket. Handled, not ignored: commands would inherit that.
    signal.signal(signal.SIGINT, _nothing)
    signal.signal(signal.SIGTERM, _nothing)
    cgroups.prepare()
    host(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)  # the server waits for it, and there is nothing to take down


if __name__ == "__main__":
    main()
