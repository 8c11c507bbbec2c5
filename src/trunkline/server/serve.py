"""The server process: one per data directory, from the lock it takes to the socket it removes.

Order at start: lock the directory, open the engine, bind, publish `server.json`, say ready. The
lock is held by the kernel for the process, so that nothing a killed server leaves behind (socket,
`server.json`) can keep the next one from starting. Order at the end: take no more requests, give
up waiting ones, let others finish for a while, close the engine, remove the socket, release.

Files in the data directory: `server.lock` (owner's pid inside), `server.json` (where the server
is), `server.sock`, `token` (made for the first TCP listener), `log/server.log` (written by who
starts the server).
"""

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import resource
import secrets
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from trunkline.api.connection import Served
from trunkline.config import Config
from trunkline.engine.release import RELEASE
from trunkline.errors import InvalidInput, StoreInUse, Unavailable
from trunkline.jobs.certificate import FAREWELL_S, HANDSHAKE_S, Certificate, certificate_of
from trunkline.jobs.signing import stored_key
from trunkline.model.signed import Signer
from trunkline.server.app import App, build_app
from trunkline.server.auth import Protocol
from trunkline.server.reports import report
from trunkline.server.signals import ended_by_signals
from trunkline.server.standby import PEERS, Standby, reachable
from trunkline.server.turns import Among, Turns

CONNECTIONS_MAX = 2000  # open at a time, idle ones included; more are answered 503
HEADERS_BYTES_MAX = 64 * 1024  # request line and headers; a path may be 4 KiB, percent-encoded 12
KEEP_ALIVE_S = 75  # an idle connection is closed after this
GRACE_S = 10  # for requests in work when the server is told to stop
HURRIED_GRACE_S = 1  # when it is to lead, or may not any more
BACKLOG = 1024
OPEN_FILES = 8192
CONSOLE_HOST = "127.0.0.1"
CONSOLE_PORT = 30080  # if it is free: a place that users can remember
LOCK_WAIT_S = 0.3  # somebody who only looks whether there is a server holds the lock for a moment

log = logging.getLogger("trunkline.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A TCP address to listen on, as given."""

    host: str
    port: int  # 0: any free one


def open_engine(config: Config) -> Served:
    """The engine on the data directory; whoever calls this holds its lock."""
    from trunkline.engine.engine import Engine  # late, so that a second server fails at once

    return Engine(config)


def serve(
    config: Config,
    *,
    listen: Sequence[str] = (),
    names: Sequence[str] = (),
    token: str | None = None,
    ready_fd: int | None = None,
    standby: bool = False,
    open_operations: Callable[[Config], Served] = open_engine,
    among: Among | None = None,
) -> None:
    """Serve the data directory until SIGTERM, SIGINT or a shutdown request.

    Always on the private socket; besides on each `listen` address (`host:port`), for callers with
    the token, who may call the server by further `names`, over TLS if the settings name a
    certificate. When `ready_fd` is given, one line is written there: `ready`, or
    the error as JSON. When another server has the directory, that raises StoreInUse; with
    `standby`, requests are passed on to that one until it ends (`standby.py`). Where servers share
    the store, it takes its turns `among` them.
    """
    with _announcing(ready_fd) as announce:
        listeners = [parse_listener(text) for text in listen]
        certificate = certificate_of(config.tls_cert, config.tls_key)
        _set_up_process()
        with contextlib.ExitStack() as cleanup:
            if among is not None:
                turns = Turns(among)
                _take_turns(config, turns, listeners, names, token, certificate, cleanup, announce)
                return
            if standby:
                waiting = [_bind_tcp(listener) for listener in listeners]
                operations = _await_turn(config, waiting, cleanup, open_operations, announce)
                if operations is None:
                    return
            else:
                cleanup.enter_context(_locked(config.home))
                operations = open_operations(config)
                cleanup.callback(operations.close)
                waiting = None
            sockets = [_bind_private(config.socket, cleanup)]
            sockets += waiting or [_bind_tcp(listener) for listener in listeners]
            if listeners:
                token = token or stored_token(config.home)
            version = operations.admin.version().version
            _publish(config, version, sockets, cleanup, secure=certificate is not None)
            hosts = [*(listener.host for listener in listeners), *names]
            _run(config, operations, sockets, hosts, token, announce, certificate)
    log.info("stopped")


def _await_turn(
    config: Config,
    sockets: Sequence[socket.socket],
    cleanup: contextlib.ExitStack,
    open_operations: Callable[[Config], Served],
    announce: Callable[[str], None],
) -> Served | None:
    """The operations, once no other server has the data directory; None if told to end before.

    What is left of a server that has just died may hold its database for a moment longer.
    """
    with Standby(config.home, sockets) as standby, standby.signals():
        stands_by = False
        while True:
            with contextlib.ExitStack() as taken:
                try:
                    taken.enter_context(_locked(config.home))
                    operations = open_operations(config)
                except StoreInUse as error:
                    if not stands_by:
                        log.info("process %d stands by: %s", os.getpid(), error)
                        announce("ready")
                    stands_by = True
                else:
                    taken.callback(operations.close)
                    cleanup.enter_context(taken.pop_all())
                    return operations
            if not standby.pause():
                return None


def _take_turns(
    config: Config,
    turns: Turns,
    listeners: Sequence[Listener],
    names: Sequence[str],
    token: str | None,
    certificate: Certificate | None,
    cleanup: contextlib.ExitStack,
    announce: Callable[[str], None],
) -> None:
    """Lead, or answer while another server leads, until told to end.

    The sockets stay open from one turn to the next: who connects in between waits.
    """
    cleanup.enter_context(_locked(config.home))
    sockets = [_bind_private(config.socket, cleanup), *(_bind_tcp(each) for each in listeners)]
    for bound in sockets:
        cleanup.callback(bound.close)
        bound.listen(BACKLOG)
    hosts = [*(listener.host for listener in listeners), *names]
    secure = certificate is not None

    def shown() -> str:
        return token or stored_token(config.home)

    cleanup.enter_context(turns.signals())
    while (turn := turns.next(shown)) is not None:
        with contextlib.ExitStack() as ending:
            ending.callback(turn.operations.close)
            _publish(config, RELEASE, sockets, ending, secure=secure)
            if sockets[1:]:
                scheme = "https" if secure else "http"
                turn.servers.set_address(f"{scheme}://{reachable(sockets[1])}")
            doubles = [bound.dup() for bound in sockets]  # which are closed with the turn
            _run(config, turn.operations, doubles, hosts, shown(), announce, certificate, turns)


def parse_listener(text: str) -> Listener:
    """Read `host:port`, `:port` (all addresses) or `[::1]:port`, with or without `http://`."""
    rest = text.removeprefix("http://").rstrip("/")
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or "/" in host or "@" in host:
        raise InvalidInput(f"{text!r} is not an address to listen on; write host:port")
    return Listener(host=host.strip("[]") or "0.0.0.0", port=int(port))  # noqa: S104 asked for


def stored_token(home: Path) -> str:
    """The token of this data directory, made and stored (mode 0600) if there is none yet.

    Raises Unavailable for one that no header could carry: the user may have written it.
    """
    path = home / "token"
    try:
        found = path.read_text("ascii").strip()
    except FileNotFoundError:
        found = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"can't read the token in {path}: {error}; remove it") from error
    if found and not found.isprintable():
        raise Unavailable(f"the token in {path} is not one line of plain text; remove it")
    if not found:
        found = secrets.token_urlsafe(32)
        _write_whole(path, found + "\n")
    return found


