"""Garbage goes, and nothing else: whatever the order in which writers and the collector take steps.

The catalog is played by a dict of names. A writer holds the store, looks chunks up (or takes them
over from a name), flushes, and names what it made; names come and go. The collector's protocol is
that of docs/decisions/0011-garbage-collection.md.
"""

import errno
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trunkline.db.database import Transaction
from trunkline.errors import Corrupt, StorageFull
from trunkline.store import compact, packs
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.collect import Collection, Sifted
from trunkline.store.compact import Compacted
from trunkline.store.epochs import Hold
from trunkline.store.live import LiveSet

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


def nothing() -> None:
    """No pause."""


class Catalog:
    """Names of sets of chunks, and what was removed while somebody watched."""

    def __init__(self) -> None:
        self.named: dict[int, frozenset[ChunkId]] = {}
        self.removed: list[frozenset[ChunkId]] = []
        self.watched = False
        self._next = 0

    def name(self, chunks: frozenset[ChunkId]) -> None:
        self.named[self._next] = chunks
        self._next += 1

    def drop(self, name: int) -> None:
        gone = self.named.pop(name)
        if self.watched:
            self.removed.append(gone)

    @property
    def live(self) -> frozenset[ChunkId]:
        return frozenset().union(*self.named.values())


def collect(
    collection: Collection, catalog: Catalog, *, now: datetime = BEGIN, grace_s: float = 0
) -> tuple[Sifted, Compacted]:
    """One whole cycle, as the engine does it."""
    cycle = steps(collection, catalog, now=now, grace_s=grace_s)
    while True:
        try:
            next(cycle)
        except StopIteration as end:
            return end.value


def steps(
    collection: Collection, catalog: Catalog, *, now: datetime, grace_s: float
) -> Iterator[str]:
    """One cycle, with a pause wherever others may do something."""
    drained = collection.drained()
    yield "drained"
    watched, catalog.watched = catalog.watched, True
    yield "watching"
    marked = list(catalog.named.values()) + list(catalog.removed)
    until = len(catalog.removed)
    yield "marked"
    with collection.live_set() as live:
        for chunks in marked:
            live.add(bytes.fromhex(chunk) for chunk in chunks)
        sifted = collection.sift(
            live,
            drained=drained,
            watched=watched,
            grace_from=now - timedelta(seconds=grace_s),
            now=now,
            pace=nothing,
        )
        yield "sifted"
        del catalog.removed[:until]
        catalog.watched = collection.condemned_before()
        if not catalog.watched:
            catalog.removed.clear()
        yield "ended"
        compacted = collection.compact(live, thorough=False, pace=nothing)
    return sifted, compacted


CONTENTS = [f"content {number}".encode() * 40 for number in range(3)]


class Writer(NamedTuple):
    store: ChunkStore
    hold: Hold
    chunks: set[ChunkId]


