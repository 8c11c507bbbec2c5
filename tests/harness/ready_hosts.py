"""Worker hosts and servers that are forks of one process, which has imported all that they need.

To start Python and to import that takes most of the processor time of opening an engine, and tests
open thousands. In all else they are what `python -m` would have made of them: processes in a
session of their own, with the environment of who started them, that run `main`. What tests start
as programs is a program, and so are its worker hosts.
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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn
from unittest import mock

from ready_catalogs import ready_catalogs

_REQUEST_BYTES_MAX = 1 << 20
_END_S = 120  # for forks of this process to end that a test has left behind
_real_popen = subprocess.Popen


_nursery: "Nursery | None" = None  # of this test session


@contextlib.contextmanager
def ready_hosts() -> Iterator[None]:
    """Have the engines of this process, and of its forks, begin their hosts that way."""
    global _nursery
    if "trunkline.jobs.launcher" not in sys.modules:  # no test of this session opens an engine
        yield
        return
    with tempfile.TemporaryDirectory(prefix="trunkline-hosts-") as place:
        address = Path(place) / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(address))
            listener.listen(64)
            process = subprocess.Popen(
                [sys.executable, __file__, str(address), str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,  # which ends with this process and its forks
                start_new_session=True,
                cwd="/",
            )
        _nursery = Nursery(address)
        with _nursery.hosts():
            yield
        _nursery = None
        try:
            process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@contextlib.contextmanager
def ready_server() -> Iterator[None]:
    """Have the local server that is started meanwhile begin that way."""
    assert _nursery is not None
    with mock.patch.object(subprocess, "Popen", _nursery.start):
        yield


class Nursery:
    """The process that hosts and servers are forks of."""

    def __init__(self, address: Path) -> None:
        self._address = address
        self._user = os.geteuid()

    @contextlib.contextmanager
    def hosts(self) -> Iterator[None]:
        """Have the engines of this process begin their hosts that way."""
        from trunkline.jobs import launcher

        ways = SimpleNamespace(Popen=self.start, DEVNULL=subprocess.DEVNULL)
        with mock.patch.object(launcher, "subprocess", ways):
            yield

    def start(
        self,
        words: Sequence[str],
        *,
        pass_fds: Sequence[int],
        env: Mapping[str, str] | None = None,
        stdout: IO[bytes] | int = 1,
        stderr: IO[bytes] | int = 2,
        **how: Any,
    ) -> "_Process | subprocess.Popen[bytes]":
        """As `Popen` would; the last word is the number of the one descriptor that is passed."""
        assert how == {"stdin": subprocess.DEVNULL, "start_new_session": True, "cwd": "/"}
        if os.geteuid() != self._user:
            given = {"pass_fds": pass_fds, "env": env, "stdout": stdout, "stderr": stderr}
            return _real_popen(words, **given, **how)
        assert [str(fd) for fd in pass_fds] == [words[-1]]
        module, *rest = words[words.index("-m") + 1 : -1]
        request = json.dumps([module, rest, dict(os.environ if env is None else env)]).encode()
        fds = [fd if isinstance(fd, int) else fd.fileno() for fd in (*pass_fds, stdout, stderr)]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES_MAX)
            line.connect(str(self._address))
            socket.send_fds(line, [request], fds)
            _, [fd], _, _ = socket.recv_fds(line, 16, 1)
        return _Process(fd)


class _Process:
    """What is used of `Popen`, for a process that is not our child."""

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


# --- the process that they are forks of -----------------------------------------------------------


def _serve(address: Path, listener: socket.socket) -> None:
    """Fork until nobody is left who could ask for it."""
    asked = select.poll()
    for fd in (0, listener.fileno()):
        asked.register(fd, select.POLLIN)
    begun: dict[int, int] = {}  # process ids by descriptor
    while 0 not in (ready := dict(asked.poll())):
        for fd in ready.keys() & begun.keys():
            os.waitpid(begun.pop(fd), 0)
            asked.unregister(fd)
            os.close(fd)
        if listener.fileno() in ready:
            line, _ = listener.accept()
            with line:
                pid, fd = _fork(address, listener, line)
            begun[fd] = pid
            asked.register(fd, select.POLLIN)
    for pid in begun.values():  # of tests that did not come to their end
        os.kill(pid, signal.SIGTERM)


def _fork(address: Path, listener: socket.socket, line: socket.socket) -> tuple[int, int]:
    request, fds, _, _ = socket.recv_fds(line, _REQUEST_BYTES_MAX, 3)
    pid = os.fork()
    if not pid:
        listener.close()
        line.close()
        _be(address, *json.loads(request), *fds)
    for fd in fds:
        os.close(fd)
    told = os.pidfd_open(pid)
    socket.send_fds(line, [b"begun"], [told])
    return pid, told


def _be(
    address: Path,
    module: str,
    words: list[str],
    environment: dict[str, str],
    passed: int,
    out: int,
    err: int,
) -> NoReturn:
    status = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(environment)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, at in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(fd, at)
            os.close(fd)
        sys.argv = [module, *words, str(passed)]
        if module == "trunkline.jobs.host":
            host.main()
        else:
            assert module == "trunkline"
            with Nursery(address).hosts():
                start.run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    import trunkline.engine.engine
    import trunkline.server.serve  # noqa: F401
    from trunkline.cli import start
    from trunkline.jobs import host

    with ready_catalogs():
        _serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
