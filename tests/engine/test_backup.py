"""Backups: complete, consistent beside writers, whole after every crash; and what comes of them."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine import archive
from trunkline.engine.engine import Engine
from trunkline.engine.restore import restore
from trunkline.errors import (
    Conflict,
    Corrupt,
    InvalidInput,
    NotFound,
    StorageFull,
    StoreInUse,
)
from trunkline.model.jobs import JobState

NOW = datetime(2026, 3, 4, tzinfo=UTC)


class Crash(BaseException):
    """The process is gone here."""


def bring_back(backup: Path, home: Path, *, force: bool = False):
    return restore(backup, home, force=force, now=NOW)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def test_everything_comes_back_at_another_place(engine, open_engine, backup, tmp_path) -> None:
    engine.engine.repos.create_repo("data", description="what we have")
    engine.put("data", {"a": "1", "dir/b": b"x" * 3_000_000})
    engine.pipeline("copy", "cp -r /pfs/data/* /pfs/out/")
    job = engine.job("copy")
    report = engine.engine.admin.backup(str(backup), verify=True)
    engine.put("data", {"later": "x"})

    back = bring_back(backup, tmp_path / "elsewhere" / "home")
    other = open_engine(tmp_path / "elsewhere" / "home")

    assert report.problems == ()
    assert (report.verified, back.commits, back.aside) == (True, report.commits, "")
    assert other.tree("data") == {"a": "1", "dir/b": "x" * 3_000_000}
    assert other.tree("copy") == other.tree("data")
    for repo in ("data", "copy"):
        wanted = engine.engine.commits.inspect_commit(repo, job.id) if repo == "copy" else None
        found = other.engine.commits.inspect_commit(repo, "master")
        assert wanted is None or wanted == found
    other.put("data", {"c": "new"})
    assert (other.job("copy").state, other.read("copy", "c")) == (JobState.SUCCESS, "new")
    assert other.engine.admin.fsck().damages == ()


def test_what_is_there_already_is_not_copied_again(engine, backup) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"big": os.urandom(2_000_000)})
    first = engine.engine.admin.backup(str(backup))
    engine.put("data", {"small": "1"})

    second = engine.engine.admin.backup(str(backup))

    assert first.copied_bytes > 2_000_000
    assert second.reused_bytes > 2_000_000
    assert second.copied_bytes < 1_000_000


def test_packs_that_are_gone_leave_the_backup_too(engine, open_engine, backup, tmp_path) -> None:
    engine.engine.repos.create_repo("data")
    engine.engine.repos.create_repo("waste")
    engine.put("waste", {"big": os.urandom(4_000_000)})
    engine.put("data", {"a": "1"})
    engine.engine.admin.backup(str(backup))
    engine.engine.repos.delete_repo("waste")
    engine.engine.admin.delete_all()
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "2"})
    engine.engine.admin.gc(grace_s=0)

    engine.engine.admin.backup(str(backup))
    named = {entry.name for entry in archive.require_manifest(backup).packs}

    assert {f"packs/{path.name}" for path in (backup / "packs").iterdir()} == named
    bring_back(backup, tmp_path / "other")
    assert open_engine(tmp_path / "other").tree("data") == {"a": "2"}


def test_writers_and_collectors_go_on_beside_a_backup(
    engine, open_engine, backup, tmp_path
) -> None:
    engine.engine.repos.create_repo("data")
    stop = threading.Event()
    done: dict[int, list[str]] = {
        n: [engine.put("data", {"first": "1"}, branch=f"b{n}").id] for n in range(3)
    }

    def write(mine: int) -> None:
        for number in count():
            if stop.is_set():
                return
            commit = engine.put("data", {f"f{mine}": f"{mine} {number}"}, branch=f"b{mine}")
            done[mine].append(commit.id)

    def collect() -> None:
        while not stop.is_set():
            try:
                engine.engine.admin.gc(grace_s=0)
            except Conflict:
                pass
            stop.wait(0.02)

    threads = [threading.Thread(target=write, args=(n,)) for n in done]
    threads.append(threading.Thread(target=collect))
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            before = {mine: len(ids) for mine, ids in done.items()}
            report = engine.engine.admin.backup(str(backup))
            home = tmp_path / f"restored{number}"
            bring_back(backup, home)
            other = open_engine(home)
            assert report.problems == ()
            assert other.engine.admin.fsck().damages == ()
            for mine, least in before.items():
                found = [c.id for c in other.engine.commits.list_commits("data", to=f"b{mine}")]
                assert len(found) >= least  # all that was acknowledged before it began
                assert found[::-1] == done[mine][: len(found)] or len(found) == len(done[mine]) + 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# --- crashes --------------------------------------------------------------------------------------


@contextmanager
def stopping_at(patch: pytest.MonkeyPatch, step: int, fail: Callable[[], None]) -> Iterator[list]:
    """At the n-th time that something is made durable, named or removed, `fail` instead."""
    steps: list[str] = []

    def counted(name: str, real: Callable) -> Callable:
        def call(*args, **options):
            if threading.current_thread() is not threading.main_thread():
                return real(*args, **options)
            steps.append(name)
            if len(steps) == step:
                fail()
            return real(*args, **options)

        return call

    with patch.context() as inner:
        for name in ("fsync", "rename", "mkdir"):
            inner.setattr(os, name, counted(name, getattr(os, name)))
        if fail is crash:  # no disk is too full to remove something
            inner.setattr(Path, "unlink", counted("unlink", Path.unlink))
        yield steps


def crash() -> None:
    raise Crash


def test_a_crash_at_any_step_leaves_the_one_backup_or_the_other(
    engine, open_engine, backup, tmp_path, monkeypatch
) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "old"})
    engine.engine.admin.backup(str(backup))
    kept = shutil.copytree(backup, tmp_path / "kept")
    engine.put("data", {"a": "new"})
    seen = set()
    for step in count(1):
        shutil.rmtree(backup)
        shutil.copytree(kept, backup)
        with stopping_at(monkeypatch, step, crash) as steps:
            try:
                engine.engine.admin.backup(str(backup))
            except Crash:
                pass
        home = tmp_path / f"home{step}"
        bring_back(backup, home)
        if step % 4 == 1 or len(steps) < step:
            seen.add(open_engine(home).read("data", "a"))
        if len(steps) < step:
            break
    assert step > 8
    assert seen == {"old", "new"}


@pytest.mark.parametrize("force", [False, True])
def test_a_crash_of_a_restore_leaves_what_was_there_or_all_of_the_new(
    engine, open_engine, backup, tmp_path, monkeypatch, force
) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "backed up"})
    engine.engine.admin.backup(str(backup))
    there = tmp_path / "there"
    if force:
        old = open_engine(tmp_path / "old")
        old.engine.repos.create_repo("data")
        old.put("data", {"a": "there"})
        old.engine.close()
        there = tmp_path / "old"
    pristine = shutil.copytree(there, tmp_path / "pristine") if force else None
    for step in count(1):
        home = tmp_path / f"home{step}"
        if pristine is not None:
            shutil.copytree(pristine, home)
        with stopping_at(monkeypatch, step, crash) as steps:
            try:
                bring_back(backup, home, force=force)
            except Crash:
                pass
        whole = (home / "FORMAT").exists()
        if whole and (step % 3 == 0 or len(steps) < step):
            text = open_engine(home).read("data", "a")
            assert text == "backed up" or (force and text == "there")
        assert whole or not force
        if len(steps) < step:
            assert text == "backed up"
            break


def test_a_full_disk_leaves_the_backup_that_was_there(
    engine, backup, tmp_path, monkeypatch
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "old"})
    engine.engine.admin.backup(str(backup))
    before = archive.require_manifest(backup)
    engine.put("data", {"a": "new"})
    refused = 0
    for step in count(1):
        with stopping_at(monkeypatch, step, full) as steps:
            try:
                engine.engine.admin.backup(str(backup))
            except StorageFull:
                refused += 1
                assert archive.require_manifest(backup) == before or refused > 3
            before = archive.require_manifest(backup)
        bring_back(backup, tmp_path / f"home{step}")
        if len(steps) < step:
            break
    assert refused > 3


# --- what is refused ------------------------------------------------------------------------------


@pytest.fixture
def made(engine, backup) -> Path:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1", "b": os.urandom(100_000)})
    engine.engine.admin.backup(str(backup))
    return backup


def test_every_damaged_file_is_named_and_nothing_is_replaced(made, tmp_path) -> None:
    home = tmp_path / "home2"
    files = [path for path in made.rglob("*") if path.is_file() and path.name != "backup.lock"]
    for path in files:
        data = path.read_bytes()
        for place in (0, len(data) // 2, len(data) - 2):
            flipped = bytearray(data)
            flipped[place] ^= 0x10
            path.write_bytes(flipped)
            with pytest.raises((Corrupt, InvalidInput)) as refused:
                bring_back(made, home)
            assert path.name in str(refused.value) or str(made) in str(refused.value)
            assert not home.exists()
        path.write_bytes(data[:-1])
        with pytest.raises(Corrupt):
            bring_back(made, home)
        path.unlink()
        with pytest.raises((Corrupt, NotFound)):
            bring_back(made, home)
        path.write_bytes(data)
    assert [p for p in tmp_path.iterdir() if "restoring" in p.name] == []
    bring_back(made, home)


def test_a_changed_byte_anywhere_in_the_manifest_is_found(made) -> None:
    path = made / archive.MANIFEST
    data = path.read_bytes()
    wanted = archive.read_manifest(made)
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 0x01
        path.write_bytes(flipped)
        try:
            found = archive.read_manifest(made)
        except (Corrupt, InvalidInput):
            continue
        assert found == wanted, f"byte {place}"  # of blanks between words


def test_data_is_never_overwritten_but_set_aside(made, engine, open_engine, tmp_path) -> None:
    other = open_engine(tmp_path / "other")
    other.engine.repos.create_repo("mine")
    with pytest.raises(StoreInUse, match="trunkline down"):
        bring_back(made, tmp_path / "other", force=True)
    other.engine.close()
    with pytest.raises(Conflict, match="has data already; add --force"):
        bring_back(made, tmp_path / "other")

    report = bring_back(made, tmp_path / "other", force=True)

    assert [r.name for r in open_engine(tmp_path / "other").engine.repos.list_repos()] == ["data"]
    assert [r.name for r in open_engine(Path(report.aside)).engine.repos.list_repos()] == ["mine"]


def test_places_for_other_things_are_refused(engine, tmp_path) -> None:
    engine.engine.repos.create_repo("data")
    other = tmp_path / "holiday"
    other.mkdir()
    (other / "photo.jpg").write_bytes(b"x")

    with pytest.raises(InvalidInput, match=r"holds other files \(photo.jpg\)"):
        engine.engine.admin.backup(str(other))
    with pytest.raises(InvalidInput, match="would lie in the data directory"):
        engine.engine.admin.backup(str(engine.home / "backup"))
    with pytest.raises(InvalidInput, match="not an absolute path"):
        engine.engine.admin.backup("backup")
    with pytest.raises(NotFound, match="there is no backup in"):
        bring_back(other, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_names_in_a_manifest_lead_nowhere_else(made, tmp_path) -> None:
    manifest = archive.require_manifest(made)
    for name in ("../outside", "/etc/passwd", "packs/../../x", ""):
        bad = archive.Archived(name=name, size_bytes=0, digest="", pack="x.pack")
        archive.write_manifest(made, _with(manifest, bad))
        with pytest.raises(Corrupt, match=r"BACKUP.json"):
            bring_back(made, tmp_path / "home2")
        worse = archive.Archived(name="packs/x", size_bytes=0, digest="", pack=f"{name}/x.pack")
        archive.write_manifest(made, _with(manifest, worse))
        with pytest.raises(Corrupt, match=r"BACKUP.json"):
            bring_back(made, tmp_path / "home2")


def _with(manifest: archive.Manifest, entry: archive.Archived) -> archive.Manifest:
    fields = {name: getattr(manifest, name) for name in manifest.__dataclass_fields__}
    return archive.Manifest(**{**fields, "packs": (*manifest.packs, entry)})


def test_a_store_that_lacks_something_is_backed_up_and_that_is_said(engine, backup) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": os.urandom(50_000)})
    engine.engine.close()
    for path in (engine.home / "store" / "packs").iterdir():
        path.unlink()
    with opened(engine.home) as damaged:
        report = damaged.admin.backup(str(backup))

    assert report.problems


# --- of a damaged store over a good backup --------------------------------------------------------


@contextmanager
def opened(home: Path) -> Iterator[Engine]:
    engine = Engine(load({"HOME": str(home)}, home=home))
    try:
        yield engine
    finally:
        engine.close()


def put_bytes(engine: Engine, path: str, content: bytes) -> None:
    engine.files.modify_files("data", "master", [PutFile(path=path, content=[content])])


def read_bytes(engine: Engine, path: str) -> bytes:
    return b"".join(engine.files.read_file("data", "master", path))


def newest_pack(home: Path) -> Path:
    return max((home / "store" / "packs").glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)


def rot(home: Path, content: bytes) -> None:
    """Change one byte in the midst of the content, which does not get smaller, in its pack."""
    pack = newest_pack(home)
    data = bytearray(pack.read_bytes())
    at = data.find(content[len(content) // 2 :][:64])
    assert at > 0
    data[at] ^= 1
    pack.write_bytes(data)


def halve(home: Path, content: bytes) -> None:
    os.truncate(newest_pack(home), newest_pack(home).stat().st_size // 2)


def remove(home: Path, content: bytes) -> None:
    newest_pack(home).unlink()


@pytest.mark.parametrize("repair", [False, True], ids=["as it is", "after fsck --repair"])
@pytest.mark.parametrize("damage", [rot, halve, remove])
def test_what_the_store_has_lost_is_taken_from_the_earlier_backup(
    backup, tmp_path, damage, repair
) -> None:
    precious, home = os.urandom(200_000), tmp_path / "home"
    with opened(home) as engine:
        engine.repos.create_repo("data")
        put_bytes(engine, "a", precious)
        engine.admin.backup(str(backup))
    damage(home, precious)
    with opened(home) as engine:
        if repair:
            engine.admin.fsck(repair=True)
        reports = [engine.admin.backup(str(backup), verify=True) for _ in range(2)]

    bring_back(backup, tmp_path / "back")

    for report in reports:
        assert report.stays == ""
        assert [p for p in report.problems if not p.endswith("taken from the earlier backup")] == []
        assert report.problems or damage is not remove
    with opened(tmp_path / "back") as engine:
        assert read_bytes(engine, "a") == precious
        assert engine.admin.fsck().damages == ()


def test_a_pack_that_rotted_before_it_was_copied_does_not_hide_the_whole_one(
    backup, tmp_path
) -> None:
    precious, home = os.urandom(200_000), tmp_path / "home"
    with opened(home) as engine:
        engine.repos.create_repo("data")
        put_bytes(engine, "a", precious)
        engine.admin.backup(str(backup))
    manifest = archive.require_manifest(backup)
    [entry] = manifest.packs
    partial = replace(entry, name=entry.name.replace(".pack", f"-{entry.size_bytes}.open"))
    os.rename(backup / entry.name, backup / partial.name)  # as if it had not been full then
    archive.write_manifest(backup, replace(manifest, packs=(partial,)))
    rot(home, precious)
    with opened(home) as engine:
        report = engine.admin.backup(str(backup))

    bring_back(backup, tmp_path / "back")

    assert [problem.endswith("taken from the earlier backup") for problem in report.problems] == [
        True
    ]
    with opened(tmp_path / "back") as engine:
        assert read_bytes(engine, "a") == precious


def test_where_nobody_can_tell_what_is_lost_the_earlier_backup_stays_as_it_is(
    backup, tmp_path
) -> None:
    home = tmp_path / "home"
    with opened(home) as engine:
        engine.repos.create_repo("data")
        put_bytes(engine, "a", b"precious")
        engine.admin.backup(str(backup))
    with opened(home) as engine:
        put_bytes(engine, "b", b"new")
    newest_pack(home).unlink()
    before = {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()}
    with opened(home) as engine:
        report = engine.admin.backup(str(backup))
        elsewhere = engine.admin.backup(str(tmp_path / "elsewhere"))

    assert report.problems
    assert report.stays == archive.require_manifest(backup).created
    assert {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()} == before
    assert (bool(elsewhere.problems), elsewhere.stays) == (True, "")
    bring_back(backup, tmp_path / "back")
    with opened(tmp_path / "back") as engine:
        assert read_bytes(engine, "a") == b"precious"
