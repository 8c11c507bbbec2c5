"""Dataclasses as `dataclasses` makes them, which cost next to nothing until they are used.

`dataclass` of the standard library compiles six functions for every class when it is defined, about
a millisecond, and to import it takes as long as to start half an interpreter. A command defines
fifty such classes and makes a few values of ten. Here a class gets its slots when it is defined;
its `__init__` is compiled once some values were made, and what `dataclasses` needs in order to
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
_BEFORE_COMPILING = 16  # values of a class: about what compiling takes


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

    def made(self) -> Any:
        """What it is in a value that was not given it."""
        return self.default if self.default_factory is None else self.default_factory()


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

    made.__init__ = _First(made, names, fields, frozen=frozen)
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


class _First:
    """The `__init__` of the first values, which goes through the fields.

    The compiled one takes its place after some, when somebody looks at it, or as soon as something
    is wrong: it says what.
    """

    def __init__(
        self, made: Any, names: tuple[str, ...], fields: Mapping[str, _Field], *, frozen: bool
    ) -> None:
        self._made = made
        self._names = names
        self._fields = fields
        self._frozen = frozen
        self._count = 0

    def __get__(self, instance: object, owner: type) -> Callable[..., None]:
        self._count += 1
        if instance is None or self._count > _BEFORE_COMPILING:
            return self._compiled(instance, owner)

        def initialise(*args: Any, **given: Any) -> None:
            fields = self._fields
            lacking = [n for n in self._names if n not in given and _is_required(fields.get(n))]
            if args or lacking or not given.keys() <= set(self._names):
                self._compiled(instance, owner)(*args, **given)
                return
            for name in self._names:
                value = given[name] if name in given else fields[name].made()
                object.__setattr__(instance, name, value)

        return initialise

    def _compiled(self, instance: object, owner: type) -> Callable[..., None]:
        made = _initialiser(self._names, self._fields, frozen=self._frozen)
        self._made.__init__ = made
        bound: Callable[..., None] = made.__get__(instance, owner)
        return bound


def _is_required(field: _Field | None) -> bool:
    """Whether each value has to be given it; None stands for a field of which nothing was said."""
    return field is None or (field.default is _REQUIRED and field.default_factory is None)


def _initialiser(
    names: tuple[str, ...], fields: Mapping[str, _Field], *, frozen: bool
) -> Callable[..., None]:
    # Compiled rather than a loop over what is given: servers make values by the million.
    arguments, statements = [], []
    known: dict[str, Any] = {"_set": object.__setattr__, "_factory": object()}
    for name in names:
        value = name
        one = fields.get(name)
        if one is None or _is_required(one):
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
    twin: Any = dataclasses.make_dataclass(
        made.__name__,
        columns,
        kw_only=True,
        init=False,  # nobody makes any
        repr=False,
        eq=False,
        namespace={"__doc__": made.__doc__ or made.__name__},  # else `inspect` is loaded for it
    )
    found: dict[str, Any] = twin.__dataclass_fields__
    return found


def _refuse(self: object, name: str, *_: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change {name!r} of a {type(self).__name__}")
