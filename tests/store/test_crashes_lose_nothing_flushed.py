"""The process dies, the power goes or the disk fails at every single step of writing."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from crash_images import Disk
from recorded_disk import RecordedDisk

from trunkline.errors import TrunklineError, Unavailable
from trunkline.store import packs, recovery
from trunkline.store.chunks import ChunkId, ChunkStore

Install = Callable[..., Any]


def noise(seed: int, size: int) -> bytes:
    """Bytes that don't compress."""
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


ROUNDS = [
    [b"small", noise(1, 3000), b"text " * 500],
    [noise(2, 5000), b"small"],
    [noise(3, 9000), noise(4, 9000), noise(5, 100)],
    [noise(6, 100)],
]


def work(store: ChunkStore, flushed: dict[ChunkId, bytes]) -> None:
    """Put and flush in rounds; what a flush has confirmed is noted."""
    for pieces in ROUNDS:
        try:
            ids = store.put_many(pieces)
            store.flush()
        except TrunklineError:
            continue
        flushed.update(zip(ids, pieces, strict=True))
    with suppress(TrunklineError):
        store.close()


@pytest.fixture(autouse=True)
def _tiny_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 8 * 1024)
    monkeypatch.setattr(packs, "_DRAIN_BYTES", 2 * 1024)
    monkeypatch.setattr(packs, "_DIRECT_BYTES", 4 * 1024)


