"""Dataclasses as `dataclasses` makes them, which cost next to nothing until they are used.

`dataclass` of the standard library compiles six functions for every class when it is defined, about
a millisecond, and to import it takes as long as to start half an interpreter. A command defines
fifty such classes and makes values of ten. Here a class gets its slots when it is defined; its
`__init__` is compiled when the first value is made, and what `dataclasses` needs in order to
`replace` or to list fields is there once it is asked for. Values can be told from those of the
standard library by nothing but that; type checkers see the standard library's own decorator.

Only what this house uses is here: keyword-only classes without bases that have fields, equal by
their fields. Whoever needs more takes `dataclasses`.
"""

import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_REQUIRED: Any = object()  # in place of a default: there is none


class _Field:
    """What `field()` says of a field."""

    __slots__ = ("default", "default_factory", "repr")

    def __init__(
        self,
        *,
        default: Any = _REQUIRED,
        default_factory: Callable[[], Any] | None = None,
        repr: bool = True,  # noqa: A002 - named as in `dataclasses`
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.repr = repr


class _Later:
    """An attribute of a class that is made when it is first asked for, in place of this."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], tuple[type, str, Any]]) -> None:
        self._make = make

    def __get__(self, instance: object, owner: type) -> Any:
        made_for, name, made = self._make()
        setattr(made_for, name, made)
        return getattr(owner if instance is None else instance, name)


def _dataclass(
    *, kw_only: bool, frozen: bool = False, slots: bool = False
) -> Callable[[type], type]:
    assert kw_only, "fields that are given by their places are for `dataclasses`"

    def decorate(declared: type) -> type:
        names = tuple(declared.__annotations__)
        given = {name: declared.__dict__[name] for name in names if name in declared.__dict__}
        fields = {
            name: one if isinstance(one, _Field) else _Field(default=one)
            for name, one in given.items()
        }
        for one in fields.values():
            assert one.default.__hash__ is not None, "a default that can change is for a factory"
        body = {
            name: one
            for name, one in vars(declared).items()
            if name not in fields and name not in ("__dict__", "__weakref__")
        }
        if slots:
            body["__slots__"] = names
        else:
            body |= {
                name: one.default for name, one in fields.items() if one.default_factory is None
            }
        made = type(declared)(declared.__name__, declared.__bases__, body)
        made.__qualname__ = declared.__qualname__
        _dress(made, names, fields, frozen=frozen, slots=slots)
        return made

    return decorate


# From 3.14 on annotations are kept in another way, and are read where they can't be yet here.
if TYPE_CHECKING or sys.version_info >= (3, 14):
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
else:
    dataclass = _dataclass
    field = _Field


def _dress(
    made: Any, names: tuple[str, ...], fields: Mapping[str, _Field], *, frozen: bool, slots: bool
) -> None:
    """Give a class the methods of a dataclass."""
    shown = tuple(name for name in names if name not in fields or fields[name].repr)

    values_of = _reader(names)

    def equals(self: object, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values_of(self) == values_of(other)

    def describe(self: object) -> str:
        said = ", ".join([f"{name}={getattr(self, name)!r}" for name in shown])
        return f"{self.__class__.__qualname__}({said})"

    made.__init__ = _Later(lambda: (made, "__init__", _initialiser(names, fields, frozen=frozen)))
    made.__eq__ = equals
    made.__hash__ = (lambda self: hash(values_of(self))) if frozen else None
    if made.__repr__ is object.__repr__:
        made.__repr__ = describe
    if frozen:
        made.__setattr__ = made.__delattr__ = _refuse
    if frozen and slots:  # the copy protocol would set attributes one by one

        def state_of(self: object) -> tuple[Any, ...]:
            return values_of(self)

        def restore(self: object, state: tuple[Any, ...]) -> None:
            for name, value in zip(names, state, strict=True):
                object.__setattr__(self, name, value)

        made.__getstate__ = state_of
        made.__setstate__ = restore
    made.__match_args__ = ()  # type: ignore[misc]  # the class being dressed, not ours
    made.__dataclass_fields__ = _Later(
        lambda: (made, "__dataclass_fields__", _as_known_to_dataclasses(made, fields))
    )


def _reader(names: tuple[str, ...]) -> Callable[[object], tuple[Any, ...]]:
    """What gives the values of all fields."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple([getattr(value, name) for name in names])


def _initialiser(
    names: tuple[str, ...], fields: Mapping[str, _Field], *, frozen: bool
) -> Callable[..., None]:
    # Compiled rather than a loop over what is given: servers make values by the million.
    arguments, statements = [], []
    known: dict[str, Any] = {"_set": object.__setattr__, "_factory": object()}
    for name in names:
        value = name
        one = fields.get(name)
        if one is None or (one.default is _REQUIRED and one.default_factory is None):
            arguments.append(name)
        elif one.default_factory is not None:
            known[f"_factory_{name}"] = one.default_factory
            arguments.append(f"{name}=_factory")
            value = f"_factory_{name}() if {name} is _factory else {name}"
        else:
            known[f"_default_{name}"] = one.default
            arguments.append(f"{name}=_default_{name}")
        statements.append(f"_set(self,{name!r},{value})" if frozen else f"self.{name}={value}")
    star = "*," if names else ""
    source = f"def __init__(self,{star}{','.join(arguments)}):\n {';'.join(statements) or 'pass'}\n"
    exec(source, known)  # noqa: S102 - of names that stand in our own source
    made: Callable[..., None] = known["__init__"]
    return made


def _as_known_to_dataclasses(made: type, fields: Mapping[str, _Field]) -> dict[str, Any]:
    """What `dataclasses` keeps of the fields of a class, and JSON codecs read."""
    import dataclasses

    def told(one: _Field) -> Any:
        if one.default_factory is not None:
            return dataclasses.field(default_factory=one.default_factory, repr=one.repr)
        if one.default is _REQUIRED:
            return dataclasses.field(repr=one.repr)
        return dataclasses.field(default=one.default, repr=one.repr)

    columns = [
        (name, kind, told(fields.get(name) or _Field()))
        for name, kind in made.__annotations__.items()
    ]
    twin: Any = dataclasses.make_dataclass(made.__name__, columns, kw_only=True)
    found: dict[str, Any] = twin.__dataclass_fields__
    return found


def _refuse(self: object, name: str, *_: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change {name!r} of a {type(self).__name__}")
