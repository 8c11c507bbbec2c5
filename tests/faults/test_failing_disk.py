"""Any single call of the disk fails, or it is full from then on: said clearly, and nothing is lost.

At every n-th write, sync, rename, truncation and deletion, SQLite's included, of each operation.
`TRUNKLINE_FAULT_EVERY` tries each n-th call only.
"""

import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_session import scratch
from engine_state import damages, open_engine, state, without_workers
from recorded_disk import RecordedDisk

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.engine.engine import Engine
from trunkline.errors import StorageFull, TrunklineError, Unavailable

EVERY = int(os.environ.get("TRUNKLINE_FAULT_EVERY", "5"))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with without_workers():
        yield


def put(engine: Engine) -> None:
    changes = [PutFile(path="x", content=[b"new"]), DeleteFile(path="d")]
    engine.files.modify_files("a", "master", changes)


def finish(engine: Engine) -> None:
    engine.commits.finish_commit("a", "open")


def branch(engine: Engine) -> None:
    engine.branches.create_branch("a", "dev", head="master")


def drop(engine: Engine) -> None:
    engine.commits.drop_commit("a", "master")


def squash(engine: Engine) -> None:
    engine.commits.squash_commit("a", "master^")


def collect(engine: Engine) -> None:
    engine.admin.gc(grace_s=0)


OPERATIONS = [put, finish, branch, drop, squash, collect]


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A store with some history, an open commit and garbage."""
    with scratch() as place, without_workers():
        home = place / "home"
        engine = open_engine(home)
        engine.repos.create_repo("a")
        for content in (b"one", b"two", b"three"):
            changes = [PutFile(path=p, content=[content, p.encode()]) for p in ("x", "d/y")]
            engine.files.modify_files("a", "master", changes)
        engine.commits.start_commit("a", branch="open")
        engine.files.modify_files("a", "open", [PutFile(path="z", content=[b"z"])])
        engine.repos.create_repo("gone")
        engine.files.modify_files("gone", "master", [PutFile(path="g", content=[b"g" * 500])])
        engine.repos.delete_repo("gone")
        engine.close()
        yield home


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_a_call_that_fails_is_said_and_changes_nothing_half(
    prepared: Path,
    operation: Callable[[Engine], None],
    error: int,
    lasting: bool,
    tally: Callable[..., None],
) -> None:
    tried = 0
    for number in itertools.count(1, EVERY):
        with scratch() as place:
            home = place / "home"
            shutil.copytree(prepared, home)
            disk = RecordedDisk(home)
            with disk.installed():
                if not _fails_well(home, disk, operation, number, error, lasting):
                    break
            tried += 1
    tally("failing calls", tried)
    assert tried


def _fails_well(
    home: Path,
    disk: RecordedDisk,
    operation: Callable[[Engine], None],
    number: int,
    error: int,
    lasting: bool,
) -> bool:
    """Whether there was such a call; asserts that its failure was met as it should be."""
    engine = open_engine(home)
    before = state(engine, open_trees=False)
    raised: BaseException | None = None
    disk.fail_at(number, error, lasting=lasting)
    try:
        operation(engine)
    except TrunklineError as problem:
        raised = problem
    failed = disk.failed
    what = f"call {number}, {raised!r}"
    if raised is not None:
        assert isinstance(raised, StorageFull | Unavailable), what
        assert "\n" not in str(raised), what
    after = state(engine, open_trees=False)
    assert raised is None or after == before, f"{what}: raised, and changed something"
    disk.heal()
    engine.close()
    again = open_engine(home)
    found = state(again, open_trees=False)
    assert found == after or raised is not None, f"{what}: lost by reopening"
    put(again)
    again.admin.gc(grace_s=0)
    assert damages(again) == [], what
    again.close()
    return bool(failed)
