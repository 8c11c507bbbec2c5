"""Slots on this machine, in every isolation."""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from slot_places import AS_ROOT, NOBODY, Place, in_child, scratch_parent

from trunkline.runtimes import namespace
from trunkline.runtimes.cleanup import kill_leftovers
from trunkline.runtimes.process import isolation_available

# The conformance suites are modules that several rooms may run; they are no tests by themselves.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "suites"))
pytest.register_assert_rewrite("runtime_suite", "batch_suite")

KINDS = ("namespace as root", "namespace as a user", "rewrite")
ALL_KINDS = (*KINDS, "rewrite as a user") if AS_ROOT else KINDS


def make_place(kind: str, marker: str) -> Iterator[Place]:
    if kind == "namespace as root" and not AS_ROOT:
        pytest.skip("needs root")
    private = kind.startswith("namespace")
    if private and isolation_available() != "namespace":
        pytest.skip(f"this machine has no private mounts: {isolation_available()}")
    uid = NOBODY if kind.endswith("as a user") and AS_ROOT else None
    with scratch_parent(uid) as parent:
        yield from _place_below(parent, private, uid, marker)


def _place_below(parent: Path, private: bool, uid: int | None, marker: str) -> Iterator[Place]:
    place = Place("namespace" if private else "rewrite", uid, parent / "scratch", marker)
    if (
        private
        and uid is not None
        and (reason := in_child(lambda: _why_not(place.scratch), uid=uid))
    ):
        pytest.skip(f"an unprivileged user gets no namespace on this machine: {reason}")
    yield place
    left_behind = kill_leftovers(marker)
    assert left_behind == 0, "processes of the slot were still alive"


def _why_not(directory: Path) -> str:
    directory.mkdir()
    return namespace.why_not(directory, private=("/pfs", "/code"))


@pytest.fixture(params=ALL_KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Every isolation in turn."""
    yield from make_place(request.param, f"test-{uuid.uuid4().hex}")


@pytest.fixture(params=KINDS[:2])
def private_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The namespaces only."""
    yield from make_place(request.param, f"test-{uuid.uuid4().hex}")


@pytest.fixture
def root_place() -> Iterator[Place]:
    """The namespace of root only."""
    yield from make_place(KINDS[0], f"test-{uuid.uuid4().hex}")


@pytest.fixture
def rewrite_place() -> Iterator[Place]:
    """Rewriting only."""
    yield from make_place(KINDS[2], f"test-{uuid.uuid4().hex}")
