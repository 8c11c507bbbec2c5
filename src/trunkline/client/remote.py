"""All operations, carried out by a server; every call is derived from its declaration in `api`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, cast, get_args

from trunkline.api.operation import Operation, operation_of
from trunkline.client.transport import Request, Transport
from trunkline.errors import InvalidInput, LocalPathDiffers, TrunklineError, Unavailable, shown

if TYPE_CHECKING:
    import inspect

    import msgspec

    from trunkline.api.admin import Admin
    from trunkline.api.audit import Audit
    from trunkline.api.branches import Branches
    from trunkline.api.changes import FileChange
    from trunkline.api.commits import Commits
    from trunkline.api.datums import Datums
    from trunkline.api.defaults import Defaults
    from trunkline.api.files import Files
    from trunkline.api.images import Images
    from trunkline.api.jobs import Jobs
    from trunkline.api.lineage import Lineage
    from trunkline.api.pipelines import Pipelines
    from trunkline.api.plans import Plans
    from trunkline.api.projects import Projects
    from trunkline.api.purges import Purges
    from trunkline.api.repos import Repos
    from trunkline.api.retention import Retention
    from trunkline.api.secrets import Secrets
    from trunkline.api.tags import Tags
    from trunkline.api.tokens import Tokens
    from trunkline.api.transactions import Transactions
    from trunkline.api.trash import Trash

PREFIX = "/api/v1"
_UNRESERVED = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
)  # in a URL these stand for themselves


class RemoteClient:
    """The operations of one server, by noun.

    Streams ask when their first value is wanted. Nouns are loaded when they are first used: a
    command that lists repos need not know what a pipeline is.
    """

    def __init__(self, transport: Transport, *, heard: bool = True) -> None:
        self._transport = transport
        self._heard = heard

    @property
    def transport(self) -> Transport:
        return self._transport

    @property
    def unheard(self) -> RemoteClient:
        """The same operations for who needs nothing of what they give: they all give None.

        Errors are raised as ever. To understand an answer takes longer than to ask for it.
        """
        return RemoteClient(self._transport, heard=False)

    @functools.cached_property
    def projects(self) -> Projects:
        return cast("Projects", self._noun("projects"))

    @functools.cached_property
    def repos(self) -> Repos:
        return cast("Repos", self._noun("repos"))

    @functools.cached_property
    def branches(self) -> Branches:
        return cast("Branches", self._noun("branches"))

    @functools.cached_property
    def tags(self) -> Tags:
        return cast("Tags", self._noun("tags"))

    @functools.cached_property
    def retention(self) -> Retention:
        return cast("Retention", self._noun("retention"))

    @functools.cached_property
    def commits(self) -> Commits:
        return cast("Commits", self._noun("commits"))

    @functools.cached_property
    def files(self) -> Files:
        return cast("Files", self._noun("files"))

    @functools.cached_property
    def pipelines(self) -> Pipelines:
        return cast("Pipelines", self._noun("pipelines"))

    @functools.cached_property
    def defaults(self) -> Defaults:
        return cast("Defaults", self._noun("defaults"))

    @functools.cached_property
    def images(self) -> Images:
        return cast("Images", self._noun("images"))

    @functools.cached_property
    def secrets(self) -> Secrets:
        return cast("Secrets", self._noun("secrets"))

    @functools.cached_property
    def jobs(self) -> Jobs:
        return cast("Jobs", self._noun("jobs"))

    @functools.cached_property
    def datums(self) -> Datums:
        return cast("Datums", self._noun("datums"))

    @functools.cached_property
    def lineage(self) -> Lineage:
        return cast("Lineage", self._noun("lineage"))

    @property
    def plans(self) -> Plans:
        return cast("Plans", self._noun("plans"))

    @functools.cached_property
    def transactions(self) -> Transactions:
        return cast("Transactions", self._noun("transactions"))

    @functools.cached_property
    def trash(self) -> Trash:
        return cast("Trash", self._noun("trash"))

    @functools.cached_property
    def purges(self) -> Purges:
        return cast("Purges", self._noun("purges"))

    @functools.cached_property
    def tokens(self) -> Tokens:
        return cast("Tokens", self._noun("tokens"))

    @functools.cached_property
    def audit(self) -> Audit:
        return cast("Audit", self._noun("audit"))

    @functools.cached_property
    def admin(self) -> Admin:
        return cast("Admin", self._noun("admin"))

    def shut_down(self) -> None:
        """Ask the server to end; only a server on the private socket does."""
        self._transport.call(Request(method="POST", target=f"{PREFIX}/shutdown"))

    def console_address(self) -> str:
        """Where a browser finds the console, for one login soon."""
        import json  # few commands need it

        body = self._transport.call(Request(method="POST", target=f"{PREFIX}/console"))
        address = str(json.loads(body)["address"])
        # A server on TCP does not know by which name its caller reaches it.
        return f"{self._transport.address}{address}" if address.startswith("/") else address

    def close(self) -> None:
        self._transport.close()

    def _noun(self, name: str) -> Noun:
        # One noun, one file, one protocol of the same name (test_grid holds `api` to it).
        protocol = getattr(import_module(f"trunkline.api.{name}"), name.capitalize())
        return Noun(name, protocol, self._transport, heard=self._heard)


class Noun:
    """The operations of one protocol as methods, each made when it is first used."""

    def __init__(self, name: str, protocol: type, transport: Transport, *, heard: bool) -> None:
        self._name = name
        self._protocol = protocol
        self._transport = transport
        self._heard = heard

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):  # `copy` and `pickle` ask before there is anything to look into
            raise AttributeError(name)
        operation = operation_of(self._protocol, name)
        if operation is None:
            raise AttributeError(f"{self!r} has no operation '{name}'")
        method = _method(operation, self._transport, heard=self._heard)
        setattr(self, name, method)
        return method

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *vars(self._protocol)})

    def __repr__(self) -> str:
        return f"<{self._name} of a server>"


def _method(operation: Operation, transport: Transport, *, heard: bool) -> Callable[..., Any]:
    caller = _Caller(operation, transport, heard=heard)

    class Method:
        """One operation, to be called."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return caller.call(operation.bound(args, kwargs))

        @property
        def __signature__(self) -> inspect.Signature:
            return operation.signature

        def __repr__(self) -> str:
            return f"<operation {operation.name}>"

    return cast("Callable[..., Any]", functools.update_wrapper(Method(), operation.function))