class Interleavings(RuleBasedStateMachine):
    """Writers that take their time, and a collector that takes its steps between theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.catalog = Catalog()
        self.contents: dict[ChunkId, bytes] = {}
        self.writers: list[Writer] = []
        self.cycle: Iterator[str] | None = None
        self.hours = 0

    @initialize()
    def open_store(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.store = self.opened()
        self.collection = self.store.collection()

    def opened(self) -> ChunkStore:
        return ChunkStore(Path(self.directory.name))

    def teardown(self) -> None:
        self.cycle = None
        self.store.close()
        self.directory.cleanup()

    def stores(self) -> list[ChunkStore]:
        return [self.store]

    @rule(data=st.data())
    def a_writer_begins(self, data: st.DataObject, chunks: Iterable[ChunkId] = ()) -> None:
        store = data.draw(st.sampled_from(self.stores()))
        if len(self.writers) < 5:
            self.writers.append(Writer(store, store.epochs.begin(), set(chunks)))

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), content=st.sampled_from(CONTENTS))
    def a_writer_puts(self, data: st.DataObject, content: bytes) -> None:
        writer = data.draw(st.sampled_from(self.writers))
        chunk = writer.store.put(content)
        self.contents[chunk] = content
        writer.chunks.add(chunk)

    @precondition(lambda self: self.writers and self.catalog.named)
    @rule(data=st.data())
    def a_writer_takes_over_what_has_a_name(self, data: st.DataObject) -> None:
        _, _, chunks = data.draw(st.sampled_from(self.writers))
        chunks |= self.catalog.named[data.draw(st.sampled_from(sorted(self.catalog.named)))]

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), gives_up=st.booleans())
    def a_writer_ends(self, data: st.DataObject, gives_up: bool) -> None:
        number = data.draw(st.sampled_from(range(len(self.writers))))
        self.end(self.writers.pop(number), gives_up=gives_up)

    def end(self, writer: Writer, *, gives_up: bool) -> None:
        writer.store.flush()
        if not gives_up:
            self.catalog.name(frozenset(writer.chunks))
        writer.hold.end()

    @precondition(lambda self: self.catalog.named)
    @rule(data=st.data())
    def a_writer_begins_with_what_has_a_name_that_then_goes(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.catalog.named)))
        self.a_writer_begins(data, self.catalog.named[name])
        self.catalog.drop(name)

    @precondition(lambda self: self.catalog.named)
    @rule(data=st.data())
    def a_name_is_dropped(self, data: st.DataObject) -> None:
        self.catalog.drop(data.draw(st.sampled_from(sorted(self.catalog.named))))

    @rule(grace=st.sampled_from([0, 0, 3600]), count=st.sampled_from([1, 2, 3, 6, 12]))
    def the_collector_takes_steps(self, grace: int, count: int) -> None:
        for _ in range(count):
            if self.cycle is None:
                now = BEGIN + timedelta(hours=self.hours)
                self.cycle = steps(self.collection, self.catalog, now=now, grace_s=grace)
            if next(self.cycle, None) is None:
                self.cycle = None

    @rule(what=st.sampled_from(["time passes", "a pack is sealed", "everything begins again"]))
    def something_rare_happens(self, what: str) -> None:
        if what == "time passes":
            self.hours += 1
        elif what == "a pack is sealed":
            self.store.seal()
        else:
            self.begin_again()

    def begin_again(self) -> None:
        """What was at work is gone, the collector included."""
        for writer in self.writers:
            writer.hold.end()
        self.writers, self.cycle = [], None
        self.end_process()
        self.store = self.opened()
        self.store.recover()
        self.collection = self.store.collection()

    def end_process(self) -> None:
        self.store.close()

    @invariant()
    def everything_that_is_named_or_held_is_readable(self) -> None:
        for store in self.stores():
            held = (chunks for own, _, chunks in self.writers if own is store)
            needed = self.catalog.live.union(*held)
            store.let_go(cached=True)
            assert store.get_many(list(needed)) == {chunk: self.contents[chunk] for chunk in needed}

    @precondition(lambda self: not self.writers and self.cycle is None)
    @rule()
    def some_cycles_later_everything_dead_is_gone(self) -> None:
        """Two, and one more if a cycle broke off: it left names that count as removed just now."""
        for _ in range(3):
            collect(self.collection, self.catalog, now=BEGIN + timedelta(hours=self.hours))
        assert self.store.has_many(list(self.contents)) == self.catalog.live
        assert list(self.store.verify(read_data=True)) == []


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=settings().max_examples // 3,
    stateful_step_count=40,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture
def store(open_store) -> ChunkStore:
    return open_store()


def test_what_is_needed_stays_and_what_is_not_goes_in_the_second_cycle(store: ChunkStore) -> None:
    catalog = Catalog()
    kept, dead = store.put_many([b"kept" * 100, b"dead" * 100])
    catalog.name(frozenset([kept]))
    store.seal()

    first, _ = collect(store.collection(), catalog)
    assert (first.condemned.objects, first.given_up.objects) == (1, 0)
    assert store.get(dead) == b"dead" * 100
    second, compacted = collect(store.collection(), catalog)

    assert (second.given_up.objects, second.needed.objects) == (1, 1)
    assert compacted.packs_removed == 1
    store.let_go(cached=True)
    assert store.get(kept) == b"kept" * 100
    with pytest.raises(Corrupt):
        store.get(dead)


def test_a_writer_that_relies_on_a_condemned_chunk_keeps_it(store: ChunkStore) -> None:
    catalog = Catalog()
    [chunk] = store.put_many([b"old and unneeded"])
    store.flush()
    collect(store.collection(), catalog)

    with store.hold():
        assert store.put(b"old and unneeded") == chunk  # found in the index, not stored again
        store.flush()
        collect(store.collection(), catalog)
        catalog.name(frozenset([chunk]))
    for _ in range(3):
        collect(store.collection(), catalog)

    store.let_go(cached=True)
    assert store.get(chunk) == b"old and unneeded"


def test_a_long_upload_of_another_process_keeps_what_it_found(open_store) -> None:
    catalog = Catalog()
    server, client = open_store(), open_store(writer="client")
    [chunk] = server.put_many([b"found long ago"])
    server.flush()

    hold = client.epochs.begin()
    assert client.claim_many([chunk]) == {chunk}
    for _ in range(4):
        collect(server.collection(), catalog)
    assert server.has(chunk)
    hold.end()
    for _ in range(2):
        collect(server.collection(), catalog)

    assert not server.has(chunk)


def test_a_name_that_comes_and_goes_between_two_looks_keeps_what_it_passed_on(
    store: ChunkStore,
) -> None:
    catalog = Catalog()
    [chunk] = store.put_many([b"handed from one to the next"])
    store.flush()
    first = store.epochs.begin()
    assert store.claim_many([chunk]) == {chunk}
    collect(store.collection(), catalog)  # condemns it
    catalog.name(frozenset([chunk]))
    first.end()
    with store.hold():
        passed_on = catalog.named[0]
        catalog.drop(0)

        assert store.collection().drained()
        collect(store.collection(), catalog)
        catalog.name(passed_on)

    for _ in range(3):
        collect(store.collection(), catalog)
    store.let_go(cached=True)
    assert store.get(chunk) == b"handed from one to the next"


def test_what_was_condemned_in_an_epoch_outlives_all_who_began_in_it(store: ChunkStore) -> None:
    catalog = Catalog()
    [chunk] = store.put_many([b"found before it was condemned"])
    store.flush()
    catalog.name(frozenset([chunk]))
    early = store.epochs.begin()
    collect(store.collection(), catalog)  # ends the epoch of the first one
    late = store.epochs.begin()
    assert store.claim_many([chunk]) == {chunk}
    catalog.drop(0)
    collect(store.collection(), catalog)  # condemns it, and can't end the epoch of the second one
    early.end()

    sifted, _ = collect(store.collection(), catalog)

    assert sifted.given_up.objects == 0
    catalog.name(frozenset([chunk]))
    late.end()
    for _ in range(3):
        collect(store.collection(), catalog)
    store.let_go(cached=True)
    assert store.get(chunk) == b"found before it was condemned"


def test_what_is_wanted_again_while_it_is_being_given_up_stays(
    store: ChunkStore, tmp_path: Path
) -> None:
    [chunk] = store.put_many([b"wanted in the last moment"])
    store.flush()
    collect(store.collection(), Catalog())
    wanted: list[ChunkId] = []

    class Asked(LiveSet):
        def among(self, digests: Sequence[bytes]) -> set[bytes]:
            found = super().among(digests)
            with store.hold():
                wanted.append(store.put(b"wanted in the last moment"))
            return found

    live = Asked(tmp_path / "live.db")
    sifted = store.collection().sift(
        live, drained=True, watched=True, grace_from=BEGIN, now=BEGIN, pace=nothing
    )
    live.close()

    assert (wanted, sifted.given_up.objects) == ([chunk], 0)
    store.let_go(cached=True)
    assert store.get(chunk) == b"wanted in the last moment"


def test_what_is_given_up_while_it_is_wanted_again_is_stored_anew(
    open_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look into the index and the taking away of the mark."""
    catalog = Catalog()
    store, other = open_store(), open_store(writer="other")
    [chunk] = store.put_many([b"given up in the last moment"])
    store.seal()
    collect(other.collection(), catalog)
    index, write = store._index, store._index.write
    getattr(store.epochs, "_move_on", nothing)()  # one of several servers does so a moment later

    def late() -> AbstractContextManager[Transaction]:
        monkeypatch.setattr(index, "write", write)
        sifted, _ = collect(other.collection(), catalog)
        assert sifted.given_up.objects == 1
        return write()

    with store.hold():
        monkeypatch.setattr(index, "write", late)
        assert store.put(b"given up in the last moment") == chunk
        store.flush()
        catalog.name(frozenset([chunk]))

    store.let_go(cached=True)
    assert store.get(chunk) == b"given up in the last moment"


