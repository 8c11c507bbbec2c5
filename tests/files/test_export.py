"""Files of a tree on the local disk: complete, and never outside of the directory."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.errors import AlreadyExists, InvalidPath, TrunklineError
from trunkline.files.manifest import FileRow, RootId
from trunkline.files.tree import Trees

Build = Callable[[dict[str, bytes]], RootId]


def on_disk(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


FILES = {
    "a": b"1",
    "a-b/c": b"22",
    "b/c/d/e": b"333",
    "b/c/f": b"",
    "b/g": os.urandom(3_000_000),
    **{f"many/{n:03}": str(n).encode() for n in range(600)},
}


def test_all_files_are_written_with_their_bytes(
    trees: Trees, build: Build, empty_directory: Path
) -> None:
    root = build(FILES)

    written = trees.export(trees.walk(root), empty_directory / "new" / "place")

    assert on_disk(empty_directory / "new" / "place") == FILES
    assert written == sum(map(len, FILES.values()))


def test_rows_may_come_in_any_order(trees: Trees, build: Build, empty_directory: Path) -> None:
    rows = list(trees.walk(build(FILES)))

    trees.export(rows[::-7] + rows, empty_directory)

    assert on_disk(empty_directory) == FILES


def test_a_leading_directory_can_be_left_out(
    trees: Trees, build: Build, empty_directory: Path
) -> None:
    root = build(FILES)

    trees.export(trees.walk(root, "b/c"), empty_directory, strip="b/c")
    trees.export(trees.walk(root, "a"), empty_directory, strip="a")

    assert on_disk(empty_directory) == {"d/e": b"333", "f": b"", "a": b"1"}
    with pytest.raises(InvalidPath, match="not below"):
        trees.export(trees.walk(root, "a-b"), empty_directory, strip="a")


def test_the_mode_is_as_asked(trees: Trees, build: Build, empty_directory: Path) -> None:
    trees.export(trees.walk(build({"run": b"#!"})), empty_directory, mode=0o755)

    assert os.stat(empty_directory / "run").st_mode & 0o700 == 0o700


def test_a_file_that_is_there_is_replaced_and_not_written_through(
    trees: Trees, build: Build, empty_directory: Path
) -> None:
    outside = empty_directory.parent / "outside"
    outside.write_bytes(b"precious")
    os.symlink(outside, empty_directory / "link")
    os.link(outside, empty_directory / "twin")
    (empty_directory / "longer").write_bytes(b"something longer")

    trees.export(trees.walk(build({"link": b"1", "twin": b"2", "longer": b"3"})), empty_directory)

    assert outside.read_bytes() == b"precious"
    assert on_disk(empty_directory) == {"link": b"1", "twin": b"2", "longer": b"3"}
    assert not (empty_directory / "link").is_symlink()


def test_a_link_to_a_directory_leads_nowhere(
    trees: Trees, build: Build, empty_directory: Path
) -> None:
    outside = empty_directory.parent / "outside"
    outside.mkdir()
    os.symlink(outside, empty_directory / "d")

    with pytest.raises(AlreadyExists, match="'d'"):
        trees.export(trees.walk(build({"d/x": b"1"})), empty_directory)

    assert list(outside.iterdir()) == []


def test_what_stands_in_the_way_is_named(trees: Trees, build: Build, empty_directory: Path) -> None:
    (empty_directory / "f").mkdir()
    (empty_directory / "d").write_bytes(b"")

    with pytest.raises(AlreadyExists, match="directory 'f'"):
        trees.export(trees.walk(build({"f": b"1"})), empty_directory)
    with pytest.raises(AlreadyExists, match="file 'd'"):
        trees.export(trees.walk(build({"d/x": b"1"})), empty_directory)


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../../x", "a//x", "./x", "..", "", "a/", "a\0b", "a/./b"]
)
def test_a_path_that_leads_out_is_refused(trees: Trees, empty_directory: Path, path: str) -> None:
    row = FileRow(path=path, size_bytes=0, digest="0" * 64, chunks=())

    with pytest.raises(InvalidPath):
        trees.export([row], empty_directory)

    assert list(empty_directory.parent.rglob("x")) == []


def test_a_directory_that_can_not_be_written_is_named(trees: Trees, build: Build) -> None:
    with pytest.raises((TrunklineError, OSError), match="proc"):
        trees.export(trees.walk(build({"a": b"1"})), Path("/proc/self/out"))
