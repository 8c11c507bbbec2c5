"""An upgrade dies, or the disk fails or fills up, at every single step of it; and going back too.

Afterwards the catalog is at one of the formats between, whole; the copy of what was before it is
whole or not there; and saying it again completes it. `TRUNKLINE_CRASH_EVERY`,
`TRUNKLINE_CRASH_SEEDS` and `TRUNKLINE_FAULT_EVERY` as for the other tests of this kind.
"""

import errno
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from crash_images import images
from crash_session import SEEDS, scratch
from engine_state import damages, open_engine, state, without_workers
from old_stores import NUMBERS, dump, old_store
from recorded_disk import RecordedDisk, Recording

from trunkline.engine import upgrade as upgrades
from trunkline.errors import Conflict, NotFound, TrunklineError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVERY = int(os.environ.get("TRUNKLINE_CRASH_EVERY", "31"))
FAULT_EVERY = int(os.environ.get("TRUNKLINE_FAULT_EVERY", "31"))
Tally = Callable[..., None]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with without_workers():
        yield


def kept(home: Path) -> Path:
    return home / "before-upgrade" / "catalog.db"


def recorded(home: Path, work: Callable[[Path], object]) -> Recording:
    disk = RecordedDisk(home)
    with disk.installed():
        work(home)
    disk.recording.check()
    return disk.recording


def crashes(recording: Recording, place: Path) -> Iterator[tuple[str, Path]]:
    """The directory that each crash leaves, written to the disk."""
    seen: set[int] = set()
    for image in images(recording, seeds=SEEDS):
        same = hash(frozenset(image.files.items()))
        if image.at % EVERY or same in seen:
            continue
        seen.add(same)
        home = place / "after"
        image.write(home)
        last = recording.steps[image.at - 1] if image.at else None
        where = f"{last.kind} {last.path}" if last else "the beginning"
        yield f"step {image.at} of {len(recording.steps)} ({where}), {image.how}", home
        shutil.rmtree(home)


@pytest.mark.slow
def test_a_crash_at_any_step_of_an_upgrade_is_completed_by_saying_it_again(tally: Tally) -> None:
    tried = 0
    with scratch() as place:
        home = old_store(place / "home")
        before = dump(home / "catalog.db")
        recording = recorded(home, lambda at: upgrades.upgrade(at, now=NOW))
        after = dump(home / "catalog.db")

        for what, left in crashes(recording, place):
            tried += 1
            if kept(left).exists():
                assert dump(kept(left)) == before, what
            assert upgrades.check(left).damages == (), what
            upgrades.upgrade(left, now=NOW)
            assert dump(left / "catalog.db") == after, what
            assert dump(kept(left)) == before, what
            assert not upgrades.check(left).interrupted, what
            upgrades.undo(left)
            assert dump(left / "catalog.db") == before, what
    tally("crash images", tried)


@pytest.mark.slow
def test_a_crash_at_any_step_of_an_upgrade_is_healed_by_the_next_opening(tally: Tally) -> None:
    tried = 0
    with scratch() as place:
        home = old_store(place / "home")
        reference = shutil.copytree(home, place / "reference")
        engine = open_engine(reference)
        wanted = state(engine)
        engine.close()
        recording = recorded(home, lambda at: upgrades.upgrade(at, now=NOW))

        for what, left in itertools.islice(crashes(recording, place), 0, None, 2):
            tried += 1
            engine = open_engine(left)
            try:
                assert state(engine) == wanted, what
                assert damages(engine) == [], what
            finally:
                engine.close()
    tally("crash images", tried)


@pytest.mark.slow
def test_a_crash_at_any_step_of_going_back_leaves_the_one_or_the_other(tally: Tally) -> None:
    tried = 0
    with scratch() as place:
        home = old_store(place / "home", number=NUMBERS[1])
        before = dump(home / "catalog.db")
        upgrades.upgrade(home, now=NOW)
        after = dump(home / "catalog.db")
        recording = recorded(home, upgrades.undo)

        for what, left in crashes(recording, place):
            tried += 1
            found = dump(left / "catalog.db")
            assert found in (before, after), what
            try:
                upgrades.undo(left)
            except NotFound:
                assert found == before, what
            assert dump(left / "catalog.db") == before, what
            upgrades.upgrade(left, now=NOW)
            assert dump(left / "catalog.db") == after, what
    tally("crash images", tried)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_a_disk_that_fails_at_any_step_is_said_and_the_upgrade_completed_later(
    tmp_path: Path, error: int, lasting: bool, tally: Tally
) -> None:
    tried = 0
    for number in itertools.count(1, FAULT_EVERY):
        with scratch() as place:
            home = old_store(place / "home")
            before = dump(home / "catalog.db")
            disk = RecordedDisk(home)
            with disk.installed():
                disk.fail_at(number, error, lasting=lasting)
                try:
                    upgrades.upgrade(home, now=NOW)
                except TrunklineError:
                    assert disk.failed
                failed = disk.failed
                disk.heal()
            if not failed:
                break
            tried += 1
            if kept(home).exists():
                assert dump(kept(home)) == before, number
            upgrades.upgrade(home, now=NOW)
            assert upgrades.check(home).steps == ()
            upgrades.undo(home)
            assert dump(home / "catalog.db") == before, number
    tally("failing calls", tried)


def test_a_disk_that_fills_up_in_the_middle_leaves_a_whole_catalog(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a small file system can't be mounted here (needs root)")
    try:
        home = old_store(place / "home")
        before = dump(home / "catalog.db")
        filler = place / "filler"
        free = os.statvfs(place).f_bavail * 4096
        filler.write_bytes(b"\1" * (free - 3 * (home / "catalog.db").stat().st_size // 2))

        with pytest.raises(Conflict, match="bytes are needed beside it"):
            upgrades.upgrade(home, now=NOW)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(upgrades, "_hindrances", lambda home, needed: iter(()))
            with pytest.raises(TrunklineError, match="no space is left"):
                upgrades.upgrade(home, now=NOW)
        assert upgrades.check(home).damages == ()
        filler.unlink()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(upgrades, "_SLACK_BYTES", 0)
            upgrades.upgrade(home, now=NOW)
        upgrades.undo(home)

        assert dump(home / "catalog.db") == before
    finally:
        subprocess.run(["umount", "-l", place], check=True)
