"""Servers with directories of their own share a store; any may count as gone at any moment."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import initialize, precondition, rule
from postgres_schemas import empty_schema, needs_postgres
from s3_objects import Objects, needs_s3, new_bucket, variables
from shared_stores import join

from trunkline.db.opening import open_database
from trunkline.errors import Unavailable
from trunkline.store import claims, server_tables, servers
from trunkline.store.chunks import ChunkStore
from trunkline.store.servers import Servers

from .test_collection import BEGIN, Catalog, Interleavings, Writer, collect, steps

pytestmark = [needs_postgres, needs_s3]


def open_there(url: str, bucket: Objects, directory: Path, *, beat_s: float = 1000) -> ChunkStore:
    place = claims.place_at(bucket.url, plain_http=True, cache_bytes=1 << 20)
    claims.settle(directory, place, installation=lambda: "i" * 32, fresh=True, shared="s" * 32)
    return ChunkStore(directory, writer=directory.name, joined=join(url, beat_s=beat_s))


def servers_of(store: ChunkStore) -> Servers:
    assert isinstance(store.epochs, Servers)
    return store.epochs


class SeveralServers(Interleavings):
    """Two servers write, one of them collects. Names are given as in the catalog: by a transaction
    that the server's row is kept for. Who counts as gone goes on for a while, unaware of it.
    """

    @initialize()
    def open_store(self) -> None:
        self.open = ExitStack()
        self.directory = self.open.enter_context(tempfile.TemporaryDirectory())
        self.url = self.open.enter_context(empty_schema())
        self.bucket = new_bucket()
        self.open.enter_context(variables(self.bucket.environment()))
        self.open.callback(setattr, servers, "_NOTICE_S", servers._NOTICE_S)
        servers._NOTICE_S = 0.0  # the order of steps is ours
        self.count = 0
        self.gone: list[ChunkStore] = []
        self.broken_off: list[Iterator[str]] = []
        self.store, self.other = self.opened(), self.opened()
        self.collection = self.store.collection()

    def opened(self) -> ChunkStore:
        self.count += 1
        return open_there(self.url, self.bucket, Path(str(self.directory)) / str(self.count))

    def stores(self) -> list[ChunkStore]:
        return [self.store, self.other]

    def teardown(self) -> None:
        if hasattr(self, "open"):
            self.broken_off, self.cycle = [], None
            for store in [self.store, self.other, *self.gone]:
                with suppress(Unavailable):
                    store.close()
            self.open.close()

    def end(self, writer: Writer, *, gives_up: bool) -> None:
        try:
            writer.store.flush()
            if not gives_up:
                catalog = open_database(self.url)
                try:
                    servers_of(writer.store).guard(catalog)
                    with catalog.write():
                        self.catalog.name(frozenset(writer.chunks))
                finally:
                    catalog.close()
        except Unavailable:
            assert writer.store in self.gone
        writer.hold.end()

    @rule()
    def the_one_that_writes_counts_as_gone(self) -> None:
        self.take_away(self.other, by=self.store)
        self.other = self.opened()

    @rule()
    def the_one_that_collects_counts_as_gone(self) -> None:
        self.take_away(self.store, by=self.other)
        if self.cycle is not None:
            self.broken_off.append(self.cycle)
        self.cycle = None
        self.store, self.other = self.other, self.opened()
        with servers_of(self.store).collecting():
            self.store.recover()
        self.collection = self.store.collection()

    def take_away(self, store: ChunkStore, *, by: ChunkStore) -> None:
        with by.joined.whole.table.write() as tx:  # type: ignore[union-attr]
            server_tables.leave(tx, [servers_of(store).id])
        self.gone.append(store)

    @precondition(lambda self: self.broken_off)
    @rule()
    def a_collector_that_counts_as_gone_goes_on(self) -> None:
        try:
            if next(self.broken_off[0], None) is None:
                del self.broken_off[0]
        except Unavailable:
            del self.broken_off[0]

    def end_process(self) -> None:
        for store in (self.store, self.other):
            with suppress(Unavailable):
                store.close()
        self.other = self.opened()

    @precondition(lambda self: not self.writers and self.cycle is None)
    @rule()
    def some_cycles_later_everything_dead_is_gone(self) -> None:
        for _ in range(4):  # the first one may meet a server that has not moved on
            collect(self.collection, self.catalog)
            servers_of(self.other)._move_on()
        assert self.store.has_many(list(self.contents)) == self.catalog.live


TestSeveralServers = SeveralServers.TestCase
TestSeveralServers.settings = settings(
    max_examples=settings().max_examples // 10,
    stateful_step_count=20,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
)


# --- one after the other --------------------------------------------------------------------------


@pytest.fixture
def open_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ChunkStore]]:
    """Opens another server of the test's store."""
    bucket = new_bucket()
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    opened: list[ChunkStore] = []
    with empty_schema() as url:

        def open_it(*, beat_s: float = 1000) -> ChunkStore:
            place = tmp_path / str(len(opened))
            opened.append(open_there(url, bucket, place, beat_s=beat_s))
            return opened[-1]

        open_it.url = url  # type: ignore[attr-defined]
        yield open_it
        for store in opened:
            with suppress(Unavailable):
                store.close()


def test_who_is_not_heard_of_names_nothing_that_was_collected_meanwhile(
    open_server: Callable[..., ChunkStore],
) -> None:
    """It found a chunk, froze for longer than others wait for it, and goes on."""
    frozen = open_server()
    [found] = frozen.put_many([b"found by one that freezes"])
    frozen.flush()
    hold = frozen.epochs.begin()
    assert frozen.claim_many([found]) == {found}
    living = open_server(beat_s=0.01)
    catalog = open_database(open_server.url)  # type: ignore[attr-defined]
    servers_of(frozen).guard(catalog)
    nothing = Catalog()
    while living.has(found):
        collect(living.collection(), nothing)

    with pytest.raises(Unavailable, match="counts as gone"), catalog.write() as tx:
        tx.row("SELECT 1")
    with pytest.raises(Unavailable, match="counts as gone"), catalog.write() as tx:
        tx.execute("CREATE TABLE named (name TEXT)")  # nothing is asked before the end

    hold.end()
    catalog.close()
    assert servers_of(frozen).lost.is_set()
    with pytest.raises(Unavailable), frozen.hold():
        pass
    frozen.put_many([b"more"])
    with pytest.raises(Unavailable):
        frozen.flush()


def test_a_collector_that_was_followed_by_another_removes_nothing(
    open_server: Callable[..., ChunkStore],
) -> None:
    first, second = open_server(), open_server()
    catalog = Catalog()
    [chunk] = first.put_many([b"old, and wanted again"])
    first.flush()
    collect(first.collection(), catalog)
    late = steps(first.collection(), catalog, now=BEGIN, grace_s=0)
    while next(late) != "marked":
        pass  # it has seen that nothing needs the chunk

    with second.joined.whole.table.write() as tx:  # type: ignore[union-attr]
        server_tables.leave(tx, [servers_of(first).id])
    with second.hold():
        assert second.put(b"old, and wanted again") == chunk
        second.flush()
        catalog.name(frozenset([chunk]))
    with pytest.raises(Unavailable, match="counts as gone"):
        list(late)

    second.let_go(cached=True)
    assert second.get(chunk) == b"old, and wanted again"
