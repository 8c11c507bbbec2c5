"""One operation behind HTTP: read its arguments, call it in a thread, send what it gives.

Short answers are one JSON value. `Iterator[T]` is sent as one JSON value per line as the values
come, with an empty line every 15 seconds of silence so that either side notices when the other has
died, and an error after the first line as a last line `{"error": …}`. `Iterator[bytes]` is sent as
it is; an error after its first byte can only break the connection off.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from trunkline.api.changes import FileChange
from trunkline.api.connection import Served
from trunkline.api.operation import Operation
from trunkline.errors import InvalidInput, NotAllowed, Unavailable
from trunkline.server.audit import carried_out
from trunkline.server.callers import NOTED, STATE, caller_of, check_allowed
from trunkline.server.reports import LINES, OCTETS, encode, report, send_json
from trunkline.server.rest.arguments import Shape, read_body, read_query, shape_of
from trunkline.server.rest.bodies import DIRECT_FROM_BYTES, DirectBody
from trunkline.server.rest.inbound import DirectUpload
from trunkline.server.rest.uploads import brief_changes, received_changes
from trunkline.server.threads import Inflow, Outflow, Threads, feed, hanging_up

HEARTBEAT_S = 15.0  # of silence in a stream of lines, until an empty one is sent
BODY_S = 60.0  # within which a JSON body must have come
BRIEF_BYTES_MAX = 16 * 1024  # of an upload that is read in the loop: it takes a millisecond
FIRST_LINE_S = 1.0  # within which an error still gets a status of its own

log = logging.getLogger("trunkline.server")

Call = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of everything one request may use."""

    body_bytes_max: int  # of a JSON body
    heartbeat_s: float = HEARTBEAT_S


class Endpoint:
    """Serves one operation."""

    def __init__(
        self, operation: Operation, call: Call, served: Served, threads: Threads, limits: Limits
    ) -> None:
        self._operation = operation
        self._call = call
        self._served = served
        self._threads = threads
        self._limits = limits
        in_path = {
            part[1:-1] for part in operation.path.split("/") if part[:1] == "{" and part[-1:] == "}"
        }
        self._names = [
            name for name in operation.arguments if name not in in_path and name != operation.upload
        ]
        self._in_query = operation.method in ("GET", "DELETE") or operation.upload is not None
        self._shapes: dict[str, Shape] = (
            {name: shape_of(operation.arguments[name]) for name in self._names}
            if self._in_query
            else {}
        )

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, in_path: dict[str, str]
    ) -> None:
        """Answer one request; every error becomes a report."""
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._serve(scope, receive, noting_send, in_path)
        except Exception as error:
            if started and isinstance(error, ConnectionError):
                return  # who asked has gone, which is no trouble of ours
            if started:
                # Too late for a status: leaving without a last piece breaks the connection off.
                log.warning("%s broke off: %s", self._operation.name, report(error)[1].decode())
                return
            await send_json(send, *report(error))

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, in_path: dict[str, str]
    ) -> None:
        operation = self._operation
        check_allowed(operation, caller_of(scope))
        if operation.private and not scope.get("state", {}).get("private"):
            raise NotAllowed(
                f"{operation.name} writes files of the server's machine, so it is only for callers "
                "on its private socket: run the command there"
            )
        if self._in_query:
            query = scope["query_string"]
            arguments = in_path | read_query(operation, self._names, query, self._shapes)
        else:
            if scope["query_string"]:
                raise InvalidInput(f"{operation.name} takes its arguments in a JSON body")
            body = await read_whole(receive, scope, self._limits.body_bytes_max)
            arguments = in_path | read_body(operation, self._names, body)
        if operation.upload is not None:
            state = scope.get("state", {})
            direct = state["take_upload"]() if "take_upload" in state else None
            if direct is None:
                await self._serve_upload(receive, send, arguments, state)
            else:
                await self._serve_direct(direct, receive, send, arguments, state)
        elif operation.streams_bytes or operation.streams_values:
            # Older callers get no chunks.
            state = scope.get("state", {}) if scope.get("http_version") == "1.1" else {}
            await self._serve_stream(receive, send, arguments, state.get("transport"))
        elif arguments.get("wait"):
            outflow = self._threads.start(
                lambda out: out.put(self._answer(arguments, scope["state"])), patient=True
            )
            with hanging_up(receive, outflow):
                await send_json(send, 200, b"".join(await outflow.take() or []))
        else:
            answer = await self._threads.short(lambda: self._answer(arguments, scope["state"]))
            await send_json(send, 200, answer)

    def brief_upload(
        self, in_path: dict[str, str], query: bytes, body: bytes
    ) -> Callable[[], bytes] | None:
        """A small upload, ready to be carried out; None for all else. Raises InvalidInput."""
        upload = self._operation.upload
        if upload is None or len(body) > BRIEF_BYTES_MAX:
            return None
        changes = brief_changes(body)
        if changes is None:
            return None
        arguments = in_path | read_query(self._operation, self._names, query, self._shapes)
        return lambda: encode(self._call(**arguments, **{upload: changes}))

    def _answer(self, arguments: dict[str, Any], state: dict[str, Any]) -> bytes:
        """What the operation gives, as JSON; noted in the audit log where that is for it."""
        if not self._operation.changes or not state.get(NOTED):
            return encode(self._call(**arguments))
        given = carried_out(
            *(self._served, self._operation, self._call, arguments),
            caller=state[STATE],
            door="http",
        )
        return encode(given)

    async def _serve_upload(
        self, receive: Receive, send: Send, arguments: dict[str, Any], state: dict[str, Any]
    ) -> None:
        upload = self._operation.upload
        assert upload is not None
        first = await receive()
        body = first.get("body", b"")
        if not first.get("more_body", False) and len(body) <= BRIEF_BYTES_MAX:
            brief = brief_changes(body)
            if brief is not None:
                answer = await self._threads.brief(
                    lambda: self._answer({**arguments, upload: brief}, state),
                    wanted=_connected(state.get("transport")),
                )
                await send_json(send, 200, answer)
                return
        inflow = Inflow(asyncio.get_running_loop())
        changes = received_changes(
            inflow, private=bool(state.get("private")), repo=state[STATE].repo
        )
        outflow = self._threads.start(
            lambda out: out.put(self._answer({**arguments, upload: changes}, state)), patient=False
        )
        feeding = asyncio.create_task(feed(receive, inflow, outflow, first=first))
        try:
            await send_json(send, 200, b"".join(await outflow.take() or []))
        finally:
            feeding.cancel()
            inflow.end()

    async def _serve_direct(
        self,
        body: DirectUpload,
        receive: Receive,
        send: Send,
        arguments: dict[str, Any],
        state: dict[str, Any],
    ) -> None:
        upload = self._operation.upload
        assert upload is not None

        def changes() -> Iterator[FileChange]:
            private, repo = bool(state.get("private")), state[STATE].repo
            yield from received_changes(body, private=private, repo=repo)
            body.finish()

        def work(outflow: Outflow) -> None:
            try:
                answer = self._answer({**arguments, upload: changes()}, state)
            finally:
                body.leave()
            outflow.put(answer)

        try:
            outflow = self._threads.start(work, patient=False)
        except Unavailable:
            body.leave()
            await body.returned()
            raise
        try:
            with hanging_up(receive, outflow):
                answer = await outflow.take()
                if answer is not None:
                    await body.returned()
                    await send_json(send, 200, b"".join(answer))
        except Exception as error:
            await body.returned()
            if not body.broken:
                raise
            await send_json(send, *report(error), headers=[(b"connection", b"close")])
        finally:
            body.end()

    async def _serve_stream(
        self,
        receive: Receive,
        send: Send,
        arguments: dict[str, Any],
        transport: asyncio.Transport | None,
    ) -> None:
        raw = self._operation.streams_bytes
        outflow = self._threads.start(
            lambda out: _pour(self._call(**arguments), out, raw=raw), patient=True
        )
        with hanging_up(receive, outflow):
            if raw:
                await _send_bytes(outflow, send, transport)
            else:
                await _send_lines(outflow, send, self._limits.heartbeat_s)


