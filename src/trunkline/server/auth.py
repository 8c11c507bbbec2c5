"""Who may speak to the server.

The private socket is guarded by the file system (mode 0600 in a directory of mode 0700) and by a
look at who is at its other end; over it no token is needed. Everyone else comes over TCP and must
bring a token, on every route but the two that tell whether the server is well, those whose
address is signed (`signed`), and those of the console, which has sessions (`console.session`). What
a token is good for is said by the role of the caller (`callers`), which each operation asks for.
The token of a repo opens its files and commits alone. Requests that a web page could make a browser
send (a foreign Host, by DNS rebinding; a foreign Origin) are refused even with the token.

Fails closed: a connection that is not known to be private is treated as TCP.
"""

import asyncio
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.errors import InvalidInput, NotAllowed, TokenRefused, TrunklineError
from trunkline.model.roles import FOR_OTHERS
from trunkline.model.signed import PLACE
from trunkline.server.answers import Answers
from trunkline.server.callers import NOTED, OWNER, STATE, Caller, Callers
from trunkline.server.console.page import PLACE as CONSOLE_PLACE
from trunkline.server.lending import LendingProtocol
from trunkline.server.reports import report, send_json

SEND_BYTES = 1024 * 1024  # on their way through the private socket
HEALTH = "/healthz"  # it runs
READY = "/readyz"  # it can be given work: it does not stop, and its catalog answers
ROOT = "/"  # leads to the console
BELOW = f"/{PLACE}/".encode()
_CONSOLE = CONSOLE_PLACE.encode()
_OPERATIONS = [b"", b"api", b"v1"]
_OF_A_REPO = (
    b"files",
    b"content",
    b"tree",
    b"tar",
    b"paths",
    b"file",
    b"list",
    b"glob",
    b"commits",
)
HEAD_S = 60.0  # within which the head of a request must have come

_HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")


class Protocol(LendingProtocol):
    """Marks requests from the private socket, and hangs up on other users there.

    Requests know their transport too, for bodies that are worth a way of their own. Connections
    are counted, so nobody may hold one for ever without asking for anything.
    """

    _waiting: asyncio.TimerHandle | None = None  # for the head of a request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        self._waiting = self.loop.call_later(HEAD_S, transport.abort)
        peer: socket.socket = transport.get_extra_info("socket")
        private = peer.family == socket.AF_UNIX
        if private:
            # Fewer changes between the two processes while much is sent; the system has a limit.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
            if not _is_own_user(peer):
                transport.abort()
        # Each request gets a copy of this as scope["state"].
        self.app_state = {
            **self.app_state,
            "private": private,
            "transport": transport,
        }

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # the next request; nobody has answered it yet
            self.cycle.transport = Answers(self.transport, self.loop)  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.lent or (self.cycle is not None and not self.cycle.response_complete):
            self._wait_no_more()
        elif self._waiting is None:  # each byte more gives no more time
            self._waiting = self.loop.call_later(HEAD_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Guard:
    """Lets a request through to the app, or answers it with the reason why not."""

    def __init__(self, app: ASGIApp, callers: Callers, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._callers = callers
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"a request of type {scope['type']} came past the protocol")
        named = {name for name, _ in scope["headers"]}
        if b"content-length" in named and b"transfer-encoding" in named:
            # Of two readers on the way each may believe another one (RFC 9112, 6.3).
            twice = InvalidInput(
                "the request says in two ways how long its body is, by Content-Length and by "
                "Transfer-Encoding; send one of them"
            )
            await send_json(send, *report(twice), headers=[(b"connection", b"close")])
            return
        state = scope.get("state", {})
        caller: Caller | None = OWNER
        if not state.get("private"):
            try:
                caller = await self._check(scope)
            except TrunklineError as error:
                headers = (
                    [(b"www-authenticate", b"Bearer")] if isinstance(error, TokenRefused) else []
                )
                await send_json(send, *report(error), headers=headers)
                return
        if caller is None:
            await self._app(scope, receive, send)
            return
        scope["state"] = {**state, STATE: caller, NOTED: _is_noted(caller, scope)}
        with self._callers.held(caller, scope):
            await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> Caller | None:
        """Who calls; None where he need not say that here."""
        host = _only(scope, b"host")
        self._check_host(host)
        self._check_origin(_only(scope, b"origin"), host)
        # An address below that place has to show by itself that it was given out (`signed`).
        raw = scope["raw_path"]
        told = raw.startswith(BELOW) or is_for_console(raw)
        if scope["path"] in (HEALTH, READY, ROOT) or told:
            return None
        return await self._caller(_only(scope, b"authorization"), scope)

    def _check_host(self, host: bytes | None) -> None:
        match = _HOST.fullmatch(host or b"")
        name = match.group(1).decode("latin-1").lower() if match else ""
        if name in self._hosts:
            return
        try:
            # An address was not looked up in the DNS, so nobody can have rebound it.
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            raise NotAllowed(
                "this server is not known by the name in the Host header; "
                "use its address, or start it with `--listen` and that name"
            ) from None

    def _check_origin(self, origin: bytes | None, host: bytes | None) -> None:
        if origin is None:
            return
        scheme, _, rest = origin.partition(b"://")
        if scheme not in (b"http", b"https") or rest.lower() != (host or b"").lower():
            raise NotAllowed("requests from pages of other sites are refused")

    async def _caller(self, header: bytes | None, scope: Scope) -> Caller:
        scheme, _, given = (header or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not given.strip():
            raise TokenRefused(
                "this server needs a token: add it to the context with `--token`, "
                "or set TRUNKLINE_TOKEN"
            )
        caller = await self._callers.by_secret(given.strip())
        if caller.repo is not None and not _is_of(caller.repo, scope):
            raise NotAllowed(
                f"this token is good for the files and commits of repo '{caller.repo}' alone"
            )
        return caller


def _is_noted(caller: Caller, scope: Scope) -> bool:
    """Whether changes by a request are for the audit log."""
    if scope.get("state", {}).get("private") or caller.repo is not None:
        return False
    # Another server, which noted it for its own caller. Others with this token need no such trick.
    asked = any(name == FOR_OTHERS.lower().encode() for name, _ in scope["headers"])
    return not (asked and caller == OWNER)


def is_for_console(raw_path: bytes) -> bool:
    """Whether a path is that of a page, as it came over the wire."""
    return raw_path == _CONSOLE or raw_path.startswith(_CONSOLE + b"/")


def _is_of(repo: str, scope: Scope) -> bool:
    """Whether a request is about the files or commits of a repo, and nothing else."""
    parts = scope["raw_path"].split(b"/")
    if scope["method"] not in ("GET", "POST") or parts[:3] != _OPERATIONS:
        return False
    if parts[3:4] in ([b"puts"], [b"version"]):
        return True
    named = len(parts) > 5 and parts[3] == b"repos" and unquote_to_bytes(parts[4])
    return named == repo.encode() and parts[5] in _OF_A_REPO


def _only(scope: Scope, name: bytes) -> bytes | None:
    """The value of a header; a request with two of them is one that two readers read apart."""
    values: list[bytes] = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise NotAllowed(f"the request has more than one {name.decode()} header")
    return values[0] if values else None


def _is_own_user(peer: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # where the kernel can't tell, the mode of the directory has to do
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return uid in (0, os.getuid())
