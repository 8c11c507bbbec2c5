"""Local directories are read as they are, and lead nowhere else."""

import os
import socket
from pathlib import Path

import pytest

from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed
from trunkline.fetch.local import (
    DEPTH_MAX,
    LocalDirectory,
    LocalFile,
    LocalLink,
    LocalRefused,
    local_files,
    scan_directory,
)


@pytest.fixture
def empty_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def read(source: Path, links: str = "inside") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in local_files(str(source), links=links):
        with item.open() as file:
            found[item.path] = file.read()
            assert item.size_bytes == len(found[item.path])
    return found


def fill(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_a_directory_gives_its_files_by_path(empty_directory: Path) -> None:
    files = {"a-b": b"1", "a/x": b"2", "a.c/x": b"3", "b/c/d": b"", "é": b"4"}
    fill(empty_directory, files)
    (empty_directory / "empty").mkdir()

    found = read(empty_directory)

    assert found == files
    assert list(found) == sorted(files)


def test_a_file_gives_itself(empty_directory: Path) -> None:
    fill(empty_directory, {"one": b"content"})
    os.symlink("one", empty_directory / "link")

    assert read(empty_directory / "one") == {"": b"content"}
    assert read(empty_directory / "link") == {"": b"content"}


def test_a_link_to_a_file_inside_counts_as_the_file(empty_directory: Path) -> None:
    fill(empty_directory, {"d/real": b"content"})
    os.symlink("real", empty_directory / "d" / "relative")
    os.symlink(empty_directory / "d" / "real", empty_directory / "absolute")

    assert read(empty_directory) == dict.fromkeys(["absolute", "d/real", "d/relative"], b"content")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "leads out"),
        ("../secret", "leads out"),
        ("d/../../secret", "leads out"),
        ("nothing", "to nothing"),
        ("link", "to nothing|can't read|no regular file"),
        ("d", "a directory"),
        (".", "a directory"),
        ("pipe", "a named pipe"),
    ],
)
def test_any_other_link_is_refused(empty_directory: Path, target: str, reason: str) -> None:
    fill(empty_directory, {"d/x": b"", "../secret": b"secret"})
    if target == "pipe":
        os.mkfifo(empty_directory / "zz")
        target = "zz"
    os.symlink(target, empty_directory / "link")

    with pytest.raises((InvalidInput, OperationFailed), match=reason) as refused:
        read(empty_directory)

    assert "link" in str(refused.value)


def test_links_that_are_followed_count_as_what_they_mean(empty_directory: Path) -> None:
    fill(empty_directory, {"d/x": b"1", "d/sub/y": b"2", "../other/z": b"3", "../other/e/f": b"4"})
    for name, target in {
        "link": "d/x",
        "d-": "d/sub",  # sorts before what is in d, as a directory behind it
        "d/out": "../../other/z",
        "e": str(empty_directory.parent / "other"),
        "twice": "e",
    }.items():
        os.symlink(target, empty_directory / name)

    found = read(empty_directory, "follow")

    assert found == {
        "d/x": b"1",
        "d/sub/y": b"2",
        "link": b"1",
        "d-/y": b"2",
        "d/out": b"3",
        "e/z": b"3",
        "e/e/f": b"4",
        "twice/z": b"3",
        "twice/e/f": b"4",
    }
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (".", "'?link.* directory that it lies in"),
        ("d", None),
        ("/", "directory that it lies in"),
        ("nothing", "a symbolic link to nothing \\(nothing\\)"),
        ("link", "a symbolic link in a circle \\(link\\)"),
        ("link/below", "a symbolic link in a circle"),
        ("pipe", "a symbolic link to a named pipe"),
        ("/dev/null", "a symbolic link to a character device"),
        ("../loop", "link/back can't be stored: .* directory that it lies in"),
        ("d/up", "directory that it lies in"),
    ],
)
def test_what_can_not_be_followed_is_refused_by_name(
    empty_directory: Path, target: str, reason: str | None
) -> None:
    fill(empty_directory, {"d/x": b"", "../loop/x": b""})
    os.symlink(empty_directory.parent / "loop", empty_directory.parent / "loop" / "back")
    if target == "pipe":
        os.mkfifo(empty_directory.parent / "zz")
        target = "../zz"
    if target == "d/up":
        os.symlink("..", empty_directory / "d" / "up")
    if target == "/":
        target = str(empty_directory.parent)
    os.symlink(target, empty_directory / "link")

    if reason is None:
        assert read(empty_directory, "follow") == {"d/x": b"", "link/x": b""}
        return
    with pytest.raises(InvalidInput, match=reason) as refused:
        read(empty_directory, "follow")
    assert str(empty_directory) in str(refused.value)


