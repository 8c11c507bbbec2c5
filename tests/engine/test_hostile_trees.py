"""Directories that are put while somebody turns their entries into links that lead elsewhere."""

import contextlib
import os
import threading

import pytest

from trunkline.client.local_files import put_local
from trunkline.errors import InvalidInput, TrunklineError


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    return engine


@pytest.fixture
def tree(tmp_path):
    """A directory to put, beside one with a secret in it."""
    (tmp_path / "put" / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "put" / "a").write_text("fine")
    (tmp_path / "put" / "sub" / "file").write_text("inside")
    (tmp_path / "outside" / "file").write_text("secret")
    return tmp_path


def put(driver, tree):
    return driver.engine.files.modify_files("data", "master", [put_local("/", tree / "put")])


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../outside/file", "leads out of"),
        ("../outside", "leads out of"),
        ("/etc/passwd", "leads out of"),
        ("nowhere", "link to nothing"),
        ("link", "link"),
        ("sub", "link to a directory"),
        (".", "link to a directory"),
    ],
)
def test_a_link_that_is_no_file_of_the_tree_refuses_the_put(data, tree, target, reason):
    (tree / "put" / "link").symlink_to(target)

    with pytest.raises(TrunklineError, match=reason):
        put(data, tree)

    assert list(data.engine.branches.list_branches("data")) == []


def test_two_links_in_a_circle_are_refused(data, tree):
    (tree / "put" / "one").symlink_to("two")
    (tree / "put" / "two").symlink_to("one")

    with pytest.raises(TrunklineError):
        put(data, tree)


@pytest.mark.parametrize("what", ["sub", "sub/file"])
def test_what_is_exchanged_for_a_link_outside_is_never_read(data, tree, what):
    place, aside = tree / "put" / what, tree / "aside"
    target = tree / "outside" / ("file" if what == "sub/file" else "")
    ended = threading.Event()

    def exchange():
        while not ended.is_set():
            os.rename(place, aside)
            os.symlink(target, place)
            os.unlink(place)
            os.rename(aside, place)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for _ in range(40):
            with contextlib.suppress(TrunklineError):  # that it changed meanwhile
                put(data, tree)
    finally:
        ended.set()
        thread.join()

    contents = set()
    for commit in data.engine.commits.list_commits("data"):
        contents |= set(data.tree("data", commit.id).values())
    assert contents <= {"fine", "inside"}


def test_pipes_and_devices_do_not_make_the_reader_wait(data, tree):
    os.mkfifo(tree / "put" / "pipe")

    with pytest.raises(InvalidInput, match="a named pipe"):
        put(data, tree)
