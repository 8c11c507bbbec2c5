"""What a change costs in a tree of many ranges, with the real sizes of the format."""

import random
from collections.abc import Iterator

import pytest

from trunkline.errors import PathConflict
from trunkline.files import index
from trunkline.files.delta import DeltaWriter
from trunkline.files.index import Loader
from trunkline.files.manifest import CUTS, EMPTY, VERSION, RootId, Unit
from trunkline.files.tree import Trees
from trunkline.model.versions import FileType, Side
from trunkline.store.chunks import ChunkId

FILES = 30_000


def paths() -> Iterator[str]:
    return (f"dir-{n // 1000:02}/file-{n:06}.csv" for n in range(FILES))


@pytest.fixture(scope="module")
def large(trees: Trees) -> RootId:
    writer = DeltaWriter(trees)
    shuffled = list(paths())
    random.Random(3).shuffle(shuffled)
    for path in shuffled:
        writer.put(path, [path.encode()])
    return trees.apply(EMPTY, writer.finish())


def ranges(trees: Trees, root: RootId) -> list[ChunkId]:
    return [unit.blob for unit in units(trees, root)]


def units(trees: Trees, root: RootId) -> list[Unit]:
    return list(index.ranges(Loader(trees.chunks), root))


def changed(trees: Trees, root: RootId, *names: str) -> RootId:
    writer = DeltaWriter(trees)
    for path in names:
        writer.put(path, [b"new"])
    return trees.apply(root, writer.finish())


def test_ranges_keep_to_their_sizes(trees: Trees, large: RootId) -> None:
    rows = [unit.rows for unit in units(trees, large)]

    assert sum(rows) == FILES
    cuts = CUTS[VERSION]
    assert all(cuts.least <= count <= cuts.most for count in rows[:-1])
    assert 125 < FILES / len(rows) < 500


def test_a_tree_that_came_sorted_is_the_same_as_one_that_came_shuffled(
    trees: Trees, large: RootId
) -> None:
    writer = DeltaWriter(trees)
    for path in paths():
        writer.put(path, [path.encode()])

    assert trees.apply(EMPTY, writer.finish()) == large
    assert list(trees.verify(large)) == []


@pytest.mark.parametrize(
    "path", ["dir-15/file-015500.csv", "dir-00/a", "dir-15/new", "zzz", "dir-15/file-015500.csv-2"]
)
def test_one_changed_file_rewrites_few_ranges(trees: Trees, large: RootId, path: str) -> None:
    root = changed(trees, large, path)

    fresh = set(ranges(trees, root)) - set(ranges(trees, large))
    assert 1 <= len(fresh) <= 3
    side, row = next(trees.diff(root, "", large, ""))
    assert (side, row.path) == (Side.NEW, path)


def test_taking_a_change_back_gives_the_old_root(trees: Trees, large: RootId) -> None:
    writer = DeltaWriter(trees)
    writer.delete("dir-07")
    without = trees.apply(large, writer.finish())
    assert trees.totals(without)[0] == FILES - 1000

    again = DeltaWriter(trees)
    for path in paths():
        if path.startswith("dir-07/"):
            again.put(path, [path.encode()])

    assert trees.apply(without, again.finish()) == large


def test_deleting_everything_gives_the_empty_tree(trees: Trees, large: RootId) -> None:
    one_by_one, at_once = DeltaWriter(trees), DeltaWriter(trees)
    for path in paths():
        one_by_one.delete(path)
    at_once.delete("")

    assert trees.apply(large, one_by_one.finish()) == EMPTY
    assert trees.apply(large, at_once.finish()) == EMPTY
    assert list(trees.walk(EMPTY)) == []


@pytest.mark.parametrize(
    "path", ["dir-15", "dir-15/file-015500.csv/below", "dir-29/file-029999.csv/x"]
)
def test_a_path_that_is_a_file_and_a_directory_is_refused(
    trees: Trees, large: RootId, path: str
) -> None:
    with pytest.raises(PathConflict, match="dir-"):
        changed(trees, large, path)


def test_a_directory_can_become_a_file_and_a_file_a_directory(trees: Trees, large: RootId) -> None:
    writer = DeltaWriter(trees)
    writer.delete("dir-15")
    writer.put("dir-15", [b"a file now"])
    writer.delete("dir-16/file-016000.csv")
    writer.put("dir-16/file-016000.csv/part", [b"a directory now"])

    root = trees.apply(large, writer.finish())

    entries = [trees.entry(root, path) for path in ("dir-15", "dir-16/file-016000.csv")]
    assert [entry.type for entry in entries if entry] == [FileType.FILE, FileType.DIR]
    assert list(trees.verify(root)) == []


def test_a_listing_weighs_directories_of_many_ranges(trees: Trees, large: RootId) -> None:
    found = list(trees.list(large, ""))

    assert [entry.path for entry in found] == [f"dir-{n:02}" for n in range(30)]
    assert {entry.size_bytes for entry in found} == {1000 * len("dir-00/file-000000.csv")}
    assert len(list(trees.list(large, "dir-03"))) == 1000
    assert len(list(trees.glob(large, "/*/*5.csv"))) == FILES // 10
