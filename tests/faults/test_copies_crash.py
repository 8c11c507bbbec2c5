"""A backup, a restore, a checkout or a download dies at any step: it is never taken for whole.

Recorded like the other crashes, with all that lies around: the data directory, the backup, the
checkout. What was there before is unharmed, and saying it again does all of it.
"""

import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from crash_images import Image, images
from crash_session import EVERY, SEEDS, scratch
from engine_state import damages, open_engine, state, without_workers
from recorded_disk import RecordedDisk, Recording

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.connect.checkout import LocalChange, check_out, local_changes
from trunkline.connect.checkout_record import read_record
from trunkline.connect.materialise import Origin, write_tree, write_whole
from trunkline.engine import restore as restores
from trunkline.engine.engine import Engine
from trunkline.errors import (
    CheckoutNotFound,
    LocalChanges,
    NotFound,
    OperationFailed,
)
from trunkline.model.names import CHECKOUT_RECORD

NOW = datetime(2026, 3, 4, tzinfo=UTC)
Files = dict[str, bytes]
Tally = Callable[..., None]

FIRST: Files = {"a": b"1", "d/b": b"2" * 700, "d/e/c": b"3", "same": b"s" * 900, "gone/x": b"x"}
SECOND: Files = {"a": b"one", "d/b": b"2" * 800, "new/f/g": b"n" * 600, "same": b"s" * 900}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with without_workers():
        yield


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as at:
        yield at


@contextmanager
def opened(home: Path) -> Iterator[Engine]:
    engine = open_engine(home)
    try:
        yield engine
    finally:
        engine.close()


def commit(engine: Engine, files: Files) -> str:
    sent: list[Any] = [DeleteFile(path="/")]
    sent += [PutFile(path=path, content=[content]) for path, content in files.items()]
    return engine.files.modify_files("data", "master", sent).id


def recorded(root: Path, work: Callable[[], object]) -> Recording:
    disk = RecordedDisk(root)
    with disk.installed():
        work()
    disk.recording.check()
    return disk.recording


def crashes(
    recording: Recording, place: Path, *, every: int, process_only: bool = False
) -> Iterator[tuple[Image, str, Path]]:
    """Each state that a crash leaves, once, written below a directory of its own."""
    seen: set[int] = set()
    for image in images(recording, seeds=SEEDS):
        same = hash((frozenset(image.files.items()), image.directories))
        power = image.how.startswith("power")
        if image.at % every or same in seen or (power and process_only):
            continue
        seen.add(same)
        left = place / "left"
        image.write(left)
        last = recording.steps[image.at - 1] if image.at else None
        yield (
            image,
            f"{image.how} after {image.at} ({last and last.kind} {last and last.path})",
            left,
        )
        shutil.rmtree(left)


# --- backup ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("earlier", [False, True], ids=["the first one", "over another one"])
def test_a_backup_that_died_is_never_taken_for_whole(
    place: Path, earlier: bool, tally: Tally
) -> None:
    source = place / "source"
    with opened(source / "home") as engine:
        engine.repos.create_repo("data")
        commit(engine, FIRST)
        if earlier:
            engine.admin.backup(str(source / "backup"))
        before = state(engine)
        commit(engine, SECOND)
        after = state(engine)
    began = []

    def back_up() -> None:
        with opened(source / "home") as engine:
            began.append(len(disk.recording.steps))
            engine.admin.backup(str(source / "backup"))
            began.append(len(disk.recording.steps))

    disk = RecordedDisk(source)
    with disk.installed():
        back_up()
    disk.recording.check()

    tried = 0
    for image, what, left in crashes(disk.recording, place, every=3 * EVERY):
        if image.at < began[0]:
            continue
        tried += 1
        done = image.at >= began[1]
        found = restored(left / "backup", left / "restored")
        assert found == after or (not done and found == (before if earlier else None)), what
        with opened(left / "home") as engine:
            assert state(engine) == after, what
            assert damages(engine) == [], what
            report = engine.admin.backup(str(left / "backup"), verify=True)
            assert report.problems == (), what
        named = {str(p.relative_to(left / "backup")) for p in (left / "backup").rglob("*")}
        assert not [name for name in named if name.endswith(".new")], what
        assert restored(left / "backup", left / "again") == after, what
    tally("crash images", tried)
    tally("steps crashed at", began[1] - began[0])


def restored(backup: Path, home: Path) -> dict[str, Any] | None:
    """What comes of a backup; None if there is none."""
    try:
        restores.restore(backup, home, force=False, now=NOW)
    except NotFound:
        return None
    with opened(home) as engine:
        assert damages(engine) == []
        return state(engine)


# --- restore --------------------------------------------------------------------------------------


@pytest.fixture
def swaps(monkeypatch: pytest.MonkeyPatch) -> Callable[[RecordedDisk], None]:
    """Writes down the one step of a restore that does not pass through Python's `os`."""

    def record(disk: RecordedDisk) -> None:
        real = restores._exchange

        def exchange(new: Path, home: Path) -> None:
            real(new, home)
            disk.note_exchange(new, home)

        monkeypatch.setattr(restores, "_exchange", exchange)

    return record


