"""Packs in a bucket: only what is there counts, whatever the network and this machine do."""

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bucket_world import Bucket
from fault_proxy import Plan, Request
from s3_objects import new_bucket, vanish

from trunkline.errors import Corrupt, StorageFull, Unavailable
from trunkline.store import blocks, packs
from trunkline.store.chunks import ChunkId, ChunkStore

CHUNKS = [bytes([n]) * (n * 300 + 1) for n in range(40)]
LARGE = [os.urandom(1_500_000) for _ in range(4)]


def once(fault: str, which: Callable[[Request], bool]) -> Plan:
    """The fault for the first such request."""
    left = [fault]

    def plan(request: Request) -> str | None:
        return left.pop() if left and which(request) else None

    return plan


def is_upload(request: Request) -> bool:
    return request.is_pack and request.method in ("PUT", "POST")


def is_read(request: Request) -> bool:
    return request.is_pack and request.method == "GET"


def everything_in(store: ChunkStore, ids: list[ChunkId], contents: list[bytes]) -> bool:
    store.let_go(cached=True)
    found = store.get_many(ids)
    return [found[chunk] for chunk in ids] == contents


# --- what is durable ------------------------------------------------------------------------------


def test_what_was_flushed_is_there_when_only_the_bucket_is_left(bucket: Bucket) -> None:
    store = bucket.open()
    ids = store.put_many(CHUNKS + LARGE)
    store.flush()
    store.put(b"never flushed")
    bucket.lose_this_machine(store)

    again = bucket.open()

    assert everything_in(again, ids, CHUNKS + LARGE)
    assert list(again.verify(read_data=True)) == []
    assert not again.has_many([store_id(b"never flushed")])
    again.close()


def store_id(content: bytes) -> ChunkId:
    from blake3 import blake3

    return ChunkId(blake3(content).hexdigest())


def test_a_commit_is_one_request_and_what_it_wrote_is_read_from_here(bucket: Bucket) -> None:
    store = bucket.open()
    bucket.requests()
    ids = store.put_many(CHUNKS)
    store.flush()

    assert [(r.method, r.is_pack) for r in bucket.requests()] == [("PUT", True)]
    assert everything_in(store, ids, CHUNKS)
    assert bucket.requests() == []
    store.close()


def test_flushes_at_once_share_an_object(bucket: Bucket) -> None:
    store = bucket.open()
    begun = threading.Barrier(16)

    def write(number: int) -> None:
        begun.wait()
        store.put(b"%d" % number)
        store.flush()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(bucket.packs()) < 16
    vanish(store)
    again = bucket.open()
    assert len(again.has_many([store_id(b"%d" % n) for n in range(16)])) == 16
    again.close()


def test_large_packs_go_in_parts(bucket: Bucket) -> None:
    store = bucket.open()
    contents = [os.urandom(3_000_000) for _ in range(6)]
    ids = store.put_many(contents)
    store.flush()

    assert any("uploadId=" in request.path for request in bucket.requests())
    assert len(bucket.packs()) == 1
    bucket.lose_this_machine(store)
    again = bucket.open()
    assert everything_in(again, ids, contents)
    again.close()


def test_what_a_dead_writer_left_on_this_machine_goes(bucket: Bucket) -> None:
    store = bucket.open()
    store.put(b"x" * 2_000_000)
    store._pack.drain()  # type: ignore[union-attr]
    vanish(store)
    assert list((bucket.directory / "writing").iterdir())

    again = bucket.open()

    assert list((bucket.directory / "writing").iterdir()) == []
    assert bucket.packs() == []
    again.close()


# --- a network that fails -------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error", "slow down", "reset", "lost"])
@pytest.mark.parametrize("contents", [CHUNKS, [os.urandom(3_000_000) for _ in range(6)]])
def test_an_upload_that_fails_for_a_moment_is_made_once(
    bucket: Bucket, fault: str, contents: list[bytes]
) -> None:
    store = bucket.open()
    bucket.fail(once(fault, is_upload))
    ids = store.put_many(contents)
    store.flush()

    assert len(bucket.packs()) == 1
    bucket.lose_this_machine(store)
    again = bucket.open()
    assert everything_in(again, ids, contents)
    again.close()


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        ("error", Unavailable, "a/prefix can't be written to now .it answers 500 Internal Server"),
        ("slow down", Unavailable, "can't be written to now .it answers 503 .*, SlowDown"),
        ("reset", Unavailable, "the object store s3://.*/a/prefix can't be written to now"),
        ("refused", Unavailable, "can't be written to with the credentials in the environment"),
        ("full", StorageFull, "no space is left"),
    ],
)
def test_nothing_counts_as_durable_until_the_bucket_can_be_written_to_again(
    bucket: Bucket, fault: str, error: type[Exception], sentence: str
) -> None:
    store = bucket.open()
    bucket.fail(lambda request: fault if is_upload(request) else None)
    ids = store.put_many(CHUNKS[:20])
    for _ in range(2):
        with pytest.raises(error, match=sentence) as caught:
            store.flush()
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert store.durable == 0
    assert ChunkStore(bucket.directory, rebuild=False).has_many(ids) == set()

    bucket.heal()
    ids += store.put_many(CHUNKS[20:])
    store.flush()

    bucket.lose_this_machine(store)
    again = bucket.open()
    assert everything_in(again, ids, CHUNKS)
    again.close()


