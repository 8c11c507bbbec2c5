"""Where workers that are not processes of this machine come in.

A worker connects, shows that it knows the key and says who it is; from then on its connection is
the line that the launcher of that worker gave to the scheduler, byte for byte, through a bounded
buffer. Nobody comes in who is not expected: a name is good for one connection, as long as its
worker is wanted. A connection that ends is a worker that ended.

With a certificate all of that is said over TLS.

One line of JSON at a time: the door asks (`nonce`), the worker answers (`name`, `proof`), and is
let in (`settings`) or told why not (`refused`). The key itself is never sent.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.errors import InvalidInput, Unavailable
from trunkline.jobs.certificate import FAREWELL_S, HANDSHAKE_S, Certificate

KEY_BYTES = 32
HELLO_S = 10.0  # to say who one is
WAITING_MAX = 200  # connections that have not said so yet; more are closed at once
_LINE_BYTES_MAX = 64 * 1024
BUFFER_BYTES = 256 * 1024
_ANSWER_S = 5.0
_PURPOSE = b"trunkline worker 1\n"
_SILENT_S, _PROBE_S, _PROBES = 20, 10, 3  # until one whose machine vanished counts as gone

_log = logging.getLogger("trunkline.workers")


def proof(key: bytes, name: str, nonce: str) -> str:
    """What shows that somebody who calls himself so knows the key."""
    return hmac.new(key, _PURPOSE + f"{nonce}\n{name}".encode(), hashlib.sha256).hexdigest()


def places_of(name: str) -> str:
    """By what name a worker comes a second time, to ask for places (`jobs.places`)."""
    return f"{name}/places"


def read_key(directory: Path) -> bytes:
    """The key of the door that has this directory. Raises Unavailable."""
    path = directory / "key"
    try:
        return _key_of(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise Unavailable(f"the key of workers in {path} can't be used: {error}") from error


def given_key(text: str) -> bytes:
    """The key out of the settings. Raises InvalidInput, which does not show it."""
    try:
        return _key_of(text)
    except ValueError:
        raise InvalidInput(
            f"TRUNKLINE_WORKERS_KEY must be {2 * KEY_BYTES} hexadecimal digits, as "
            "`openssl rand -hex 32` makes them"
        ) from None


def _key_of(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != KEY_BYTES:
        raise ValueError("it has another length")
    return found


def make_key(directory: Path) -> bytes:
    """A new key, which is stored (mode 0600). Raises Unavailable."""
    path = directory / "key"
    made = secrets.token_bytes(KEY_BYTES)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = directory / ".key.new"
        aside.unlink(missing_ok=True)
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(made.hex() + "\n")
        aside.rename(path)
    except OSError as error:
        raise Unavailable(f"the key of workers can't be stored in {path}: {error}") from error
    return made


def keep_alive(connection: socket.socket) -> None:
    """Notice by and by if the machine at the other end is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _PROBE_S),
        ("TCP_KEEPINTVL", _PROBE_S),
        ("TCP_KEEPCNT", _PROBES),
        ("TCP_USER_TIMEOUT", _SILENT_S * 1000),
    ):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@dataclass(slots=True, kw_only=True, eq=False)
class _Guest:
    """A worker that is expected, or has come."""

    near: socket.socket  # its end of the line to the scheduler
    settings: Mapping[str, str]
    task: asyncio.Task[None] | None = None  # once it has come
    served: bool = False  # `near` is closed by that task


