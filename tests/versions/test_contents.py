"""The files of a commit: its own when finished, its parent's and its changes while open."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.errors import CommitOpen, PathConflict
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY
from trunkline.files.tree import Trees
from trunkline.store.chunks import ChunkStore
from trunkline.versions import commits, contents


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    store = ChunkStore(tmp_path / "store")
    yield Trees(store)
    store.close()


def delta(trees: Trees, **files: str) -> list[str]:
    """A change that writes some files; a name `a__b` is the path a/b."""
    writer = DeltaWriter(trees)
    for name, content in files.items():
        writer.put(name.replace("__", "/"), [content.encode()])
    return list(writer.finish())


def paths(catalog, trees: Trees, ref: str) -> list[str]:
    layers = catalog.ask(contents.layers_of, catalog.get(ref))
    return [row.path for row in trees.walk(contents.content_root(trees, layers))]


def put(catalog, trees: Trees, **files: str) -> str:
    root = trees.apply(EMPTY, delta(trees, **files))
    return catalog.put("data", root=root).commit.id


def write(catalog, trees: Trees, commit: str, **files: str) -> None:
    catalog.change(commits.add_deltas, "data", commit, delta(trees, **files))


def test_a_finished_commit_has_its_own_files(catalog, trees: Trees) -> None:
    catalog.repo("data")
    put(catalog, trees, a="1", b="2")

    assert paths(catalog, trees, "data@master") == ["a", "b"]


def test_an_open_commit_begins_with_the_files_of_its_parent(catalog, trees: Trees) -> None:
    catalog.repo("data")
    put(catalog, trees, a="1")
    catalog.start("data")

    assert paths(catalog, trees, "data@master") == ["a"]


def test_an_open_commit_has_what_was_written_to_it_so_far(catalog, trees: Trees) -> None:
    catalog.repo("data")
    put(catalog, trees, a="1")
    commit = catalog.start("data").commit.id
    write(catalog, trees, commit, b="2")
    write(catalog, trees, commit, c="3")

    assert paths(catalog, trees, "data@master") == ["a", "b", "c"]
    assert paths(catalog, trees, "data@master^") == ["a"]


def test_the_first_commit_begins_empty(catalog, trees: Trees) -> None:
    catalog.repo("data")
    catalog.start("data")

    assert paths(catalog, trees, "data@master") == []


def test_the_tree_of_the_layers_is_that_of_the_finished_commit(catalog, trees: Trees) -> None:
    catalog.repo("data")
    commit = catalog.start("data").commit
    write(catalog, trees, commit.id, a="1", b__c="2")
    layers = catalog.ask(contents.layers_of, commit)
    root = contents.content_root(trees, layers)

    done = catalog.finish("data", commit.id, root=root, expected_deltas=layers.deltas)

    assert catalog.ask(contents.layers_of, done) == contents.Layers(base=root, deltas=())
    assert paths(catalog, trees, "data@master") == ["a", "b/c"]


def test_a_file_below_a_file_is_refused_and_the_commit_stays_open(catalog, trees: Trees) -> None:
    catalog.repo("data")
    put(catalog, trees, a="1")
    commit = catalog.start("data").commit
    write(catalog, trees, commit.id, a__b="2")

    with pytest.raises(PathConflict):
        paths(catalog, trees, "data@master")

    assert catalog.head("data").finished is None


def test_the_files_of_an_output_commit_are_there_once_its_job_is_done(catalog, trees) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    run = put(catalog, trees, a="1")

    with pytest.raises(CommitOpen, match="needed to read its files"):
        paths(catalog, trees, "edges@master")

    catalog.finish("edges", run, error="exit status 1", output=True)
    assert paths(catalog, trees, "edges@master") == []


def test_an_open_parent_that_is_left_over_is_passed_over(catalog, trees: Trees) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    first = catalog.get(f"data@{put(catalog, trees, a='1')}")
    catalog.finish("edges", first.id, root=first.root, output=True)
    left_open = put(catalog, trees, b="2")
    last = put(catalog, trees, c="3")
    catalog.finish("edges", last, root=first.root, output=True)
    catalog.branch("edges", of=[])
    catalog.start("edges")

    catalog.delete("data", last)

    assert catalog.head("edges").parent == left_open
    assert paths(catalog, trees, "edges@master") == ["a"]
