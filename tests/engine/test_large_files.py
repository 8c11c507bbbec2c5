"""Large files of a directory, which are read while the ones before them are being stored."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.conftest import Driver

from trunkline.api.changes import PutFile
from trunkline.api.waiting import wanted_while
from trunkline.client.local_files import put_local
from trunkline.errors import NotFound, OperationFailed, Unavailable
from trunkline.files import intake, listing

MIB = 1024 * 1024
NOISE = random.Random(3).randbytes(24 * MIB)
FILES = {
    "a": NOISE[: 2 * MIB],
    "b": b"small",
    "c": NOISE[5 * MIB : 14 * MIB],
    "d/one": NOISE[MIB : 3 * MIB + 1],
    "e": b"",
    "f": NOISE,
    "g": NOISE[: MIB + 1],
    "h": NOISE[:MIB],
    "i": bytes(9 * MIB),
    "j": NOISE[::-1],
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the large files that are opened beside others."""
    names: list[str] = []
    fill = intake.Intake._fill

    def noting(self: Any, file: int, directory: str, name: str, window: memoryview) -> int:
        if name not in names:
            names.append(name)
        return fill(self, file, directory, name, window)

    monkeypatch.setattr(intake.Intake, "_fill", noting)
    return names


def put(engine: Driver, source: Path) -> Any:
    return engine.engine.files.modify_files("data", "master", [put_local("/", source)])


def test_they_are_stored_as_if_they_had_come_one_by_one(engine: Driver, source: Path) -> None:
    engine.engine.repos.create_repo("data")
    engine.engine.repos.create_repo("other")

    root = put(engine, source).root

    changes = [PutFile(path=name, content=[content]) for name, content in FILES.items()]
    assert engine.engine.files.modify_files("other", "master", changes).root == root


def test_only_those_that_have_changed_are_read_again(
    engine: Driver, source: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "TICK_NS", -(10**18))  # files are believed at once
    engine.engine.repos.create_repo("data")
    put(engine, source)
    assert read == ["f", "g", "i", "j"]  # the others have nobody beside them
    read.clear()

    put(engine, source)
    assert read == []
    for name in ("f", "g", "j"):
        (source / name).write_bytes(FILES[name] + b"more")
    put(engine, source)

    assert read == ["f", "g"]
    for name in ("f", "g", "j"):
        stored = b"".join(engine.engine.files.read_file("data", "master", name))
        assert stored == FILES[name] + b"more"


def gone(path: Path) -> None:
    path.unlink()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("becomes", [gone, pipe, directory, link])
def test_one_that_is_replaced_once_it_was_listed_ends_the_put(
    engine: Driver,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    becomes: Callable[[Path], None],
) -> None:
    engine.engine.repos.create_repo("data")
    _after_listing(monkeypatch, lambda: becomes(source / "g"))

    with pytest.raises(OperationFailed, match="changed while"):
        put(engine, source)

    with pytest.raises(NotFound):
        engine.head("data")
    assert _open_below(source) == []


@pytest.mark.parametrize("size", [0, 5, MIB, 3 * MIB, 20 * MIB])
def test_one_that_changes_its_size_once_it_was_listed_is_stored_as_it_is_read(
    engine: Driver, source: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    engine.engine.repos.create_repo("data")
    engine.engine.repos.create_repo("other")
    _after_listing(monkeypatch, lambda: (source / "g").write_bytes(NOISE[:size]))

    root = put(engine, source).root

    files = {**FILES, "g": NOISE[:size]}
    changes = [PutFile(path=name, content=[content]) for name, content in files.items()]
    assert engine.engine.files.modify_files("other", "master", changes).root == root


def test_a_put_that_nobody_wants_ends_in_the_middle_of_a_file(
    engine: Driver, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.engine.repos.create_repo("data")
    reads = 0
    fill = intake.Intake._fill

    def counting(*arguments: Any) -> int:
        nonlocal reads
        count = fill(*arguments)
        reads += 1
        return count

    monkeypatch.setattr(intake.Intake, "_fill", counting)

    with wanted_while(lambda: reads < 2), pytest.raises(Unavailable):
        put(engine, source)

    assert reads == 2
    assert _open_below(source) == []
    with pytest.raises(NotFound):
        engine.head("data")


def _after_listing(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Change something when the top directory has been listed and no file has been read."""
    listed = intake.list_directory
    pending = [change]

    def listing_then(*arguments: Any, **more: Any) -> Any:
        found = listed(*arguments, **more)
        if pending:
            pending.pop()()
        return found

    monkeypatch.setattr(intake, "list_directory", listing_then)


def _open_below(directory: Path) -> list[str]:
    """The files of a directory that this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith(str(directory)):
            found.append(target)
    return found
