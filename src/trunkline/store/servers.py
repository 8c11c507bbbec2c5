"""One server's part in a store that several have: who is there, since when, and who leads.

Each server has a row in the database of the index, and beats. Whoever sees another one not beat for
a while takes its row away, with all that it holds; and no change is made any more, in the index or
in the catalog, for which the row of its server is not there (`db`'s `only_while`). So who counts as
gone names nothing and removes nothing, however late it wakes up; it ends, and begins anew.

A hold belongs to an epoch, as in `store.epochs`. That a server may have some in an epoch is a row,
so a hold itself asks nothing: the row is written before the first one, and stays until the server
has seen a newer epoch and has none in this one. Why that is right:
docs/decisions/0057-several-nodes.md.
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from trunkline.db.database import ServerDatabase
from trunkline.errors import TrunklineError, Unavailable
from trunkline.store import server_tables as tables
from trunkline.store.epochs import Hold, collecting_already

BEAT_S = 3.0
LOOKS = 10  # beats of our own in which another one has not beaten, and is taken for gone
_LOOK_S = 0.1  # between looks for a new epoch
_NOTICE_S = 0.3  # in which others notice one

log = logging.getLogger("trunkline.server")


class Servers:
    """This server among those of a store, from its making to `close`. Thread-safe.

    It has connections of its own to the database of the index, which `close` closes: nothing that
    is done there keeps it from beating. It is `Epochs` of the store, too. `lost` is set once it
    counts as gone.
    """

    def __init__(self, database: ServerDatabase, *, beat_s: float = BEAT_S) -> None:
        self.id = secrets.token_hex(16)
        self.lost = threading.Event()
        self._database = database
        self._beat_s = beat_s
        self._lock = threading.Lock()
        self._moving = threading.Lock()
        self._closing = threading.Event()
        self._seen: dict[str, tuple[int, int]] = {}  # others: beats, looks since
        with database.write() as tx:
            tables.enter(tx, self.id)
            epoch = tables.epoch(tx)
            tables.hold(tx, self.id, epoch)
        self._catalog: ServerDatabase | None = None
        self.on_epoch: Callable[[], None] | None = None  # called before an older one is let go of
        self._counts = {epoch: 0}  # holds by epoch; new ones belong to the newest
        self.guard(database)
        self._threads = [
            threading.Thread(target=work, name="trunkline-beat", daemon=True)
            for work in (self._go_on_beating, self._go_on_moving)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def _row(self) -> str:
        """The query for what is there as long as this server does not count as gone."""
        table = self._database.schema.replace('"', '""')
        where = f"WHERE id = '{self.id}' FOR KEY SHARE"
        return f'SELECT 1 FROM "{table}".server {where}'  # noqa: S608 both are ours

    # --- who leads --------------------------------------------------------------------------------

    def lead(self) -> None:
        """Lead from now on; whoever did counts as gone. Only for who has the catalog alone."""
        with self._database.write() as tx:
            tables.lead(tx, self.id)

    def leader(self) -> str:
        """Where others reach who leads; empty if nobody does, or it can't be reached."""
        with self._database.read() as tx:
            found = tables.leaders(tx)
        return found[0][1] if found and self.is_led() else ""

    def is_led(self) -> bool:
        """Whether somebody has the catalog alone."""
        assert self._catalog is not None, "it was told first"
        return self._catalog.is_alone()

    def set_address(self, address: str) -> None:
        """Others reach us there."""
        with self._database.write() as tx:
            tables.set_address(tx, self.id, address)

    def guard(self, database: ServerDatabase) -> None:
        """Have a database changed only while we do not count as gone."""
        database.only_while(self._row, self._lose)

    def work_on(self, catalog: ServerDatabase) -> None:
        """The same for the catalog, whose only owner is who leads."""
        self.guard(catalog)
        self._catalog = catalog

    # --- what is kept for all ---------------------------------------------------------------------

    def kept(self, kind: str) -> dict[str, str]:
        """By name, what any of the servers has kept."""
        with self._database.read() as tx:
            return tables.kept(tx, kind)

    def keep(self, kind: str, name: str, content: str | None) -> None:
        """Keep something for all servers, or no more."""
        with self._database.write() as tx:
            if content is None:
                tables.keep_no_more(tx, kind, name)
            else:
                tables.keep(tx, kind, name, content)

    def kept_or_made(self, kind: str, name: str, make: Callable[[], str]) -> str:
        """What is kept, or what is from now on."""
        with self._database.write() as tx:
            kept = tables.kept(tx, kind)
            if name not in kept:
                kept[name] = make()
                tables.keep(tx, kind, name, kept[name])
        return kept[name]

    # --- epochs -----------------------------------------------------------------------------------

    def current(self) -> int:
        with self._database.read() as tx:
            return tables.epoch(tx)

    def begin(self) -> Hold:
        with self._lock:
            if self.lost.is_set():
                raise Unavailable("this server counts as gone; it begins anew")
            epoch = max(self._counts)
            self._counts[epoch] += 1
        return Hold(self._end, epoch)

    def _end(self, epoch: int) -> None:
        with self._lock:
            self._counts[epoch] -= 1
            last = not self._counts[epoch] and epoch < max(self._counts)
        if last:
            self._database.notify()  # wakes up who lets go of it

    @contextmanager
    def collecting(self, wait: Callable[[], None] | None = None) -> Iterator[None]:
        with ExitStack() as held:
            with self._turn("collect-next", wait):
                held.enter_context(self._turn("collect", wait))
            yield

    def drained(self) -> bool:
        self._move_on()
        deadline = time.monotonic() + _NOTICE_S
        while True:
            with self._database.read() as tx:
                if not tables.held_before(tx, tables.epoch(tx)):
                    return True
            if time.monotonic() > deadline:
                return False
            self._closing.wait(_LOOK_S / 2)

    def have_noticed(self, timeout_s: float) -> bool:
        """Whether all servers have begun another epoch since now, which empties their caches."""
        deadline = time.monotonic() + timeout_s
        for last in (False, True):
            while not self.drained():
                if time.monotonic() > deadline or self._closing.wait(_LOOK_S):
                    return False
            if not last:
                self.advance(above=0)
        return True

    def advance(self, *, above: int) -> None:
        with self._database.write() as tx:
            tables.set_epoch(tx, max(tables.epoch(tx), above) + 1)
        self._move_on()

    def _move_on(self) -> None:
        """Have new holds belong to the newest epoch, and let go of older ones that have none."""
        with self._moving:
            with self._database.read() as tx:
                newest = tables.epoch(tx)
            if newest not in self._counts:
                with self._database.write() as tx:
                    newest = tables.epoch(tx)
                    tables.hold(tx, self.id, newest)
                if self.on_epoch is not None:
                    self.on_epoch()
                with self._lock:
                    self._counts.setdefault(newest, 0)
            with self._lock:
                idle = [n for n, count in self._counts.items() if n < newest and not count]
                for number in idle:
                    del self._counts[number]
            if idle:
                with self._database.write() as tx:
                    tables.let_go(tx, self.id, idle)

    @contextmanager
    def _turn(self, name: str, wait: Callable[[], None] | None) -> Iterator[None]:
        while True:
            with self._database.write() as tx:
                taken = tables.take_turn(tx, name, self.id)
            if taken:
                break
            if wait is None:
                raise collecting_already()
            wait()
        try:
            yield
        finally:
            # Where that fails, it ends with this server.
            with suppress(Unavailable), self._database.write() as tx:
                tables.end_turn(tx, name, self.id)

    # --- being there ------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave; holds that are still open end."""
        self._closing.set()
        self._database.notify()
        for thread in self._threads:
            thread.join()
        with suppress(TrunklineError), self._database.write() as tx:
            tables.leave(tx, [self.id])
        self._database.close()

    def _lose(self) -> None:
        if not self.lost.is_set():
            log.warning("process %d counts as gone among the servers of its store", os.getpid())
        self.lost.set()

    def _go_on_beating(self) -> None:
        while not (self._closing.wait(self._beat_s) or self.lost.is_set()):
            with suppress(TrunklineError):  # where the database is away, nobody else beats either
                self._beat()

    def _go_on_moving(self) -> None:
        """Apart from the beats, as caches may take long to empty."""
        seen = self._database.revision
        while not (self._closing.wait(_LOOK_S) or self.lost.is_set()):
            with suppress(TrunklineError):
                self._move_on()
            seen = self._database.wait_for_change(seen, self._beat_s)

    def _beat(self) -> None:
        """Show that we are there, and take away who has not done so for long."""
        with self._database.write() as tx:
            tables.beat(tx, self.id)
            now = tables.beats(tx)
            looks = {
                other: (beats, self._looks(other, beats))
                for other, beats in now.items()
                if other != self.id
            }
            gone = [other for other, (_, count) in looks.items() if count >= LOOKS]
            led = {leader for leader, _ in tables.leaders(tx)}
            tables.leave(tx, gone)
        self._seen = looks
        if led.intersection(gone) and self._catalog is not None:
            self._catalog.end_alone()  # it may be frozen, and its connection is not
        if gone:
            log.warning("%d servers of the store were not heard of and count as gone", len(gone))

    def _looks(self, other: str, beats: int) -> int:
        before, count = self._seen.get(other, (beats, 0))
        return count + 1 if before == beats else 0