class _Caller:
    """Turns the arguments of one operation into a request, and its answer into values."""

    def __init__(self, operation: Operation, transport: Transport, *, heard: bool) -> None:
        self._operation = operation
        self._transport = transport
        self._heard = heard

    @functools.cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        import msgspec

        result = self._operation.result
        return msgspec.json.Decoder(
            get_args(result)[0] if self._operation.streams_values else result
        )

    def call(self, arguments: dict[str, Any]) -> Any:
        operation = self._operation
        if operation.upload is not None:
            changes = arguments.pop(operation.upload)
            return self._decode(self._upload(_request(operation, arguments), changes))
        if not self._heard:
            return self._decode(self._transport.call(_request(operation, arguments)))
        if operation.streams_bytes:
            return self._octets(arguments)
        request = _request(operation, arguments)
        if operation.streams_values:
            return self._values(request)
        return self._decode(self._transport.call(request))

    def _decode(self, body: bytes) -> Any:
        if not self._heard:
            return None
        import msgspec

        try:
            return self._decoder.decode(body)
        except msgspec.DecodeError as error:
            raise self._not_understood(error) from error

    def _values(self, request: Request) -> Iterator[Any]:
        import msgspec

        for lines in self._transport.lines(request):
            try:
                values = self._decoder.decode_lines(lines)
            except msgspec.DecodeError as error:
                raise self._not_understood(error) from error
            yield from values

    def _octets(self, arguments: dict[str, Any]) -> Iterator[bytes]:
        received = 0
        try:
            for piece in self._transport.octets(_request(self._operation, arguments)):
                received += len(piece)
                yield piece
        except Unavailable as error:
            if not received or "offset_bytes" not in self._operation.arguments:
                raise
            # Raw bytes leave no room for the reason; asking on from there gets it told.
            onward = {**arguments, "offset_bytes": arguments.get("offset_bytes", 0) + received}
            try:
                self._transport.octets(_request(self._operation, onward)).__next__()
            except StopIteration:
                raise error from None
            except TrunklineError as reason:
                raise reason from error
            raise

    def _upload(self, request: Request, changes: Iterable[FileChange]) -> bytes:
        # Here, as most commands upload nothing.
        from trunkline.api.changes import MEDIA_TYPE, PutFile, write_changes

        if not self._transport.private:
            from trunkline.client.local_files import with_content

            frames = write_changes(with_content(changes))
            return self._transport.upload(request, frames, MEDIA_TYPE)
        taken: list[FileChange] = []
        rest = iter(changes)

        def noting() -> Iterator[FileChange]:
            for change in rest:
                taken.append(change)
                yield change

        try:
            return self._transport.upload(request, write_changes(noting()), MEDIA_TYPE)
        except LocalPathDiffers:
            # The server lives in another mount namespace. It changed nothing: send it all again,
            # local files by content. What could be read only once can't be sent again.
            if any(isinstance(c, PutFile) and iter(c.content) is c.content for c in taken):
                raise
            from trunkline.client.local_files import with_content

            frames = write_changes(with_content(chain(taken, rest)))
            return self._transport.upload(request, frames, MEDIA_TYPE)

    def _not_understood(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"the server at {self._transport.address} gave an answer to {self._operation.name} "
            f"that this version does not understand ({error}); compare `trunkline version`"
        )