@pytest.mark.parametrize("target", ["x", "d", "nothing", "link", "/etc/passwd", ".", "/"])
def test_links_can_be_left_out_or_refused_whatever_they_mean(
    empty_directory: Path, target: str
) -> None:
    fill(empty_directory, {"x": b"1", "d/y": b"2"})
    os.symlink(target, empty_directory / "d" / "link")

    assert read(empty_directory, "skip") == {"x": b"1", "d/y": b"2"}
    with pytest.raises(InvalidInput, match="d/link is a symbolic link; --links skip"):
        read(empty_directory, "refuse")


def test_a_followed_link_that_is_moved_meanwhile_is_noticed(empty_directory: Path) -> None:
    fill(empty_directory, {"a": b"a", "../secret": b"secret", "d/x": b"x"})
    os.symlink("a", empty_directory / "b")
    files = local_files(str(empty_directory), links="follow")
    next(files)
    opener = next(files).open
    os.unlink(empty_directory / "b")
    os.symlink("../secret", empty_directory / "b")

    with pytest.raises(OperationFailed, match="b changed while it was read"):
        opener()

    # What was no link is not followed either when it has become one.
    (empty_directory / "d").rename(empty_directory.parent / "moved")
    os.symlink("../moved", empty_directory / "d")
    with pytest.raises(InvalidInput, match="d can't be stored: it changed"):
        next(files)


def test_pipes_sockets_and_bad_names_are_refused_by_name(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(empty_directory)  # the path of a socket has to be short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
    with open(b"\xff\xfe", "wb") as file:
        file.write(b"x")
    with open("new\nline", "wb") as file:
        file.write(b"x")

    refused = {
        found.path: found.reason
        for found in scan_directory(str(empty_directory))
        if isinstance(found, LocalRefused)
    }

    assert refused["pipe"] == "it is a named pipe"
    assert refused["sock"] == "it is a socket"
    assert "control character" in refused["new\nline"]
    assert any("UTF-8" in reason for reason in refused.values())
    with pytest.raises(InvalidInput, match="can't be stored"):
        read(empty_directory)
    with pytest.raises(InvalidInput, match="named pipe"):
        read(empty_directory / "pipe")


def test_devices_are_refused() -> None:
    with pytest.raises(InvalidInput, match="character device"):
        read(Path("/dev/null"))


def test_a_source_that_is_not_there_is_named(empty_directory: Path) -> None:
    with pytest.raises(LocalFileNotFound, match="nowhere"):
        read(empty_directory / "nowhere")


def test_a_scan_reports_directories_files_and_links(empty_directory: Path) -> None:
    fill(empty_directory, {"d/x": b"12"})
    os.symlink("/pfs/in/x", empty_directory / "link")
    (empty_directory / "empty").mkdir()

    found = list(scan_directory(str(empty_directory)))

    assert [type(item) for item in found] == [
        LocalDirectory,
        LocalFile,
        LocalDirectory,
        LocalLink,
    ]
    assert [item.path for item in found] == ["d", "d/x", "empty", "link"]
    assert [item.target for item in found if isinstance(item, LocalLink)] == ["/pfs/in/x"]
    assert [item.size_bytes for item in found if isinstance(item, LocalFile)] == [2]


def test_a_file_that_is_exchanged_for_another_is_noticed(empty_directory: Path) -> None:
    fill(empty_directory, {"a": b"public", "../secret": b"secret"})
    files = local_files(str(empty_directory))
    opener = next(files).open
    os.unlink(empty_directory / "a")
    os.symlink("../secret", empty_directory / "a")

    with pytest.raises(OperationFailed, match="can't read a: .*symbolic"):
        opener()

    os.unlink(empty_directory / "a")
    os.link(empty_directory.parent / "secret", empty_directory / "a")
    with pytest.raises(OperationFailed, match="changed"):
        opener()


def test_a_directory_that_becomes_a_link_is_not_entered(empty_directory: Path) -> None:
    fill(empty_directory, {"a": b"", "d/x": b"inside", "../other/x": b"outside"})
    found = scan_directory(str(empty_directory))
    next(found)
    (empty_directory / "d").rename(empty_directory / "moved")
    os.symlink("../other", empty_directory / "d")

    rest = list(found)

    assert [(type(item), item.path) for item in rest] == [(LocalRefused, "d")]


def test_a_tree_that_is_too_deep_is_refused(empty_directory: Path) -> None:
    fd = os.open(empty_directory, os.O_RDONLY)
    for _ in range(DEPTH_MAX + 2):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)

    with pytest.raises(InvalidInput, match="deeper"):
        read(empty_directory)
