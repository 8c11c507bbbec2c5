"""Garbage collection as users meet it: deleted data goes, everything else stays readable."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trunkline.api.changes import CopyFile, FileChange, PutFile
from trunkline.engine import collector
from trunkline.errors import Corrupt, NotFound
from trunkline.files import delta


@pytest.fixture
def engine(open_engine: Callable[..., Any]) -> Any:
    """An engine in which what is deleted can't come back."""
    return open_engine(TRUNKLINE_TRASH_S="0")


TEXT = "some text of its own, long enough to be worth a chunk. " * 20


def test_a_deleted_repo_goes_and_the_others_stay(engine: Any) -> None:
    for repo in ("kept", "gone"):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {"a/file": f"{repo} {TEXT}", "same": f"shared {TEXT}"})
    engine.engine.repos.delete_repo("gone")

    survey = engine.engine.admin.gc(dry_run=True)
    report = engine.engine.admin.gc(grace_s=0)

    assert survey.waiting_objects == report.removed_objects > 0
    assert report.waiting_objects == 0
    assert engine.tree("kept") == {"a/file": f"kept {TEXT}", "same": f"shared {TEXT}"}
    assert engine.engine.admin.fsck().damages == ()


def test_nothing_goes_before_its_grace_is_over(engine: Any) -> None:
    engine.engine.repos.create_repo("gone")
    engine.put("gone", {"file": TEXT})
    engine.engine.repos.delete_repo("gone")

    for _ in range(3):
        report = engine.engine.admin.gc()
        assert (report.removed_objects, report.waiting_objects > 0) == (0, True)


def test_without_grace_all_goes_though_an_earlier_collection_is_not_over(engine: Any) -> None:
    for repo in ("first", "second", "kept"):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {"file": f"{repo} {TEXT}"})
    engine.engine.repos.delete_repo("first")
    engine.engine.admin.gc()
    engine.engine.repos.delete_repo("second")
    before = engine.engine.admin.status().stored_bytes

    assert engine.engine.admin.gc(grace_s=0).waiting_objects == 0

    needed = engine.engine.admin.gc(dry_run=True)
    assert (needed.waiting_objects, needed.needed_objects) == (0, 3)
    assert engine.engine.admin.status().stored_bytes < before * 0.6


def test_open_commits_code_results_logs_and_history_are_needed(
    open_engine: Callable[..., Any],
) -> None:
    engine = open_engine()
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": f"old {TEXT}"})
    engine.put("data", {"a": f"new {TEXT}"})
    code = engine.engine.files.create_file_set([PutFile(path="run.sh", content=[b"cat $1"])])
    spec = {
        "pipeline": {"name": "copy"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["echo said $data", "cp $data /pfs/out/"]},
    }
    engine.engine.pipelines.create_pipeline(spec, code=code.root)
    assert engine.job("copy").state == "success"
    started = engine.engine.commits.start_commit("data", branch="master")
    engine.put("data", {"b": f"open {TEXT}"})

    report = engine.engine.admin.gc(grace_s=0)

    assert report.needed_objects > 8
    assert engine.read("data", "a", "master~1") == f"new {TEXT}"
    assert engine.read("data", "a", "master~2") == f"old {TEXT}"
    engine.engine.commits.finish_commit("data", started.id)
    assert engine.read("data", "b") == f"open {TEXT}"
    job = engine.job("copy")
    assert (job.state, job.skipped) == ("success", 1)
    assert any("said" in line for line in engine.logs("copy"))
    assert engine.engine.admin.fsck().damages == ()


def test_what_can_be_undeleted_is_needed(open_engine: Callable[..., Any]) -> None:
    engine = open_engine()
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": TEXT})
    code = engine.engine.files.create_file_set([PutFile(path="run.sh", content=[b"cat $1"])])
    spec = {
        "pipeline": {"name": "copy"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["echo said $data", "sh /code/run.sh $data"]},
    }
    engine.engine.pipelines.create_pipeline(spec, code=code.root)
    assert engine.job("copy").state == "success"
    with engine.engine._services.database.write() as tx:
        tx.execute("DELETE FROM file_set")
    engine.engine.pipelines.delete_pipeline("copy")
    engine.engine.repos.delete_repo("data")

    engine.engine.admin.gc(grace_s=0)

    engine.engine.trash.undelete("repo", "data")
    engine.engine.trash.undelete("pipeline", "copy")
    assert engine.read("data", "a") == TEXT
    assert any("said" in line for line in engine.logs("copy"))
    engine.put("data", {"b": TEXT})
    assert engine.job("copy").state == "success"
    assert engine.engine.admin.fsck().damages == ()


