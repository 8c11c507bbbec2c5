"""Backups over others: of a damaged store, of another installation, and two things at once."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from backups import bring_back

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine import archive
from trunkline.engine import restore as restore_module
from trunkline.engine.engine import Engine
from trunkline.errors import Conflict, InvalidInput
from trunkline.store.digests import Digest
from trunkline.store.locks import alone


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


def backed_up(home: Path, backup: Path, content: bytes) -> None:
    """Make a data directory with one file, and a backup of it."""
    with opened(home) as engine:
        engine.repos.create_repo("data")
        put_bytes(engine, "a", content)
        engine.admin.backup(str(backup))


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
    backed_up(home, backup, precious)
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
    backed_up(home, backup, precious)
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
    backed_up(home, backup, b"precious")
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


# --- whose backup it is ---------------------------------------------------------------------------


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A data directory with something else in it."""
    with opened(tmp_path / "stranger") as engine:
        engine.repos.create_repo("data")
        put_bytes(engine, "other", b"of somebody else")
    return tmp_path / "stranger"


def as_version_1(backup: Path) -> None:
    """The manifest as the first release wrote it, which did not say whose it is."""
    document = json.loads((backup / archive.MANIFEST).read_text())
    body = document["backup"]
    del body["installation"]
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    document |= {"trunkline_backup": 1, "digest": Digest(text).hexdigest()}
    (backup / archive.MANIFEST).write_text(json.dumps(document))


@pytest.mark.parametrize("old", [False, True], ids=["that says whose it is", "of version 1"])
def test_the_backup_of_another_installation_is_not_replaced(made, stranger, tmp_path, old) -> None:
    if old:
        as_version_1(made)
    with opened(stranger) as engine:
        with pytest.raises(Conflict, match=r"has a backup of another installation, made .*--force"):
            engine.admin.backup(str(made))
        bring_back(made, tmp_path / "back")
        engine.admin.backup(str(made), force=True)
        engine.admin.backup(str(made))

    with opened(tmp_path / "back") as engine:
        assert read_bytes(engine, "a") == b"1"
    bring_back(made, tmp_path / "moved")
    with opened(tmp_path / "moved") as engine:
        assert read_bytes(engine, "other") == b"of somebody else"


def test_an_empty_data_directory_replaces_no_backup(made, tmp_path) -> None:
    with opened(tmp_path / "fresh") as engine, pytest.raises(Conflict, match="another"):
        engine.admin.backup(str(made))


@pytest.mark.parametrize("old", [False, True], ids=["that says whose it is", "of version 1"])
def test_who_moves_house_goes_on_with_the_same_backup(made, engine, tmp_path, old) -> None:
    if old:
        as_version_1(made)
    engine.engine.close()
    bring_back(made, tmp_path / "new house")
    with opened(tmp_path / "new house") as moved:
        put_bytes(moved, "a", b"moved")
        assert moved.admin.backup(str(made)).problems == ()

    bring_back(made, tmp_path / "back")

    with opened(tmp_path / "back") as back:
        assert read_bytes(back, "a") == b"moved"


# --- at once, and through links -------------------------------------------------------------------


def test_backups_and_restores_of_one_directory_do_not_meet(
    made, engine, tmp_path, monkeypatch
) -> None:
    refused: list[str] = []
    real = restore_module._fill

    def fill(*args, **options) -> None:
        with pytest.raises(Conflict, match="or a restore from there, is under way") as told:
            engine.engine.admin.backup(str(made))
        refused.append(str(told.value))
        real(*args, **options)

    monkeypatch.setattr(restore_module, "_fill", fill)
    bring_back(made, tmp_path / "back")
    refusal = pytest.raises(Conflict, match="a backup to .* is under way; restore when")
    with alone(made / "backup.lock", AssertionError), refusal:
        bring_back(made, tmp_path / "again")

    assert len(refused) == 1
    monkeypatch.undo()
    (made / "backup.lock").unlink()
    bring_back(made, tmp_path / "without a lock")


def test_a_link_to_the_data_directory_stays_a_link(made, stranger, tmp_path) -> None:
    link = tmp_path / "link"
    link.symlink_to(stranger)

    report = bring_back(made, link, force=True)

    assert link.is_symlink()
    assert (report.home, Path(report.aside).parent) == (str(stranger), tmp_path)
    assert not Path(report.aside).is_symlink()
    with opened(link) as engine:
        assert read_bytes(engine, "a") == b"1"


def test_a_link_does_not_lead_a_backup_into_the_data_directory(engine, tmp_path) -> None:
    (tmp_path / "link").symlink_to(engine.home)

    for place in (tmp_path / "link", tmp_path / "link" / "backup"):
        with pytest.raises(InvalidInput, match="would lie in the data directory"):
            engine.engine.admin.backup(str(place))
    assert not (engine.home / "backup").exists()


def test_a_backup_waits_for_others_that_need_the_store_as_it_is(engine, backup) -> None:
    engine.engine.repos.create_repo("data")
    done = threading.Event()

    def back_up() -> None:
        engine.engine.admin.backup(str(backup))
        done.set()

    waiting = threading.Thread(target=back_up)
    with engine.engine._services.chunks.collection().exclusive():
        waiting.start()
        while waiting.is_alive() and not (backup / "backup.lock").exists():
            waiting.join(0.001)
        assert archive.read_manifest(backup) is None
    waiting.join()

    assert done.is_set()
