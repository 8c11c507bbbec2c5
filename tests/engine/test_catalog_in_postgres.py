"""A data directory with its catalog in PostgreSQL: same operations, and nobody else's catalog."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from postgres_schemas import empty_schema, needs_postgres

from trunkline.db.opening import open_database
from trunkline.engine import home as homes
from trunkline.engine.restore import restore
from trunkline.errors import Conflict, StoreInUse, StoreTooNew, StoreTooOld

pytestmark = needs_postgres


@pytest.fixture
def url() -> Iterator[str]:
    with empty_schema() as made:
        yield made


@pytest.fixture
def other_url() -> Iterator[str]:
    with empty_schema() as made:
        yield made


@pytest.fixture
def open_engine(url: str, other_url: str, open_engine):
    """Schemas go after the engines that use them."""
    return open_engine


def say(database: str) -> dict[str, str]:
    return {"TRUNKLINE_DATABASE": database}


def some_work(driver) -> dict[str, object]:
    """A pipeline that has run; what can be asked about it."""
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a.txt": "one", "b.txt": "two"})
    driver.pipeline("copy", "cp /pfs/data/* /pfs/out/")
    assert driver.job("copy").state == "success"
    return state_of(driver)


def state_of(driver) -> dict[str, object]:
    return {
        "repos": driver.engine.repos.list_repos(),
        "pipelines": driver.engine.pipelines.list_pipelines(),
        "jobs": list(driver.engine.jobs.list_jobs()),
        "files": driver.tree("copy"),
        "commits": list(driver.engine.commits.list_commits("copy")),
    }


def test_a_pipeline_runs_and_all_is_there_after_a_restart(open_engine, url: str) -> None:
    driver = open_engine(**say(url))
    before = some_work(driver)
    driver.engine.close()

    assert not (driver.home / homes.CATALOG).exists()
    again = open_engine(**say(url))

    assert state_of(again) == before
    again.put("data", {"c.txt": "three"})
    assert again.job("copy").state == "success"
    assert again.tree("copy") == {"a.txt": "one", "b.txt": "two", "c.txt": "three"}


def test_the_whole_is_checked_without_damage(open_engine, url: str) -> None:
    driver = open_engine(**say(url))
    some_work(driver)

    report = driver.engine.admin.fsck()

    assert report.damages == ()
    assert any("fsync off" in remark for remark in report.remarks)  # as in all servers for tests


def test_a_catalog_moves_into_an_empty_database_and_back_by_a_backup(
    open_engine, url: str, tmp_path: Path
) -> None:
    driver = open_engine()
    before = some_work(driver)
    driver.engine.close()

    moved = open_engine(**say(url))
    assert state_of(moved) == before
    assert not (moved.home / homes.CATALOG).exists()
    assert (moved.home / homes.MOVED).exists()
    moved.put("data", {"c.txt": "three"})
    assert moved.job("copy").state == "success"
    later = state_of(moved)
    moved.engine.admin.backup(str(tmp_path / "backup"))
    moved.engine.close()

    restore(tmp_path / "backup", tmp_path / "back", force=False, now=moved.engine._services.now())
    back = open_engine(tmp_path / "back")
    assert state_of(back) == later
    back.put("data", {"d.txt": "four"})
    assert back.job("copy").state == "success"
    assert back.engine.admin.fsck().damages == ()


def test_a_move_that_died_before_its_end_is_completed(open_engine, url: str) -> None:
    driver = open_engine()
    before = some_work(driver)
    driver.engine.close()
    open_engine(**say(url)).engine.close()
    (driver.home / homes.MOVED).rename(driver.home / homes.CATALOG)
    (driver.home / homes.DATABASE).unlink()

    again = open_engine(**say(url))

    assert state_of(again) == before


def test_a_directory_is_not_opened_without_its_database(open_engine, url: str) -> None:
    open_engine(**say(url)).engine.close()

    with pytest.raises(Conflict, match="is in a PostgreSQL database; say which"):
        open_engine()


def test_a_directory_is_not_opened_with_another_database(
    open_engine, url: str, other_url: str, tmp_path: Path
) -> None:
    driver = open_engine(**say(url))
    some_work(driver)
    driver.engine.close()

    with pytest.raises(Conflict, match="has nothing, and the data directory"):
        open_engine(**say(other_url))
    other = open_engine(tmp_path / "other", **say(other_url))
    some_work(other)
    other.engine.close()
    with pytest.raises(Conflict, match="the catalog of another one"):
        open_engine(**say(other_url))


def test_a_database_is_not_opened_without_its_chunks(open_engine, url: str, tmp_path: Path) -> None:
    driver = open_engine(**say(url))
    some_work(driver)
    driver.engine.close()

    with pytest.raises(Conflict, match="set TRUNKLINE_HOME to the one that has its chunks"):
        open_engine(tmp_path / "empty", **say(url))
    filled = open_engine(tmp_path / "filled")
    some_work(filled)
    filled.engine.close()
    with pytest.raises(Conflict, match="name an empty database"):
        open_engine(tmp_path / "filled", **say(url))


def test_chunks_without_a_catalog_are_left_alone(open_engine, url: str) -> None:
    driver = open_engine()
    some_work(driver)
    driver.engine.close()
    (driver.home / homes.CATALOG).unlink()

    with pytest.raises(Conflict, match="has chunks and no catalog"):
        open_engine(**say(url))


def test_a_database_that_somebody_has_open_is_in_use(open_engine, url: str, tmp_path: Path) -> None:
    driver = open_engine(**say(url))
    shutil.copytree(driver.home, tmp_path / "copy")

    with pytest.raises(StoreInUse, match="another server"):
        open_engine(tmp_path / "copy", **say(url))


def test_a_newer_catalog_is_refused(open_engine, url: str) -> None:
    open_engine(**say(url)).engine.close()
    with closing(open_database(url)) as database, database.write() as tx:
        tx.execute("INSERT INTO migration (number) VALUES (9999)")

    with pytest.raises(StoreTooNew, match="9999"):
        open_engine(**say(url))


def test_an_older_catalog_is_upgraded_unless_the_settings_say_never(open_engine, url: str) -> None:
    driver = open_engine(**say(url))
    driver.engine.repos.create_repo("data")
    driver.engine.close()
    with closing(open_database(url)) as database, database.write() as tx:
        tx.execute("DROP TABLE notice")
        tx.execute("DROP TABLE notice_wanted")
        tx.execute("DELETE FROM migration WHERE number = 19")

    with pytest.raises(StoreTooOld, match="TRUNKLINE_UPGRADE says never"):
        open_engine(TRUNKLINE_UPGRADE="never", **say(url))
    assert [repo.name for repo in open_engine(**say(url)).engine.repos.list_repos()] == ["data"]


def test_garbage_goes_and_what_is_needed_stays(open_engine, url: str) -> None:
    driver = open_engine(TRUNKLINE_TRASH_S="0", **say(url))
    before = some_work(driver)
    driver.engine.repos.create_repo("gone")
    driver.put("gone", {"x": "nobody needs this " * 1000})
    driver.engine.repos.delete_repo("gone")

    driver.engine.admin.gc(grace_s=0)
    removed = driver.engine.admin.gc(grace_s=0)

    assert removed.waiting_objects == 0
    assert driver.engine.admin.fsck().damages == ()
    assert state_of(driver)["files"] == before["files"]


def test_purged_files_are_gone_and_the_log_of_the_database_is_spoken_of(
    open_engine, url: str
) -> None:
    driver = open_engine()
    some_work(driver)
    driver.engine.close()
    driver = open_engine(**say(url))

    report = driver.engine.purges.purge(["data:/a.txt"], reason="asked for")

    assert report.state == "done"
    assert any("pg_wal" in remark for remark in report.remarks)
    assert not (driver.home / homes.MOVED).exists()
    assert driver.tree("data") == {"b.txt": "two"}


def test_the_scheduler_survives_the_loss_of_all_connections(open_engine, url: str) -> None:
    driver = open_engine(**say(url))
    driver.engine.repos.create_repo("data")
    driver.pipeline("copy", "sleep 0.2; cp /pfs/data/* /pfs/out/")

    for number in range(3):
        driver.put("data", {f"f{number}": "content"})
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                "application_name = 'trunkline' AND pid IN (SELECT pid FROM pg_locks WHERE "
                "locktype = 'advisory' AND objid = current_schema()::regnamespace::oid)"
            )
        assert driver.job("copy").state == "success"

    assert len(driver.tree("copy")) == 3
    assert driver.engine.admin.fsck().damages == ()


def test_the_password_is_in_no_message_and_no_environment_of_user_code(
    open_engine, url: str
) -> None:
    password = "kennwort"
    driver = open_engine(**say(url))
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "x"})
    driver.pipeline("show", "env > /pfs/out/env")

    assert driver.job("show").state == "success"
    assert password not in driver.read("show", "/env")


def test_a_server_that_is_killed_is_followed_by_another(
    url: str, home: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUNKLINE_DATABASE", url)
    command("trunkline", "create", "repo", "data")
    server = json.loads((home / "server.json").read_text())["pid"]

    os.kill(server, signal.SIGKILL)

    assert "data" in command("trunkline", "list", "repo").stdout
    assert (home / homes.DATABASE).exists()
    assert not (home / homes.CATALOG).exists()
    refused = command("trunkline", "upgrade", "--check", ok=False)
    assert "is in a PostgreSQL database" in refused.stderr