def test_nothing_goes_after_a_time_in_which_nobody_wrote_down_what_left(store: ChunkStore) -> None:
    catalog = Catalog()
    store.put_many([b"condemned"])
    store.flush()
    collect(store.collection(), catalog)
    catalog.watched = False

    given_up = [collect(store.collection(), catalog)[0].given_up.objects for _ in range(2)]

    assert given_up == [0, 1]


def test_nothing_is_removed_before_its_grace_is_over(store: ChunkStore) -> None:
    catalog = Catalog()
    store.put_many([b"young garbage"])
    store.flush()
    hour = timedelta(hours=1)

    for minutes in (0, 10, 59):
        now = BEGIN + timedelta(minutes=minutes)
        sifted, _ = collect(store.collection(), catalog, now=now, grace_s=3600)
        assert sifted.given_up.objects == 0
    sifted, _ = collect(store.collection(), catalog, now=BEGIN + hour, grace_s=3600)

    assert sifted.given_up.objects == 1


def test_small_packs_are_merged(open_store) -> None:
    catalog = Catalog()
    contents = {}
    for number in range(compact.SMALL_PACKS):
        one = open_store()
        content = f"pack {number}".encode()
        contents[one.put(content)] = content
        one.close()
    catalog.name(frozenset(contents))
    reader = open_store()
    assert reader.get_many(list(contents)) == contents

    _, compacted = collect(open_store().collection(), catalog)

    assert (compacted.packs_removed, compacted.packs_written) == (compact.SMALL_PACKS, 1)
    assert reader.get_many(list(contents)) == contents
    again = open_store()
    again.recover()
    assert again.get_many(list(contents)) == contents
    assert list(again.verify(read_data=True)) == []