@pytest.mark.slow
@pytest.mark.parametrize("swap", ["one step", "three renames"])
@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "data there"])
def test_a_restore_that_died_left_what_was_there_or_all_of_the_new(
    place: Path,
    there: bool,
    swap: str,
    swaps: Callable[[RecordedDisk], None],
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
) -> None:
    with opened(place / "from") as engine:
        engine.repos.create_repo("data")
        commit(engine, SECOND)
        wanted = state(engine)
        engine.admin.backup(str(place / "backup"))
    target = place / "target"
    target.mkdir()
    old: dict[str, Any] = {}
    if there:
        with opened(target / "home") as engine:
            engine.repos.create_repo("data")
            commit(engine, FIRST)
            old = state(engine)
    disk = RecordedDisk(target)
    if swap == "one step":
        swaps(disk)
    else:
        monkeypatch.setattr(restores.ctypes, "CDLL", lambda *_, **__: object())
    with disk.installed():
        restores.restore(place / "backup", target / "home", force=there, now=NOW)
    disk.recording.check()

    tried = 0
    for image, what, left in crashes(disk.recording, place, every=EVERY):
        tried += 1
        done = image.at == len(disk.recording.steps)
        with opened(left / "home") as engine:
            found = state(engine)
            assert found == wanted or (not done and found == old), what
            assert damages(engine) == [], what
        if not done:
            restores.restore(place / "backup", left / "home", force=True, now=NOW)
            with opened(left / "home") as engine:
                assert state(engine) == wanted, what
            assert sorted(p.name for p in left.glob(".*")) == [], f"{what}: left behind"
        if there:
            asides = [_state_of(aside) for aside in left.glob("home.before-restore-*")]
            assert old in asides, what
    tally("crash images", tried)
    tally("steps crashed at", len(disk.recording.steps))


def _state_of(home: Path) -> dict[str, Any]:
    with opened(home) as engine:
        return state(engine)


# --- checkout -------------------------------------------------------------------------------------


def on_disk(directory: Path) -> Files:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != CHECKOUT_RECORD
    }


def differences(found: Files, wanted: Files) -> list[LocalChange]:
    words = [
        (path, "added" if path not in wanted else "deleted" if path not in found else "modified")
        for path in sorted(found.keys() | wanted.keys())
        if found.get(path) != wanted.get(path)
    ]
    return [LocalChange(path=path, state=word) for path, word in words]  # type: ignore[arg-type]


MINE: Files = {"mine": b"by hand", "d/mine": b"too", "same": b"changed by hand"}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["direct", "streamed"])
@pytest.mark.parametrize("earlier", [False, True], ids=["the first one", "over another one"])
def test_status_tells_the_truth_about_a_checkout_that_died_and_the_next_one_completes_it(
    place: Path, earlier: bool, way: str, tally: Tally
) -> None:
    home, work = place / "home", place / "work"
    with opened(home) as engine:
        engine.repos.create_repo("data")
        ids = [commit(engine, FIRST), commit(engine, SECOND)]
        origin = Origin(operations=engine, home=home if way == "direct" else None)
        infos = [engine.commits.inspect_commit("data", one) for one in ids]
        (work / "out").mkdir(parents=True)
        mine: Files = {}
        if earlier:
            check_out(origin, infos[0], "", work / "out")
            mine = MINE
        else:
            mine = {path: content for path, content in MINE.items() if path != "same"}
        for path, content in mine.items():
            (work / "out" / path).parent.mkdir(exist_ok=True)
            (work / "out" / path).write_bytes(content)
        recording = recorded(work, lambda: check_out(origin, infos[1], "", work / "out"))

        trees = dict(zip(ids, (FIRST, SECOND), strict=True))
        tried = 0
        for image, what, left in crashes(recording, place, every=1):
            tried += 1
            out = left / "out"
            _status_is_true(out, trees)
            try:
                check_out(origin, infos[1], "", out)
            except LocalChanges:
                # Where the power went, what was written and not yet synced may be anything.
                assert image.how.startswith("power"), what
                check_out(origin, infos[1], "", out, force=True)
                mine_now = {p: c for p, c in mine.items() if p not in SECOND}
            else:
                mine_now = mine
            assert on_disk(out) == {**SECOND, **mine_now}, what
            assert list(local_changes(out)) == differences({**SECOND, **mine_now}, SECOND), what
    tally("crash images", tried)
    tally("steps crashed at", len(recording.steps))


def _status_is_true(out: Path, trees: dict[str, Files]) -> None:
    """It says that there is no checkout, or none that came to its end, or what differs from it."""
    try:
        found = list(local_changes(out))
    except CheckoutNotFound:
        return
    except OperationFailed as error:
        if "was interrupted" not in str(error):
            raise
        return
    local = {p: c for p, c in on_disk(out).items() if not p.rpartition("/")[2].startswith(".trunk")}
    assert found == differences(local, trees[read_record(out).commit])


# --- downloads ------------------------------------------------------------------------------------


def test_a_directory_or_archive_that_is_fetched_appears_when_it_is_whole(
    place: Path, tally: Tally
) -> None:
    home, work = place / "home", place / "work"
    work.mkdir()
    with opened(home) as engine:
        engine.repos.create_repo("data")
        info = engine.commits.inspect_commit("data", commit(engine, SECOND))
        origins = [Origin(operations=engine, home=at) for at in (home, None)]

        def fetch(where: Path) -> None:
            for n, origin in enumerate(origins):
                write_tree(origin, info, "", where / f"tree{n}", lambda _: None)
            pieces = engine.files.read_tar("data", info.id, "/")
            write_whole(where / "tar", pieces, lambda _: None)

        recording = recorded(work, lambda: fetch(work))
        tried = 0
        for _, what, left in crashes(recording, place, every=1, process_only=True):
            tried += 1
            for n in range(2):
                if (left / f"tree{n}").exists():
                    assert on_disk(left / f"tree{n}") == SECOND, what
            if (left / "tar").exists():
                assert content_of((left / "tar").read_bytes()) == SECOND, what
            fetch(left)
            assert on_disk(left / "tree0") == on_disk(left / "tree1") == SECOND, what
            assert content_of((left / "tar").read_bytes()) == SECOND, what
    tally("crash images", tried)


def content_of(archive: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {m.name: tar.extractfile(m) for m in tar if m.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}
