"""Finds damage: every record of every pack, and the index against both.

Reads one pack at a time; memory is bounded by the size of a pack.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.errors import Corrupt
from trunkline.store import packs, tables
from trunkline.store.depot import Depot
from trunkline.store.index import TableIndex
from trunkline.store.live import LiveSet
from trunkline.store.packs import Location, PackContent

_PAGE = 10_000  # rows of the index at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyStats:
    """What a verification has seen so far."""

    packs: int = 0
    chunks: int = 0
    stored_bytes: int = 0
    problems: int = 0
    bytes_read: int = 0  # of packs whose chunks were hashed


class Verifier:
    """One pass over a store; `stats` grows while the problems are read."""

    def __init__(
        self,
        depot: Depot,
        index: TableIndex,
        *,
        share: float,
        needed: LiveSet | None = None,
    ) -> None:
        self.stats = VerifyStats()
        self._depot = depot
        self._index = index
        self._share = share  # of the packs whose chunks are hashed, chosen by chance
        self._needed = needed
        self._confirmed = 0  # rows of the index that a pack agrees with
        self._reported: set[str] = set()
        self.damaged_packs: set[str] = set()  # with a damaged header, footer or record
        self._dead: dict[str, int] = {}  # by pack, records that are in no list any more

    def run(self) -> Iterator[tuple[str, str]]:
        """(chunk, problem) for each damaged chunk; the chunk is "" for damage between chunks."""
        for chunk, problem in self._problems():
            if chunk in self._reported:
                continue
            if chunk:
                self._reported.add(chunk)
            self._count(problems=1)
            yield chunk, problem

    def _problems(self) -> Iterator[tuple[str, str]]:
        known: dict[str, bool] = {}
        try:
            with self._index.read() as tx:
                broken = self._index.problems(tx)
                known = tables.packs(tx)
                self._dead = tables.dead_records(tx)
        except Corrupt as error:
            broken = [str(error)]
        for sentence in broken:
            yield "", f"the index is damaged: {sentence}"
        for name in self._depot.names():
            data, unreadable = self._depot.read_damaged(name)
            if unreadable:
                self.damaged_packs.add(name)
                yield "", f"pack {name}: {unreadable} bytes can't be read from the disk"
            content = packs.read_content(data, name)
            self._count(packs=1, stored_bytes=len(data))
            yield from self._pack(content, data, sealed=known.get(name, False))
        try:
            with self._index.read() as tx:
                unconfirmed = tables.count(tx) - self._confirmed
            if unconfirmed:
                yield from self._index_rows()
        except Corrupt as error:
            yield "", str(error)

    def _pack(
        self, content: PackContent, data: bytes, *, sealed: bool
    ) -> Iterator[tuple[str, str]]:
        read_data = random.random() < self._share  # noqa: S311 - which packs, not a secret
        self._count(bytes_read=len(data) if read_data else 0)
        if content.places and not content.header_whole:
            self.damaged_packs.add(content.name)
            yield "", f"pack {content.name}: its header is damaged"
        if sealed and not content.sealed:
            self.damaged_packs.add(content.name)
            yield "", f"pack {content.name}: its footer is damaged"
        try:
            with self._index.read() as tx:
                indexed = tables.find(tx, [place.digest for place in content.places])
        except Corrupt as error:
            yield "", f"the index is damaged: {error}"
            indexed = {}
        places = set(content.places)
        lost = self._lost(content, indexed)
        for place in content.places:
            self._count(chunks=1)
            problem = _record_problem(data, place, read_data=read_data)
            there = indexed.get(place.digest)
            if there == place:
                self._confirmed += 1
            if problem and (there is None or there.pack == content.name):
                self.damaged_packs.add(content.name)
                yield place.digest.hex(), problem
            elif problem:
                continue  # a dead copy: what counts is the one in the pack that the index names
            elif place.digest in lost and (sealed or content.sealed):
                yield place.digest.hex(), f"the index has lost it (it is in pack {content.name})"
            elif there is not None and there.pack == content.name and there not in places:
                yield place.digest.hex(), f"the index has a wrong place in pack {content.name}"

    def _lost(self, content: PackContent, indexed: dict[bytes, Location]) -> set[bytes]:
        """The chunks of a pack that should be in the index and are not.

        Without knowing what is needed: all, if there are more than were given up.
        """
        unlisted = [place.digest for place in content.places if place.digest not in indexed]
        if self._needed is not None:
            return self._needed.among(unlisted)
        return set(unlisted) if len(unlisted) > self._dead.get(content.name, 0) else set()

    def _index_rows(self) -> Iterator[tuple[str, str]]:
        """Rows that no list of records confirmed, checked one by one at the place they name."""
        after = b""
        while True:
            with self._index.read() as tx:
                rows = tables.page(tx, after, _PAGE)
            if not rows:
                return
            after = rows[-1].digest
            by_pack: dict[str, list[Location]] = {}
            for place in rows:
                by_pack.setdefault(place.pack, []).append(place)
            for pack, places in by_pack.items():
                yield from self._rows_of_pack(pack, places)

    def _rows_of_pack(self, pack: str, places: list[Location]) -> Iterator[tuple[str, str]]:
        try:
            reader = self._depot.origin(pack)
        except OSError:
            for place in places:
                yield place.digest.hex(), f"its pack {pack or '(unknown)'} is gone"
            return
        for place in places:
            try:
                packs.decode(reader.record(place), place)
            except Corrupt as error:
                yield place.digest.hex(), str(error)
            except FileNotFoundError:
                yield place.digest.hex(), f"its pack {pack} is gone"

    def _count(
        self,
        *,
        packs: int = 0,
        chunks: int = 0,
        stored_bytes: int = 0,
        problems: int = 0,
        bytes_read: int = 0,
    ) -> None:
        seen = self.stats
        self.stats = VerifyStats(
            packs=seen.packs + packs,
            chunks=seen.chunks + chunks,
            stored_bytes=seen.stored_bytes + stored_bytes,
            problems=seen.problems + problems,
            bytes_read=seen.bytes_read + bytes_read,
        )


def _record_problem(data: bytes, place: Location, *, read_data: bool) -> str:
    end = place.offset + packs.RECORD_BYTES + (place.stored if read_data else 0)
    record = data[place.offset : end]
    try:
        if read_data:
            packs.decode(record, place)
        else:
            packs.check_header(record, place)
    except Corrupt as error:
        return str(error)
    return ""