class Door:
    """A port for workers. Thread-safe; it has a thread with a loop of its own."""

    def __init__(self, key: bytes, certificate: Certificate | None = None) -> None:
        self._key = key
        self._certificate = certificate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="trunkline-workers", daemon=True
        )
        self._server: asyncio.Server | None = None
        self._guests: dict[str, _Guest] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting = 0
        self._following: asyncio.Task[None] | None = None  # of the certificate
        self.port = 0

    def open(self, host: str, port: int) -> None:
        """Listen; raises Unavailable."""
        self._thread.start()
        try:
            self._ask(self._open(host, port))
        except OSError as error:
            where = f"{host}:{port}"
            raise Unavailable(f"can't listen for workers on {where}: {error.strerror}") from error

    def expect(self, name: str, near: socket.socket, settings: Mapping[str, str]) -> None:
        """Let a worker of this name in, once; `near` is the door's to close from now on."""
        self._ask(self._expect(name, _Guest(near=near, settings=settings)))

    def has_come(self, name: str) -> bool:
        """Whether a worker is connected, or was until just now."""
        guest = self._guests.get(name)
        return guest is not None and guest.task is not None

    def drop(self, name: str) -> None:
        """End the line of a worker, and let nobody in by that name."""
        self._ask(self._drop(name))

    def close(self) -> None:
        """Listen no more, and end all lines."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        self._ask(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_S)

    # --- in the loop ------------------------------------------------------------------------------

    async def _open(self, host: str, port: int) -> None:
        secured: dict[str, Any] = {}
        if self._certificate is not None:
            secured = {
                "ssl": self._certificate.context,
                "ssl_handshake_timeout": HANDSHAKE_S,
                "ssl_shutdown_timeout": FAREWELL_S,
            }
            self._following = asyncio.ensure_future(self._certificate.follow())
        self._server = await asyncio.start_server(
            self._take, host, port, limit=BUFFER_BYTES, **secured
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _expect(self, name: str, guest: _Guest) -> None:
        assert name not in self._guests, "a name is given to one worker"
        self._guests[name] = guest

    async def _drop(self, name: str) -> None:
        guest = self._guests.pop(name, None)
        if guest is None:
            return
        if not guest.served:
            guest.near.close()
        if guest.task is not None:
            guest.task.cancel()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._following is not None:
            self._following.cancel()
        for name in list(self._guests):
            await self._drop(name)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is taken by a task"
        self._tasks.add(task)
        try:
            keep_alive(writer.get_extra_info("socket"))
            if (name := await self._greet(reader, writer)) is not None:
                await self._serve(self._guests[name], name, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it is gone, or nobody who could be let in
        except asyncio.CancelledError:
            pass  # it is not wanted any more
        finally:
            self._tasks.discard(task)
            for name in [name for name, guest in self._guests.items() if guest.task is task]:
                await self._drop(name)
            writer.transport.abort()

    async def _greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> str | None:
        """The name of who has come, if he is expected; he has been told so, or why not."""
        if self._waiting >= WAITING_MAX:
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(HELLO_S):
                nonce = secrets.token_hex(KEY_BYTES)
                await _say(writer, {"nonce": nonce})
                name, shown = _hello(await reader.readuntil(b"\n"))
                guest = self._guests.get(name)
                if not hmac.compare_digest(proof(self._key, name, nonce), shown):
                    refusal = "it does not know the key of this server's workers"
                elif guest is None:
                    refusal = "no such worker is expected"
                elif guest.task is not None:
                    refusal = "a worker of this name has come already"
                else:
                    guest.task = asyncio.current_task()
                    await _say(writer, {"settings": dict(guest.settings)})
                    return name
                _log.warning("a worker was not let in: %s", refusal)
                await _say(writer, {"refused": refusal})
                writer.close()
                await writer.wait_closed()
                return None
        finally:
            self._waiting -= 1

    async def _serve(
        self, guest: _Guest, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass bytes on between a worker and the scheduler until one of them has ended."""
        guest.served = True
        theirs, near = await asyncio.open_connection(sock=guest.near, limit=BUFFER_BYTES)
        both = [
            asyncio.ensure_future(pass_on(reader, near)),
            asyncio.ensure_future(pass_on(theirs, writer)),
        ]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if both[1] in done:  # the scheduler is done; what it said last gets there
                writer.close()
                async with asyncio.timeout(_ANSWER_S):
                    await writer.wait_closed()
        finally:
            for task in both:
                task.cancel()
            near.close()  # what the worker said last is read before that is noticed
            if self._guests.get(name) is guest:
                del self._guests[name]  # nobody else comes in by it


async def _say(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()


def _hello(line: bytes) -> tuple[str, str]:
    """Name and proof; empty for what is no such line."""
    try:
        said = json.loads(line[:_LINE_BYTES_MAX])
        return str(said["name"]), str(said["proof"]).encode("ascii", "replace").decode()
    except (ValueError, TypeError, KeyError):
        return "", ""


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on all that comes until one side is gone."""
    with suppress(OSError):  # the other side hears of it
        while data := await source.read(BUFFER_BYTES):
            target.write(data)
            await target.drain()
