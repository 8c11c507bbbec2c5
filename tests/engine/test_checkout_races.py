"""What changes in a directory while a commit is checked out into it, and links planted there."""

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from checkout_world import FIRST, World, on_disk

from trunkline.connect.checkout import check_out
from trunkline.connect.materialise import write_tree
from trunkline.errors import (
    AlreadyExists,
    Conflict,
    LocalChanges,
    OperationFailed,
    TrunklineError,
)
from trunkline.model.names import CHECKOUT_RECORD


def changing(place: Path, change: Callable[[Path], object]) -> Callable[[int], None]:
    """A display of progress that changes a file when the first bytes have been written."""
    done: list[int] = []

    def advance(size_bytes: int) -> None:
        if not done:
            change(place)
        done.append(size_bytes)

    return advance


def rewrite(place: Path) -> None:
    place.write_bytes(b"mine, and now")


def into_a_link(place: Path) -> None:
    place.unlink()
    place.symlink_to(place.parent.parent / "outside")


@pytest.mark.parametrize("change", [rewrite, into_a_link])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_changed_in_the_middle_is_left_and_told(
    world: World, out: Any, tmp_path: Path, change: Callable[[Path], object], force: bool
) -> None:
    directory = tmp_path / "out"
    (tmp_path / "outside").write_bytes(b"precious")
    first, second = ({"a": name, "b": name * 2_000_000, "z": name} for name in (b"1", b"2"))
    out(world.commit(first), directory)
    commit = world.commit(second)

    with pytest.raises(Conflict, match="'z' in .* was changed while it was checked out"):
        out(commit, directory, force=force, advance=changing(directory / "z", change))

    mine = b"precious" if change is into_a_link else b"mine, and now"
    assert on_disk(directory)["z"] == mine
    with pytest.raises(LocalChanges, match="'z'"):
        out(commit, directory)
    assert on_disk(directory)["z"] == mine
    out(commit, directory, force=True)
    assert on_disk(directory) == second
    assert not (directory / "z").is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"precious"


def test_what_comes_into_being_in_the_middle_is_left_and_told(
    world: World, out: Any, tmp_path: Path
) -> None:
    commit = world.commit({"a": b"1", "z": b"1"})

    with pytest.raises(Conflict, match="'z'"):
        out(commit, tmp_path, advance=changing(tmp_path / "z", rewrite))
    with pytest.raises(LocalChanges, match="'z'"):
        out(commit, tmp_path)

    assert on_disk(tmp_path) == {"a": b"1", "z": b"mine, and now"}


def test_what_is_about_to_be_deleted_and_is_changed_stays(
    world: World, out: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out(world.commit({"a": b"1", "y": b"1", "z": b"1"}), tmp_path)
    commit = world.commit({"a": b"1"})
    remove = os.unlink

    def removing(path: Any, **options: Any) -> None:
        remove(path, **options)
        if path == "y":
            rewrite(tmp_path / "z")

    monkeypatch.setattr(os, "unlink", removing)
    with pytest.raises(Conflict, match="'z'"):
        out(commit, tmp_path)
    monkeypatch.undo()

    assert on_disk(tmp_path) == {"a": b"1", "z": b"mine, and now"}
    with pytest.raises(LocalChanges, match="'z'"):
        out(commit, tmp_path)


def test_links_under_the_names_of_our_own_files_are_not_written_through(
    world: World, out: Any, tmp_path: Path
) -> None:
    directory, outside = tmp_path / "out", tmp_path / "outside"
    directory.mkdir()
    outside.write_bytes(b"precious")
    for name in (CHECKOUT_RECORD, f"{CHECKOUT_RECORD}.{os.getpid()}"):
        (directory / name).symlink_to(outside)
    (directory / f"{CHECKOUT_RECORD}.É.{os.getpid()}").symlink_to(tmp_path / "none")

    with pytest.raises(OperationFailed, match="can't read"):
        out(world.commit(FIRST), directory)
    (directory / CHECKOUT_RECORD).unlink()
    out(world.commit(FIRST), directory)

    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "none").exists()


def test_a_file_whose_name_begins_as_that_of_the_record_is_a_file_like_others(
    world: World, out: Any, tmp_path: Path
) -> None:
    for n in range(2):
        commit = world.commit({f"{CHECKOUT_RECORD}s": b"%d" % n})
        assert out(commit, tmp_path).written == 1
        assert out(commit, tmp_path).written == 0


@pytest.mark.parametrize("how", ["checkout", "get"])
def test_a_directory_that_keeps_turning_into_a_link_leads_nowhere(
    world: World, tmp_path: Path, how: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "e").mkdir(parents=True)
    directory = tmp_path / "out"
    (directory / "d" / "e").mkdir(parents=True)
    info = world.engine.commits.inspect_commit(
        "data", world.commit({f"d/e/{n}": b"%d" % n for n in range(300)})
    )
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with suppress(OSError):
                (directory / "d").rename(tmp_path / "aside")
                (directory / "d").symlink_to(outside)
                (directory / "d").unlink()
                (tmp_path / "aside").rename(directory / "d")
            with suppress(OSError):
                shutil.rmtree(tmp_path / "aside")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for n in range(20):
            origin = world.direct if n % 2 else world.streamed
            with suppress(TrunklineError):
                if how == "get":
                    write_tree(origin, info, "", directory, lambda _: None)
                else:
                    check_out(origin, info, "", directory, force=True)
    finally:
        stop.set()
        swapping.join()

    assert list(outside.rglob("*")) == [outside / "e"]


def test_a_link_that_appears_in_the_middle_leads_nowhere(
    world: World, out: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    commit = world.commit({"d/x": b"1"})
    real = os.mkdir

    def racing(path: Any, *args: Any, **options: Any) -> None:
        if path == "d":
            os.symlink(outside, path, dir_fd=options["dir_fd"])
        real(path, *args, **options)

    monkeypatch.setattr(os, "mkdir", racing)

    with pytest.raises(AlreadyExists, match="'d'"):
        out(commit, tmp_path / "out")
    assert list(outside.iterdir()) == []
