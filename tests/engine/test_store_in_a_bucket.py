"""A data directory whose packs are in a bucket does all that others do, and can lose its disk."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from backups import bring_back
from fault_proxy import FaultProxy, Request
from postgres_schemas import KINDS, catalog_schema, empty_schema, needs_postgres
from s3_objects import Objects, new_bucket

from trunkline.config import load
from trunkline.engine.urls import chosen_place
from trunkline.errors import Conflict, InvalidInput, Unavailable
from trunkline.model.jobs import JobState
from trunkline.store.claims import Place

EVENTS = {"TRUNKLINE_GC_GRACE_S": "0", "TRUNKLINE_GC_INTERVAL_S": "0"}


# Where the index is makes no difference to these.
any_catalog = pytest.mark.parametrize("open_there", ["sqlite"], indirect=True)


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Objects:
    made = new_bucket()
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture(params=KINDS)
def open_there(
    request: pytest.FixtureRequest, objects: Objects, open_engine: Callable[..., Any]
) -> Iterator[Callable[..., Any]]:
    """Opens engines whose packs are in the bucket; with PostgreSQL the index is in there, too."""
    with catalog_schema() if request.param == "postgres" else nullcontext("") as url:

        def open_it(home: Path | None = None, *, prefix: str = "first", **more: str) -> Any:
            settings = {"TRUNKLINE_STORE": f"{objects.url}/{prefix}", "TRUNKLINE_DATABASE": url}
            settings = {**settings, **EVENTS, **more}
            return open_engine(home, **settings, **objects.environment())

        yield open_it


def place_at(objects: Objects, prefix: str) -> Place:
    environment = {"TRUNKLINE_STORE": f"{objects.url}/{prefix}", **objects.environment()}
    place = chosen_place(load(environment))
    assert place is not None
    return place


def test_versions_and_jobs_are_as_anywhere(open_there: Any, objects: Objects) -> None:
    driver = open_there()
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n", "dir/b": b"x" * 3_000_000})
    driver.pipeline("copy", "cp -r /pfs/data/* /pfs/out/; echo seen")
    job = driver.job("copy")
    driver.put("data", {"c": "cherry\n"})
    after = driver.job("copy")

    assert (job.state, after.state) == (JobState.SUCCESS, JobState.SUCCESS)
    assert (after.skipped, after.processed) == (2, 1)
    assert driver.tree("copy") == driver.tree("data")
    assert "seen" in driver.logs("copy")
    assert driver.read("data", "a", "master^") == "apple\n"
    driver.delete("data", "a")
    assert sorted(driver.tree("data")) == ["c", "dir/b"]
    assert driver.engine.admin.fsck().damages == ()
    assert not (driver.home / "store" / "packs").exists()
    assert any(key.startswith("first/packs/") for key in objects.names())


def test_all_is_there_when_only_catalog_and_bucket_are_left(
    open_there: Any, tmp_path: Path
) -> None:
    driver = open_there()
    driver.engine.repos.create_repo("data")
    for number in range(12):
        driver.put("data", {f"f{number}": f"content {number}"})
    driver.pipeline("copy", "cp /pfs/data/* /pfs/out/")
    driver.job("copy")
    tree = driver.tree("data")
    moved = tmp_path / "moved"
    moved.mkdir()
    driver.engine.close()
    for name in ("catalog.db", "FORMAT"):
        if (driver.home / name).exists():
            shutil.copy(driver.home / name, moved / name)
    shutil.rmtree(driver.home)

    again = open_there(moved)

    assert again.tree("data") == again.tree("copy") == tree
    assert again.engine.admin.fsck().damages == ()
    again.put("data", {"f0": "changed"})
    assert again.job("copy").state is JobState.SUCCESS
    again.engine.close()
    without_setting = open_there(moved, TRUNKLINE_STORE="")
    assert without_setting.engine.branches.inspect_branch("data", "master").head
    without_setting.put("data", {"f0": "changed again"})


def test_garbage_and_purged_files_leave_the_bucket(open_there: Any, objects: Objects) -> None:
    driver = open_there()
    driver.engine.repos.create_repo("data")
    secret = os.urandom(50_000)
    driver.put("data", {"secret": secret, "kept": "kept"})
    for number in range(10):
        driver.put("data", {"kept": f"kept {number}"})

    report = driver.engine.purges.purge(["data:/secret"])

    stored = b"".join(objects.get(key) for key in objects.names("first/packs"))
    assert secret[:200] not in stored
    assert driver.tree("data") == {"kept": "kept 9"}
    assert any("keeps old versions" in remark for remark in report.remarks), report
    assert driver.engine.admin.fsck().damages == ()


def test_a_backup_leads_from_files_into_a_bucket_and_back(
    open_engine: Any, open_there: Any, objects: Objects, tmp_path: Path
) -> None:
    laptop = open_engine(tmp_path / "laptop")
    laptop.engine.repos.create_repo("data")
    for number in range(5):
        laptop.put("data", {f"f{number}": os.urandom(1000).hex(), "big": "x" * 2_000_000})
    laptop.pipeline("copy", "cp /pfs/data/* /pfs/out/")
    laptop.job("copy")
    laptop.engine.admin.backup(str(tmp_path / "there"))
    place = place_at(objects, "server")

    bring_back(tmp_path / "there", tmp_path / "server", place=place)
    server = open_there(tmp_path / "server", prefix="server")

    assert server.tree("data") == server.tree("copy") == laptop.tree("data")
    assert server.engine.admin.fsck().damages == ()
    with pytest.raises(Conflict, match="has the packs of another data directory"):
        bring_back(tmp_path / "there", tmp_path / "second", place=place)
    server.put("data", {"new": "new"})
    server.job("copy")
    report = server.engine.admin.backup(str(tmp_path / "back"), verify=True)
    assert (report.problems, report.verified) == ((), True)
    bring_back(tmp_path / "back", tmp_path / "home again")
    back = open_engine(tmp_path / "home again")
    assert back.tree("copy") == server.tree("data")
    assert back.engine.admin.fsck().damages == ()


def test_damage_in_the_bucket_is_found_and_a_second_backup_keeps_what_was_whole(
    open_there: Any, objects: Objects, tmp_path: Path
) -> None:
    driver = open_there()
    driver.engine.repos.create_repo("data")
    content = os.urandom(20_000)
    driver.put("data", {"a": content})
    driver.engine.admin.backup(str(tmp_path / "backup"))
    [key] = [k for k in objects.names("first/packs") if content[:100] in objects.get(k)]
    data = bytearray(objects.get(key))
    data[data.find(content[:100]) + 50] ^= 1
    objects.put(key, bytes(data))

    [damage] = driver.engine.admin.fsck().damages

    assert any(hit.endswith(":/a") for hit in damage.hits)
    assert driver.engine.admin.backup(str(tmp_path / "backup")).problems == ()
    shutil.rmtree(driver.home / "store" / "cache")
    driver.engine.admin.fsck(repair=True)
    driver.put("data", {"a": content})
    assert driver.engine.admin.fsck().damages == ()


@pytest.fixture
def proxy(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    made = FaultProxy(objects.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    yield made
    made.close()


@any_catalog
def test_a_job_waits_for_a_bucket_that_refuses_for_a_while(
    open_there: Any, proxy: FaultProxy
) -> None:
    driver = open_there()
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "1"})
    refused: list[Request] = []

    def plan(request: Request) -> str | None:
        if request.method == "PUT" and request.is_pack and len(refused) < 3:
            refused.append(request)
            return "refused"
        return None

    driver.pipeline("copy", "cp /pfs/data/* /pfs/out/")
    proxy.plan = plan

    assert driver.job("copy").state is JobState.SUCCESS
    assert driver.tree("copy") == {"a": "1"}


@any_catalog
def test_a_put_that_the_bucket_refuses_is_told_and_changes_nothing(
    open_there: Any, proxy: FaultProxy
) -> None:
    driver = open_there()
    driver.engine.repos.create_repo("data")
    before = driver.put("data", {"a": "1"})
    proxy.plan = lambda request: "refused" if request.method == "PUT" else None

    with pytest.raises(Unavailable, match="with the credentials in the environment"):
        driver.put("data", {"a": "2"})

    assert (driver.head("data"), driver.tree("data")) == (before.id, {"a": "1"})
    proxy.plan = lambda _: None
    driver.put("data", {"a": "3"})
    assert driver.tree("data") == {"a": "3"}


def test_a_setting_that_names_no_bucket_is_told(open_engine: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="TRUNKLINE_STORE is 'ftp://x'; it must name a bucket"):
        open_engine(tmp_path / "none", TRUNKLINE_STORE="ftp://x")
    assert not (tmp_path / "none").exists()


@any_catalog
def test_a_directory_that_has_its_packs_stays_where_it_is(
    engine: Any, open_there: Any, objects: Objects
) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1"})
    engine.engine.close()

    with pytest.raises(Conflict, match="take a backup and restore it into another data directory"):
        open_there(engine.home)
    assert objects.names() == []


def test_a_catalog_does_not_begin_with_an_empty_bucket(open_there: Any, objects: Objects) -> None:
    driver = open_there()
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "1"})
    driver.engine.close()
    shutil.rmtree(driver.home / "store")

    with pytest.raises(Conflict, match="name the bucket that has them"):
        open_there(driver.home, prefix="wrong")
    assert objects.names("wrong") == []
    assert open_there(driver.home).tree("data") == {"a": "1"}


@any_catalog
def test_the_output_of_a_job_does_not_go_among_the_packs(open_there: Any, objects: Objects) -> None:
    driver = open_there(TRUNKLINE_EGRESS_RETRY_S="0")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"owner.json": "mine"})
    driver.pipeline("out", "cp /pfs/data/* /pfs/out/", egress={"URL": f"{objects.url}/first"})
    driver.pipeline("ok", "cp /pfs/data/* /pfs/out/", egress={"URL": f"{objects.url}/firsts"})

    job = driver.job("out")

    assert job.state is JobState.FAILURE
    assert "is where the packs of this server are; copy to another prefix" in job.reason
    assert b"installation" in objects.get("first/owner.json")
    assert driver.job("ok").state is JobState.SUCCESS
    assert objects.get("firsts/owner.json") == b"mine"


@any_catalog
def test_a_restore_that_breaks_off_can_be_begun_again(
    engine: Any, objects: Objects, proxy: FaultProxy, open_there: Any, tmp_path: Path
) -> None:
    engine.engine.repos.create_repo("data")
    for number in range(3):
        engine.put("data", {f"f{number}": os.urandom(1000).hex()})
        engine.engine.admin.backup(str(tmp_path / "backup"))  # each ends a pack
    wanted = engine.tree("data")
    place = place_at(objects, "there")
    for last in range(20):
        proxy.seen.clear()
        proxy.plan = lambda request, last=last: "refused" if request.number == last else None
        try:
            bring_back(tmp_path / "backup", tmp_path / "back", place=place)
            break
        except Unavailable:
            assert not (tmp_path / "back").exists()
    assert last > 3
    proxy.plan = lambda _: None

    assert open_there(tmp_path / "back", prefix="there").tree("data") == wanted


@needs_postgres
@any_catalog
def test_a_server_can_lose_its_machine_when_catalog_and_contents_are_elsewhere(
    open_there: Any, objects: Objects, tmp_path: Path
) -> None:
    with empty_schema() as url, empty_schema() as other:
        driver = open_there(tmp_path / "first", TRUNKLINE_DATABASE=url)
        driver.engine.repos.create_repo("data")
        driver.put("data", {"a": "1", "big": "x" * 2_000_000})
        driver.pipeline("copy", "cp /pfs/data/* /pfs/out/")
        driver.job("copy")
        tree = driver.tree("data")
        driver.engine.close()
        shutil.rmtree(driver.home)

        with pytest.raises(Conflict, match="has the packs of another data directory"):
            open_there(tmp_path / "of another", TRUNKLINE_DATABASE=other)
        again = open_there(tmp_path / "second", TRUNKLINE_DATABASE=url)

        assert again.tree("copy") == again.tree("data") == tree
        again.put("data", {"a": "2"})
        assert again.job("copy").state is JobState.SUCCESS
        assert again.engine.admin.fsck().damages == ()
        again.engine.close()
        with pytest.raises(Conflict, match="name the bucket that has them"):
            open_there(tmp_path / "third", prefix="wrong", TRUNKLINE_DATABASE=url)
