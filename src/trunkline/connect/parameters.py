"""What the parameters of a pipeline's function receive, and which functions can be one.

Runs in user code too, so it needs nothing but Python.
"""

import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from trunkline.errors import InvalidInput, meant

OUT, DATUM = "out", "datum"  # parameters that are no inputs
# Flags of code objects; `inspect` has names for them and takes long to load.
_ANY_POSITIONAL, _ANY_NAMED, _GENERATOR, _ASYNC = 0x04, 0x08, 0x20, 0x80 | 0x200


class Datum:
    """What a function works on: give a parameter `datum: trunkline.Datum` to receive it.

    `out` is the directory for its output, `id` and `job` are ids.
    """

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 (as everywhere else)
        job: str,
        out: Path,
        given: Mapping[str, Path],
        below: Callable[[str], Iterable[Path]],
    ) -> None:
        self.id = id
        self.job = job
        self.out = out
        self._given = given
        self._below = below

    def path(self, name: str) -> Path:
        """What the input gave to this datum: a file or a directory. Raises KeyError."""
        return self._given[name]

    def files(self, name: str) -> list[Path]:
        """All files of an input, by path; none if it gave nothing."""
        return sorted(self._below(name))

    def __contains__(self, name: str) -> bool:
        return name in self._given


class Parameter:
    def __init__(self, name: str, kind: str, source: str, *, needed: bool) -> None:
        self.name = name
        self.kind = kind  # out, datum, path or files
        self.source = source  # name of the input
        self.needed = needed


def parameters_of(function: Callable[..., object], names: list[str]) -> list[Parameter]:
    """Its parameters, each with what it receives; raises InvalidInput."""
    plain: Any = function
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    code = getattr(plain, "__code__", None)
    if not isinstance(code, types.CodeType) or not hasattr(function, "__name__"):
        raise InvalidInput(f"@trunkline.pipeline is for functions; {function!r} is none")
    where = f"the pipeline function '{function.__name__}'"
    _check_importable(function, where)
    if code.co_flags & (_ANY_POSITIONAL | _ANY_NAMED) or code.co_posonlyargcount:
        raise InvalidInput(f"{where} must name its parameters: no *args, no **kwargs, no `/`")
    if code.co_flags & _GENERATOR:
        raise InvalidInput(f"{where} is a generator: calling it would do nothing; remove `yield`")
    if code.co_flags & _ASYNC:
        raise InvalidInput(f"{where} is asynchronous; use `asyncio.run` inside of an ordinary one")
    if not names:
        raise InvalidInput(f"{where} has no input, such as input=trunkline.pfs('repo', '/*')")
    try:
        hints = typing.get_type_hints(plain)
    except Exception:  # names that exist for type checkers only; what there is may do
        hints = dict(plain.__annotations__)
    count = code.co_argcount
    positional, named = code.co_varnames[:count], code.co_kwonlyargcount
    optional = {*positional[count - len(plain.__defaults__ or ()) :], *(plain.__kwdefaults__ or ())}
    return [
        _parameter(name, hints.get(name), names, where, needed=name not in optional)
        for name in code.co_varnames[: count + named]
    ]


def _check_importable(function: Callable[..., object], where: str) -> None:
    if function.__name__ == "<lambda>":
        raise InvalidInput("a lambda can't be a pipeline: it has no name to import it by; use def")
    if function.__qualname__ != function.__name__:
        raise InvalidInput(
            f"{where} is inside of {function.__qualname__.rpartition('.')[0]}; the workers import "
            "it by its name, so move it to the top level of its module"
        )


def _parameter(name: str, hint: object, names: list[str], where: str, *, needed: bool) -> Parameter:
    spelled = {DATUM: DATUM, **{known.replace("-", "_"): known for known in names}}
    spelled |= {known: known for known in names}
    source = spelled.get(name)
    if name == OUT:
        source = OUT
    if source is None:
        known = ", ".join(names)
        raise InvalidInput(
            f"{where} has a parameter '{name}', which is no input{meant(name, [*spelled, OUT])}; "
            f"its inputs are {known}, and there are `out` and `datum`"
        )
    kind = _kind(hint)
    is_datum = name == DATUM and DATUM not in names
    allowed = (DATUM,) if is_datum else ("path",) if name == OUT else ("path", "files")
    if kind not in allowed:
        wanted = {DATUM: "trunkline.Datum", "path": "Path", "files": "list[Path]"}
        has = "has no type" if hint is None else f"has the type {_named(hint)}"
        raise InvalidInput(
            f"the parameter '{name}' of {where} {has}; write "
            + " or ".join(f"`{name}: {wanted[each]}`" for each in allowed)
        )
    return Parameter(
        name, OUT if name == OUT else kind, source, needed=needed and not _may_be_none(hint)
    )


def _kind(hint: object) -> str:
    """What a type asks for: path, files or datum; nothing that is known: empty."""
    if isinstance(hint, str):  # could not be evaluated
        word = hint.replace(" ", "").removesuffix("|None").rpartition(".")[2]
        word = word.removeprefix("list[")
        return {"Path": "path", "Path]": "files", "Datum": DATUM}.get(word, "")
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = {_kind(each) for each in arguments if each is not type(None)}
        return kinds.pop() if len(kinds) == 1 else ""
    if typing.get_origin(hint) is list and arguments and _kind(arguments[0]) == "path":
        return "files"
    if hint is Datum:
        return DATUM
    return "path" if isinstance(hint, type) and issubclass(hint, PurePath) else ""


def _may_be_none(hint: object) -> bool:
    return type(None) in typing.get_args(hint) or (isinstance(hint, str) and "None" in hint)


def _named(hint: object) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def files_below(place: Path) -> Iterator[Path]:
    if place.is_dir():
        for found in place.rglob("*"):
            if found.is_file():
                yield found


def arguments_for(parameters: Iterable[Parameter], datum: Datum) -> dict[str, object]:
    """What the function is called with for a datum; raises InvalidInput."""
    found: dict[str, object] = {}
    for parameter in parameters:
        if parameter.kind == OUT:
            found[parameter.name] = datum.out
        elif parameter.kind == DATUM:
            found[parameter.name] = datum
        elif parameter.kind == "files":
            found[parameter.name] = datum.files(parameter.source)
        elif parameter.source in datum:
            found[parameter.name] = datum.path(parameter.source)
        elif parameter.needed:
            raise InvalidInput(
                f"this datum has nothing of the input '{parameter.source}'; give the parameter "
                f"a default, as in `{parameter.name}: Path | None = None`"
            )
    return found
