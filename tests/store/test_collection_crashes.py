"""The process dies, the power goes or the disk fails at every step of a collection."""

import errno
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trunkline.errors import TrunklineError
from trunkline.store import packs
from trunkline.store.chunks import ChunkId, ChunkStore

Install = Callable[..., Any]
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def cycle(store: ChunkStore, needed: set[ChunkId], *, thorough: bool = False) -> None:
    collection = store.collection()
    drained = collection.drained()
    with collection.exclusive(), collection.live_set() as live:
        live.add(bytes.fromhex(chunk) for chunk in needed)
        collection.sift(
            live, drained=drained, watched=True, grace_from=NOW, now=NOW, pace=lambda: None
        )
        collection.compact(live, thorough=thorough, pace=lambda: None)


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[ChunkId, bytes]]:
    """A store of many packs, half of it garbage that is condemned; and what is needed."""
    monkeypatch.setattr(packs, "PACK_BYTES", 8 * 1024)
    monkeypatch.setattr(packs, "_DRAIN_BYTES", 2 * 1024)
    store = ChunkStore(tmp_path / "left")
    contents = {}
    for number in range(60):
        content = bytes((number * 7 + at * at) % 251 for at in range(900 + number))
        contents[store.put(content)] = content
    store.seal()
    needed = {chunk: contents[chunk] for chunk in list(contents)[::3]}
    cycle(store, set(needed))
    store.close()
    return tmp_path / "left", needed


@pytest.mark.parametrize("how", ["die", "tear", errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("after", ["process", "power", "garbage", "no index", "old index"])
def test_whatever_step_fails_all_that_is_needed_is_there(
    tmp_path: Path,
    left: tuple[Path, dict[ChunkId, bytes]],
    faulty_disk: Install,
    sound_disk: Callable[[], None],
    died: type[BaseException],
    how: str | int,
    after: str,
) -> None:
    source, needed = left
    fail_at, failing = 1, True
    while failing:
        directory = tmp_path / f"store-{fail_at}"
        shutil.copytree(source, directory)
        disk = faulty_disk(fail_at=fail_at, how=how)
        store = ChunkStore(directory)
        with suppress(died, TrunklineError):
            cycle(store, set(needed), thorough=True)
        failing = disk.failed
        disk.end_process(store)
        store.epochs.close()
        if after in ("power", "garbage"):
            disk.cut_power(garbage=after == "garbage")
        sound_disk()
        if after in ("no index", "old index"):
            for path in directory.glob("index.db*"):
                path.unlink()
        if after == "old index":  # a power cut took all that was not synced of it
            for path in source.glob("index.db*"):
                shutil.copy(path, directory)

        again = ChunkStore(directory)
        again.recover()
        assert again.get_many(list(needed)) == needed, f"step {fail_at}"
        assert list(again.verify(read_data=True)) == [], f"step {fail_at}"
        for _ in range(2):
            cycle(again, set(needed), thorough=True)
        assert again.get_many(list(needed)) == needed
        assert list(again.verify(read_data=True)) == [], f"step {fail_at}"
        assert again.stats.chunks == len(needed), "dead records are left"
        again.close()
        shutil.rmtree(directory)
        fail_at += 1
    assert fail_at > 10
