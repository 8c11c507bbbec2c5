"""What is put can be read back, by this process and by others, and is stored once."""

import gc
import os
import random
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from trunkline.errors import Corrupt
from trunkline.store import cache, packs
from trunkline.store import chunks as chunks_module
from trunkline.store.chunks import ChunkId, ChunkStore

OpenStore = Callable[..., ChunkStore]
PackFiles = Callable[[], list[Path]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a",
        bytes(1000),
        os.urandom(1000),
        b"line\n" * 100_000,
        os.urandom(700_000),
        os.urandom(300_000) + bytes(400_000),
    ],
    ids=["empty", "byte", "zeros", "noise", "text", "large noise", "large mixture"],
)
def test_a_chunk_is_read_as_it_was_put(open_store: OpenStore, content: bytes) -> None:
    store = open_store()

    chunk = store.put(content)

    assert chunk == blake3(content).hexdigest()
    assert store.get(chunk) == content
    store.flush()
    assert store.get(chunk) == content
    assert open_store().get(chunk) == content


def test_many_chunks_keep_their_order(open_store: OpenStore) -> None:
    store = open_store()
    pieces = [str(n % 700).encode() for n in range(2000)]

    ids = store.put_many(pieces)

    found = store.get_many(ids)
    assert [found[chunk] for chunk in ids] == pieces


def test_text_is_stored_compressed_and_noise_as_it_is(open_store: OpenStore) -> None:
    store = open_store()
    store.put(b"the same words again\n" * 5000)
    store.flush()
    text_bytes = store.stored_bytes()
    store.put(os.urandom(100_000))
    store.flush()

    assert text_bytes < 2000
    assert 100_000 < store.stored_bytes() - text_bytes < 100_300


def test_equal_chunks_are_stored_once(open_store: OpenStore) -> None:
    store = open_store()
    content = os.urandom(10_000)
    store.put_many([content, content])
    store.flush()
    once = store.stored_bytes()

    store.put(content)
    store.flush()
    other = open_store()
    other.put(content)
    other.flush()

    assert store.stored_bytes() == once


def test_what_is_not_flushed_is_invisible_to_others(open_store: OpenStore) -> None:
    writer, reader = open_store(), open_store()
    chunk = writer.put(b"not yet")

    with pytest.raises(Corrupt, match="none"):
        reader.get(chunk)
    assert not reader.has(chunk)

    writer.flush()
    assert reader.get(chunk) == b"not yet"
    assert reader.has(chunk)


def test_a_missing_chunk_is_named(open_store: OpenStore) -> None:
    store = open_store()
    missing = ChunkId("ab" * 32)

    with pytest.raises(Corrupt, match=missing):
        store.get(missing)
    assert store.has_many([missing, store.put(b"here")]) == {store.put(b"here")}


def test_a_pack_is_sealed_when_it_is_large_enough(
    open_store: OpenStore, pack_files: PackFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 10_000)
    store = open_store()
    contents = [os.urandom(3000) for _ in range(20)]

    ids = store.put_many(contents)

    assert len(pack_files()) == 5
    found = store.get_many(ids)
    assert [found[chunk] for chunk in ids] == contents