def _request(operation: Operation, arguments: dict[str, Any]) -> Request:
    remaining = dict(arguments)
    try:
        segments = [
            _segment(remaining.pop(part[1:-1]), slashes=part == "{path}")
            if part.startswith("{")
            else part
            for part in operation.path.split("/")
        ]
        target = PREFIX + "/".join(segments)
        given = {
            name: value
            for name, value in remaining.items()
            if name not in operation.defaults or not _same(value, operation.defaults[name])
        }
        if operation.method in ("GET", "DELETE") or operation.upload is not None:
            pairs = [pair for name, value in given.items() for pair in _pairs(name, value)]
            target += f"?{'&'.join(pairs)}" if pairs else ""
            body = None
        else:
            import msgspec

            body = msgspec.json.encode(given)
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{shown(error.object)} is not valid UTF-8") from error
    return Request(
        method=operation.method,
        target=target,
        body=body,
        repeatable=operation.method in ("GET", "PUT") and not operation.once,
    )


def _same(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default


def _segment(value: object, *, slashes: bool) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a str is needed, not {value!r}")
    return _quoted(value, safe="/" if slashes else "")


def _quoted(text: str, *, safe: str = "") -> str:
    """The text, percent-encoded for a URL."""
    # Not by `urllib.parse`: to import it takes as long as a small request.
    if _UNRESERVED.issuperset(text):
        return text
    kept = _UNRESERVED.union(safe)
    return "".join([c if c in kept else _escaped(c) for c in text])


def _escaped(character: str) -> str:
    return "".join([f"%{byte:02X}" for byte in character.encode("utf-8")])


def _pairs(name: str, value: object) -> Iterator[str]:
    match value:
        case None:
            return
        case bool():
            yield f"{name}={'true' if value else 'false'}"
        case float() if not math.isfinite(value):
            raise InvalidInput(f"{name} is {value}; it must be a number")
        case int() | float():
            yield f"{name}={_quoted(repr(value))}"  # 1e+16 has a plus sign
        case str():
            yield f"{name}={_quoted(value)}"
        case list() | tuple():
            for item in value:
                yield from _pairs(name, item)
        case _:
            raise TypeError(f"{name} can't be {value!r}")
