"""Removes chunks that nothing refers to: first condemned, then given up, then out of the packs.

What is needed is told by the caller, as a `LiveSet`; this package does not know what refers to
chunks. Protocol and proof: docs/decisions/0011-garbage-collection.md. In short: a chunk that is not
needed is condemned; who wants to rely on a condemned chunk takes the mark away in the index; a
chunk that is still condemned, still not needed, whose grace is over, and in whose epoch nobody is
at work any more, is given up: its row leaves the index. Its bytes go when its pack is compacted.

A crash at any point leaves a store in which some garbage is left, and no more.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from trunkline.store import repair, tables
from trunkline.store.compact import Compacted, Compactor
from trunkline.store.depot import Depot
from trunkline.store.epochs import Epochs
from trunkline.store.index import TableIndex
from trunkline.store.live import LiveSet
from trunkline.store.packs import disk_errors
from trunkline.store.uses import Uses

_SCRATCH_BYTES_MIN = 64 * 1024 * 1024  # free, for notes beside the packs
_PAGE = 2_000  # rows of the index changed in one transaction

Pace = Callable[[], None]  # called often; may wait, and raises to stop the work


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Some chunks and what they take up in packs."""

    objects: int = 0
    stored_bytes: int = 0

    def plus(self, objects: int, stored_bytes: int) -> "Amount":
        return Amount(objects=self.objects + objects, stored_bytes=self.stored_bytes + stored_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """What one pass over the index came to."""

    needed: Amount = Amount()
    condemned: Amount = Amount()  # in this pass
    waiting: Amount = Amount()  # condemned in an earlier pass, and not yet due
    given_up: Amount = Amount()
    revived: int = 0


class Collection:
    """The collector's view of a store."""

    def __init__(
        self,
        directory: Path,
        depot: Depot,
        index: TableIndex,
        epochs: Epochs,
        *,
        writer: str,
    ) -> None:
        self._directory = directory
        self._depot = depot
        self._index = index
        self._epochs = epochs
        self._writer = writer

    @contextmanager
    def exclusive(self, wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Only one collection at a time; raises Conflict, or calls `wait` until it has its turn.

        Where the disk fails, the work ends with StorageFull or Unavailable, and can be begun again.
        """
        with disk_errors(self._directory), self._epochs.collecting(wait):
            self._depot.confirm()
            yield

    @contextmanager
    def live_set(self) -> Iterator[LiveSet]:
        """An empty set of what is needed, gone at the end."""
        with self._scratch("live.db") as path:
            live = LiveSet(path)
            try:
                yield live
            finally:
                live.close()

    @contextmanager
    def uses(self, name: str) -> Iterator[Uses]:
        """An empty survey of who uses which chunks, gone at the end; several may go on at once."""
        with self._scratch(f"uses-{name}.db") as path:
            uses = Uses(path, self._index)
            try:
                yield uses
            finally:
                uses.close()

    @contextmanager
    def _scratch(self, name: str) -> Iterator[Path]:
        """Where to keep notes: in the store, or with other temporary files if its disk is full.

        So that a full disk can be checked, and garbage on it removed.
        """
        if shutil.disk_usage(self._directory).free >= _SCRATCH_BYTES_MIN:
            yield self._directory / name
            return
        with tempfile.TemporaryDirectory(prefix="trunkline-") as place:
            yield Path(place) / name

    def sealed_packs(self) -> set[str]:
        """The names of packs that will not grow any more."""
        with self._index.read() as tx:
            return {name for name, sealed in tables.packs(tx).items() if sealed}

    def drained(self) -> bool:
        """Whether all who are at work began after the latest condemnation."""
        return self._epochs.drained()

    def condemned_before(self) -> bool:
        """Whether any chunk is condemned now."""
        with self._index.read() as tx:
            return tables.any_condemned(tx)

    def sift(
        self,
        live: LiveSet,
        *,
        drained: bool,
        watched: bool,
        grace_from: datetime,
        now: datetime,
        pace: Pace,
    ) -> Sifted:
        """One pass over the index: give up what is due, condemn what is not needed, revive others.

        `drained` must have been asked for before the catalog was read for `live`. `watched` says
        that `live` has everything that was ever named since the last pass. What was condemned at
        `grace_from` or before is due then. Ends the epoch if it can, so that a later pass gives up
        what this one has condemned.
        """
        epoch = self._epochs.current()
        with self._index.write() as tx:
            tables.note_condemnation(tx, epoch, now)
            due = min(tables.newest_condemned(tx, grace_from), epoch - 1)
        if not (drained and watched):
            due = -1
        sifted = Sifted()
        for page, needed in self._pages(live, pace):
            sifted = self._sift_page(sifted, page, needed, epoch=epoch, due=due)
        if drained:
            with self._index.read() as tx:
                newest = tables.newest_condemned(tx)
            self._epochs.advance(above=newest)
        return sifted

    def _sift_page(
        self,
        sifted: Sifted,
        page: list[tables.ChunkState],
        needed: set[bytes],
        *,
        epoch: int,
        due: int,
    ) -> Sifted:
        unneeded = [state for state in page if state.digest not in needed]
        revived = [s.digest for s in page if s.digest in needed and s.condemned is not None]
        new = [state for state in unneeded if state.condemned is None]
        over = [s for s in unneeded if s.condemned is not None and s.condemned <= due]
        gone: list[tuple[bytes, int]] = []
        if new or over or revived:
            with self._index.write() as tx:
                tables.condemn(tx, (state.digest for state in new), epoch)
                tables.revive(tx, revived)
                gone = tables.give_up(tx, (state.digest for state in over), due)
        waiting = [s for s in unneeded if s.condemned is not None and s.condemned > due]
        kept = [state for state in page if state.digest in needed]
        return replace(
            sifted,
            needed=sifted.needed.plus(len(kept), sum(s.stored for s in kept)),
            condemned=sifted.condemned.plus(len(new), sum(s.stored for s in new)),
            waiting=sifted.waiting.plus(len(waiting), sum(s.stored for s in waiting)),
            given_up=sifted.given_up.plus(len(gone), sum(stored for _, stored in gone)),
            revived=sifted.revived + len(revived),
        )

    def survey(self, live: LiveSet, *, pace: Pace) -> Sifted:
        """What `sift` would find, changing nothing: all that is not needed counts as condemned."""
        sifted = Sifted()
        for page, needed in self._pages(live, pace):
            kept = [state.stored for state in page if state.digest in needed]
            rest = [state.stored for state in page if state.digest not in needed]
            sifted = replace(
                sifted,
                needed=sifted.needed.plus(len(kept), sum(kept)),
                condemned=sifted.condemned.plus(len(rest), sum(rest)),
            )
        return sifted

    def _pages(
        self, live: LiveSet, pace: Pace
    ) -> Iterator[tuple[list[tables.ChunkState], set[bytes]]]:
        """All chunks that the index knows, in pieces, and which of each are needed."""
        after = b""
        while True:
            pace()
            with self._index.read() as tx:
                page = tables.states(tx, after, _PAGE)
            if not page:
                return
            after = page[-1].digest
            yield page, live.among([state.digest for state in page])

    def scrub(self) -> bool:
        """Leave no trace of what was given up: see `db.database.Database.scrub`.

        Packs that were removed do not come back after a power cut from here on. Raises StorageFull,
        Unavailable.
        """
        with disk_errors(self._directory):
            self._depot.settle()
        return self._index.scrub()

    def set_aside(self) -> list[str]:
        """Where damaged packs are that a repair has set aside."""
        return self._depot.aside()

    def compact(self, live: LiveSet, *, thorough: bool, pace: Pace) -> Compacted:
        """Give back the bytes of dead records; see `store.compact`."""
        return Compactor(self._depot, self._index, live, writer=self._writer).run(
            thorough=thorough, pace=pace
        )

    def repair(
        self, live: LiveSet, *, damaged: Sequence[str], damaged_packs: Sequence[str]
    ) -> dict[str, str]:
        """Heal damaged chunks and packs; see `store.repair`."""
        outcome = repair.repair(
            self._directory,
            self._depot,
            self._index,
            live,
            damaged=[bytes.fromhex(chunk) for chunk in damaged],
            damaged_packs=damaged_packs,
            writer=self._writer,
        )
        return {digest.hex(): what for digest, what in outcome.items()}
