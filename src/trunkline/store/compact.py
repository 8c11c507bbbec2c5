"""Gives disk space back: packs with much that is dead are rewritten without it, small ones merged.

A record is alive if the index says that its chunk is at exactly this place. Living records go, as
they are, into a new pack; when that is durable and the index points to it, the old packs are
unlinked. Readers that have an old pack open read on; others look the chunk up again. Costs one
read and one write of what is kept, and one fdatasync for each new pack; what is freed is freed
late and in bulk.

After a crash both packs may be there; the index points to one of them, and the other counts as dead
the next time. Nothing is unlinked that the index does not have elsewhere: a living chunk that the
index has lost is put back into it, and a pack with damaged records is left alone, for `fsck`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from trunkline.errors import Corrupt, StorageFull
from trunkline.store import packs, tables
from trunkline.store.depot import Depot
from trunkline.store.index import TableIndex
from trunkline.store.live import LiveSet
from trunkline.store.packs import Encoded, Location, PackContent, PackWriter

LIVE_SHARE_MIN = 0.6  # a pack with less than this share of living bytes is rewritten
SMALL_BYTES = 4 * 1024 * 1024  # packs below this are merged …
SMALL_PACKS = 8  # … once there are so many of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a compaction did."""

    packs_removed: int = 0
    packs_written: int = 0
    bytes_removed: int = 0  # size of the packs that are gone
    bytes_written: int = 0  # size of the new ones
    skipped: tuple[str, ...] = ()  # why packs were left alone

    @property
    def bytes_freed(self) -> int:
        return self.bytes_removed - self.bytes_written


