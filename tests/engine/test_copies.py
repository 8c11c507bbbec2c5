"""Copies of files and trees: no content moves, and the source is what it was before."""

import pytest
from archives import tar_of

from trunkline.api.changes import CopyFile, DeleteFile, PutFile, Unpack
from trunkline.errors import FileNotFoundInCommit, InvalidPath, PathConflict

FILES = {"a": "1", "d/x": "2", "d/y/z": "3", "e": ""}


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    engine.engine.repos.create_repo("other")
    engine.put("data", FILES)
    return engine


def copy(driver, source, target, *, repo="data", to="data", commit="master", append=False):
    change = CopyFile(
        path=target, source_repo=repo, source_commit=commit, source_path=source, append=append
    )
    return driver.engine.files.modify_files(to, "master", [change])


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("a", "b", {**FILES, "b": "1"}),
        ("a", "d/new/b", {**FILES, "d/new/b": "1"}),
        ("a", "a", FILES),
        ("a", "d/x", {**FILES, "d/x": "1"}),
        ("a", "d", {"a": "1", "d": "1", "e": ""}),
        ("d", "c", {**FILES, "c/x": "2", "c/y/z": "3"}),
        ("d", "d", FILES),
        ("d", "d/d", {**FILES, "d/d/x": "2", "d/d/y/z": "3"}),
        ("d/y", "d", {"a": "1", "d/z": "3", "e": ""}),
        ("d", "a", {"a/x": "2", "a/y/z": "3", "d/x": "2", "d/y/z": "3", "e": ""}),
        ("/", "all", {**FILES, **{f"all/{path}": text for path, text in FILES.items()}}),
        ("d", "/", {"x": "2", "y/z": "3"}),
    ],
)
def test_a_copy_replaces_what_is_at_its_target(data, source, target, expected):
    copy(data, source, target)

    assert data.tree("data") == expected


def test_an_appending_copy_leaves_and_extends(data):
    copy(data, "d", "d", append=True)
    copy(data, "a", "e", append=True)
    copy(data, "d/y", "new", append=True)

    assert data.tree("data") == {"a": "1", "d/x": "22", "d/y/z": "33", "e": "1", "new/z": "33"}


def test_a_copy_takes_any_commit_of_any_repo_open_or_finished(data):
    first = data.head("data")
    data.put("data", {"a": "later"})
    opened = data.engine.commits.start_commit("data", branch="next")
    data.engine.files.modify_files("data", opened.id, [PutFile(path="o", content=[b"open"])])

    copy(data, "a", "first", to="other", commit=first)
    copy(data, "a", "before", to="other", commit="master^")
    copy(data, "a", "now", to="other")
    copy(data, "/", "open", to="other", commit=opened.id)

    assert data.tree("other") == {
        "first": "1",
        "before": "1",
        "now": "later",
        "open/o": "open",
    }


def test_changes_before_a_copy_in_one_stream_are_not_seen_by_it(data):
    changes = [
        PutFile(path="a", content=[b"new"]),
        DeleteFile(path="d"),
        CopyFile(path="c", source_repo="data", source_commit="master", source_path="/"),
        PutFile(path="c/a", content=[b"after"]),
    ]
    data.engine.files.modify_files("data", "master", changes)

    copied = {f"c/{path}": text for path, text in FILES.items()}
    assert data.tree("data") == {"a": "new", "e": "", **copied, "c/a": "after"}


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [
        ("none", "x", FileNotFoundInCommit),
        ("a/b", "x", FileNotFoundInCommit),
        ("d", "e/x", PathConflict),
        ("a", "/", InvalidPath),
        ("../a", "x", InvalidPath),
        ("a", "x/../y", InvalidPath),
        ("d", "/".join(["l" * 255] * 16), InvalidPath),
    ],
)
def test_a_copy_that_can_not_be_changes_nothing(data, source, target, error):
    head = data.head("data")

    with pytest.raises(error):
        copy(data, source, target)

    assert data.head("data") == head


def test_a_large_tree_is_copied_without_storing_contents(data):
    names = [f"{n:05}" for n in range(5000)]
    archive = tar_of({f"many/{name[:2]}/{name}": name.encode() for name in names})
    change = PutFile(path="/", content=[archive], unpack=Unpack())
    data.engine.files.modify_files("data", "master", [change])
    before = sum(file.stat().st_size for file in data.home.rglob("*.pack"))

    copy(data, "many", "twice/many", to="other")
    data.engine.files.modify_files("other", "master", [])

    tree = data.engine.files.list_files("other", "master", "twice/many", recursive=True)
    found = [info.path for info in tree]
    after = sum(file.stat().st_size for file in data.home.rglob("*.pack"))
    assert found == [f"twice/many/{name[:2]}/{name}" for name in names]
    assert data.read("other", "twice/many/04/04321") == "04321"
    assert after - before < 1_000_000