def test_a_reader_that_knows_the_old_place_finds_the_new_one(open_store) -> None:
    catalog = Catalog()
    store, reader = open_store(), open_store()
    kept, _ = store.put_many([b"kept" * 10, b"dead" * 1000])
    store.seal()
    catalog.name(frozenset([kept]))
    place = reader.find([bytes.fromhex(kept)])[bytes.fromhex(kept)]
    for _ in range(2):
        collect(store.collection(), catalog)

    assert reader._read_anywhere(place) == b"kept" * 10


def test_a_chunk_that_the_index_has_lost_is_no_garbage(store: ChunkStore) -> None:
    catalog = Catalog()
    kept, lost = store.put_many([b"kept" * 10, b"lost by the index"])
    store.seal()
    catalog.name(frozenset([kept, lost]))
    with store._index.write() as tx:
        tx.execute("DELETE FROM chunk WHERE digest = :d", d=bytes.fromhex(lost))
        tx.execute("DELETE FROM chunk WHERE digest = :d", d=bytes.fromhex(kept))

    collect(store.collection(), catalog)

    assert store.get(lost) == b"lost by the index"
    assert store.get(kept) == b"kept" * 10


def test_a_damaged_pack_is_left_alone(store: ChunkStore, pack_files) -> None:
    catalog = Catalog()
    kept, _ = store.put_many([b"kept" * 10, b"x" * 100_000])
    store.seal()
    catalog.name(frozenset([kept]))
    [path] = pack_files()
    data = bytearray(path.read_bytes())
    data[packs.HEADER_BYTES + packs.RECORD_BYTES] ^= 1
    path.write_bytes(data)

    for _ in range(2):
        _, compacted = collect(store.collection(), catalog)

    assert len(compacted.skipped) == 1
    assert kept in compacted.skipped[0]
    assert path.read_bytes() == data


