"""The ASGI application: a guard, the doors, and the routes that belong to no operation."""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.api.connection import Served
from trunkline.errors import NotAllowed, TrunklineError, Unavailable
from trunkline.model.signed import Signer
from trunkline.server.auth import BELOW, HEALTH, READY, ROOT, Guard, is_for_console
from trunkline.server.callers import Callers, caller_of
from trunkline.server.console.page import PLACE
from trunkline.server.console.session import Sessions
from trunkline.server.reports import JSON, encode, method_not_allowed, no_such_route, report
from trunkline.server.rest.endpoint import HEARTBEAT_S, Limits
from trunkline.server.rest.lane import Lane
from trunkline.server.rest.openapi import document
from trunkline.server.rest.routes import PREFIX, RestDoor
from trunkline.server.signed import SignedDoor
from trunkline.server.threads import Threads

OPENAPI = f"{PREFIX}/openapi.json"
SHUTDOWN = f"{PREFIX}/shutdown"
CONSOLE = f"{PREFIX}/console"  # gives an address to open in a browser
SLACK_BYTES = 1024 * 1024  # in a JSON body, beside the spec in it


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The application and what its owner needs to end it well."""

    asgi: ASGIApp
    rest: RestDoor  # every path below its prefix
    others: tuple[str, ...]  # paths
    threads: Threads

    def lane(self) -> Lane:
        """The way for small uploads, for the connections of one server."""
        return Lane(self.rest, self.threads)


def build_app(
    operations: Served,
    *,
    spec_bytes_max: int,
    token: str | None = None,
    hosts: Iterable[str] = (),
    shut_down: Callable[[], None] | None = None,
    heartbeat_s: float = HEARTBEAT_S,
    signer: Signer | None = None,
    open_console: Callable[[], Awaitable[str]] | None = None,
) -> App:
    """The application that serves these operations.

    Over TCP it lets nobody in without the `token`, one of those that the operations know, or an
    address that `signer` knows; `hosts` are further names that the server goes by. `shut_down` is
    called when a caller on the private socket asks the server to end. `open_console` gives the
    address at which a browser of this machine reaches the server, and makes it one first where need
    be.
    """
    threads = Threads()
    callers = Callers(operations, threads, token, signer)
    # Quotes and line ends in a spec take two bytes in JSON.
    limits = Limits(body_bytes_max=2 * spec_bytes_max + SLACK_BYTES, heartbeat_s=heartbeat_s)
    sessions = Sessions(_console_key(signer, token))
    routes = _routes(operations, threads, sessions, shut_down, open_console)
    others = {route.path: route for route in routes}
    rest, inner = RestDoor(operations, threads, limits), f"{PREFIX}/".encode()
    application = Starlette(
        routes=routes,
        exception_handlers={404: _not_found, 405: _method_not_allowed},
    )

    signed = SignedDoor(rest, signer)
    console = _ConsoleOnDemand(operations, threads, sessions, callers)

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["raw_path"].startswith(BELOW):
            await signed(scope, receive, send)
            return
        if is_for_console(scope["raw_path"]):
            await console(scope, receive, send)
            return
        # Past the framework, whose layers take longer than finding the operation.
        operation = scope["raw_path"].startswith(inner) and scope["path"] not in others
        await (rest if operation else application)(scope, receive, send)

    guarded = Guard(inside, callers, hosts)
    return App(asgi=guarded, rest=rest, others=tuple(others), threads=threads)


def _routes(
    operations: Served,
    threads: Threads,
    sessions: Sessions,
    shut_down: Callable[[], None] | None,
    open_console: Callable[[], Awaitable[str]] | None,
) -> list[Route]:
    """The routes that belong to no operation and no page."""
    openapi: list[bytes] = []

    def healthz(_: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type=JSON)

    def readyz(_: Request) -> Response:
        try:
            if threads.stopping:
                raise Unavailable("the server is stopping")
            operations.projects.list_projects()
        except TrunklineError as error:
            return Response(report(error)[1], 503, media_type=JSON)
        return Response(b'{"status":"ok"}', media_type=JSON)

    def describe(_: Request) -> Response:
        if not openapi:
            openapi.append(encode(document(operations.admin.version().version)))
        return Response(openapi[0], media_type=JSON)

    async def shutdown(request: Request) -> Response:
        if shut_down is None or not request.scope.get("state", {}).get("private"):
            refused = NotAllowed("only a caller on the server's own machine and socket may end it")
            status, body = report(refused)
            return Response(body, status, media_type=JSON)
        shut_down()
        return Response(b"null", media_type=JSON)

    async def give_address(request: Request) -> Response:
        """Where the console is, for one login; over TCP below the address that was asked."""
        private = request.scope.get("state", {}).get("private")
        place = await open_console() if private and open_console is not None else ""
        code = sessions.new_code(caller_of(request.scope).digest)
        address = f"{place}{PLACE}/login/{code}"
        return Response(encode({"address": address}), media_type=JSON)

    def to_console(_: Request) -> Response:
        return RedirectResponse(f"{PLACE}/", 303)

    return [
        Route(ROOT, to_console, methods=["GET"]),
        Route(HEALTH, healthz, methods=["GET"]),
        Route(READY, readyz, methods=["GET"]),
        Route(OPENAPI, describe, methods=["GET"]),
        Route(SHUTDOWN, shutdown, methods=["POST"]),
        Route(CONSOLE, give_address, methods=["POST"]),
    ]


class _ConsoleOnDemand:
    """The console, made when somebody asks for a page: its libraries take time to load."""

    def __init__(
        self, operations: Served, threads: Threads, sessions: Sessions, callers: Callers
    ) -> None:
        self._operations = operations
        self._threads = threads
        self._sessions = sessions
        self._callers = callers
        self._made: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._made is None:
            try:
                self._made = await self._threads.short(self._make)
            except Exception as error:
                status, body = report(error)
                await Response(body, status, media_type=JSON)(scope, receive, send)
                return
        await self._made(scope, receive, send)

    def _make(self) -> ASGIApp:
        from trunkline.server.console.app import Console

        return Console(self._operations, self._threads, self._sessions, self._callers)


def _console_key(signer: Signer | None, token: str | None) -> bytes:
    """What signs sessions: the same on all nodes and after a restart, until the token changes."""
    if signer is None:
        return secrets.token_bytes(32)
    return hmac.new(signer.key, f"console {token or ''}".encode(), hashlib.sha256).digest()


def _not_found(request: Request, _: Exception) -> Response:
    status, body = no_such_route(request.method, request.url.path)
    return Response(body, status, media_type=JSON)


def _method_not_allowed(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None) or {}
    allowed = [method.strip() for method in headers.get("Allow", "").split(",")]
    status, body = method_not_allowed(request.method, request.url.path, allowed)
    return Response(body, status, headers=headers, media_type=JSON)
