"""A purge beside everything else that goes on: nothing comes back, and nobody loses anything."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stored_bytes import places_of

from trunkline.api.changes import FileChange, PutFile
from trunkline.engine import collector
from trunkline.errors import HeadMoved
from trunkline.versions import commits

SECRET = "4711-secret-of-jane"
WRITERS = 3


@pytest.fixture
def engine(open_engine: Callable[..., Any]) -> Any:
    driver = open_engine()
    for repo in ("data", "other"):
        driver.engine.repos.create_repo(repo)
    return driver


def until(true: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def test_a_commit_that_is_based_on_the_tree_before_the_purge_is_refused(engine: Any) -> None:
    head = engine.put("data", {"a": "1", "jane": SECRET})
    engine.engine.purges.purge(["data:/jane"])
    services = engine.engine._services

    with pytest.raises(HeadMoved), services.database.write() as tx:
        commits.put_commit(
            tx,
            "data",
            "master",
            expected_head=head.id,
            expected_root=head.root,
            root=head.root,
            files=2,
            size_bytes=1,
            description="",
            now=services.now(),
            run_id=services.new_id(),
        )


def test_writers_beside_purges_lose_nothing_and_bring_nothing_back(engine: Any) -> None:
    engine.put("data", {f"jane-{n}": f"{SECRET}-{n}" for n in range(4)})
    acknowledged: dict[str, str] = {}
    ended = threading.Event()
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for n in range(200):
                path = f"{writer}/{n}"
                acknowledged[engine.put("data", {path: path}).id] = path
                if ended.is_set():
                    return
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for thread in writers:
        thread.start()
    for n in range(4):
        engine.engine.purges.purge([f"data:/jane-{n}"])
    ended.set()
    for thread in writers:
        thread.join()

    assert failures == []
    history = list(engine.engine.commits.list_commits("data", to="master"))
    assert set(acknowledged) <= {commit.id for commit in history}
    for commit in history:
        paths = set(engine.tree("data", commit.id))
        assert not any(path.startswith("jane") for path in paths)
    assert set(acknowledged.values()) == set(engine.tree("data"))
    engine.engine.admin.gc(grace_s=0)
    assert places_of(engine.home, SECRET) == []
    assert engine.engine.admin.fsck().damages == ()


def test_a_job_that_is_reading_it_begins_again_without_it(engine: Any, tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    engine.put("data", {"a": "alpha", "jane": SECRET})
    script = (
        f"if grep -q {SECRET} $data && [ ! -e {go} ]; then touch {started}; "
        f"while [ ! -e {go} ]; do sleep 0.05; done; fi; cp $data /pfs/out/"
    )
    engine.pipeline("copy", script.replace(SECRET, "secret-of"))
    until(started.exists)

    report = engine.engine.purges.purge(["data:/jane"])

    assert report.state == "done"
    assert report.jobs_restarted == 1
    assert engine.job("copy").state == "success"
    for job in engine.engine.jobs.list_jobs(pipeline="copy"):
        info = engine.engine.jobs.inspect_job(f"copy@{job.id}", wait=True, timeout_s=60)
        assert info.state == "success"
        assert engine.tree("copy", job.id) == {"a": "alpha"}
    go.touch()
    assert places_of(engine.home, SECRET) == []


def test_who_is_at_work_since_before_holds_up_the_bytes_and_then_they_go_by_themselves(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_DRAIN_S", 0.05)
    monkeypatch.setattr("trunkline.engine.purges._AGAIN_S", 0.05)
    commit = engine.put("data", {"a": "1", "jane": SECRET})
    begun, go = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"first"
        begun.set()
        assert go.wait(60)
        yield b"last"

    changes: list[FileChange] = [PutFile(path="slow", content=slow())]
    upload = threading.Thread(
        target=lambda: engine.engine.files.modify_files("other", "master", changes)
    )
    upload.start()
    assert begun.wait(60)

    report = engine.engine.purges.purge(["data:/jane"])

    assert report.state == "erasing"
    assert engine.tree("data", commit.id) == {"a": "1"}
    go.set()
    upload.join()
    until(lambda: engine.engine.purges.inspect_purge(report.id).state == "done")
    assert places_of(engine.home, SECRET) == []
    assert engine.tree("other") == {"slow": "firstlast"}


def test_an_open_commit_that_is_finished_beside_a_purge_has_the_tree_after_it(
    engine: Any,
) -> None:
    for n in range(5):
        engine.put("data", {"jane": f"{SECRET}-{n}", "a": f"{n}"})
        open_commit = engine.engine.commits.start_commit("data", branch="master")
        engine.put("data", {f"b{n}": "2"})
        finishing = threading.Thread(
            target=lambda: engine.engine.commits.finish_commit("data", "master")
        )
        finishing.start()
        engine.engine.purges.purge(["data:/jane"])
        finishing.join()

        assert "jane" not in engine.tree("data", open_commit.id)
    assert places_of(engine.home, SECRET) == []