def test_a_pack_that_could_not_be_indexed_is_its_writers_until_it_is(
    open_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, worker = open_store(), open_store(writer="worker")
    monkeypatch.setattr(packs, "PACK_BYTES", 50_000)
    contents = [bytes([n]) * 10 + random.Random(n).randbytes(9000) for n in range(20)]

    @contextmanager
    def full() -> Iterator[Transaction]:
        raise StorageFull("the disk")
        yield

    with worker.hold(), monkeypatch.context() as patch:
        patch.setattr(worker._index, "write", full)
        with pytest.raises(StorageFull):
            put_durably(worker, contents)
    for _ in range(3):
        server.seal(abandoned=True)
        collect(server.collection(), Catalog())

    with worker.hold():
        chunks = put_durably(worker, contents)
    assert server.get_many(chunks) == dict(zip(chunks, contents, strict=True))


def put_durably(store: ChunkStore, contents: list[bytes]) -> list[ChunkId]:
    chunks = store.put_many(contents)
    store.flush()
    return chunks


def test_grace_that_began_with_a_clock_that_was_ahead_begins_anew(store: ChunkStore) -> None:
    catalog, hour = Catalog(), timedelta(hours=1)
    store.put(b"dead")
    store.flush()
    collect(store.collection(), catalog, now=BEGIN + timedelta(days=365), grace_s=3600)

    given_up = [
        collect(store.collection(), catalog, now=BEGIN + n * hour, grace_s=3600)[0].given_up.objects
        for n in range(3)
    ]

    assert given_up == [0, 1, 0]


class SmallDisk:
    """The `os` module as packs see it, of a disk that takes so many bytes of packs."""

    def __init__(self, directory: Path, *, free: int) -> None:
        self._directory = directory
        self._most = self._used() + free

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def _used(self) -> int:
        return sum(path.stat().st_size for path in self._directory.iterdir())

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        if self._used() + len(data) > self._most:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwrite(fd, data, offset)


@pytest.mark.parametrize("dead_packs", [0, 3])
def test_a_collection_on_a_full_disk_frees_what_it_can(
    store: ChunkStore, pack_files, monkeypatch: pytest.MonkeyPatch, dead_packs: int
) -> None:
    catalog = Catalog()
    kept = {}
    for n in range(4):
        content = random.Random(n).randbytes(3000)
        chunk, _ = store.put_many([content, random.Random(n + 100).randbytes(9000)])
        kept[chunk] = content
        store.seal()
    for n in range(dead_packs):
        store.put(random.Random(n + 200).randbytes(9000))
        store.seal()
    catalog.name(frozenset(kept))
    collect(store.collection(), catalog)
    before = set(pack_files())
    monkeypatch.setattr(packs, "os", SmallDisk(before.pop().parent, free=1000))

    _, compacted = collect(store.collection(), catalog)

    assert store.get_many(list(kept)) == kept
    assert list(store.verify(read_data=True)) == []
    if dead_packs:
        assert compacted.packs_removed == 4 + dead_packs
        assert compacted.skipped == ()
    else:
        assert compacted.packs_removed == 0
        assert "no space to rewrite packs" in compacted.skipped[0]
        collection = store.collection()
        with collection.exclusive(), collection.live_set() as live:
            live.add([bytes.fromhex(chunk) for chunk in kept])
            with pytest.raises(StorageFull):
                collection.compact(live, thorough=True, pace=nothing)
