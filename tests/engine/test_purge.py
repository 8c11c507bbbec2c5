"""Files that are erased from all history, with all that was made from them."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stored_bytes import places_of, stored_bytes

from trunkline.api.changes import CopyFile, DeleteFile, PutFile
from trunkline.client.local_files import put_local
from trunkline.errors import FileNotFoundInCommit, FilePurged, InvalidInput, NotFound, RepoNotFound
from trunkline.files.manifest import EMPTY
from trunkline.model.purges import PurgeReport

SECRET = "4711-secret-of-jane"


@pytest.fixture
def engine(open_engine: Callable[..., Any]) -> Any:
    """An engine with two empty repos."""
    driver = open_engine()
    for repo in ("data", "other"):
        driver.engine.repos.create_repo(repo)
    return driver


def purge(driver: Any, *targets: str, **options: object) -> PurgeReport:
    report = driver.engine.purges.purge(list(targets), **options)  # type: ignore[arg-type]
    assert report.state == "done"
    assert driver.engine.admin.fsck().damages == ()
    return report


def content(driver: Any, repo: str, path: str) -> bytes:
    return b"".join(driver.engine.files.read_file(repo, "master", path))


def test_a_purged_file_is_in_no_commit_and_nowhere_on_the_disk(engine: Any) -> None:
    first = engine.put("data", {"keep": "one", "jane.txt": SECRET})
    second = engine.put("data", {"keep": "two"})
    third = engine.delete("data", "jane.txt")

    report = purge(engine, "data:/jane.txt", reason="request 17")

    assert engine.tree("data", first.id) == {"keep": "one"}
    assert engine.tree("data", second.id) == engine.tree("data", third.id) == {"keep": "two"}
    assert places_of(engine.home, SECRET) == []
    [repo] = report.repos
    assert (repo.repo, repo.derived, repo.commits, repo.files) == ("data", False, 2, 2)
    assert (report.contents, report.contents_erased, report.kept) == (1, 1, ())


def test_the_history_stays_as_it_was_but_for_its_trees(engine: Any) -> None:
    ids = [engine.put("data", {"a": str(n), "b": SECRET}).id for n in range(3)]
    before = list(engine.engine.commits.list_commits("data"))

    purge(engine, "data:/b")

    after = list(engine.engine.commits.list_commits("data"))
    assert [c.id for c in after] == [c.id for c in before] == ids[::-1]
    for old, new in zip(before, after, strict=True):
        assert (old.parent, old.started, old.finished, old.branch, old.description) == (
            new.parent,
            new.started,
            new.finished,
            new.branch,
            new.description,
        )
        assert old.root != new.root
        assert new.files == 1


def test_each_commit_says_what_was_purged_from_it_and_why(engine: Any) -> None:
    commit = engine.put("data", {"people/jane.txt": SECRET, "a": "1"})
    later = engine.put("data", {"b": "2"})

    report = purge(engine, "data:/people", reason="request 17")

    info = engine.engine.commits.inspect_commit("data", commit.id)
    [mark] = info.purged
    assert (mark.purge, mark.reason, mark.files) == (report.id, "request 17", 1)
    for path in ("people/jane.txt", "people"):
        with pytest.raises(FilePurged, match=r"has been purged from data@.*request 17"):
            list(engine.engine.files.list_files("data", later.id, path))
    with pytest.raises(FilePurged):
        engine.read("data", "people/jane.txt", commit.id)
    with pytest.raises(FileNotFoundInCommit, match="there is no file"):
        engine.read("data", "people/joe.txt", commit.id)
    [gone] = engine.engine.purges.list_purged("data", commit.id, "/")
    assert (gone.path, gone.named, gone.purge) == ("people/jane.txt", True, report.id)
    after = engine.put("data", {"c": "3"})
    assert engine.engine.commits.inspect_commit("data", after.id).purged == ()


def test_names_are_forgotten_where_that_is_asked_for(engine: Any) -> None:
    commit = engine.put("data", {"people/jane-doe.txt": SECRET, "a": "1"})

    report = purge(engine, "data:/people/jane-*", forget_names=True)

    assert report.targets == ()
    assert places_of(engine.home, "jane-") == []
    with pytest.raises(FilePurged):
        engine.read("data", "people/jane-doe.txt", commit.id)
    with pytest.raises(FilePurged):
        list(engine.engine.files.list_files("data", commit.id, "people"))
    [gone] = engine.engine.purges.list_purged("data", commit.id, "/")
    assert not gone.named
    assert engine.engine.purges.inspect_purge(report.id).targets == ()


def test_what_was_made_from_a_purged_file_goes_through_two_pipelines(engine: Any) -> None:
    engine.put("data", {"a": "alpha", "jane": SECRET})
    engine.pipeline(
        "up", "f=$(basename $data); echo log-$(cat $data); sed s/^/up-/ $data > /pfs/out/$f"
    )
    engine.pipeline("down", "f=$(basename $up); sed s/^/down-/ $up > /pfs/out/$f", source="up")
    assert engine.job("down").state == "success"
    old, old_up = engine.head("down"), engine.head("up")
    assert engine.tree("down") == {"a": "down-up-alpha", "jane": f"down-up-{SECRET}"}

    report = purge(engine, "data:/jane")

    assert places_of(engine.home, SECRET) == []
    assert engine.tree("up", old_up) == {"a": "up-alpha"}
    assert engine.tree("down", old) == {"a": "down-up-alpha"}
    assert {r.repo: r.derived for r in report.repos} == {"data": False, "up": True, "down": True}
    assert report.datums == 2
    assert report.results_forgotten == 2
    assert engine.job("down").state == "success"
    assert engine.head("down") != old
    assert engine.tree("down") == {"a": "down-up-alpha"}
    assert not any(SECRET in line for line in engine.logs("up"))


def test_what_a_datum_made_of_a_whole_directory_is_made_anew_from_what_is_left(
    engine: Any,
) -> None:
    engine.put("data", {"a": "alpha", "jane": SECRET})
    engine.pipeline("all", "cat $data/* > /pfs/out/all", glob="/")
    assert engine.job("all").state == "success"
    old = engine.head("all")
    assert old is not None

    report = purge(engine, "data:/jane")

    assert engine.tree("all", old) == {}
    assert len(report.runs) == 1
    assert engine.job("all").state == "success"
    assert engine.tree("all") == {"all": "alpha"}
    assert places_of(engine.home, SECRET) == []


@pytest.fixture
def taken_over(engine: Any) -> Any:
    """A result made with a reference that is another by now, and a pipeline behind it."""
    engine.put("data", {"a": "alpha\n"})
    engine.put("other", {"secret": SECRET})
    cross = [
        {"pfs": {"repo": "data", "glob": "/*"}},
        {"pfs": {"repo": "other", "glob": "/", "reference": True}},
    ]
    script = "cat /pfs/other/* $data > /pfs/out/$(basename $data)"
    engine.pipeline("both", script, input={"cross": cross})
    engine.pipeline("after", "cp $both /pfs/out/", "both")
    assert engine.job("both").state == "success"
    engine.delete("other", "secret")
    engine.put("other", {"harmless": "model\n"})
    assert engine.job("after").state == "success"
    assert engine.tree("after") == {"a": f"{SECRET}alpha\n"}
    return engine


def test_an_output_that_no_head_of_an_input_is_to_blame_for_is_made_anew(taken_over: Any) -> None:
    engine = taken_over

    report = purge(engine, "other:/secret")

    assert engine.job("after").state == "success"
    assert engine.tree("both") == engine.tree("after") == {"a": "model\nalpha\n"}
    assert places_of(engine.home, SECRET) == []
    runs = {job.id for job in engine.engine.jobs.list_jobs(pipeline="both")}
    [run] = report.runs
    assert run in runs


def test_a_result_of_a_reference_goes_though_the_job_that_ran_it_has_no_record(
    taken_over: Any,
) -> None:
    engine = taken_over
    first = list(engine.engine.jobs.list_jobs(pipeline="both"))[-1]
    engine.engine.jobs.delete_job(f"both@{first.id}")

    report = purge(engine, "other:/secret")

    assert len(report.runs) == 1
    assert engine.job("after").state == "success"
    assert engine.tree("both") == engine.tree("after") == {"a": "model\nalpha\n"}
    assert places_of(engine.home, SECRET) == []


def test_an_output_that_is_purged_itself_is_not_made_again_at_once(engine: Any) -> None:
    engine.put("data", {"a": "alpha"})
    engine.pipeline("copy", "cp $data /pfs/out/")
    engine.pipeline("count", "ls $copy | wc -l > /pfs/out/n", "copy", glob="/")
    assert engine.job("count").state == "success"

    report = purge(engine, "copy:/a")

    assert engine.job("count").state == "success"
    assert (engine.tree("copy"), engine.tree("count")) == ({}, {})
    assert len(report.runs) == 1


def test_an_incomplete_output_of_a_pipeline_that_is_stopped_is_told_of(taken_over: Any) -> None:
    engine = taken_over
    engine.engine.pipelines.stop_pipeline("both")

    report = purge(engine, "other:/secret")

    [remark] = [remark for remark in report.remarks if "is stopped" in remark]
    assert remark.startswith("pipeline 'both' is stopped, and its newest output lacks")
    engine.engine.pipelines.start_pipeline("both")
    assert engine.job("after").state == "success"
    assert engine.tree("after") == {"a": "model\nalpha\n"}


def test_a_pipeline_that_runs_again_does_not_bring_it_back(engine: Any) -> None:
    engine.put("data", {"a": "alpha", "jane": SECRET})
    engine.pipeline("copy", "cp $data /pfs/out/")
    assert engine.job("copy").state == "success"

    purge(engine, "data:/jane", rerun=False)

    engine.put("data", {"b": "beta"})
    assert engine.job("copy").state == "success"
    assert engine.tree("copy") == {"a": "alpha", "b": "beta"}
    engine.put("data", {"jane": SECRET})  # the very same content, on purpose
    job = engine.job("copy")
    assert (job.state, job.processed) == ("success", 1)
    assert engine.tree("copy") == {"a": "alpha", "b": "beta", "jane": SECRET}


def test_what_was_joined_of_several_datums_goes_as_a_whole(engine: Any) -> None:
    engine.put("data", {"a": "alpha\n", "jane": SECRET})
    engine.pipeline("join", "cat $data > /pfs/out/all", output_merge="concat")
    assert engine.job("join").state == "success"
    old = engine.head("join")
    assert old is not None

    purge(engine, "data:/jane")

    assert engine.tree("join", old) == {}
    assert engine.job("join").state == "success"
    assert engine.tree("join") == {"all": "alpha\n"}
    assert places_of(engine.home, SECRET) == []


def test_the_record_of_a_datum_stays_without_what_it_read(engine: Any) -> None:
    engine.put("data", {"a": "alpha", "jane": SECRET})
    engine.pipeline("copy", "cat $data; cp $data /pfs/out/")
    job = engine.job("copy")
    before = {d.inputs[0].path: d for d in engine.engine.datums.list_datums(f"copy@{job.id}")}

    purge(engine, "data:/jane", rerun=False)

    after = {d.inputs[0].path: d for d in engine.engine.datums.list_datums(f"copy@{job.id}")}
    assert after["a"] == before["a"]
    old, new = before["jane"], after["jane"]
    assert (new.started, new.finished, new.tries) == (old.started, old.finished, old.tries)
    assert new.id != old.id
    assert new.inputs[0].digest != old.inputs[0].digest
    assert not any(SECRET in line for line in engine.logs("copy"))


def test_copies_elsewhere_are_told_and_go_where_that_is_asked_for(engine: Any) -> None:
    engine.put("data", {"a": "1", "jane": SECRET})
    copy = CopyFile(path="x/copy", source_repo="data", source_commit="master", source_path="jane")
    commit = engine.engine.files.modify_files("other", "master", [copy])

    report = purge(engine, "data:/jane")

    [kept] = report.kept
    assert (kept.repo, kept.path, kept.newest) == ("other", "x/copy", commit.id)
    assert (report.contents, report.contents_erased) == (1, 0)
    assert engine.tree("other") == {"x/copy": SECRET}


def test_with_copies_the_same_content_goes_from_all_repos(engine: Any) -> None:
    engine.put("data", {"a": "1", "jane": SECRET})
    engine.put("other", {"x/copy": SECRET, "y": "2"})

    report = purge(engine, "data:/jane", copies=True)

    assert engine.tree("other") == {"y": "2"}
    assert report.kept == ()
    assert places_of(engine.home, SECRET) == []


def test_of_a_large_file_all_goes_but_the_pieces_that_another_file_has(engine: Any) -> None:
    begin, end, other = (hashlib.shake_128(name).digest(3 << 20) for name in (b"1", b"2", b"3"))
    marks = [f"{SECRET}-{n}".encode() for n in range(3)]
    middle = other[:100_000] + marks[1] + other[100_000:]
    large = begin + marks[0] + middle + end + marks[2]
    engine.put("data", {"jane": large, "joe": begin + b"own"})
    engine.put("other", {"part": middle})

    report = purge(engine, "data:/jane")

    assert [f.path for f in engine.engine.files.list_files("data", "master", "/")] == ["joe"]
    assert content(engine, "data", "joe") == begin + b"own"
    assert content(engine, "other", "part") == middle
    ranged = engine.engine.files.read_file(
        "data", "master", "joe", offset_bytes=len(begin) - 5, size_bytes=7
    )
    assert b"".join(ranged) == begin[-5:] + b"ow"
    assert report.contents > report.contents_erased > 0
    assert {kept.path for kept in report.kept} >= {"joe"}
    stored = [data for _, data in stored_bytes(engine.home)]
    assert not any(marks[2] in data or end[-500:-100] in data for data in stored)


def test_open_commits_and_transactions_lose_it_too(engine: Any) -> None:
    engine.put("data", {"a": "1"})
    engine.engine.commits.start_commit("data", branch="master")
    engine.put("data", {"jane": SECRET, "b": "2"})
    waiting = engine.engine.transactions.start_transaction()
    changes = [PutFile(path="jane", content=[SECRET.encode()]), PutFile(path="c", content=[b"3"])]
    engine.engine.transactions.add_files(waiting.id, "data", "other", changes)

    report = purge(engine, "data:/jane")

    assert report.open_changes == 2
    assert places_of(engine.home, SECRET) == []
    engine.engine.commits.finish_commit("data", "master")
    assert engine.tree("data") == {"a": "1", "b": "2"}
    engine.engine.transactions.finish_transaction(waiting.id)
    assert engine.tree("data", "other") == {"c": "3"}


def test_the_trash_loses_it_too(engine: Any) -> None:
    engine.put("data", {"a": "1"})
    gone = engine.put("data", {"jane": SECRET})
    engine.put("data", {"b": "2"})
    engine.engine.commits.squash_commit("data", gone.id)
    engine.engine.repos.create_repo("data2")
    engine.put("data2", {"jane": SECRET, "x": "y"})
    engine.engine.repos.delete_repo("data2")

    purge(engine, "data:/jane", "data2:/jane")

    assert places_of(engine.home, SECRET) == []
    engine.engine.trash.undelete("commit", f"data@{gone.id}")
    assert engine.tree("data", gone.id) == {"a": "1"}
    engine.engine.trash.undelete("repo", "data2")
    assert engine.tree("data2") == {"x": "y"}


def test_the_deleted_pipeline_and_its_outputs_in_the_trash_lose_it(engine: Any) -> None:
    engine.put("data", {"a": "alpha", "jane": SECRET})
    engine.pipeline("copy", "cp $data /pfs/out/")
    assert engine.job("copy").state == "success"
    engine.engine.pipelines.delete_pipeline("copy")

    purge(engine, "data:/jane")

    assert places_of(engine.home, SECRET) == []
    engine.engine.trash.undelete("pipeline", "copy")
    assert engine.tree("copy") == {"a": "alpha"}


def test_outputs_whose_jobs_left_no_record_go_as_far_as_nobody_knows_better(
    engine: Any,
) -> None:
    engine.put("data", {"a": "alpha", "jane": SECRET})
    engine.pipeline("copy", "cp $data /pfs/out/")
    job = engine.job("copy")
    engine.engine.jobs.delete_job(f"copy@{job.id}")

    report = purge(engine, "data:/jane")

    assert places_of(engine.home, SECRET) == []
    assert any("no record" in remark for remark in report.remarks)
    assert engine.job("copy").state == "success"
    assert engine.tree("copy") == {"a": "alpha"}


def test_a_dry_run_changes_nothing(engine: Any) -> None:
    engine.put("data", {"a": "alpha", "jane": SECRET})
    engine.pipeline("copy", "cp $data /pfs/out/")
    engine.job("copy")

    report = engine.engine.purges.purge(["data:/jane"], dry_run=True)

    assert report.state == "dry run"
    assert {r.repo: r.files for r in report.repos} == {"data": 1, "copy": 1}
    assert engine.tree("copy") == {"a": "alpha", "jane": SECRET}
    assert engine.engine.purges.list_purges() == []


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("data:/nobody", NotFound),
        ("nothing:/a", RepoNotFound),
        ("data", InvalidInput),
        ("data@master:/a", InvalidInput),
        ("__spec__:/a", InvalidInput),
        ("data:/a[", InvalidInput),
    ],
)
def test_what_can_t_be_meant_is_refused(engine: Any, target: str, error: type[Exception]) -> None:
    engine.put("data", {"a": "1"})

    with pytest.raises(error):
        engine.engine.purges.purge([target])

    assert engine.tree("data") == {"a": "1"}
    assert engine.engine.purges.list_purges() == []


def test_everything_can_be_purged_from_a_repo(engine: Any) -> None:
    commit = engine.put("data", {"a": "1", "b/c": SECRET})

    purge(engine, "data:/")

    assert engine.engine.commits.inspect_commit("data", commit.id).root == EMPTY
    assert places_of(engine.home, SECRET) == []


def test_tombstones_survive_a_restart_and_a_backup(
    engine: Any, open_engine: Callable[..., Any], tmp_path: Path
) -> None:
    commit = engine.put("data", {"a": "1", "jane": SECRET})
    report = purge(engine, "data:/jane", reason="why")
    engine.engine.admin.backup(str(tmp_path / "backup"))
    engine.engine.admin.gc(grace_s=0)
    engine.engine.close()
    from datetime import UTC, datetime

    from trunkline.engine.restore import restore

    restore(tmp_path / "backup", tmp_path / "again", force=False, now=datetime.now(UTC))
    for home in (engine.home, tmp_path / "again"):
        driver = open_engine(home)
        with pytest.raises(FilePurged, match="why"):
            driver.read("data", "jane", commit.id)
        assert [r.id for r in driver.engine.purges.list_purges()] == [report.id]
        assert driver.engine.admin.fsck().damages == ()


def test_a_directory_that_was_put_and_is_put_again_comes_back_on_purpose_only(
    engine: Any, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "jane").write_text(SECRET)
    (source / "a").write_text("1")
    put = [put_local("/", source)]
    engine.engine.files.modify_files("data", "master", put)

    purge(engine, "data:/jane", forget_names=True)
    assert places_of(engine.home, "jane") == []
    assert engine.tree("data") == {"a": "1"}

    engine.engine.files.modify_files("data", "master", put)
    assert engine.tree("data") == {"a": "1", "jane": SECRET}


def test_du_and_sizes_tell_what_is_left(engine: Any) -> None:
    commit = engine.put("data", {"a": "1", "jane": SECRET})

    purge(engine, "data:/jane")

    assert engine.engine.commits.inspect_commit("data", commit.id).size_bytes == 1
    [use] = engine.engine.admin.disk_usage(["data"])
    assert (use.files, use.logical_bytes) == (1, 1)


def test_a_second_purge_finds_its_way_through_what_the_first_has_left(engine: Any) -> None:
    engine.put("data", {"a": "alpha", "jane": SECRET, "joe": "joe-secret"})
    engine.pipeline("copy", "cp $data /pfs/out/")
    assert engine.job("copy").state == "success"
    old = engine.head("copy")
    assert old is not None
    purge(engine, "data:/jane")
    engine.job("copy")

    purge(engine, "data:/joe")

    assert engine.tree("copy", old) == {"a": "alpha"}
    assert engine.job("copy").state == "success"
    assert engine.tree("copy") == {"a": "alpha"}
    assert places_of(engine.home, "joe-secret") == []


def test_a_deletion_in_an_open_commit_keeps_its_name_to_itself(engine: Any) -> None:
    engine.put("data", {"a": "1", "jane-doe": SECRET})
    engine.engine.commits.start_commit("data", branch="master")
    engine.engine.files.modify_files("data", "master", [DeleteFile(path="jane-doe")])

    purge(engine, "data:/jane-doe", forget_names=True)

    assert places_of(engine.home, "jane-doe") == []
    engine.engine.commits.finish_commit("data", "master")
    assert engine.tree("data") == {"a": "1"}


def test_damage_to_what_is_said_of_purged_files_is_found(
    engine: Any, open_engine: Callable[..., Any]
) -> None:
    engine.put("data", {"a": "1", "jane": SECRET})
    purge(engine, "data:/jane")
    [name] = {
        place.partition(".pack:")[2]
        for place, data in stored_bytes(engine.home)
        if ".pack:" in place and b"jane" in data and data.startswith(b"TLRN")
    }
    engine.engine.close()
    for path in engine.home.glob("store/packs/*.pack"):
        data = path.read_bytes()
        if b"jane" in data:
            at = data.index(b"jane")
            path.write_bytes(data[:at] + b"joan" + data[at + 4 :])
    driver = open_engine(engine.home)

    damages = {d.thing: d for d in driver.engine.admin.fsck().damages}

    assert damages[f"chunk {name}"].hits[0].startswith("what is said of purged files")


def test_names_are_forgotten_downstream_too_also_of_directories(engine: Any) -> None:
    engine.put("data", {"jane-doe/x": "1", "joe/x": "2"})
    engine.pipeline("up", "cp -r $data /pfs/out/")
    engine.pipeline("down", "cp -r $up /pfs/out/", source="up")
    assert engine.job("down").state == "success"

    purge(engine, "data:/jane-doe", forget_names=True)

    assert engine.job("down").state == "success"
    assert engine.tree("down") == {"joe/x": "2"}
    assert places_of(engine.home, "jane-doe") == []


def test_deleting_everything_forgets_purges_and_tombstones(engine: Any) -> None:
    engine.put("data", {"jane": SECRET})
    purge(engine, "data:/jane")

    engine.engine.admin.delete_all()

    assert engine.engine.purges.list_purges() == []
    assert engine.engine.admin.fsck().damages == ()


def test_tombstones_of_commits_that_are_gone_for_good_go_too(
    open_engine: Callable[..., Any],
) -> None:
    driver = open_engine(TRUNKLINE_TRASH_S="0")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"jane": SECRET})
    report = purge(driver, "data:/jane")
    driver.engine.repos.delete_repo("data")

    driver.engine.admin.gc(grace_s=0)

    assert [found.id for found in driver.engine.purges.list_purges()] == [report.id]
    with driver.engine._services.database.read() as tx:
        assert tx.rows("SELECT * FROM tombstone") == []
