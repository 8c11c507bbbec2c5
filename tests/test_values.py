"""The house's dataclasses beside those of the standard library: nobody can tell them apart."""

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline import values


def declared(decorate: Callable[..., Any]) -> tuple[type, type, type]:
    """The same three classes, made by one of the two."""

    @decorate(frozen=True, slots=True, kw_only=True)
    class Point:
        """A doc."""

        x: int
        y: float = 0.5
        tags: list[str] = decorate.__globals__["field"](default_factory=list)
        secret: str | None = decorate.__globals__["field"](default=None, repr=False)

        @property
        def far(self) -> bool:
            return self.x > 9

    @decorate(slots=True, kw_only=True)
    class Counter:
        count: int = 0

    @decorate(frozen=True, kw_only=True)
    class Empty:
        """Has no fields."""

    return Point, Counter, Empty


OURS = declared(values.dataclass)
THEIRS = declared(dataclasses.dataclass)
BOTH = pytest.mark.parametrize("classes", [OURS, THEIRS], ids=["ours", "theirs"])
points = st.fixed_dictionaries(
    {"x": st.integers(0, 2)},
    optional={
        "y": st.sampled_from([0.5, 1.5]),  # no NaN: from 3.13 on it differs from itself in a value
        "tags": st.lists(st.sampled_from("ab"), max_size=2),
        "secret": st.none() | st.just("s"),
    },
)


@given(points, points)
def test_values_are_equal_and_told_as_those_of_the_standard_library(one, other):
    (ours, *_), (theirs, *_) = OURS, THEIRS

    assert (ours(**one) == ours(**other)) == (theirs(**one) == theirs(**other))
    assert repr(ours(**one)) == repr(theirs(**one))
    assert dataclasses.asdict(ours(**one)).keys() == dataclasses.asdict(theirs(**one)).keys()
    assert msgspec.json.encode(ours(**one)) == msgspec.json.encode(theirs(**one))
    assert ours(**one) != theirs(**one)


@BOTH
def test_a_value_is_read_from_json_and_fields_are_known_before_any_value_was_made(classes):
    fresh, *_ = declared(values.dataclass if classes is OURS else dataclasses.dataclass)

    assert [field.name for field in dataclasses.fields(fresh)] == ["x", "y", "tags", "secret"]
    fresh, *_ = declared(values.dataclass if classes is OURS else dataclasses.dataclass)
    read = msgspec.json.decode(json.dumps({"x": 1, "tags": ["a"]}), type=fresh)
    assert read == fresh(x=1, tags=["a"])
    with pytest.raises(msgspec.ValidationError, match=r"\$.y"):
        msgspec.json.decode('{"x": 1, "y": "no"}', type=fresh)


@BOTH
def test_what_is_wrong_is_refused(classes):
    point, counter, empty = classes

    for wrong in ({}, {"x": 1, "z": 2}):
        with pytest.raises(TypeError, match=r"__init__\(\)"):
            point(**wrong)
    with pytest.raises(TypeError):
        point(1)
    value = point(x=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del value.x
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter())
    assert {empty(), empty()} == {empty()}
    assert not hasattr(value, "__dict__")


@BOTH
def test_values_are_changed_and_copied(classes):
    point, counter, _ = classes
    value, count = point(x=10), counter()

    count.count += 1

    assert count == counter(count=1)
    assert value.far
    assert dataclasses.replace(value, x=3) == point(x=3)
    assert copy.deepcopy(value) == copy.copy(value) == value
    assert copy.deepcopy(value).tags is not value.tags
    assert point(x=1).tags is not point(x=1).tags
    match value:
        case point(x=10, y=y):
            assert y == 0.5
        case _:
            pytest.fail("a value matches the pattern of its fields")


def test_a_value_of_ours_can_be_pickled() -> None:
    from trunkline.model.names import Address

    address = Address(repo="r", ref="master")

    assert pickle.loads(pickle.dumps(address)) == address


def test_a_default_that_can_change_is_refused_when_the_class_is_defined():
    with pytest.raises(AssertionError, match="factory"):

        @values.dataclass(kw_only=True)
        class _Wrong:
            names: list[str] = []  # noqa: RUF012 - what is tested


def test_making_and_comparing_values_loads_no_dataclasses():
    code = """
import sys
from trunkline.model.names import parse_address
assert parse_address("r@m:/p") == parse_address("r@m:/p")
repr(parse_address("r@m:/p")), hash(parse_address("r@m:/p"))
assert "dataclasses" not in sys.modules, "loaded"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