def test_who_goes_on_putting_while_nothing_can_be_written_is_stopped(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 100_000)
    store = bucket.open()
    bucket.fail(lambda request: "refused" if is_upload(request) else None)

    def put_on() -> None:
        for _ in range(100):
            store.put(os.urandom(30_000))

    with pytest.raises(Unavailable):
        put_on()
    written = sum(path.stat().st_size for path in (bucket.directory / "writing").iterdir())

    assert written < 1_000_000
    vanish(store)


@pytest.mark.parametrize("fault", ["error", "slow down", "reset", "lost", "short", "cut", "flip"])
@pytest.mark.parametrize("ways", ["one by one", "many"])
def test_a_read_that_fails_for_a_moment_gives_the_bytes(
    bucket: Bucket, fault: str, ways: str
) -> None:
    store = bucket.open()
    ids = store.put_many(CHUNKS + LARGE)
    store.flush()
    bucket.lose_this_machine(store)
    again = bucket.open()
    bucket.fail(once(fault, is_read))

    if ways == "many":
        raws = [bytes.fromhex(chunk) for chunk in ids]
        found = again.read_many(raws)
        assert [found[digest] for digest in raws] == CHUNKS + LARGE
    else:
        assert [again.get(chunk) for chunk in ids] == CHUNKS + LARGE
    again.close()


@pytest.mark.parametrize(
    ("fault", "error"), [("flip", Corrupt), ("cut", Unavailable), ("error", Unavailable)]
)
def test_wrong_bytes_are_never_served(bucket: Bucket, fault: str, error: type[Exception]) -> None:
    content = os.urandom(900_000)
    store = bucket.open()
    chunk = store.put(content)
    store.flush()
    bucket.lose_this_machine(store)
    again = bucket.open()
    bucket.fail(lambda request: fault if is_read(request) else None)

    with pytest.raises(error):
        again.get(chunk)
    bucket.heal()

    assert again.get(chunk) == content
    again.close()


def test_a_list_that_is_old_takes_nothing_away(bucket: Bucket) -> None:
    store = bucket.open()
    ids = store.put_many(CHUNKS)
    store.flush()
    vanish(store)
    bucket.fail(lambda request: "stale" if request.is_list else None)

    again = bucket.open()

    assert everything_in(again, ids, CHUNKS)
    again.close()


# --- the cache ------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_damaged_on_this_disk_is_fetched_again(bucket: Bucket, whole: bool) -> None:
    store = bucket.open()
    ids = store.put_many(CHUNKS + LARGE)
    store.flush()
    if not whole:
        bucket.lose_this_machine(store)
        store = bucket.open()
        assert everything_in(store, ids, CHUNKS + LARGE)
    kept = [path for path in (bucket.directory / "cache").iterdir() if path.name != ".trim"]
    assert [path.name.endswith(".pack") for path in kept] == [whole] * len(kept)
    for number, path in enumerate(kept):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if number % 2 else bytes(len(data)))

    assert everything_in(store, ids, CHUNKS + LARGE)
    store.close()


def test_the_cache_keeps_within_its_bound(bucket: Bucket) -> None:
    bucket.cache_bytes = 4 * blocks.BLOCK_BYTES
    store = bucket.open()
    ids = []
    for content in LARGE * 2:
        ids.append(store.put(content))
        store.flush()
    assert everything_in(store, ids, LARGE * 2)

    kept = sum(path.stat().st_size for path in (bucket.directory / "cache").iterdir())
    assert kept <= 6 * blocks.BLOCK_BYTES
    store.close()


