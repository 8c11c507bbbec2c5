"""Retention rules as operations: applied when asked, and by the server itself."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.config import load
from trunkline.engine import retention as engine_retention
from trunkline.engine.restore import restore
from trunkline.errors import InvalidInput, NotFound
from trunkline.model.versions import Retention


def ids(driver, repo: str = "data") -> list[str]:
    return [commit.id for commit in driver.engine.commits.list_commits(repo)]


def fill(driver, repo: str = "data", count: int = 5) -> list[str]:
    driver.engine.repos.create_repo(repo)
    for n in range(count):
        driver.put(repo, {"a": f"{n}", f"f{n}": "same"})
    return ids(driver, repo)


@pytest.mark.parametrize("where", ["engine", "remote"])
def test_rules_are_set_judged_and_applied(request: pytest.FixtureRequest, where: str) -> None:
    driver = request.getfixturevalue(where)
    before = fill(driver)
    rules = Retention(last=2)
    operations = driver.engine.retention

    info = operations.set_retention("data", "master", rules=rules)
    dry = operations.apply_retention("data", "master", dry_run=True)

    assert info.rules == rules
    assert operations.inspect_retention("data", "master") == info
    assert operations.list_retention() == [info]
    assert driver.engine.branches.inspect_branch("data", "master").retention == rules
    assert (dry.kept, dry.removed, dry.deletions) == (2, 3, ())
    assert [j.id for j in dry.commits] == before
    assert [j.reasons for j in dry.commits] == [("last 2", "head of master"), ("last 2",)] + [
        ()
    ] * 3
    assert ids(driver) == before

    done = operations.apply_retention("data", "master")

    assert (done.kept, done.removed) == (2, 3)
    assert ids(driver) == before[:2]
    [deletion] = done.deletions
    assert (deletion.how, deletion.commits) == ("apply retention data@master", 3)
    assert driver.tree("data")["f0"] == "same"
    driver.engine.trash.undelete("commit", deletion.name)
    assert ids(driver) == before
    assert driver.engine.admin.fsck().damages == ()
    operations.delete_retention("data", "master")
    with pytest.raises(NotFound, match="has no retention rules; all its commits stay"):
        operations.apply_retention("data", "master")


def test_many_commits_go_in_pieces_that_come_back_one_by_one(
    engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_retention, "_PIECE", 2)
    before = fill(engine, count=6)
    engine.engine.retention.set_retention("data", "master", rules=Retention(last=1))

    done = engine.engine.retention.apply_retention("data", "master")

    assert [d.commits for d in done.deletions] == [2, 2, 1]
    for deletion in done.deletions:
        engine.engine.trash.undelete("commit", deletion.name)
    assert ids(engine) == before


def test_what_a_pipeline_made_goes_along_with_its_jobs(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "0"})
    engine.pipeline("upper", "tr a-z A-Z < /pfs/data/a > /pfs/out/a", glob="/")
    engine.job("upper")
    for n in range(3):
        engine.put("data", {"a": f"x{n}"})
        engine.job("upper")
    rules = engine.engine.retention

    rules.set_retention("data", "master", rules=Retention(last=1))
    assert rules.apply_retention("data", "master").removed == 0
    rules.set_retention("data", "master", rules=Retention(last=1, derived=True))
    report = rules.apply_retention("data", "master")

    assert report.removed == 6
    assert len(ids(engine)) == len(ids(engine, "upper")) == 1
    assert len(list(engine.engine.jobs.list_jobs())) == 1
    assert engine.read("upper", "a") == "X2"
    engine.engine.trash.undelete("commit", report.deletions[0].name)
    assert len(list(engine.engine.jobs.list_jobs())) == 4
    assert engine.engine.admin.fsck().damages == ()


def test_the_server_applies_them_by_itself(open_engine: Callable) -> None:
    driver = open_engine(TRUNKLINE_RETENTION_INTERVAL_S="0.1")
    fill(driver, count=4)

    driver.engine.retention.set_retention("data", "master", rules=Retention(last=2))

    until(lambda: len(ids(driver)) == 2)
    driver.put("data", {"new": "x"})
    driver.put("data", {"newer": "x"})
    until(lambda: len(ids(driver)) == 2)
    assert driver.tree("data")["newer"] == "x"


def test_they_are_backed_up_and_of_projects_too(open_engine: Callable, tmp_path: Path) -> None:
    driver = open_engine(TRUNKLINE_RETENTION_INTERVAL_S="0")
    driver.engine.projects.create_project("vision")
    fill(driver, "vision/data", 3)
    rules = Retention(last=1, within_s=0.5, tagged=True)
    driver.engine.retention.set_retention("vision/data", "master", rules=rules)
    driver.engine.admin.backup(str(tmp_path / "backup"))
    now = driver.engine.retention.inspect_retention("vision/data", "master").created
    restore(tmp_path / "backup", tmp_path / "restored", force=False, now=now)

    restored = open_engine(tmp_path / "restored", TRUNKLINE_RETENTION_INTERVAL_S="0")

    [info] = restored.engine.retention.list_retention()
    assert (info.repo, info.branch, info.rules) == ("vision/data", "master", rules)
    assert len(ids(restored, "vision/data")) == 3


def test_a_deleted_repo_comes_back_with_its_rules(engine) -> None:
    fill(engine)
    engine.engine.retention.set_retention("data", "master", rules=Retention(last=3))
    engine.engine.repos.delete_repo("data")
    assert engine.engine.retention.list_retention() == []

    engine.engine.trash.undelete("repo", "data")

    assert engine.engine.retention.inspect_retention("data", "master").rules.last == 3


def test_rules_that_keep_nothing_are_refused(engine) -> None:
    fill(engine)

    with pytest.raises(InvalidInput, match="so nothing but the head would stay"):
        engine.engine.retention.set_retention("data", "master", rules=Retention())
    with pytest.raises(InvalidInput, match="TRUNKLINE_RETENTION_INTERVAL_S"):
        load({"TRUNKLINE_RETENTION_INTERVAL_S": "soon"})


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)