def test_a_pack_of_tiny_chunks_is_sealed_when_it_has_many(
    open_store: OpenStore, pack_files: PackFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_RECORDS", 10)
    store = open_store()

    ids = store.put_many([b"%d" % n for n in range(45)])
    store.close()

    read = [packs.read_content(path.read_bytes(), path.stem) for path in pack_files()]
    assert sorted(len(content.places) for content in read) == [5, 10, 10, 10, 10]
    assert all(content.sealed for content in read)
    assert {place.digest.hex() for content in read for place in content.places} == set(ids)


def test_a_large_number_of_waiting_chunks_is_flushed(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks_module, "_PENDING_MAX", 10)
    store, other = open_store(), open_store()

    ids = store.put_many([str(n).encode() for n in range(25)])
    store._flusher.shutdown()  # waits for the flushes that run beside the puts

    assert len(other.has_many(ids)) == 20


def test_a_store_that_wrote_nothing_leaves_no_pack(
    open_store: OpenStore, pack_files: PackFiles
) -> None:
    store = open_store()
    store.flush()

    store.close()

    assert pack_files() == []


def test_the_index_is_made_anew_from_the_packs(open_store: OpenStore, tmp_path: Path) -> None:
    closed, died = open_store(), open_store()
    contents = {closed.put(b"sealed"): b"sealed", died.put(b"active"): b"active"}
    closed.close()
    died.flush()
    for path in (tmp_path / "store").glob("index.db*"):
        path.unlink()

    store = open_store()

    assert store.get_many(list(contents)) == contents
    assert list(store.verify(read_data=True)) == []


def test_recovery_leaves_living_writers_alone(open_store: OpenStore) -> None:
    writer, server = open_store(), open_store()
    first = writer.put(b"first")
    writer.flush()

    server.recover()

    second = writer.put(b"second")
    writer.flush()
    assert server.get_many([first, second]) == {first: b"first", second: b"second"}
    assert list(server.verify(read_data=True)) == []


def test_the_cache_keeps_within_its_bytes(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CACHE_BYTES", 1000)
    store = open_store()
    contents = [os.urandom(300) for _ in range(10)]
    ids = store.put_many(contents)

    for _ in range(3):
        found = store.get_many(ids)

        assert [found[chunk] for chunk in ids] == contents
    assert store._cache.size_bytes <= 1000


def test_the_cache_keeps_within_its_bytes_whatever_the_size_of_its_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CACHE_BYTES", 400_000)
    store = ChunkStore(tmp_path / "store")
    ids = store.put_many([b"%d\n" % number for number in range(5_000)])
    store.flush()
    gc.collect()
    tracemalloc.start()
    try:
        for chunk in ids:
            store.get(ChunkId(str(chunk)[:32] + str(chunk)[32:]))  # as if it had been read
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held <= 500_000
    store.close()


def test_what_is_likely_to_be_read_soon_is_not_read_from_the_disk(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    kept, other = store.put(b"kept"), store.put(b"other")
    store.remember(kept, b"kept")
    store.flush()
    read: list[bytes] = []
    really = store._read_anywhere
    monkeypatch.setattr(
        store, "_read_anywhere", lambda place: read.append(place.digest) or really(place)
    )

    found = store.get_many([kept, other])

    assert found == {kept: b"kept", other: b"other"}
    assert [digest.hex() for digest in read] == [other]


def test_a_closed_store_takes_nothing_more(open_store: OpenStore) -> None:
    store = open_store()
    store.close()

    with pytest.raises(Exception, match="closed"):
        store.put(b"late")


def test_threads_put_read_and_flush_at_once(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 50_000)
    monkeypatch.setattr(packs, "_DRAIN_BYTES", 5_000)
    store, other = open_store(), open_store()
    problems: list[str] = []

    def work(seed: int) -> None:
        numbers = random.Random(seed)
        for _ in range(30):
            # Some contents are common to all threads, so that they meet.
            pieces = [str(numbers.randrange(200)).encode() * 50, numbers.randbytes(500)]
            ids = store.put_many(pieces)
            if [store.get(chunk) for chunk in ids] != pieces:
                problems.append("read before the flush")
            store.flush()
            if [other.get(chunk) for chunk in ids] != pieces:
                problems.append("read elsewhere after the flush")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    assert list(store.verify(read_data=True)) == []


_WORKER = """
import os, sys
from pathlib import Path
from trunkline.store.chunks import ChunkStore
store = ChunkStore(Path(sys.argv[1]), writer="worker")
for n in range(40):
    ids = store.put_many([f"common {n}".encode() * 20, f"own {sys.argv[2]} {n}".encode() * 20])
    store.flush()
    print(*ids, flush=True)
if sys.argv[3] == "die":
    store.put(b"never flushed")
    os._exit(9)
store.close()
"""


def test_processes_share_a_store_whether_they_end_well_or_not(
    open_store: OpenStore, tmp_path: Path
) -> None:
    server = open_store()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(tmp_path / "store"), str(n), ending],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n, ending in enumerate(["close", "die", "die"])
    ]

    said = [worker.communicate(timeout=60)[0] for worker in workers]
    server.recover()

    assert [worker.returncode for worker in workers] == [0, 9, 9]
    ids = [ChunkId(word) for text in said for word in text.split()]
    assert len(ids) == 3 * 80
    assert len(server.get_many(ids)) == len(set(ids)) == 40 + 3 * 40
    assert list(server.verify(read_data=True)) == []