def _run(
    config: Config,
    operations: Served,
    sockets: list[socket.socket],
    hosts: list[str],
    token: str | None,
    announce: Callable[[str], None],
    certificate: Certificate | None,
    turns: Turns | None = None,
) -> None:
    def end() -> None:
        if turns is not None:
            turns.end()

    def shut_down() -> None:
        end()
        server.stop()

    async def open_console() -> str:
        return await server.open_console()

    app = build_app(
        operations,
        spec_bytes_max=config.spec_bytes_max,
        token=token,
        hosts=hosts,
        shut_down=shut_down,
        signer=Signer(key=stored_key(config.home, config.workers_key)),
        open_console=open_console,
    )
    server = make_server(
        app, on_ready=lambda: announce("ready"), on_signal=end, certificate=certificate
    )
    log.info("process %d serves %s", os.getpid(), config.home)
    gc.freeze()  # what was imported stays; the collector need not look at it again
    with turns.watched(server.stop_soon) if turns is not None else contextlib.nullcontext():
        server.run(sockets=sockets)


class Server(uvicorn.Server):
    """Uvicorn, with an end that does not wait for followers and does not kill the process."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        on_ready: Callable[[], None],
        on_signal: Callable[[], None],
        certificate: Certificate | None,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready
        self._on_signal = on_signal
        self._certificate = certificate
        self._following: asyncio.Task[None] | None = None
        self._console = ""  # where browsers of this machine reach the server

    def stop(self) -> None:
        """Ask the server to end; may be called from any thread and any number of times."""
        self.should_exit = True

    def stop_soon(self) -> None:
        """The same, with little patience: what is asked may wait for a server that is gone."""
        self.config.timeout_graceful_shutdown = HURRIED_GRACE_S
        self.stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        certificate, sockets = self._certificate, sockets or []
        secured = [s for s in sockets if certificate is not None and s.family != socket.AF_UNIX]
        await super().startup([s for s in sockets if s not in secured])
        if certificate is not None:
            await self._listen_securely(secured, certificate)
        self._on_ready()

    async def _listen_securely(
        self, sockets: list[socket.socket], certificate: Certificate
    ) -> None:
        """What uvicorn does at its start, which has one way for all sockets."""
        for bound in sockets:
            self.servers.append(
                await self._listen(
                    bound,
                    ssl=certificate.context,
                    ssl_handshake_timeout=HANDSHAKE_S,
                    ssl_shutdown_timeout=FAREWELL_S,
                )
            )
        self._following = asyncio.get_running_loop().create_task(certificate.follow())

    async def _listen(self, bound: socket.socket, **secured: Any) -> asyncio.Server:
        def protocol() -> Protocol:
            return Protocol(self.config, self.server_state, self.lifespan.state)

        return await asyncio.get_running_loop().create_server(
            protocol, sock=bound, backlog=self.config.backlog, **secured
        )

    async def open_console(self) -> str:
        """The address of a listener for browsers of this machine, which is opened at first.

        Nobody else reaches it. Without a named token, what it opens is the console alone.
        """
        if not self._console:
            try:
                bound = _bind_tcp(Listener(host=CONSOLE_HOST, port=CONSOLE_PORT))
            except Unavailable:  # of another server, or of something else
                bound = _bind_tcp(Listener(host=CONSOLE_HOST, port=0))
            self._console = f"http://{CONSOLE_HOST}:{bound.getsockname()[1]}"
            self.servers.append(await self._listen(bound))
        return self._console

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._following is not None:
            self._following.cancel()
        self._app.threads.stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Uvicorn would raise the signal anew at the end, before the engine is closed.
        def end() -> None:
            self._on_signal()
            self.should_exit = True

        with ended_by_signals(end):
            yield


def make_server(
    app: App,
    *,
    on_ready: Callable[[], None] = lambda: None,
    on_signal: Callable[[], None] = lambda: None,
    certificate: Certificate | None = None,
) -> Server:
    """The HTTP server for an application; `run(sockets=…)` serves until `stop()`."""

    class Served(Protocol):
        lane = app.lane()

    settings = uvicorn.Config(
        app.asgi,
        http=Served,
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whoever can set headers must not choose who he is
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEADERS_BYTES_MAX,
    )
    return Server(settings, app, on_ready, on_signal, certificate)


@contextlib.contextmanager
def _announcing(ready_fd: int | None) -> Iterator[Callable[[str], None]]:
    """Gives a function that tells the starter one line, once; an error is told by itself."""
    pending = ready_fd

    def announce(line: str) -> None:
        nonlocal pending
        if pending is not None:
            fd, pending = pending, None
            with contextlib.suppress(OSError):  # the starter may be gone; serve all the same
                os.write(fd, line.encode("utf-8") + b"\n")
            os.close(fd)

    if ready_fd is not None:
        os.set_inheritable(ready_fd, False)  # a worker that kept it open would hide our end
    try:
        yield announce
    except Exception as error:
        announce(report(error)[1].decode("utf-8"))
        raise


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the data directory; raises StoreInUse naming the process that has it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
                owner = f"the server with process id {holder}" if holder else "another server"
                raise StoreInUse(str(home), owner)
            time.sleep(0.01)
        pid = f"{os.getpid()}\n".encode()
        with contextlib.suppress(OSError):  # on a full disk nobody learns it, and all else goes on
            os.pwrite(fd, pid, 0)
            os.ftruncate(fd, len(pid))
        yield
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _bind_private(path: Path, cleanup: contextlib.ExitStack) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = os.lstat(path.parent)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise Unavailable(
            f"{path.parent} must be a directory that only you can write to, as the server's "
            "socket is in it"
        )
    path.unlink(missing_ok=True)  # we hold the lock, so nobody serves it
    private = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        private.bind(str(path))
    finally:
        os.umask(before)
    cleanup.callback(_remove_own, path, os.lstat(path))
    return private


def _remove_own(path: Path, made: os.stat_result) -> None:
    """Remove a file, unless it is another server's by now: the directory may be a new one."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.lstat(path), made):
            path.unlink()