async def read_whole(receive: Receive, scope: Scope, bytes_max: int) -> bytes:
    """The body of a request; raises InvalidInput for a larger or slower one than is allowed."""
    try:
        async with asyncio.timeout(BODY_S):
            return await _read_whole(receive, scope, bytes_max)
    except TimeoutError as error:
        raise InvalidInput(
            f"the body of the request did not come within {BODY_S:g} seconds"
        ) from error


async def _read_whole(receive: Receive, scope: Scope, bytes_max: int) -> bytes:
    too_large = InvalidInput(f"the body of the request is larger than {bytes_max:,} bytes")
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > bytes_max:
            raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("the request broke off before its end")
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


def _pour(values: Iterator[Any], outflow: Outflow, *, raw: bool) -> None:
    try:
        for value in values:
            outflow.put(value if raw else encode(value) + b"\n")
    finally:
        # The caller may have hung up in the middle: what the iterator holds is released now.
        close = getattr(values, "close", None)
        if close is not None:
            close()


async def _send_bytes(
    outflow: Outflow, send: Send, transport: asyncio.Transport | None = None
) -> None:
    pieces = await outflow.take()  # an error before the first byte still has its status
    await _start(send, OCTETS)
    with DirectBody(transport) as body:
        while pieces is not None:
            for piece in pieces:
                if len(piece) < DIRECT_FROM_BYTES or not await body.send(piece):
                    await _part(send, piece)
            pieces = await outflow.take()
    await _part(send, b"", more=False)


async def _send_lines(outflow: Outflow, send: Send, heartbeat_s: float) -> None:
    lines = await outflow.take(min(heartbeat_s, FIRST_LINE_S))
    await _start(send, LINES)
    try:
        while lines is not None:
            await _part(send, b"".join(lines) or b"\n")
            lines = await outflow.take(heartbeat_s)
    except Exception as error:
        await _part(send, report(error)[1] + b"\n")
    await _part(send, b"", more=False)


async def _start(send: Send, media_type: str) -> None:
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _part(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _connected(transport: asyncio.Transport | None) -> Callable[[], bool]:
    """Whether the caller is still there; to be asked by any thread."""
    return lambda: transport is None or not transport.is_closing()