def test_what_a_commit_that_is_gone_passed_on_between_two_looks_stays(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Condemned before its new name was written down, and never looked at while it had that."""
    monkeypatch.setattr(delta, "_BATCH_FILES_MAX", 1)  # each file is looked up by itself,
    monkeypatch.setattr(delta, "_LOOSE_CONTENTS_MAX", 0)  # and at once
    monkeypatch.setattr(collector, "_DRAIN_S", 0.0)  # the puts have to go on
    operations = engine.engine
    operations.repos.create_repo("data")
    gone = engine.put("data", {"a": TEXT})
    operations.commits.drop_commit("data", gone.id)

    def found_before_it_is_condemned() -> Iterator[FileChange]:
        yield PutFile(path="b", content=[TEXT.encode()])
        operations.admin.gc(grace_s=0)

    def taken_over_from_what_goes() -> Iterator[FileChange]:
        yield CopyFile(path="c", source_repo="data", source_commit=first.id, source_path="b")
        operations.commits.drop_commit("data", first.id)
        operations.admin.gc(grace_s=0)

    first = operations.files.modify_files("data", "master", found_before_it_is_condemned())
    operations.files.modify_files("data", "other", taken_over_from_what_goes())
    operations.admin.gc(grace_s=0)

    assert engine.tree("data", "other") == {"c": TEXT}
    assert operations.admin.fsck().damages == ()


def test_results_are_forgotten_with_their_pipeline(engine: Any) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1", "b": "2"})
    engine.pipeline("copy", "cp $data /pfs/out/")
    assert engine.job("copy").state == "success"
    engine.delete("data", "b")
    assert engine.job("copy").state == "success"

    assert engine.engine.admin.gc(grace_s=0).results_forgotten == 0
    engine.engine.pipelines.delete_pipeline("copy")
    assert engine.engine.admin.gc(grace_s=0).results_forgotten == 2

    engine.pipeline("copy", "cp $data /pfs/out/")
    assert engine.job("copy").skipped == 0


def test_old_results_are_forgotten_unless_the_last_good_job_has_them(
    open_engine: Callable[..., Any],
) -> None:
    engine = open_engine(TRUNKLINE_RESULTS_KEPT_S="0")
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1", "b": "2", "c": "3"})
    engine.pipeline("copy", "cp $data /pfs/out/")
    assert engine.job("copy").state == "success"
    engine.delete("data", "b")
    assert engine.job("copy").state == "success"

    assert engine.engine.admin.gc(grace_s=0).results_forgotten == 1

    engine.put("data", {"b": "2"})
    job = engine.job("copy")
    assert (job.state, job.skipped, job.processed) == ("success", 2, 1)
    assert engine.tree("copy") == {"a": "1", "b": "2", "c": "3"}
    engine.delete("data", "a", "b")
    assert engine.job("copy").state == "success"
    assert engine.tree("copy") == {"c": "3"}


@pytest.mark.parametrize("how", ["drop", "undelete"])
def test_a_job_counts_on_no_result_that_was_forgotten(
    open_engine: Callable[..., Any], how: str
) -> None:
    """Whose plan it goes on from was not the last good one when results were forgotten."""
    engine = open_engine(TRUNKLINE_RESULTS_KEPT_S="0")
    engine.engine.repos.create_repo("data")
    engine.put("data", {f"f{number}": str(number) for number in range(20)})
    engine.pipeline("copy", "cp $data /pfs/out/")
    assert engine.job("copy").state == "success"
    if how == "drop":
        dropped = engine.delete("data", *(f"f{number}" for number in range(10)))
        assert engine.job("copy").state == "success"
        assert engine.engine.admin.gc(grace_s=0).results_forgotten == 10
        engine.engine.commits.drop_commit("data", dropped.id, recursive=True)
    else:
        engine.engine.pipelines.delete_pipeline("copy", keep_repo=True)
        assert engine.engine.admin.gc(grace_s=0).results_forgotten == 20
        engine.engine.trash.undelete("pipeline", "copy")

    engine.put("data", {f"f{number}": "other" for number in range(5, 20)})

    job = engine.job("copy")
    assert job.state == "success"
    assert engine.tree("copy") == engine.tree("data")
    assert (job.skipped, job.processed) == (0, 20)


def test_an_upload_that_nothing_uses_is_forgotten_and_says_so(
    open_engine: Callable[..., Any],
) -> None:
    engine = open_engine(TRUNKLINE_FILE_SETS_KEPT_S="0.001", TRUNKLINE_TRASH_S="0")
    code = engine.engine.files.create_file_set([PutFile(path="x", content=[TEXT.encode()])])

    report = engine.engine.admin.gc(grace_s=0)

    assert report.removed_objects > 0
    engine.engine.repos.create_repo("data")
    spec = {
        "pipeline": {"name": "p"},
        "input": {"pfs": {"repo": "data", "glob": "/"}},
        "transform": {"cmd": ["true"]},
    }
    with pytest.raises(NotFound, match="upload the files again"):
        engine.engine.pipelines.create_pipeline(spec, code=code.root)


def test_what_cannot_be_read_stops_the_collection_and_is_named(engine: Any) -> None:
    engine.engine.repos.create_repo("data")
    head = engine.put("data", {f"file {n}": TEXT + str(n) for n in range(5)})
    engine.engine.repos.create_repo("gone")
    engine.put("gone", {"file": TEXT})
    engine.engine.repos.delete_repo("gone")
    chunks = engine.engine._services.chunks
    chunks.let_go(cached=True)
    with chunks._index.write() as tx:
        tx.execute("DELETE FROM chunk WHERE digest = :d", d=bytes.fromhex(head.root))

    with pytest.raises(Corrupt, match=f"nothing was removed.*{head.root}"):
        engine.engine.admin.gc(grace_s=0)


def test_writers_readers_and_jobs_go_on_beside_it(engine: Any) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"seed": TEXT})
    engine.pipeline("copy", "cp $data /pfs/out/")
    engine.job("copy")
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for number in range(12):
                repo = f"w{writer}-{number % 3}"
                engine.engine.repos.create_repo(repo)
                engine.put(repo, {"same": TEXT * 2, "own": f"{writer} {number} {TEXT}"})
                engine.put("data", {f"from-{writer}": f"{number % 4} {TEXT}"})
                assert engine.read(repo, "same") == TEXT * 2
                assert engine.read(repo, "own") == f"{writer} {number} {TEXT}"
                engine.engine.repos.delete_repo(repo)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in writers:
        thread.start()
    while any(thread.is_alive() for thread in writers):
        engine.engine.admin.gc(grace_s=0)
    for thread in writers:
        thread.join()

    assert failures == []
    job = engine.job("copy")
    assert job.state == "success", job.reason
    assert engine.tree("copy") == engine.tree("data")
    assert engine.engine.admin.fsck().damages == ()
    engine.engine.admin.gc(grace_s=0)
    assert engine.engine.admin.gc(dry_run=True).waiting_objects == 0


def test_every_way_out_of_the_catalog_is_watched(engine: Any) -> None:
    """Later migrations must not lose the triggers, as making a table anew does."""
    with sqlite3.connect(engine.home / "catalog.db") as connection:
        found = {
            (table, sql.split(" ON ")[0].split("AFTER ")[1].split(" OF ")[0])
            for table, sql in connection.execute(
                "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
            )
        }
    connection.close()

    assert found >= {
        ("commit_record", "DELETE"),
        ("commit_record", "UPDATE"),
        ("commit_delta", "DELETE"),
        ("pipeline_version", "DELETE"),  # its code, and its lock
        ("job_segment", "DELETE"),
        ("datum", "DELETE"),
        ("datum", "UPDATE"),
        ("result", "DELETE"),
        ("result", "UPDATE"),
        ("file_set", "DELETE"),
        ("batch_step", "DELETE"),
    }
