"""The table of routes: which operation answers which method and path.

Paths are matched as they came over the wire, before percent-decoding, so that an argument may hold
any character: `%2F` is a slash inside a job's name, `%25` a percent sign in a file's. An argument
called `path` at the end of a route takes all the rest, slashes included.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from trunkline.api.connection import NOUNS, Served
from trunkline.api.operation import Operation, operations_of
from trunkline.errors import TrunklineError
from trunkline.server.reports import method_not_allowed, no_such_route, report, send_json
from trunkline.server.rest.arguments import decode_segment
from trunkline.server.rest.endpoint import Endpoint, Limits
from trunkline.server.threads import Threads

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A declared path, split: literal segments as bytes, arguments as their names."""

    segments: tuple[bytes | str, ...]
    takes_rest: bool  # the last argument may contain slashes

    def match(self, raw: bytes) -> dict[str, bytes] | None:
        """The raw arguments in a path below the prefix, or None if it is another path."""
        count = len(self.segments)
        parts = raw.split(b"/", count) if self.takes_rest else raw.split(b"/")
        if self.takes_rest and len(parts) > count:
            parts[count - 1 :] = [b"/".join(parts[count - 1 :])]
        if len(parts) != count:
            return None
        found: dict[str, bytes] = {}
        for segment, part in zip(self.segments, parts, strict=True):
            if isinstance(segment, str):
                found[segment] = part
            elif segment != part:
                return None
        return found


def pattern_of(path: str) -> Pattern:
    """Read a declared path such as `/repos/{repo}/content/{commit}/{path}`."""
    segments: list[bytes | str] = []
    for part in path.strip("/").split("/"):
        segments.append(part[1:-1] if part.startswith("{") else part.encode("ascii"))
    return Pattern(segments=tuple(segments), takes_rest=segments[-1] == "path")


def declared() -> Iterator[tuple[str, Operation]]:
    """Every declared operation with its noun, in the order of the declarations."""
    for noun, protocol in NOUNS.items():
        for operation in operations_of(protocol):
            yield noun, operation


class RestDoor:
    """Everything below the prefix, as an ASGI application."""

    def __init__(self, operations: Served, threads: Threads, limits: Limits) -> None:
        # By the first segment, which is a word in every path.
        self.table: dict[bytes | str, list[tuple[str, Pattern, Endpoint]]] = {}
        for noun, operation in declared():
            call = getattr(getattr(operations, noun), operation.name)
            pattern = pattern_of(operation.path)
            self.table.setdefault(pattern.segments[0], []).append(
                (operation.method, pattern, Endpoint(operation, call, operations, threads, limits))
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = _raw_path(scope)
        below = raw[len(PREFIX) + 1 :]
        near = self.table.get(below.partition(b"/")[0], ())
        for method, pattern, endpoint in near:
            found = pattern.match(below) if method == scope["method"] else None
            if found is None:
                continue
            try:
                arguments = {name: decode_segment(part) for name, part in found.items()}
            except Exception as error:
                await send_json(send, *report(error))
            else:
                await endpoint.serve(scope, receive, send, arguments)
            return
        shown_path = raw.decode("ascii", "replace")
        allowed = [method for method, pattern, _ in near if pattern.match(below) is not None]
        if allowed:
            headers = [(b"allow", ", ".join(allowed).encode())]
            refused = method_not_allowed(scope["method"], shown_path, allowed)
            await send_json(send, *refused, headers=headers)
        else:
            await send_json(send, *no_such_route(scope["method"], shown_path))

    def brief_upload(self, path: bytes, query: bytes, body: bytes) -> Callable[[], bytes] | None:
        """What a POST asks for, ready to be carried out; None if that can last, or is wrong."""
        below = path[len(PREFIX) + 1 :]
        for method, pattern, endpoint in self.table.get(below.partition(b"/")[0], ()):
            found = pattern.match(below) if method == "POST" else None
            if found is not None:
                try:
                    arguments = {name: decode_segment(part) for name, part in found.items()}
                    return endpoint.brief_upload(arguments, query, body)
                except TrunklineError:
                    return None
        return None


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope["raw_path"]
    return raw
