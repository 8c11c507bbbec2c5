"""The disk fails or fills up in the middle of a purge.

Its last step writes the whole catalog once more, so it is the one that needs room. Whatever happens
to it, the purge is said to be unfinished, everything can be read, and it comes to its end later.
"""

import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_session import recorded, scratch
from engine_state import damages, open_engine, state, tree, without_workers
from purge_session import SECRET, TARGETS, a_history, settled
from recorded_disk import RecordedDisk
from stored_bytes import places_of

from trunkline.engine.engine import Engine
from trunkline.errors import FilePurged, OperationFailed, StorageFull, TrunklineError, Unavailable

EVERY = int(os.environ.get("TRUNKLINE_FAULT_EVERY", "23"))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with without_workers():
        yield


@pytest.fixture(scope="module")
def history() -> Iterator[Path]:
    """All that comes before the purge in the sessions of crashes."""
    with scratch() as place, without_workers():
        with recorded(place / "home") as recorder:
            a_history(recorder)
        yield place / "home"


@pytest.mark.slow
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_disk_that_fails_in_a_purge_is_said_and_the_purge_ends_later(
    history: Path, error: int, tally: Callable[..., None]
) -> None:
    tried = 0
    for number in itertools.count(1, EVERY):
        with scratch() as place:
            home = shutil.copytree(history, place / "home")
            disk = RecordedDisk(home)
            with disk.installed():
                engine = open_engine(home)
                heads = [c.id for c in engine.commits.list_commits("a")]
                disk.fail_at(number, error, lasting=error == errno.ENOSPC)
                said: TrunklineError | None = None
                try:
                    engine.purges.purge(TARGETS, forget_names=True, copies=True)
                except (StorageFull, Unavailable, OperationFailed) as problem:
                    said = problem
                what = f"call {number}: {said!r}"
                failed = disk.failed
                assert _all_can_be_read(engine), what
                begun = bool(engine.purges.list_purges())
                disk.heal()
                engine.close()
            engine = settled(home)
            if not begun and said is not None:
                engine.purges.purge(TARGETS, forget_names=True, copies=True)
            assert [c.id for c in engine.commits.list_commits("a")] == heads, what
            assert "z" in tree(engine, "b", "master"), what
            assert damages(engine) == [], what
            engine.close()
            assert places_of(home, SECRET) == [], what
        if not failed:
            break
        tried += 1
    tally("failing calls", tried)
    assert tried > 3


def _all_can_be_read(engine: Engine) -> bool:
    """But for what the purge, which goes on by itself, takes between a listing and a read."""
    while True:
        try:
            return bool(state(engine, open_trees=False))
        except FilePurged:
            pass  # of so many files at most
