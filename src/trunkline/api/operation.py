"""How an operation is declared: once, on its signature."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__operation__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation as the doors need it.

    Arguments named in `path` travel there; the others in the query of a GET or DELETE and in the
    JSON body of a POST or PUT. `upload` names the argument (if any) that is a stream of
    `FileChange` and travels as a framed body, the others then go into the query. A result of
    Iterator[bytes] travels as raw bytes, any other Iterator as one JSON value per line.
    """

    name: str
    method: str
    path: str  # below the prefix of the API, with {argument} in braces
    arguments: dict[str, Any]  # name → type
    defaults: dict[str, Any]
    result: Any
    upload: str | None
    private: bool  # only for callers on the server's own socket
    summary: str  # first line of the docstring

    @property
    def streams_bytes(self) -> bool:
        return get_origin(self.result) is Iterator and get_args(self.result) == (bytes,)

    @property
    def streams_values(self) -> bool:
        return get_origin(self.result) is Iterator and not self.streams_bytes


def operation(
    method: str, path: str, *, upload: str | None = None, private: bool = False
) -> Callable[[Function], Function]:
    """Declare a method of a protocol as an operation of the API."""

    def mark(function: Function) -> Function:
        setattr(function, _MARK, (method, path, upload, private))
        return function

    return mark


def operations_of(protocol: type) -> list[Operation]:
    """The operations that a protocol declares, in the order of its source."""
    found: list[Operation] = []
    for name, function in vars(protocol).items():
        if not hasattr(function, _MARK):
            continue
        method, path, upload, private = getattr(function, _MARK)
        hints = get_type_hints(function)
        result = hints.pop("return")
        parameters = inspect.signature(function).parameters
        found.append(
            Operation(
                name=name,
                method=method,
                path=path,
                arguments=hints,
                defaults={
                    p.name: p.default for p in parameters.values() if p.default is not p.empty
                },
                result=result,
                upload=upload,
                private=private,
                summary=(inspect.getdoc(function) or "").split("\n", 1)[0],
            )
        )
    return found
