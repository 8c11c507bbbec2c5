"""The ASGI application: a guard, the REST door, and the routes that belong to no operation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.api.connection import Operations
from trunkline.errors import NotAllowed, TrunklineError, Unavailable
from trunkline.model.signed import Signer
from trunkline.server.auth import BELOW, HEALTH, READY, Guard
from trunkline.server.rest.endpoint import HEARTBEAT_S, Limits
from trunkline.server.rest.lane import Lane
from trunkline.server.rest.openapi import document
from trunkline.server.rest.reports import JSON, encode, method_not_allowed, no_such_route, report
from trunkline.server.rest.routes import PREFIX, RestDoor
from trunkline.server.rest.threads import Threads
from trunkline.server.signed import SignedDoor

OPENAPI = f"{PREFIX}/openapi.json"
SHUTDOWN = f"{PREFIX}/shutdown"
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
    operations: Operations,
    *,
    spec_bytes_max: int,
    token: str | None = None,
    hosts: Iterable[str] = (),
    shut_down: Callable[[], None] | None = None,
    heartbeat_s: float = HEARTBEAT_S,
    signer: Signer | None = None,
) -> App:
    """The application that serves these operations.

    Over TCP it lets nobody in without the `token`, or an address that `signer` knows; `hosts` are
    further names that the server goes by. `shut_down` is called when a caller on the private
    socket asks the server to end.
    """
    threads = Threads()
    # Quotes and line ends in a spec take two bytes in JSON.
    limits = Limits(body_bytes_max=2 * spec_bytes_max + SLACK_BYTES, heartbeat_s=heartbeat_s)
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

    others = {
        HEALTH: Route(HEALTH, healthz, methods=["GET"]),
        READY: Route(READY, readyz, methods=["GET"]),
        OPENAPI: Route(OPENAPI, describe, methods=["GET"]),
        SHUTDOWN: Route(SHUTDOWN, shutdown, methods=["POST"]),
    }
    rest, inner = RestDoor(operations, threads, limits), f"{PREFIX}/".encode()
    application = Starlette(
        routes=[*others.values()],
        exception_handlers={404: _not_found, 405: _method_not_allowed},
    )

    signed = SignedDoor(rest, signer)

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["raw_path"].startswith(BELOW):
            await signed(scope, receive, send)
            return
        # Past the framework, whose layers take longer than finding the operation.
        operation = scope["raw_path"].startswith(inner) and scope["path"] not in others
        await (rest if operation else application)(scope, receive, send)

    guarded = Guard(inside, token, hosts, signer)
    return App(asgi=guarded, rest=rest, others=tuple(others), threads=threads)


def _not_found(request: Request, _: Exception) -> Response:
    status, body = no_such_route(request.method, request.url.path)
    return Response(body, status, media_type=JSON)


def _method_not_allowed(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None) or {}
    allowed = [method.strip() for method in headers.get("Allow", "").split(",")]
    status, body = method_not_allowed(request.method, request.url.path, allowed)
    return Response(body, status, headers=headers, media_type=JSON)
