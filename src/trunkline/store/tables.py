"""The SQL of the chunk index. Look-ups go in batches: one statement for many digests."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from trunkline.db.database import Row, Transaction
from trunkline.db.times import to_microseconds
from trunkline.errors import Corrupt
from trunkline.store.packs import CHUNK_BYTES_MAX, Location

_BATCH = 1000  # digests in one statement

# All digests come as one parameter, which is several times quicker than a parameter for each.
_EACH = (
    "WITH RECURSIVE each (start) AS ("
    " SELECT 1 UNION ALL SELECT start + 32 FROM each WHERE start + 32 < length(:digests))"
)
_FIND = (
    f"{_EACH} SELECT c.digest, p.name, c.start_bytes, c.stored_bytes, c.size_bytes"
    " FROM each CROSS JOIN chunk c JOIN pack p ON p.number = c.pack"
    " WHERE c.digest = substr(:digests, each.start, 32)"
)
_KNOWN = (
    f"{_EACH} SELECT c.digest, c.condemned IS NOT NULL"
    " FROM each CROSS JOIN chunk c JOIN pack p ON p.number = c.pack"
    " WHERE c.digest = substr(:digests, each.start, 32)"
)
_IN_A_PACK = "EXISTS (SELECT 1 FROM pack p WHERE p.number = chunk.pack)"
_PLACE = ("pack", "start_bytes", "stored_bytes", "size_bytes")
# All in one statement, so that other threads run meanwhile. Numbers as decimal digits, two in a
# byte: SQL reads no others.
_ADD = (
    "WITH RECURSIVE each (n) AS ("
    " SELECT 0 UNION ALL SELECT n + 1 FROM each WHERE (n + 1) * 32 < length(:digests))"
    " INSERT INTO chunk (digest, pack, start_bytes, stored_bytes, size_bytes)"
    " SELECT substr(:digests, n * 32 + 1, 32), (SELECT number FROM pack WHERE name = :pack),"
    " CAST({start} AS BIGINT), CAST({stored} AS BIGINT), CAST({size} AS BIGINT)"
    " FROM each WHERE true ON CONFLICT (digest)"
    " DO UPDATE SET condemned = NULL,"
    + ", ".join(
        f" {c} = CASE WHEN {_IN_A_PACK} THEN chunk.{c} ELSE excluded.{c} END" for c in _PLACE
    )
    + f" WHERE chunk.condemned IS NOT NULL OR NOT {_IN_A_PACK}"
)
_DIGITS = {  # where the bytes of a number are
    "start": "substr(:numbers, n * 20 + 1, 10)",
    "stored": "substr(:numbers, n * 20 + 11, 5)",
    "size": "substr(:numbers, n * 20 + 16, 5)",
}


def find(tx: Transaction, digests: Sequence[bytes]) -> dict[bytes, Location]:
    """Where the chunks are that the index knows."""
    rows = [row for batch in _batches(digests) for row in tx.rows(_FIND, digests=batch)]
    found = {row[0]: _location(row) for row in rows}
    _check_asked(found, digests)
    return found


def _location(row: Row) -> Location:
    """The place in a row; a row that damage has changed gives one that no chunk can have."""
    digest, pack, offset, stored, size = row
    if (
        type(offset) is int
        and type(stored) is int
        and 0 <= offset < 1 << 62
        and 0 <= stored <= CHUNK_BYTES_MAX
        and type(pack) is str
        and pack.isalnum()
    ):
        return Location(digest, pack, offset, stored, size)
    return Location(digest, "", 0, 0, 0)


def known(tx: Transaction, digests: Sequence[bytes]) -> dict[bytes, bool]:
    """Which of the chunks the index knows, and whether each is condemned."""
    rows = (row for batch in _batches(digests) for row in tx.rows(_KNOWN, digests=batch))
    found = {digest: bool(condemned) for digest, condemned in rows}
    _check_asked(found, digests)
    return found


def _check_asked(found: Mapping[bytes, object], digests: Sequence[bytes]) -> None:
    """Raises Corrupt for rows that were not asked for: a changed page can lead to them."""
    if not found.keys() <= set(digests):
        raise Corrupt("the index of the store", "the chunks that were asked for", "others")


def _batches(digests: Sequence[bytes]) -> Iterable[bytes]:
    for start in range(0, len(digests), _BATCH):
        yield b"".join(digests[start : start + _BATCH])


def add(tx: Transaction, places: Iterable[Location]) -> None:
    """Record where chunks are; one that is known already stays where it is, and is wanted.

    One in a pack that is not known counts as not known.
    """
    by_pack: dict[str, list[Location]] = {}
    statement = _ADD.format(**{name: tx.hex(bytes_) for name, bytes_ in _DIGITS.items()})
    # In the order of the tree that holds them: neighbours share its pages.
    for place in sorted(places):
        by_pack.setdefault(place.pack, []).append(place)
    for pack, listed in by_pack.items():
        _know(tx, pack)
        for start in range(0, len(listed), _BATCH):
            batch = listed[start : start + _BATCH]
            numbers = "".join(
                [f"{place.offset:020}{place.stored:010}{place.size:010}" for place in batch]
            )
            tx.execute(
                statement,
                digests=b"".join([place.digest for place in batch]),
                numbers=bytes.fromhex(numbers),
                pack=pack,
            )


def _know(tx: Transaction, pack: str) -> None:
    tx.execute("INSERT INTO pack (name) VALUES (:n) ON CONFLICT (name) DO NOTHING", n=pack)


def _number(tx: Transaction, pack: str) -> int:
    _know(tx, pack)
    row = tx.row("SELECT number FROM pack WHERE name = :n", n=pack)
    assert row is not None
    return int(row[0])


def set_sealed(tx: Transaction, pack: str) -> None:
    """Record that a pack will not grow any more."""
    number = _number(tx, pack)
    tx.execute("UPDATE pack SET sealed = 1 WHERE number = :n", n=number)


def packs(tx: Transaction) -> dict[str, bool]:
    """The known packs by name, and whether each is sealed."""
    return {
        str(row[0]): bool(row[1]) for row in tx.rows("SELECT name, sealed FROM pack ORDER BY name")
    }


def count(tx: Transaction) -> int:
    """How many chunks the index knows."""
    row = tx.row("SELECT COUNT(*) FROM chunk")
    assert row is not None
    return int(row[0])


def page(tx: Transaction, after: bytes, most: int) -> list[Location]:
    """The next places in the order of digests, whatever pack they name ("" if that is unknown)."""
    rows = tx.rows(
        "SELECT c.digest, COALESCE(p.name, ''), c.start_bytes, c.stored_bytes, c.size_bytes"
        " FROM chunk c LEFT JOIN pack p ON p.number = c.pack"
        " WHERE c.digest > :after ORDER BY c.digest LIMIT :most",
        after=after,
        most=most,
    )
    _check_order(after, rows)
    return [_location(row) for row in rows]


def _check_order(after: bytes, rows: Sequence[Row]) -> None:
    """Raises Corrupt unless digests grow, as who goes on behind the last one relies on."""
    for row in rows:
        if type(row[0]) is not bytes or row[0] <= after:
            raise Corrupt("the index of the store", "its rows in order", "others")
        after = row[0]


def drop_pack(tx: Transaction, pack: str) -> None:
    """Drop a pack that no chunk is in any more. Its number is used again: none may be left."""
    tx.execute("DELETE FROM pack WHERE name = :n", n=pack)


def places_in(tx: Transaction, pack: str) -> list[Location]:
    """The chunks that the index has in a pack. Reads the whole index."""
    rows = tx.rows(
        "SELECT c.digest, p.name, c.start_bytes, c.stored_bytes, c.size_bytes"
        " FROM chunk c JOIN pack p ON p.number = c.pack WHERE p.name = :n",
        n=pack,
    )
    return [_location(row) for row in rows]


def forget_pack(tx: Transaction, pack: str) -> None:
    """Drop a pack that is gone, and all chunks that the index has in it; they can be stored again.

    Reads the whole index.
    """
    number = _number(tx, pack)
    tx.execute("DELETE FROM chunk WHERE pack = :n", n=number)
    tx.execute("DELETE FROM pack WHERE number = :n", n=number)


# --- what is not needed any more ------------------------------------------------------------------


class ChunkState(NamedTuple):
    """A chunk as a collector sees it."""

    digest: bytes
    condemned: int | None  # in which epoch
    stored: int


class PackUse(NamedTuple):
    """How much of a pack is in the index."""

    name: str
    sealed: bool
    dead: int  # records that were given up
    chunks: int
    stored: int  # their bytes, headers not counted


def states(tx: Transaction, after: bytes, most: int) -> list[ChunkState]:
    """The next chunks in the order of digests."""
    rows = tx.rows(
        "SELECT digest, condemned, stored_bytes FROM chunk"
        " WHERE digest > :after ORDER BY digest LIMIT :most",
        after=after,
        most=most,
    )
    _check_order(after, rows)
    return [ChunkState(*row) for row in rows]


# The sign keeps SQLite from going through all that is condemned.
_GIVE_UP = (
    f"{_EACH} DELETE FROM chunk WHERE +condemned <= :epoch"
    " AND digest IN (SELECT substr(:digests, each.start, 32) FROM each)"
    " RETURNING digest, pack, stored_bytes"
)


def condemn(tx: Transaction, digests: Iterable[bytes], epoch: int) -> None:
    """Mark chunks that nothing refers to; those that are marked keep their epoch."""
    tx.execute_many(
        "UPDATE chunk SET condemned = :epoch WHERE digest = :d AND condemned IS NULL",
        ({"d": digest, "epoch": epoch} for digest in digests),
    )


def revive(tx: Transaction, digests: Iterable[bytes]) -> None:
    """Take the mark away from chunks that are wanted after all."""
    tx.execute_many(
        "UPDATE chunk SET condemned = NULL WHERE digest = :d AND condemned IS NOT NULL",
        ({"d": digest} for digest in digests),
    )


def give_up(tx: Transaction, digests: Iterable[bytes], epoch: int) -> list[tuple[bytes, int]]:
    """Forget chunks that are condemned since this epoch or longer; their records become dead.

    Returns (digest, stored bytes) of those that are gone: not those that were revived meanwhile.
    """
    gone: list[tuple[bytes, int]] = []
    by_pack: dict[int, int] = {}
    for batch in _batches(list(digests)):
        for digest, pack, stored in tx.rows(_GIVE_UP, digests=batch, epoch=epoch):
            gone.append((digest, stored))
            by_pack[pack] = by_pack.get(pack, 0) + 1
    tx.execute_many(
        "UPDATE pack SET dead = dead + :count WHERE number = :pack",
        [{"pack": pack, "count": count} for pack, count in by_pack.items()],
    )
    return gone


def note_condemnation(tx: Transaction, epoch: int, now: datetime) -> None:
    """Record when chunks of an epoch were condemned last, and forget epochs without any.

    No time is after this one: grace that began with a clock that was ahead begins anew.
    """
    tx.execute(
        "INSERT INTO condemnation (epoch, condemned_us) VALUES (:epoch, :now)"
        " ON CONFLICT (epoch) DO UPDATE SET condemned_us = excluded.condemned_us",
        epoch=epoch,
        now=to_microseconds(now),
    )
    # The clock was ahead: what was condemned then would never be due, nor would anything after it.
    tx.execute(
        "UPDATE condemnation SET condemned_us = :now WHERE condemned_us > :now",
        now=to_microseconds(now),
    )
    tx.execute(
        "DELETE FROM condemnation WHERE epoch <"
        " (SELECT MIN(condemned) FROM chunk WHERE condemned IS NOT NULL)"
    )


def newest_condemned(tx: Transaction, before: datetime | None = None) -> int:
    """The newest epoch in which chunks were condemned (at or before a time); -1 for none.

    Times need not grow with epochs (a clock may be set back): all older epochs are due as well.
    """
    row = tx.row(
        "SELECT COALESCE(MIN(epoch) - 1, (SELECT COALESCE(MAX(epoch), -1) FROM condemnation))"
        " FROM condemnation WHERE condemned_us > :before",
        before=1 << 62 if before is None else to_microseconds(before),
    )
    assert row is not None, "an aggregate always has a row"
    return int(row[0])


def any_condemned(tx: Transaction) -> bool:
    """Whether there is a condemned chunk."""
    return tx.row("SELECT 1 FROM chunk WHERE condemned IS NOT NULL LIMIT 1") is not None


def usage(tx: Transaction) -> list[PackUse]:
    """Every known pack and how much of it is in the index. Reads the whole index."""
    used = {
        pack: (chunks, stored)
        for pack, chunks, stored in tx.rows(
            "SELECT pack, COUNT(*), CAST(SUM(stored_bytes) AS BIGINT) FROM chunk GROUP BY pack"
        )
    }
    return [
        PackUse(name, bool(sealed), dead, *used.get(number, (0, 0)))
        for number, name, sealed, dead in tx.rows(
            "SELECT number, name, sealed, dead FROM pack ORDER BY name"
        )
    ]


def dead_records(tx: Transaction) -> dict[str, int]:
    """By pack, how many of its records were given up."""
    rows = tx.rows("SELECT name, dead FROM pack WHERE dead > 0")
    return {str(name): int(dead) for name, dead in rows}


def move(tx: Transaction, places: Iterable[tuple[str, Location]]) -> None:
    """Chunks have a new place; each only if it is still in the old pack."""
    numbers: dict[str, int] = {}

    def number(pack: str) -> int:
        if pack not in numbers:
            numbers[pack] = _number(tx, pack)
        return numbers[pack]

    tx.execute_many(
        "UPDATE chunk SET pack = :p, start_bytes = :b, stored_bytes = :t, size_bytes = :s"
        " WHERE digest = :d AND pack = :old",
        [
            {
                "d": new.digest,
                "p": number(new.pack),
                "b": new.offset,
                "t": new.stored,
                "s": new.size,
                "old": number(old),
            }
            for old, new in sorted(places, key=lambda pair: pair[1].digest)
        ],
    )


def repoint(tx: Transaction, place: Location) -> None:
    """A chunk is here, whatever the index said before."""
    tx.execute("DELETE FROM chunk WHERE digest = :d", d=place.digest)
    add(tx, [place])


def forget_chunk(tx: Transaction, digest: bytes) -> None:
    """Drop a chunk that has no good copy, so that storing it again heals the store."""
    tx.execute("DELETE FROM chunk WHERE digest = :d", d=digest)


# --- the scratch database of a collection ---------------------------------------------------------

_IS_LIVE = (
    f"{_EACH} SELECT l.digest"
    " FROM each CROSS JOIN live l ON l.digest = substr(:digests, each.start, 32)"
)


def create_scratch(tx: Transaction) -> None:
    """The tables of an empty scratch database."""
    for statement in (
        "CREATE TABLE live (digest BLOB PRIMARY KEY NOT NULL) WITHOUT ROWID",
        "CREATE TABLE walked (kind BIGINT NOT NULL, digest BLOB NOT NULL,"
        " PRIMARY KEY (kind, digest)) WITHOUT ROWID",
        "CREATE TABLE start (number INTEGER PRIMARY KEY, kind BIGINT NOT NULL,"
        " digest BLOB NOT NULL, UNIQUE (kind, digest))",
    ):
        tx.execute(statement)


def add_live(tx: Transaction, digests: Iterable[bytes]) -> None:
    tx.execute_many(
        "INSERT INTO live (digest) VALUES (:d) ON CONFLICT (digest) DO NOTHING",
        ({"d": digest} for digest in digests),
    )


def live_among(tx: Transaction, digests: Sequence[bytes]) -> set[bytes]:
    """Which of the digests are in the set."""
    return {row[0] for batch in _batches(digests) for row in tx.rows(_IS_LIVE, digests=batch)}


def live_count(tx: Transaction) -> int:
    row = tx.row("SELECT COUNT(*) FROM live")
    assert row is not None, "an aggregate always has a row"
    return int(row[0])


def live_page(tx: Transaction, after: bytes, most: int) -> list[bytes]:
    """The next digests of the set in order."""
    rows = tx.rows(
        "SELECT digest FROM live WHERE digest > :after ORDER BY digest LIMIT :most",
        after=after,
        most=most,
    )
    return [row[0] for row in rows]


def walk_once(tx: Transaction, kind: int, digests: Iterable[bytes]) -> list[bytes]:
    """Those of the objects that were not walked before; they count as walked from now on."""
    return [
        digest
        for digest in digests
        if tx.change(
            "INSERT INTO walked (kind, digest) VALUES (:k, :d) ON CONFLICT DO NOTHING",
            k=kind,
            d=digest,
        )
    ]


def add_starts(tx: Transaction, starts: Iterable[tuple[int, bytes]]) -> None:
    """Note where to begin walking, each once, in this order."""
    tx.execute_many(
        "INSERT INTO start (kind, digest) VALUES (:k, :d) ON CONFLICT DO NOTHING",
        ({"k": kind, "d": digest} for kind, digest in starts),
    )


def starts_after(tx: Transaction, number: int, most: int) -> list[tuple[int, int, bytes]]:
    """The next (number, kind, digest) to begin at."""
    rows = tx.rows(
        "SELECT number, kind, digest FROM start WHERE number > :number ORDER BY number LIMIT :most",
        number=number,
        most=most,
    )
    return [(int(n), int(kind), digest) for n, kind, digest in rows]


# --- the scratch database of a survey -------------------------------------------------------------


def create_uses(tx: Transaction) -> None:
    """The tables of an empty survey: who uses which chunks, and what was walked for whom."""
    for statement in (
        "CREATE TABLE used (digest BLOB NOT NULL, owner BIGINT NOT NULL,"
        " PRIMARY KEY (digest, owner)) WITHOUT ROWID",
        "CREATE TABLE walked (kind BIGINT NOT NULL, digest BLOB NOT NULL,"
        " PRIMARY KEY (kind, digest)) WITHOUT ROWID",
    ):
        tx.execute(statement)


def add_uses(tx: Transaction, owner: int, digests: Iterable[bytes]) -> None:
    tx.execute_many(
        "INSERT INTO used (digest, owner) VALUES (:d, :o) ON CONFLICT DO NOTHING",
        ({"d": digest, "o": owner} for digest in digests),
    )


def uses_after(tx: Transaction, digest: bytes, owner: int, most: int) -> list[tuple[bytes, int]]:
    """The next (digest, owner) in order."""
    rows = tx.rows(
        "SELECT digest, owner FROM used WHERE (digest, owner) > (:digest, :owner)"
        " ORDER BY digest, owner LIMIT :most",
        digest=digest,
        owner=owner,
        most=most,
    )
    return [(digest, int(owner)) for digest, owner in rows]
