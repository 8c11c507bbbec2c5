"""Puts that wait for each other are committed together, and nobody can tell but by the time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from trunkline.api.changes import PutFile
from trunkline.api.waiting import wanted_while
from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import PathConflict, StorageFull, Unavailable
from trunkline.model.versions import CommitInfo
from trunkline.store.chunks import ChunkStore

MANY = 12

Gathered = Callable[..., list["Future[CommitInfo]"]]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many transactions changed each database; to be asked for before there is an engine."""
    counts: Counter[str] = Counter()
    real = SqliteDatabase.write

    def write(database: SqliteDatabase) -> object:
        if threading.current_thread().name.startswith("ThreadPoolExecutor"):
            counts[database._path.name] += 1
        return real(database)

    monkeypatch.setattr(SqliteDatabase, "write", write)
    return counts


@pytest.fixture
def gathered(engine: Any) -> Iterator[Gathered]:
    """Puts of files (each a path, one of text) that are all at their turn before the first has it.

    `meanwhile` is called then, before any of them goes on.
    """
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1"})
    files = engine.engine.files

    with ThreadPoolExecutor(MANY) as threads:

        def begin(
            *paths: str,
            meanwhile: Callable[[], object] = lambda: None,
            wanted: Callable[[], bool] = lambda: True,
        ) -> list[Future[CommitInfo]]:
            def put(path: str) -> CommitInfo:
                with wanted_while(wanted if path == "gone" else lambda: True):
                    change = PutFile(path=path, content=[path.encode()])
                    made: CommitInfo = files.modify_files("data", "master", [change])
                    return made

            with engine.engine._services.turn("data"):
                begun = [threads.submit(put, path) for path in paths]
                while len(files._together._waiting["data", "master"]) < len(paths):
                    pass
                meanwhile()
            return begun

        yield begin


def history(engine: Any) -> list[CommitInfo]:
    """The commits of the branch, oldest first."""
    return list(engine.engine.commits.list_commits("data", to="master"))[::-1]


def test_each_is_a_commit_of_its_own_and_the_disk_is_waited_for_once(
    writes: Counter[str], engine: Any, gathered: Gathered
) -> None:
    paths = [f"f{n}" for n in range(MANY)]

    made = [future.result(30) for future in gathered(*paths)]

    commits = history(engine)
    assert sorted(commit.id for commit in commits[1:]) == sorted(commit.id for commit in made)
    assert [commit.parent for commit in commits[1:]] == [commit.id for commit in commits[:-1]]
    assert [commit.files for commit in commits] == list(range(1, MANY + 2))
    assert engine.tree("data") == {"a": "1"} | {path: path for path in paths}
    for path, commit in zip(paths, made, strict=True):
        assert engine.tree("data", commit.id)[path] == path
    assert writes == {"catalog.db": 1, "index.db": 1}


def test_a_wrong_one_is_told_so_and_the_others_are_made(engine: Any, gathered: Gathered) -> None:
    first, wrong, last = gathered("b", "a/under-a-file", "c")

    with pytest.raises(PathConflict):
        wrong.result(30)

    assert {first.result(30).id, last.result(30).id} == {c.id for c in history(engine)[1:]}
    assert engine.tree("data") == {"a": "1", "b": "b", "c": "c"}


def test_one_whose_caller_has_hung_up_is_not_made(engine: Any, gathered: Gathered) -> None:
    first, gone, last = gathered("b", "gone", "c", wanted=lambda: False)

    with pytest.raises(Unavailable):
        gone.result(30)

    assert {first.result(30).id, last.result(30).id} == {c.id for c in history(engine)[1:]}
    assert engine.tree("data") == {"a": "1", "b": "b", "c": "c"}


def test_a_branch_that_has_moved_meanwhile_is_gone_on_with(engine: Any, gathered: Gathered) -> None:
    engine.put("data", {"wrong": "1"})

    begun = gathered(
        *("b", "c"),
        meanwhile=lambda: engine.engine.branches.create_branch("data", "master", head="master^"),
    )

    for future in begun:
        future.result(30)
    assert engine.tree("data") == {"a": "1", "b": "b", "c": "c"}


def test_a_commit_that_was_started_meanwhile_takes_all_of_them(
    engine: Any, gathered: Gathered
) -> None:
    begun = gathered(
        *("b", "c"),
        meanwhile=lambda: engine.engine.commits.start_commit("data", branch="master"),
    )

    assert len({future.result(30).id for future in begun}) == 1
    engine.engine.commits.finish_commit("data", "master")
    assert engine.tree("data") == {"a": "1", "b": "b", "c": "c"}


def test_what_is_derived_has_a_commit_for_each(engine: Any, gathered: Gathered) -> None:
    engine.engine.repos.create_repo("derived")
    engine.engine.branches.create_branch("derived", "master", provenance=["data@master"])

    made = [future.result(30) for future in gathered("b", "c", "d")]

    opened = {c.id: c for c in engine.engine.commits.list_commits("derived")}
    for commit in made:
        assert [str(source) for source in opened[commit.id].provenance] == [f"data@{commit.id}"]


def test_after_a_full_disk_each_is_tried_alone_with_its_content(
    engine: Any, gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = ChunkStore.put_hashed, threading.Event()

    def once_full(store: ChunkStore, digests: Any, pieces: Any) -> None:
        if not failed.is_set():
            failed.set()
            raise StorageFull("the disk")
        real(store, digests, pieces)

    begun = gathered(
        "b", "c", meanwhile=lambda: monkeypatch.setattr(ChunkStore, "put_hashed", once_full)
    )

    for future in begun:
        future.result(30)

    assert failed.is_set()
    assert engine.tree("data") == {"a": "1", "b": "b", "c": "c"}


def test_after_a_catalog_that_was_lost_nothing_is_done_twice_and_each_is_told(
    engine: Any, gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = SqliteDatabase.write, threading.Event()

    @contextmanager
    def once_lost(database: SqliteDatabase) -> Iterator[Any]:
        with real(database) as tx:
            yield tx
        if database._path.name == "catalog.db" and not lost.is_set():
            lost.set()
            raise Unavailable("the catalog can't be used now: it went away")

    begun = gathered(
        "b", "c", meanwhile=lambda: monkeypatch.setattr(SqliteDatabase, "write", once_lost)
    )

    for future in begun:
        with pytest.raises(Unavailable, match="it went away"):
            future.result(30)
    assert [commit.files for commit in history(engine)] == [1, 2, 3]
    assert engine.tree("data") == {"a": "1", "b": "b", "c": "c"}
