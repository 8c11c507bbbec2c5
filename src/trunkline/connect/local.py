"""The local server of a data directory: find it, start it on first use, stop it.

Many commands may need it at the same moment. Whoever gets the lock on `start.lock` starts it; the
others wait for the socket to answer. A server that was killed leaves a socket that refuses, which
is as good as none: the next command starts a new one.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from trunkline.client.address import SocketAddress
from trunkline.client.remote import RemoteClient
from trunkline.client.transport import Transport
from trunkline.config import Config, environment_for
from trunkline.errors import StoreInUse, TimedOut, TrunklineError, Unavailable, from_report
from trunkline.values import dataclass

LOG_BYTES_MAX = 8 * 1024 * 1024  # when a server starts; a longer log is set aside
STOP_TIMEOUT_S = 30.0
_PAUSE_S = 0.02  # between two looks at a lock that another process holds

# -P: a file in the current directory must not stand in for one of our modules.
SERVE = (sys.executable, "-P", "-m", "trunkline", "serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """What a running server says of itself in `server.json`."""

    pid: int
    socket: str
    addresses: tuple[str, ...]
    version: str


def running_server(config: Config) -> ServerRecord | None:
    """The server of the data directory, if one answers."""
    if not _answers(config.socket):
        return None
    try:
        document = json.loads((config.home / "server.json").read_text("utf-8"))
        pid = document["pid"]
        if not isinstance(pid, int) or pid < 1:
            return None
        return ServerRecord(
            pid=pid,
            socket=str(document["socket"]),
            addresses=tuple(str(address) for address in document["addresses"]),
            version=str(document["version"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # it is just coming up or going down


def ensure_server(config: Config, *, command: Sequence[str] = SERVE) -> None:
    """Return once the local server answers; start it if nobody does.

    Raises the server's own error when it can't start, TimedOut when it takes too long.
    """
    deadline = time.monotonic() + config.start_timeout_s
    held: StoreInUse | None = None
    with _starting(config, deadline) as must_start:
        while must_start and not _answers(config.socket):
            try:
                _start(config, command, deadline)
                return
            except StoreInUse as error:
                # Another server is on its way up (started by hand) or down: see which.
                held = error
                time.sleep(5 * _PAUSE_S)
            except TimedOut:
                raise held or TimedOut(_slow(config)) from None
            if time.monotonic() > deadline:
                raise held


def stop_server(config: Config, *, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """End the local server and wait until it is gone; False if there was none."""
    if not _owned(config):
        return False
    client = RemoteClient(Transport(SocketAddress(path=config.socket_path)))
    try:
        client.shut_down()
    except Unavailable:
        pid = _owner(config)  # it does not listen (any more): ask it in the other way
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    finally:
        client.close()
    deadline = time.monotonic() + timeout_s
    while _owned(config):
        if time.monotonic() > deadline:
            raise TimedOut(f"the server of {config.home} has not ended within {timeout_s:.0f} s")
        time.sleep(_PAUSE_S)
    return True


@contextlib.contextmanager
def _starting(config: Config, deadline: float) -> Iterator[bool]:
    """Hold the right to start the server: True, or False when one answers meanwhile."""
    try:
        config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(config.home / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"can't use the data directory {config.home}: {error.strerror}"
        ) from error
    try:
        while True:
            if _answers(config.socket):
                yield False
                return
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield True
                return
            if time.monotonic() > deadline:
                raise TimedOut(_slow(config))
            time.sleep(_PAUSE_S)
    finally:
        os.close(fd)


def _start(config: Config, command: Sequence[str], deadline: float) -> None:
    import subprocess  # only the command that starts the server pays for it

    log = config.home / "log" / "server.log"
    told, tell = os.pipe()
    try:
        with _opened_log(log) as output:
            process = subprocess.Popen(
                [*command, "--ready-fd", str(tell)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=environment_for(config),
                start_new_session=True,
                pass_fds=(tell,),
            )
        os.close(tell)
        tell = -1
        # A long-lived caller would otherwise keep the dead server's entry in the process table.
        threading.Thread(target=process.wait, name="server", daemon=True).start()
        line = _line(told, deadline)
    finally:
        os.close(told)
        if tell >= 0:
            os.close(tell)
    if line is None:
        raise TimedOut(_slow(config))
    if line != "ready":
        raise _told_error(line, log)


def _line(fd: int, deadline: float) -> str | None:
    """The one line that comes; "" if none does before the end, None if it takes too long."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    found = b""
    while not found.endswith(b"\n"):
        left_ms = int((deadline - time.monotonic()) * 1000)
        if left_ms <= 0 or not poll.poll(left_ms):
            return None
        piece = os.read(fd, 65536)
        if not piece:
            break
        found += piece
    return found.decode("utf-8", "replace").strip()


def _told_error(line: str, log: Path) -> TrunklineError:
    try:
        error = json.loads(line)["error"]
        return from_report(
            code=str(error["code"]),
            message=str(error["message"]),
            exit_status=int(error["exit_status"]),
            http_status=int(error["http_status"]),
        )
    except (ValueError, KeyError, TypeError):
        said = _last_line(log)
        return Unavailable(
            "the local server ended while it was starting"
            + (f": {said}" if said else "")
            + f"; see {log}"
        )


def _last_line(log: Path) -> str:
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")


@contextlib.contextmanager
def _opened_log(log: Path) -> Iterator[int]:
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            os.replace(log, log.with_name("server.log.1"))
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"can't write {log}: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _answers(path: Path) -> bool:
    """Whether somebody listens on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _owned(config: Config) -> bool:
    """Whether a server process holds the data directory."""
    try:
        fd = os.open(config.home / "server.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _owner(config: Config) -> int | None:
    """The process id of the server that holds the data directory, if it is known."""
    try:
        text = (config.home / "server.lock").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() and int(text) > 1 and _owned(config) else None


def _slow(config: Config) -> str:
    return (
        f"the local server was not ready within {config.start_timeout_s:.0f} seconds; it may "
        f"still be starting: try again, or see {config.home / 'log' / 'server.log'}"
    )
