"""What differs inside of files, and the history of a path, through the operations."""

import pytest

from trunkline.api.changes import CopyFile
from trunkline.errors import FileNotFoundInCommit, InvalidInput
from trunkline.model.differences import ContentKind, Op


def contents(engine, *words: str, **options):
    return list(engine.engine.files.diff_contents(*words, **options))


@pytest.fixture
def two_commits(engine):
    engine.engine.repos.create_repo("data")
    engine.put("data", {"t.txt": "a\nb\n", "t.csv": "id,v\n1,x\n", "same": "s", "gone": "g\n"})
    engine.put("data", {"t.txt": "a\nc\n", "t.csv": "id,v\n1,y\n2,z\n", "dir/new": "n\n"})
    engine.delete("data", "gone")
    return engine


def test_each_file_that_differs_is_compared_by_what_it_is(two_commits) -> None:
    found = contents(two_commits, "data", "master", "/", old_commit="master~2")

    assert [(c.path, c.op, c.kind, c.added, c.removed, c.changed) for c in found] == [
        ("dir/new", Op.ADDED, ContentKind.TEXT, 1, 0, 0),
        ("gone", Op.REMOVED, ContentKind.TEXT, 0, 1, 0),
        ("t.csv", Op.CHANGED, ContentKind.CSV, 1, 0, 1),
        ("t.txt", Op.CHANGED, ContentKind.TEXT, 1, 1, 0),
    ]
    assert found[3].lines == ("@@ -1,2 +1,2 @@", " a", "-b", "+c")


def test_the_old_side_is_the_parent_unless_it_is_named(two_commits) -> None:
    assert [c.path for c in contents(two_commits, "data", "master", "/")] == ["gone"]
    assert [
        c.path for c in contents(two_commits, "data", "master", "/t.txt", old_path="/t.csv")
    ] == ["t.txt"]


def test_directories_with_other_names_are_compared_by_relative_path(two_commits) -> None:
    two_commits.put("data", {"a/x": "1\n", "a/y": "2\n", "b/x": "1\n", "b/y": "3\n"})

    found = contents(two_commits, "data", "master", "/b", old_commit="master", old_path="/a")

    assert [(c.path, c.op) for c in found] == [("b/y", Op.CHANGED)]


def test_files_and_details_can_be_limited(two_commits) -> None:
    found = contents(two_commits, "data", "master", "/", old_commit="master~2", files_max=3, most=0)

    assert [(c.path, c.rows, c.truncated) for c in found][2:] == [("t.csv", (), True)]


def test_a_wrong_kind_or_key_is_refused(two_commits) -> None:
    with pytest.raises(InvalidInput, match="can't be compared as 'toml'; use one of text, csv"):
        contents(two_commits, "data", "master", "/", kind="toml")
    with pytest.raises(InvalidInput, match="has no column 'nr'"):
        contents(two_commits, "data", "master^", "/t.csv", key=["nr"])


# --- history --------------------------------------------------------------------------------------


def versions(engine, path: str, ref: str = "master", **options):
    found = engine.engine.files.list_file_versions("data", ref, path, **options)
    return [(v.change.value, None if v.file is None else v.file.size_bytes) for v in found]


def test_the_history_of_a_file_has_the_commits_that_changed_it(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"other": "o"})
    engine.put("data", {"d/f": "1"})
    engine.put("data", {"other": "oo"})
    engine.put("data", {"d/f": "22"})
    engine.put("data", {"d/f": "22"})
    engine.delete("data", "d/f")
    engine.put("data", {"d/f": "1"})

    assert versions(engine, "d/f") == [
        ("added", 1),
        ("deleted", None),
        ("changed", 2),
        ("added", 1),
    ]
    assert versions(engine, "d/f", number=2) == [("added", 1), ("deleted", None)]
    assert versions(engine, "d/f", "master~2") == [("changed", 2), ("added", 1)]
    assert versions(engine, "d") == versions(engine, "d/f")
    assert len(versions(engine, "/")) == 6


def test_a_path_that_never_was_is_not_found(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"f": "1"})

    with pytest.raises(FileNotFoundInCommit, match="'nowhere'"):
        versions(engine, "nowhere")


def test_a_copy_is_a_change_like_any_other(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"f": "123"})
    copy = CopyFile(path="g", source_repo="data", source_commit="master", source_path="f")
    engine.engine.files.modify_files("data", "master", [copy])

    assert versions(engine, "g") == [("added", 3)]