def _bind_tcp(listener: Listener) -> socket.socket:
    where = f"{listener.host}:{listener.port}"
    try:
        found = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Finds out about callers whose machine vanished; taken over by accepted connections.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        bound.bind(address)
    except OSError as error:
        raise Unavailable(f"can't listen on {where}: {error.strerror or error}") from error
    return bound


def _publish(
    config: Config,
    version: str,
    sockets: list[socket.socket],
    cleanup: contextlib.ExitStack,
    *,
    secure: bool,
) -> None:
    """Say in `server.json` where this server is."""
    addresses = []
    for bound in sockets[1:]:
        host, port = bound.getsockname()[:2]
        scheme = "https" if secure else "http"
        addresses.append(
            f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        )
    path = config.home / "server.json"
    record = {
        "pid": os.getpid(),
        "socket": str(config.socket),
        "addresses": addresses,
        PEERS: [reachable(bound) for bound in sockets[1:]],
        "version": version,
    }
    try:
        _write_whole(path, json.dumps(record) + "\n")
    except OSError as error:  # a server on a full disk is what can make room on it
        log.warning("can't write %s: %s", path, error.strerror)
    else:
        cleanup.callback(_remove_own, path, os.lstat(path))
    for address in addresses:
        log.info("listening on %s", address)


def _write_whole(path: Path, text: str) -> None:
    """Replace a file in one step, so that nobody reads half of it; only the user may read it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def _set_up_process() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