@pytest.mark.parametrize("how", ["die", "tear", errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("after", ["process", "power", "garbage", "no index"])
def test_everything_flushed_is_there_after_a_failure_at_any_step(
    tmp_path: Path,
    faulty_disk: Install,
    sound_disk: Callable[[], None],
    died: type[BaseException],
    how: str | int,
    after: str,
) -> None:
    fail_at, failing = 1, True
    while failing:
        directory = tmp_path / f"store-{fail_at}"
        disk = faulty_disk(fail_at=fail_at, how=how)
        flushed: dict[ChunkId, bytes] = {}
        store = ChunkStore(directory)
        with suppress(died):
            work(store, flushed)
        failing = disk.failed
        disk.end_process(store)
        if after in ("power", "garbage"):
            disk.cut_power(garbage=after == "garbage")
        sound_disk()
        if after == "no index":
            for path in directory.glob("index.db*"):
                path.unlink()

        again = ChunkStore(directory)
        again.recover()

        assert again.get_many(list(flushed)) == flushed, f"step {fail_at}"
        assert list(again.verify(read_data=True)) == [], f"step {fail_at}"
        ids = again.put_many([piece for pieces in ROUNDS for piece in pieces])
        again.flush()
        assert len(again.get_many(ids)) == len(set(ids))
        again.close()
        shutil.rmtree(directory)
        fail_at += 1
    assert fail_at > 15


@pytest.mark.parametrize("how", ["die", "tear"])
def test_a_recovery_that_dies_at_any_step_can_be_done_again(
    tmp_path: Path,
    faulty_disk: Install,
    sound_disk: Callable[[], None],
    died: type[BaseException],
    how: str,
) -> None:
    flushed: dict[ChunkId, bytes] = {}
    left = tmp_path / "left"
    disk = faulty_disk(fail_at=12, how="tear")
    store = ChunkStore(left)
    with suppress(died):
        work(store, flushed)
    disk.end_process(store)
    assert flushed

    fail_at, failing = 1, True
    while failing:
        directory = tmp_path / f"store-{fail_at}"
        shutil.copytree(left, directory)
        disk = faulty_disk(fail_at=fail_at, how=how)
        store = ChunkStore(directory)
        with suppress(died):
            store.recover()
        failing = disk.failed
        disk.end_process(store)
        sound_disk()

        again = ChunkStore(directory)
        again.recover()

        assert again.get_many(list(flushed)) == flushed
        assert list(again.verify(read_data=True)) == []
        again.close()
        fail_at += 1
    assert fail_at > 3


def test_a_full_disk_is_said_and_writing_goes_on_when_there_is_room(
    tmp_path: Path, faulty_disk: Install
) -> None:
    faulty_disk(fail_at=2, how=errno.ENOSPC)
    store = ChunkStore(tmp_path / "store")
    chunk = store.put(b"first")

    with pytest.raises(TrunklineError) as full:
        store.flush()
    store.flush()

    assert full.value.code == "storage-full"
    assert store.get(chunk) == b"first"
    store.close()


def test_after_a_failed_fsync_nothing_is_accepted_until_the_store_is_opened_again(
    tmp_path: Path, faulty_disk: Install, sound_disk: Callable[[], None]
) -> None:
    store = ChunkStore(tmp_path / "store")
    kept = store.put(b"kept")
    store.flush()
    disk = faulty_disk(fail_at=2, how=errno.EIO)
    lost = store.put(b"lost")

    with pytest.raises(TrunklineError, match="restart the server"):
        store.flush()

    sound_disk()
    assert disk.failed
    assert store.get(kept) == b"kept"
    assert not store.has(lost)
    with pytest.raises(TrunklineError, match="can't be written"):
        store.put(b"more")
    with pytest.raises(TrunklineError, match="can't be written"):
        store.flush()
    store.close()
    again = ChunkStore(tmp_path / "store")
    again.recover()
    assert again.get(kept) == b"kept"
    assert again.put(b"more")
    again.close()


def test_a_footer_that_outlived_its_records_is_not_believed(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    pieces = [noise(n, 3000) for n in range(3)]
    first, *_ = store.put_many(pieces)
    index = {path: path.read_bytes() for path in (tmp_path / "store").glob("index.db*")}
    store.close()
    (pack,) = (tmp_path / "store" / "packs").iterdir()
    data = pack.read_bytes()
    pack.write_bytes(bytes(4096) + data[4096:])  # as a power cut before the sync may leave it
    for path, content in index.items():
        path.write_bytes(content)

    store = ChunkStore(tmp_path / "store")
    store.recover()

    assert not store.has(first)
    assert list(store.verify(read_data=True)) == []
    assert store.get_many(store.put_many(pieces)).keys() == set(store.put_many(pieces))
    store.close()


def test_what_a_start_found_is_durable_before_anybody_relies_on_it(tmp_path: Path) -> None:
    """A writer died with bytes that had reached the system only; the power goes after the next."""
    ChunkStore(tmp_path / "store").close()
    disk = RecordedDisk(tmp_path / "store")
    content = noise(1, 5000)
    with disk.installed():
        died = ChunkStore(tmp_path / "store")
        chunk = died.put(content)
        died._pack.drain()
        died._pack.close()  # its lock goes with its process
        died.epochs.close()
        store = ChunkStore(tmp_path / "store")
        store.recover()
        assert store.put(content) == chunk  # found, not stored again
        store.flush()
        steps = len(disk.recording.steps)
        store.close()
    model = Disk(disk.recording)
    for step in disk.recording.steps[:steps]:
        model.apply(step)

    model.lost_all_unsynced(steps).write(tmp_path / "after")
    after = ChunkStore(tmp_path / "after")
    after.recover()

    assert after.get(chunk) == content
    after.close()


def test_a_start_on_a_full_disk_leaves_packs_unsealed_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = ChunkStore(tmp_path / "before")
    contents = ROUNDS[0]
    chunks = died.put_many(contents)
    died.flush()
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    died.close()
    [pack] = (tmp_path / "after" / "packs").iterdir()

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "os", FullDisk())
        store = ChunkStore(tmp_path / "after")
        store.recover()
        assert store.get_many(chunks) == dict(zip(chunks, contents, strict=True))
        assert list(store.verify(read_data=True)) == []
        store.close()
    assert not packs.read_content(pack.read_bytes(), pack.stem).sealed

    again = ChunkStore(tmp_path / "after")
    again.recover()
    assert again.get_many(chunks) == dict(zip(chunks, contents, strict=True))
    assert packs.read_content(pack.read_bytes(), pack.stem).sealed
    again.close()


class FullDisk:
    """The `os` module, of a disk with no space left."""

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fails_at_the_start_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChunkStore(tmp_path / "store")

    def failing(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(packs, "sync_directory", failing)
    with pytest.raises(Unavailable, match="look at the disk"):
        store.recover()
    store.close()


def test_a_store_whose_pack_is_gone_acknowledges_nothing(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    store.put(b"lost")
    [path] = (tmp_path / "store" / "packs").iterdir()
    path.unlink()

    with pytest.raises(Unavailable, match="is gone"):
        store.flush()
    with pytest.raises(Unavailable, match="is gone"):
        store.put(b"more")
    store.close()
