"""How an operation is declared: once, on its signature.

The files of `api` import the types of arguments and results for readers and checkers alone. Who
needs the types themselves, a server at its start, a client that reads an answer, gets them here
when it asks: most commands use one operation of a dozen, and not all of them its result.
"""

import builtins
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from trunkline.model.roles import READER
from trunkline.values import dataclass, field

if TYPE_CHECKING:
    import inspect

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__operation__"

# Where a type that a declaration names may be; each is imported if those before don't have it.
_VOCABULARY = (
    "trunkline.api.changes",
    *("trunkline.model.versions", "trunkline.model.differences", "trunkline.model.jobs"),
    *("trunkline.model.pipelines", "trunkline.model.admin", "trunkline.model.purges"),
    *("trunkline.model.retention", "trunkline.model.lineage", "trunkline.model.secrets"),
    *("trunkline.model.runs", "trunkline.model.plans", "trunkline.model.defaults"),
    *("trunkline.model.images", "trunkline.model.tokens", "trunkline.model.audit"),
)


@dataclass(frozen=True, kw_only=True)  # no slots: it remembers the types once they are asked for
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
    role: str  # that a caller has to have: reader, writer or admin
    defaults: dict[str, Any]
    upload: str | None
    private: bool  # only for callers on the server's own socket
    once: bool  # doing it again may do more, though its method says otherwise
    summary: str  # first line of the docstring
    function: Callable[..., Any] = field(repr=False)  # what was declared

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The types of the arguments by their names."""
        return {name: kind for name, kind in self._types.items() if name != "return"}

    @property
    def changes(self) -> bool:
        """Whether something can be another one after it; what a plan does is taken back."""
        reads = self.method == "GET" or self.role == READER
        return not reads and not self.path.startswith("/plans/")

    @property
    def signature(self) -> "inspect.Signature":
        """As it is called on a connection: without `self`."""
        import inspect  # nothing takes longer to import, and only who documents needs it

        declared = inspect.signature(self.function)
        return declared.replace(parameters=list(declared.parameters.values())[1:])

    def bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by their names; raises TypeError as a call does."""
        code = self.function.__code__
        names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        given = dict(zip(_places(self.function), args, strict=False)) | kwargs
        if len(given) == len(args) + len(kwargs) and all(
            name in given or name in self.defaults for name in names
        ):
            named = {name: given[name] for name in names if name in given}
            if len(named) == len(given):
                return named
        return dict(self.signature.bind(*args, **kwargs).arguments)

    @property
    def result(self) -> Any:
        return self._types["return"]

    @property
    def streams_bytes(self) -> bool:
        return get_origin(self.result) is Iterator and get_args(self.result) == (bytes,)

    @property
    def streams_values(self) -> bool:
        return get_origin(self.result) is Iterator and not self.streams_bytes

    @cached_property
    def _types(self) -> dict[str, Any]:
        names = _Vocabulary(self.function.__globals__)
        return get_type_hints(self.function, localns=names)


def operation(
    method: str,
    path: str,
    role: str,
    *,
    upload: str | None = None,
    private: bool = False,
    once: bool = False,
) -> Callable[[Function], Function]:
    """Declare a method of a protocol as an operation of the API, for callers with a `role`."""

    def mark(function: Function) -> Function:
        setattr(function, _MARK, (method, path, role, upload, private, once))
        return function

    return mark


def operations_of(protocol: type) -> list[Operation]:
    """The operations that a protocol declares, in the order of its source."""
    found = (operation_of(protocol, name) for name in vars(protocol))
    return [operation for operation in found if operation is not None]


def operation_of(protocol: type, name: str) -> Operation | None:
    """The operation of that name, if the protocol declares one."""
    function = vars(protocol).get(name)
    if function is None or not hasattr(function, _MARK):
        return None
    method, path, role, upload, private, once = getattr(function, _MARK)
    return Operation(
        name=name,
        method=method,
        path=path,
        role=role,
        defaults=_defaults(function),
        upload=upload,
        private=private,
        once=once,
        summary=(function.__doc__ or "").strip().split("\n", 1)[0],
        function=function,
    )


def _defaults(function: Any) -> dict[str, Any]:
    placed, given = _places(function), function.__defaults__ or ()
    return dict(zip(placed[len(placed) - len(given) :], given, strict=True)) | (
        function.__kwdefaults__ or {}
    )


def _places(function: Any) -> tuple[str, ...]:
    """The names of the arguments that may be given without their names, `self` apart."""
    names: tuple[str, ...] = function.__code__.co_varnames
    return names[1 : function.__code__.co_argcount]


class _Vocabulary(dict[str, Any]):
    """The types that declarations name, looked for when they are."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__()
        self._known = known  # in the file of the declaration, imported for real

    def __missing__(self, name: str) -> Any:
        if name not in self._known and not hasattr(builtins, name):
            for module in _VOCABULARY:
                if hasattr(import_module(module), name):
                    return getattr(import_module(module), name)
        raise KeyError(name)