class Compactor:
    """One compaction of the packs of a store. Holds at most one pack in memory, and a new one."""

    def __init__(self, depot: Depot, index: TableIndex, live: LiveSet, *, writer: str) -> None:
        self._depot = depot
        self._index = index
        self._live = live
        self._writer = writer
        self._pack: PackWriter | None = None
        self._moves: list[tuple[str, Location]] = []  # (old pack, new place), not yet published
        self._copied: list[str] = []  # packs all of whose living records are in `_moves` or public
        self._removed: list[int] = []  # sizes
        self._written: list[int] = []
        self._skipped: list[str] = []
        self._sizes: dict[str, int] = {}
        self._rows: dict[str, int] = {}  # by pack, chunks that the index has in it

    def run(self, *, thorough: bool, pace: Callable[[], None]) -> Compacted:
        """Compact what is worth it; with `thorough`, every pack that holds anything dead.

        Where there is no space for all of that, as much is done as there is space for; raises
        StorageFull then if it was to be thorough.
        """
        waiting = deque(self._worth_it(thorough=thorough))
        try:
            while waiting:
                pace()
                try:
                    self._take(waiting[0])
                    if self._pack is None or len(waiting) == 1:
                        self._publish()
                except StorageFull:
                    if self._made_room():
                        continue
                    if thorough:
                        raise
                    self._skipped.append(
                        "there was no space to rewrite packs that hold garbage and more; free "
                        "some, then try again"
                    )
                    break
                waiting.popleft()
        finally:
            if self._pack is not None:
                self._pack.abandon()
        return Compacted(
            packs_removed=len(self._removed),
            packs_written=len(self._written),
            bytes_removed=sum(self._removed),
            bytes_written=sum(self._written),
            skipped=tuple(self._skipped),
        )

    def _made_room(self) -> bool:
        """Whether packs could be removed whose copies are written; the rest is given up."""
        removed = len(self._removed)
        if self._copied:
            with suppress(StorageFull):
                self._publish()
        if self._pack is not None:
            self._pack.abandon()
            self._pack = None
        self._moves, self._copied = [], []
        return len(self._removed) > removed

    def set_aside(self, names: Iterable[str]) -> tuple[str, ...]:
        """Copy what is good in damaged packs, and give their files another name.

        Returns why packs were left alone.
        """
        try:
            for name in names:
                try:
                    if self._depot.is_written(name):
                        self._skipped.append(f"pack {name} is still being written")
                        continue
                except FileNotFoundError:
                    continue
                self._take(name, salvage=True)
            self._publish(aside=True)
        finally:
            if self._pack is not None:
                self._pack.abandon()
        return tuple(self._skipped)

    # --- which packs ------------------------------------------------------------------------------

    def _worth_it(self, *, thorough: bool) -> list[str]:
        """First those with the least to be copied, so that a full disk gets the space for more."""
        with self._index.read() as tx:
            uses = tables.usage(tx)
        self._sizes = self._depot.sizes()
        chosen: list[str] = []
        small: list[str] = []
        for use in sorted(uses, key=lambda use: (use.stored, use.name)):
            self._rows[use.name] = use.chunks
            if not use.sealed:
                continue  # somebody writes it, or the next start settles it
            try:
                size = self._size(use.name)
            except FileNotFoundError:
                with self._index.write() as tx:
                    tables.forget_pack(tx, use.name)
                continue
            alive = use.stored + use.chunks * (packs.RECORD_BYTES + packs.ENTRY_BYTES)
            mostly_dead = not use.chunks or alive < size * LIVE_SHARE_MIN
            if mostly_dead or (thorough and self._holds_dead(use)):
                chosen.append(use.name)
            elif size < SMALL_BYTES:
                small.append(use.name)
        return chosen + (small if len(small) >= SMALL_PACKS else [])

    def _size(self, name: str) -> int:
        """Who is in no list of all may still be there."""
        return self._sizes[name] if name in self._sizes else self._depot.size(name)

    def _holds_dead(self, use: tables.PackUse) -> bool:
        if use.dead:
            return True
        # Copies of chunks that are in another pack as well are in nobody's count.
        try:
            content = packs.read_content(self._depot.read(use.name), use.name)
        except OSError:
            return True  # it is told of when it is read to be rewritten
        return len(content.places) != use.chunks

    # --- one pack ---------------------------------------------------------------------------------

    def _take(self, name: str, *, salvage: bool = False) -> None:
        """Copy what is alive in a pack; it is removed when the copies are public."""
        try:
            data = self._depot.read_damaged(name)[0] if salvage else self._depot.read(name)
        except OSError as error:
            self._skipped.append(f"pack {name} can't be read: {error.strerror}")
            return
        content = packs.read_content(data, name)
        if not content.sealed and not salvage:
            self._skipped.append(f"pack {name} is damaged; run `fsck --repair`")
            return
        kept: list[Encoded] = []
        for place in self._alive(content, everything=salvage):
            try:
                kept.append(packs.as_stored(_record(data, place), place))
            except Corrupt as error:
                if not salvage:
                    self._skipped.append(str(error))
                    return
        if not salvage and len({chunk.digest for chunk in kept}) < self._rows[name]:
            self._skipped.append(
                f"pack {name} does not have all that the index has in it; run `fsck --repair`"
            )
            return
        for chunk in kept:
            if self._pack is not None and self._pack.full:
                self._publish(aside=salvage)
            self._append(name, chunk)
        self._sizes[name] = len(data)
        self._copied.append(name)

    def _alive(self, content: PackContent, *, everything: bool) -> list[Location]:
        """The places of a pack that must not be lost; puts back what the index has lost.

        With `everything`, also what nobody is known to need.
        """
        digests = [place.digest for place in content.places]
        with self._index.read() as tx:
            indexed = tables.find(tx, digests)
        needed = set(digests) if everything else self._live.among(digests)
        alive: list[Location] = []
        for place in content.places:
            there = indexed.get(place.digest)
            if there is not None and there.pack == content.name:
                alive.append(place)
            elif (
                place.digest in needed
                and (there is None or not self._readable(there))
                and self._readable(place)
            ):
                with self._index.write() as tx:
                    tables.repoint(tx, place)
                alive.append(place)
        return alive

    def _readable(self, place: Location) -> bool:
        try:
            packs.decode(self._depot.origin(place.pack).record(place), place)
        except (Corrupt, OSError):
            return False
        return True

    # --- the new pack -----------------------------------------------------------------------------

    def _append(self, old: str, chunk: Encoded) -> None:
        try:
            if self._pack is None:
                self._pack = self._depot.new(self._writer)
            self._moves.append((old, self._pack.append(chunk)))
            if self._pack.wants_drain:
                self._pack.drain()
        except OSError as error:
            self._refuse(error)

    def _refuse(self, error: OSError) -> NoReturn:
        if error.errno in packs.NO_SPACE:
            raise StorageFull(self._depot.where) from error
        raise error

    def _publish(self, *, aside: bool = False) -> None:
        """Make the new pack durable, point the index to it, and only then remove the old ones."""
        pack = self._pack
        if pack is not None:
            try:
                pack.write_footer()
                self._depot.secure(pack)
            except OSError as error:
                self._refuse(error)
            with self._index.write() as tx:
                tables.move(tx, self._moves)
                tables.set_sealed(tx, pack.name)
            self._written.append(pack.end)
            self._depot.done(pack)
            self._pack, self._moves = None, []
        left = (self._depot.set_aside if aside else self._depot.remove)(self._copied)
        for name in self._copied:
            if name in left:  # nothing points to it: the next compaction tries again
                self._skipped.append(f"pack {name} can't be removed: {left[name]}")
                continue
            self._removed.append(self._sizes[name])
            with self._index.write() as tx:
                # Of a damaged pack the index may have had more than was found in it.
                (tables.forget_pack if aside else tables.drop_pack)(tx, name)
        self._copied = []


def _record(data: bytes, place: Location) -> bytes:
    return data[place.offset : place.offset + packs.RECORD_BYTES + place.stored]