def test_the_cache_gives_way_where_the_disk_is_full(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bucket.open()
    for content in LARGE:
        store.put(content)
        store.flush()
    before = {path.name for path in (bucket.directory / "cache").glob("*.pack")}

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(packs.PackWriter, "_write_through", full)
        with pytest.raises(StorageFull):
            store.put(os.urandom(1_000_000))

    left = {path.name for path in (bucket.directory / "cache").glob("*.pack")}
    assert left < before
    assert len(left) >= 1
    store.close()


def test_many_small_chunks_come_with_few_requests(bucket: Bucket) -> None:
    store = bucket.open()
    contents = [os.urandom(1000) for _ in range(3000)]
    ids = store.put_many(contents)
    store.flush()
    bucket.lose_this_machine(store)
    again = bucket.open()
    bucket.requests()

    raws = [bytes.fromhex(chunk) for chunk in ids]
    assert sorted(again.read_many(raws).values()) == sorted(contents)
    assert len(bucket.requests()) <= 4
    assert everything_in(again, ids, contents)
    assert bucket.requests() == []
    again.close()


# --- garbage and damage ---------------------------------------------------------------------------


def collect(store: ChunkStore, needed: list[ChunkId], *, thorough: bool = False) -> None:
    """Two cycles without grace."""
    collection = store.collection()
    for _ in range(2):
        now = datetime.now(UTC)
        with collection.exclusive(), collection.live_set() as live:
            live.add(bytes.fromhex(chunk) for chunk in needed)
            drained = collection.drained()
            collection.sift(
                live, drained=drained, watched=True, grace_from=now, now=now, pace=lambda: None
            )
            collection.compact(live, thorough=thorough, pace=lambda: None)
            collection.scrub()


def test_small_packs_become_one_and_garbage_goes(bucket: Bucket) -> None:
    store = bucket.open()
    ids = []
    for content in CHUNKS:
        ids.append(store.put(content))
        store.flush()
    store.put(b"garbage" * 1000)
    store.flush()
    assert len(bucket.packs()) == len(CHUNKS) + 1

    collect(store, ids, thorough=True)

    assert len(bucket.packs()) == 1
    assert everything_in(store, ids, CHUNKS)
    assert list(store.verify(read_data=True)) == []
    bucket.lose_this_machine(store)
    again = bucket.open()
    assert everything_in(again, ids, CHUNKS)
    assert not again.has(store_id(b"garbage" * 1000))
    again.close()


def test_an_upload_that_nobody_was_told_of_is_garbage(bucket: Bucket) -> None:
    store = bucket.open()
    store.put(b"x" * 1000)
    store.depot.done = store.depot.recover = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        store.flush()
    vanish(store)
    assert len(bucket.packs()) == 1

    again = bucket.open()
    assert again.has(store_id(b"x" * 1000))
    collect(again, [])

    assert bucket.packs() == []
    again.close()


def test_damage_in_the_bucket_is_found_and_set_aside(bucket: Bucket) -> None:
    store = bucket.open()
    good, bad = store.put_many([os.urandom(5000), os.urandom(5000)])
    store.flush()
    [key] = bucket.packs()
    data = bytearray(bucket.objects.get(key))
    data[data.find(bytes.fromhex(bad)) + 100] ^= 1
    bucket.objects.put(key, bytes(data))

    problems = dict(store.verify(read_data=True))
    assert list(problems) == [bad]
    collection = store.collection()
    with collection.exclusive(), collection.live_set() as live:
        live.add([bytes.fromhex(good), bytes.fromhex(bad)])
        collection.repair(live, damaged=[bad], damaged_packs=store.damaged_packs)

    assert [k.rpartition("/")[2] for k in bucket.objects.names("a/prefix/damaged")] == [
        key.rpartition("/")[2] + ".damaged"
    ]
    store.let_go(cached=True)
    assert len(store.get(good)) == 5000
    assert not store.has(bad)
    assert list(store.verify(read_data=True)) == []
    store.close()


# --- every step may be the last -------------------------------------------------------------------


def session(store: ChunkStore, told: dict[ChunkId, bytes]) -> None:
    """Commits, and a collection that merges them; what was acknowledged is in `told`."""
    for number in range(9):
        content = b"commit %d" % number * 50
        chunk = store.put(content)
        store.flush()
        told[chunk] = content
    store.put(b"garbage")
    store.flush()
    collect(store, list(told))
    content = os.urandom(2000)
    chunk = store.put(content)
    store.seal()
    told[chunk] = content


@pytest.mark.parametrize("fault", ["reset", "lost"])
def test_a_machine_that_is_lost_at_any_request_loses_nothing_that_was_told(
    bucket: Bucket, fault: str, tally: Callable[[str, int], None], tmp_path: Path
) -> None:
    store = bucket.open()
    bucket.requests()
    session(store, {})
    count = len(bucket.requests())
    store.close()
    for last in range(0, count, 3 if fault == "lost" else 4):
        bucket.objects = new_bucket()
        bucket.directory = tmp_path / f"{last}"
        told: dict[ChunkId, bytes] = {}
        store = bucket.open()
        bucket.requests()
        bucket.fail(lambda request, last=last: _gone(request, last, fault))
        with suppress(Unavailable):  # the last requests may be such that fail quietly
            session(store, told)
        bucket.lose_this_machine(store)
        bucket.heal()
        again = bucket.open()
        assert everything_in(again, list(told), list(told.values()))
        assert list(again.verify(read_data=True)) == []
        again.close()
        tally("machines lost at a request", 1)


def _gone(request: Request, last: int, fault: str) -> str | None:
    if request.number < last:
        return None
    return fault if request.number == last else "reset"
