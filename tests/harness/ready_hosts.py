"""Worker hosts that are forks of one process, which has imported all that a host needs.

To start Python and to import that takes most of the processor time of opening an engine, and tests
open thousands. In all else such a host is what `python -m trunkline.jobs.host` is: a process in a
session of its own, with the environment of who started it, that runs `main`. Servers that tests
start as programs have hosts that are programs too.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

_REQUEST_BYTES_MAX = 1 << 20


@contextlib.contextmanager
def ready_hosts() -> Iterator[None]:
    """Have the engines of this process, and of its forks, begin their hosts that way."""
    launcher = sys.modules.get("trunkline.jobs.launcher")
    if launcher is None:  # no test of this session opens an engine
        yield
        return
    with tempfile.TemporaryDirectory(prefix="trunkline-hosts-") as place:
        nursery = _Nursery(Path(place) / "socket")
        ways = SimpleNamespace(Popen=nursery.host, DEVNULL=subprocess.DEVNULL)
        with mock.patch.object(launcher, "subprocess", ways):
            yield
        nursery.close()


class _Nursery:
    """The process that hosts are forks of."""

    def __init__(self, address: Path) -> None:
        self._address = address
        self._user = os.geteuid()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(address))
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,  # which ends with this process and its forks
                start_new_session=True,
                cwd="/",
            )

    def host(
        self, words: Sequence[str], *, pass_fds: Sequence[int], cwd: str, **how: Any
    ) -> "_Host | subprocess.Popen[bytes]":
        """As `Popen` would start it."""
        assert list(words[1:3]) == ["-m", "trunkline.jobs.host"], words
        assert (cwd, how) == ("/", {"stdin": subprocess.DEVNULL, "start_new_session": True})
        if os.geteuid() != self._user:
            return subprocess.Popen(words, pass_fds=pass_fds, cwd=cwd, **how)
        request = json.dumps(dict(os.environ)).encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES_MAX)
            line.connect(str(self._address))
            socket.send_fds(line, [request], [*pass_fds, 1, 2])
            _, [fd], _, _ = socket.recv_fds(line, 16, 1)
        return _Host(fd)

    def close(self) -> None:
        self._process.communicate()


class _Host:
    """What the launcher uses of `Popen`, for a process that is not our child."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __del__(self) -> None:
        os.close(self._fd)

    def poll(self) -> int | None:
        return 0 if self._ended(0) else None

    def wait(self) -> int:
        self._ended(None)
        return 0

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)

    def _ended(self, timeout_ms: int | None) -> bool:
        asked = select.poll()
        asked.register(self._fd, select.POLLIN)
        return bool(asked.poll(timeout_ms))


# --- the process that hosts are forks of ----------------------------------------------------------


def _serve(listener: socket.socket) -> None:
    """Fork hosts until nobody is left who could ask for one."""
    asked = select.poll()
    for fd in (0, listener.fileno()):
        asked.register(fd, select.POLLIN)
    hosts: dict[int, int] = {}  # by descriptor
    while 0 not in (ready := dict(asked.poll())):
        for fd in ready.keys() & hosts.keys():
            os.waitpid(hosts.pop(fd), 0)
            asked.unregister(fd)
            os.close(fd)
        if listener.fileno() in ready:
            line, _ = listener.accept()
            with line:
                pid, fd = _fork_host(listener, line)
            hosts[fd] = pid
            asked.register(fd, select.POLLIN)


def _fork_host(listener: socket.socket, line: socket.socket) -> tuple[int, int]:
    request, fds, _, _ = socket.recv_fds(line, _REQUEST_BYTES_MAX, 3)
    pid = os.fork()
    if not pid:
        listener.close()
        line.close()
        _be_host(json.loads(request), *fds)
    for fd in fds:
        os.close(fd)
    told = os.pidfd_open(pid)
    socket.send_fds(line, [b"host"], [told])
    return pid, told


def _be_host(environment: dict[str, str], control: int, out: int, err: int) -> None:
    """Never returns."""
    status = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(environment)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, at in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(fd, at)
            os.close(fd)
        sys.argv = ["trunkline.jobs.host", str(control)]
        host.main()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    from trunkline.jobs import host

    _serve(socket.socket(fileno=int(sys.argv[1])))
