"""Local files: read by the server where it sees the same, sent to it where it does not."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memory_server import MemoryServer

from trunkline.api.changes import DeleteFile, FileChange, PutFile, PutLocal
from trunkline.client.local_files import put_local, with_content
from trunkline.errors import InvalidInput, LocalFileNotFound, LocalPathDiffers, OperationFailed
from trunkline.model.names import CHECKOUT_RECORD


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a.txt").write_text("a")
    (root / "b" / "c d#%.txt").write_text("c")
    (root / "b" / "deep" / "ü").write_text("u")
    (root / "link").symlink_to(root / "a.txt")
    return root


WHOLE = {"d/a.txt": b"a", "d/b/c d#%.txt": b"c", "d/b/deep/ü": b"u", "d/link": b"a"}


def elsewhere(change: PutLocal) -> PutLocal:
    """The change as a client in another mount namespace would send it."""
    return PutLocal(path=change.path, source=change.source, device=change.device, inode=1)


def content_of(server: MemoryServer) -> dict[str, bytes]:
    return server.operations.trees["r"]["master"][-1][1]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_directory_is_put_with_all_its_files(
    server: MemoryServer, tree: Path, tcp: bool, slash: str
) -> None:
    client = server.client(tcp=tcp)
    client.repos.create_repo("r")

    client.files.modify_files("r", "master", [put_local(f"{slash}d", tree)])

    assert content_of(server) == WHOLE


def test_a_directory_may_become_the_root(server: MemoryServer, tree: Path) -> None:
    client = server.client(tcp=True)
    client.repos.create_repo("r")

    client.files.modify_files("r", "master", [put_local("/", tree)])

    assert content_of(server) == {path.removeprefix("d/"): c for path, c in WHOLE.items()}


def test_what_the_server_sees_differently_is_sent_to_it(server: MemoryServer, tree: Path) -> None:
    client = server.client()
    client.repos.create_repo("r")

    def changes() -> Iterator[FileChange]:
        yield PutFile(path="first", content=[b"1"])
        yield elsewhere(put_local("d", tree))
        yield DeleteFile(path="d/link")
        yield PutFile(path="last", content=[b"2"])

    client.files.modify_files("r", "master", changes())

    expected = {path: c for path, c in WHOLE.items() if path != "d/link"}
    assert content_of(server) == {"first": b"1", "last": b"2", **expected}
    assert len(server.operations.trees["r"]["master"]) == 1


def test_what_could_be_read_only_once_is_not_sent_twice(server: MemoryServer, tree: Path) -> None:
    client = server.client()
    client.repos.create_repo("r")
    changes = [PutFile(path="first", content=iter([b"1"])), elsewhere(put_local("d", tree))]

    with pytest.raises(LocalPathDiffers, match="does not see the same"):
        client.files.modify_files("r", "master", changes)

    assert server.operations.trees == {"r": {}}


def test_what_links_mean_is_sent_also_to_a_server_on_the_same_machine(
    server: MemoryServer, tree: Path
) -> None:
    (tree.parent / "beside").write_bytes(b"beside")
    (tree / "beside").symlink_to("../beside")
    client = server.client()
    client.repos.create_repo("r")

    client.files.modify_files("r", "master", [put_local("d", tree, links="follow")])

    assert content_of(server)["d/beside"] == b"beside"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFileNotFound, match=r"no file or directory '.*nothing'"):
        put_local("x", tmp_path / "nothing")
    (tmp_path / "f").touch()
    with pytest.raises(LocalFileNotFound):
        put_local("x", tmp_path / "f" / "below")


def test_a_file_that_vanished_meanwhile_fails_the_upload(
    server: MemoryServer, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    change = put_local("f", tmp_path / "f")
    (tmp_path / "f").unlink()
    client = server.client(tcp=True)
    client.repos.create_repo("r")

    with pytest.raises(LocalFileNotFound, match="no file or directory"):
        client.files.modify_files("r", "master", [change])

    assert server.operations.trees == {"r": {}}


def test_pipes_and_links_to_directories_are_refused(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(InvalidInput, match="pipe can't be stored: it is a named pipe"):
        list(with_content([put_local("d", tree)]))
    (tree / "pipe").unlink()

    (tree / "b" / "loop").symlink_to(tree)
    with pytest.raises(InvalidInput, match="b/loop is a symbolic link to a directory"):
        list(with_content([put_local("d", tree)]))


def test_a_link_that_leads_out_is_not_sent(tree: Path) -> None:
    (tree.parent / "secret").write_text("s")
    (tree / "b" / "out").symlink_to(tree.parent / "secret")

    with pytest.raises(InvalidInput, match="b/out is a symbolic link that leads out"):
        list(with_content([put_local("d", tree)]))


def into_a_pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def into_a_link_out(place: Path) -> None:
    place.unlink()
    (place.parent.parent / "secret").write_text("s")
    place.symlink_to(place.parent.parent / "secret")


def into_nothing(place: Path) -> None:
    place.unlink()


@pytest.mark.parametrize("become", [into_a_pipe, into_a_link_out, into_nothing])
def test_a_file_that_becomes_something_else_before_it_is_read_is_told(
    tree: Path, become: Callable[[Path], None]
) -> None:
    changes = with_content([put_local("d", tree)])
    first = next(changes)
    assert isinstance(first, PutFile)

    become(tree / "a.txt")

    with pytest.raises(OperationFailed, match=r"a.txt"):
        list(first.content)


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_file_that_grows_or_shrinks_is_sent_as_it_is_when_it_is_read(
    tree: Path, size: int
) -> None:
    (tree / "a.txt").write_bytes(b"a" * 10)
    changes = with_content([put_local("d", tree)])
    first = next(changes)
    assert isinstance(first, PutFile)

    (tree / "a.txt").write_bytes(b"b" * size)

    assert b"".join(first.content) == b"b" * size


def test_a_directory_that_goes_while_the_tree_is_sent_is_told(tree: Path) -> None:
    changes = with_content([put_local("d", tree)])
    next(changes)
    shutil.rmtree(tree / "b")

    with pytest.raises(InvalidInput, match="b can't be stored: it changed while it was read"):
        list(changes)


def test_a_directory_that_becomes_a_link_out_is_not_entered(tree: Path) -> None:
    changes = with_content([put_local("d", tree)])
    next(changes)
    (tree / "b").rename(tree.parent / "moved")
    (tree / "b").symlink_to(tree.parent / "moved")

    with pytest.raises(InvalidInput, match="b can't be stored: it changed while it was read"):
        list(changes)


def test_a_record_of_a_checkout_stays_at_home(tree: Path) -> None:
    (tree / "b" / CHECKOUT_RECORD).write_text("x")

    assert [change.path for change in with_content([put_local("d", tree)])] == sorted(WHOLE)
