"""Backups: complete, consistent beside writers, whole after every crash; and what comes of them."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from backups import bring_back

from trunkline.engine import archive
from trunkline.errors import (
    Conflict,
    Corrupt,
    InvalidInput,
    NotFound,
    StorageFull,
    StoreInUse,
)
from trunkline.model.jobs import JobState


class Crash(BaseException):
    """The process is gone here."""


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
