"""A data directory of an older version is looked at, upgraded, read, and brought back."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from old_stores import GOLDEN_NUMBER, NUMBERS, dump, files_of, old_store
from stored_bytes import places_of

from trunkline.db.migrate import migrations
from trunkline.engine import upgrade as upgrades
from trunkline.engine.release import FORMAT
from trunkline.errors import (
    Conflict,
    Corrupt,
    NotFound,
    OperationFailed,
    StoreTooNew,
    StoreTooOld,
    Unavailable,
)
from trunkline.model.admin import UpgradeCheck, UpgradeReport, UpgradeStep

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NEWEST = NUMBERS[-1]
OLDER = NUMBERS[:-1]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return old_store(tmp_path / "old")


def run(home: Path, *statements: str) -> None:
    connection = sqlite3.connect(home / "catalog.db")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def catalog_steps(found: UpgradeCheck | UpgradeReport) -> list[UpgradeStep]:
    return [step for step in found.steps if step.part == "catalog"]


# --- looking --------------------------------------------------------------------------------------


def test_a_look_says_what_is_to_be_done_and_changes_nothing(home: Path) -> None:
    before = files_of(home)

    plan = upgrades.check(home)

    assert (plan.format, plan.catalog, plan.newest) == (1, GOLDEN_NUMBER, NEWEST)
    assert [step.number for step in catalog_steps(plan)] == NUMBERS[1:]
    assert catalog_steps(plan)[0].title == "projects"
    assert plan.by_itself
    assert plan.needed_bytes > (home / "catalog.db").stat().st_size
    assert (plan.hindrances, plan.damages, plan.held_by, plan.kept) == ((), (), "", "")
    assert plan.remarks == (
        "2 commits are unfinished, and go on afterwards",
        "1 job is unfinished, and goes on afterwards",
    )
    assert files_of(home) == before


def test_nothing_is_to_be_done_with_a_present_one(tmp_path: Path, open_engine: Callable) -> None:
    open_engine(tmp_path / "new")

    plan = upgrades.check(tmp_path / "new")

    assert (plan.steps, plan.by_itself, plan.duration_s, plan.needed_bytes) == ((), False, 0.0, 0)


def test_where_there_is_no_data_directory_that_is_said_and_none_is_made(tmp_path: Path) -> None:
    for work in (upgrades.check, upgrades.undo, lambda at: upgrades.upgrade(at, now=NOW)):
        with pytest.raises(NotFound, match="there is no data directory in"):
            work(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_newer_one_is_refused_and_left_as_it_is(home: Path, open_engine: Callable) -> None:
    run(home, "INSERT INTO migration VALUES (999)")
    before = files_of(home)

    for work in (upgrades.check, upgrades.undo, open_engine):
        with pytest.raises(StoreTooNew, match=rf"format 999.* up to {NEWEST}; upgrade Trunkline"):
            work(home)
    assert files_of(home) == before

    (home / "FORMAT").write_text(f"trunkline {FORMAT + 1}\n")
    for work in (upgrades.check, open_engine):
        with pytest.raises(StoreTooNew, match=rf"format {FORMAT + 1}, .* up to {FORMAT}"):
            work(home)


def test_damage_is_found_before_anything_is_done(home: Path, open_engine: Callable) -> None:
    run(home, "UPDATE branch SET head = 12345")
    before = files_of(home)

    assert (
        upgrades.check(home).damages
        == ("a row of branch names one of commit_record that is gone",) * 3
    )
    with pytest.raises(Corrupt, match="a row of branch names"):
        upgrades.upgrade(home, now=NOW)
    with pytest.raises(StoreTooOld, match=r"because it is damaged \(a row of branch"):
        open_engine(home)
    assert files_of(home) == before


# --- upgrading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", OLDER)
def test_one_of_any_age_is_upgraded_and_taken_up_where_it_was_left(
    tmp_path: Path, open_engine: Callable, number: int
) -> None:
    home = old_store(tmp_path / "old", number=number)
    before = dump(home / "catalog.db")

    report = upgrades.upgrade(home, now=NOW)

    assert (report.catalog_before, report.catalog) == (number, NEWEST)
    assert [step.number for step in catalog_steps(report)] == [n for n in NUMBERS if n > number]
    assert dump(home / "before-upgrade" / "catalog.db") == before
    driver = open_engine(home)
    assert driver.tree("data", "master^") == {"a": "apple\n", "dir/b": "bear\n"}
    assert driver.engine.admin.fsck().damages == ()
    assert upgrades.check(home).steps == ()


def test_an_upgrade_that_is_not_needed_does_nothing(home: Path) -> None:
    upgrades.upgrade(home, now=NOW)
    before = files_of(home)

    report = upgrades.upgrade(home, now=NOW)

    assert (report.steps, report.catalog_before, report.catalog) == ((), NEWEST, NEWEST)
    assert files_of(home) == before


def test_a_directory_that_does_not_say_its_format_is_made_to(home: Path) -> None:
    (home / "FORMAT").unlink()

    assert next((s.part, s.number) for s in upgrades.check(home).steps) == ("directory", 1)
    upgrades.upgrade(home, now=NOW)

    assert (home / "FORMAT").read_text() == f"trunkline {FORMAT}\n"
    assert upgrades.check(home).steps == ()


def test_opening_an_old_one_upgrades_it_and_keeps_what_was_before(
    home: Path, open_engine: Callable
) -> None:
    before = dump(home / "catalog.db")

    driver = open_engine(home)

    assert driver.tree("data", "master^") == {"a": "apple\n", "dir/b": "bear\n"}
    assert dump(home / "before-upgrade" / "catalog.db") == before
    assert not upgrades.check(home).interrupted


@pytest.mark.parametrize("leftover", [".before-upgrade.new", ".before-upgrade.old"])
def test_what_a_crash_left_of_a_copy_is_cleared_by_opening(
    home: Path, open_engine: Callable, leftover: str
) -> None:
    open_engine(home).engine.close()
    shutil.copytree(home / "before-upgrade", home / leftover)

    open_engine(home)

    assert not (home / leftover).exists()
    assert (home / "before-upgrade" / "catalog.db").exists()


def test_a_purge_erases_the_copy_too(home: Path, open_engine: Callable) -> None:
    driver = open_engine(home)
    assert [place for place in places_of(home, "dir/b") if "before-upgrade" in place] == []
    (home / "before-upgrade" / "catalog.db").write_bytes(b"names of files: dir/b")

    report = driver.engine.purges.purge(["data:/dir/b"], reason="asked for")

    assert any("from before the last upgrade" in r and "is gone" in r for r in report.remarks)
    assert [place for place in places_of(home, "dir/b") if "before-upgrade" in place] == []


def test_a_first_start_keeps_nothing_aside(tmp_path: Path, open_engine: Callable) -> None:
    open_engine(tmp_path / "new")

    assert not (tmp_path / "new" / "before-upgrade").exists()


def test_what_may_take_long_is_only_done_when_it_is_asked_for(
    home: Path, open_engine: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrades, "BY_ITSELF_S", 0.0)
    before = files_of(home)

    assert not upgrades.check(home).by_itself
    with pytest.raises(
        StoreTooOld, match=rf"has format {GOLDEN_NUMBER}, .* works with {NEWEST}.* may take"
    ):
        open_engine(home)

    assert files_of(home) == before
    upgrades.upgrade(home, now=NOW)
    open_engine(home)


def test_nothing_is_done_by_itself_where_that_is_set(home: Path, open_engine: Callable) -> None:
    with pytest.raises(StoreTooOld, match="because TRUNKLINE_UPGRADE says never"):
        open_engine(home, TRUNKLINE_UPGRADE="never")


def test_one_that_somebody_works_on_is_looked_at_and_not_upgraded(
    home: Path, open_engine: Callable
) -> None:
    open_engine(home)

    assert upgrades.check(home).held_by.startswith("pid ")
    for work in (upgrades.undo, lambda at: upgrades.upgrade(at, now=NOW)):
        with pytest.raises(Conflict, match=r"in use by another process \(pid .*`trunkline down`"):
            work(home)


def test_a_disk_without_room_for_the_copy_prevents_it(
    home: Path, open_engine: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrades, "_SLACK_BYTES", 1 << 60)
    before = files_of(home)

    [problem] = upgrades.check(home).hindrances
    assert "bytes are needed beside it" in problem
    with pytest.raises(Conflict, match="are needed beside it"):
        upgrades.upgrade(home, now=NOW)
    with pytest.raises(StoreTooOld, match="are needed beside it"):
        open_engine(home)
    assert files_of(home) == before


def test_a_rule_that_does_not_hold_afterwards_puts_everything_back(
    home: Path, open_engine: Callable
) -> None:
    run(home, "UPDATE commit_record SET root = '' WHERE finished_us IS NOT NULL")
    before = dump(home / "catalog.db")

    with pytest.raises(OperationFailed, match="finished and has no tree.* put back as it was"):
        upgrades.upgrade(home, now=NOW)

    assert dump(home / "catalog.db") == before
    assert not (home / "before-upgrade").exists()
    report = upgrades.upgrade(home, now=NOW, force=True)
    assert "it is finished and has no tree" in report.problems[0]
    assert report.catalog == NEWEST


# --- read-only ------------------------------------------------------------------------------------


@pytest.fixture
def read_only(home: Path, tmp_path: Path) -> Iterator[Path]:
    """The old data directory in a file system that takes no writes; needs the right to mount."""
    place = tmp_path / "mounted"
    place.mkdir()
    if subprocess.run(["mount", "--bind", home, place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here (needs root)")
    subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_one_that_can_not_be_written_to_is_looked_at_and_not_upgraded(
    read_only: Path, open_engine: Callable
) -> None:
    plan = upgrades.check(read_only)

    assert plan.hindrances == ("it can't be written to",)
    assert not plan.by_itself
    with pytest.raises(Unavailable, match="can't be used: Read-only file system"):
        upgrades.upgrade(read_only, now=NOW)
    with pytest.raises(Unavailable, match="can't be used: Read-only file system"):
        open_engine(read_only)


# --- back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", OLDER)
def test_one_goes_back_to_what_it_was(tmp_path: Path, open_engine: Callable, number: int) -> None:
    home = old_store(tmp_path / "old", number=number)
    before = dump(home / "catalog.db")
    upgrades.upgrade(home, now=NOW)

    report = upgrades.undo(home)

    assert (report.catalog_before, report.catalog) == (NEWEST, number)
    assert dump(home / "catalog.db") == before
    assert (home / "FORMAT").read_text() == "trunkline 1\n"
    assert not (home / "before-upgrade").exists()
    assert open_engine(home).tree("data", "master^") == {"a": "apple\n", "dir/b": "bear\n"}


def test_reading_and_collecting_garbage_do_not_keep_one_from_going_back(
    home: Path, open_engine: Callable
) -> None:
    before = dump(home / "catalog.db")
    driver = open_engine(home)
    driver.tree("data", "master^")
    driver.engine.admin.gc()
    driver.engine.close()

    upgrades.undo(home)

    assert dump(home / "catalog.db") == before
    driver = open_engine(home)
    assert driver.tree("data", "master^") == {"a": "apple\n", "dir/b": "bear\n"}
    assert driver.engine.admin.fsck().damages == ()


def test_the_index_of_the_store_is_made_anew_if_the_older_version_does_not_know_it(
    home: Path, open_engine: Callable
) -> None:
    open_engine(home).engine.close()
    assert len(dump(home / "store" / "index.db"))

    upgrades.undo(home)

    assert not (home / "store" / "index.db").exists()
    assert open_engine(home).engine.admin.fsck().damages == ()


def test_nobody_goes_back_over_what_was_written_since(home: Path, open_engine: Callable) -> None:
    driver = open_engine(home)
    driver.put("data", {"new": "x"}, branch="other")
    driver.engine.close()

    with pytest.raises(Conflict, match=r"written to since .*\(.*commit_record.*would lose that"):
        upgrades.undo(home)

    assert open_engine(home).tree("data", "other") == {"new": "x"}


def test_without_an_upgrade_there_is_nothing_to_go_back_to(
    tmp_path: Path, open_engine: Callable
) -> None:
    open_engine(tmp_path / "new").engine.close()

    with pytest.raises(NotFound, match="there is nothing to go back to"):
        upgrades.undo(tmp_path / "new")


def test_a_damaged_copy_is_not_put_back(home: Path) -> None:
    upgrades.upgrade(home, now=NOW)
    before = dump(home / "catalog.db")
    with (home / "before-upgrade" / "catalog.db").open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\xff")

    with pytest.raises(Corrupt, match="expected digest"):
        upgrades.undo(home)

    assert dump(home / "catalog.db") == before


def test_a_damaged_record_does_not_keep_a_present_one_from_opening(
    home: Path, open_engine: Callable
) -> None:
    upgrades.upgrade(home, now=NOW)
    (home / "before-upgrade" / "UPGRADE.json").write_text("{}")

    open_engine(home).engine.close()

    with pytest.raises(Corrupt, match="a record of an upgrade"):
        upgrades.undo(home)


def test_a_copy_of_an_upgrade_that_did_nothing_is_made_again(home: Path) -> None:
    upgrades.upgrade(home, now=NOW)
    upgrades_before = json.loads((home / "before-upgrade" / "UPGRADE.json").read_text())
    upgrades.undo(home)
    (home / "before-upgrade").mkdir()
    (home / "before-upgrade" / "catalog.db").write_bytes(b"of another time")
    record = {**upgrades_before, "finished": ""}
    (home / "before-upgrade" / "UPGRADE.json").write_text(json.dumps(record))
    run(home, "UPDATE repo SET description = 'written by the older version'")

    upgrades.upgrade(home, now=NOW)
    upgrades.undo(home)

    assert any("written by the older version" in line for line in dump(home / "catalog.db"))


def test_the_registry_leads_to_the_formats_of_this_version(home: Path) -> None:
    (home / "FORMAT").unlink()
    steps = upgrades.check(home).steps

    assert [s.number for s in steps if s.part == "directory"] == list(range(1, FORMAT + 1))
    assert [s.number for s in steps if s.part == "catalog"] == [
        m.number for m in migrations("catalog") if m.number > GOLDEN_NUMBER
    ]
