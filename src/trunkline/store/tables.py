"""The SQL of the chunk index. Look-ups go in batches: one statement for many digests."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from trunkline.db.database import Row, Transaction
from trunkline.db.migrate import migrate
from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import Corrupt, StorageFull, StoreTooNew, Unavailable
from trunkline.store.packs import CHUNK_BYTES_MAX, Location

_BATCH = 1000  # digests in one statement

# All digests come as one parameter, which is several times quicker than a parameter for each.
_EACH = (
    "WITH RECURSIVE each (start) AS ("
    " SELECT 1 UNION ALL SELECT start + 32 FROM each WHERE start + 32 < length(:digests))"
)
_FIND = (
    f"{_EACH} SELECT c.digest, p.name, c.start_bytes, c.stored_bytes, c.size_bytes"
    " FROM each CROSS JOIN chunk c ON c.digest = substr(:digests, each.start, 32)"
    " JOIN pack p ON p.number = c.pack"
)
_KNOWN = (
    f"{_EACH} SELECT c.digest"
    " FROM each CROSS JOIN chunk c ON c.digest = substr(:digests, each.start, 32)"
)
# All in one statement, so that other threads run meanwhile. Numbers as digits: SQL reads no others.
_ADD = (
    "WITH RECURSIVE each (n) AS ("
    " SELECT 0 UNION ALL SELECT n + 1 FROM each WHERE (n + 1) * 32 < length(:digests))"
    " INSERT INTO chunk (digest, pack, start_bytes, stored_bytes, size_bytes)"
    " SELECT substr(:digests, n * 32 + 1, 32), :pack,"
    " CAST(CAST(substr(:numbers, n * 40 + 1, 20) AS TEXT) AS INTEGER),"
    " CAST(CAST(substr(:numbers, n * 40 + 21, 10) AS TEXT) AS INTEGER),"
    " CAST(CAST(substr(:numbers, n * 40 + 31, 10) AS TEXT) AS INTEGER)"
    " FROM each WHERE true ON CONFLICT (digest) DO NOTHING"
)


def open_index(path: Path) -> SqliteDatabase:
    """The index, with the newest schema; raises Corrupt for a file that can't be used."""
    # Losing the last transactions in a power cut is harmless: the packs tell them again.
    database = SqliteDatabase(path, durable=False)
    try:
        migrate(database, "index", where=str(path.parent))
        with database.read() as tx:
            find(tx, [bytes(32)])
            packs(tx)
    except (StoreTooNew, StorageFull, Unavailable):
        database.close()
        raise
    except Exception as error:
        # A damaged schema shows itself in many ways, and all of them end in making it anew.
        database.close()
        raise Corrupt(f"the index {path}", "a whole database", str(error)) from error
    return database


def find(tx: Transaction, digests: Sequence[bytes]) -> dict[bytes, Location]:
    """Where the chunks are that the index knows."""
    rows = [row for batch in _batches(digests) for row in tx.rows(_FIND, digests=batch)]
    return {row[0]: _location(row) for row in rows}


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


def known(tx: Transaction, digests: Sequence[bytes]) -> set[bytes]:
    """Which of the chunks the index knows."""
    return {row[0] for batch in _batches(digests) for row in tx.rows(_KNOWN, digests=batch)}


def _batches(digests: Sequence[bytes]) -> Iterable[bytes]:
    for start in range(0, len(digests), _BATCH):
        yield b"".join(digests[start : start + _BATCH])


def add(tx: Transaction, places: Iterable[Location]) -> None:
    """Record where chunks are; one that is known already stays where it is."""
    by_pack: dict[str, list[Location]] = {}
    # In the order of the tree that holds them: neighbours share its pages.
    for place in sorted(places):
        by_pack.setdefault(place.pack, []).append(place)
    for pack, listed in by_pack.items():
        number = _number(tx, pack)
        for start in range(0, len(listed), _BATCH):
            batch = listed[start : start + _BATCH]
            numbers = "".join(
                [f"{place.offset:020}{place.stored:010}{place.size:010}" for place in batch]
            )
            tx.execute(
                _ADD,
                digests=b"".join([place.digest for place in batch]),
                numbers=numbers.encode("ascii"),
                pack=number,
            )


def _number(tx: Transaction, pack: str) -> int:
    tx.execute("INSERT INTO pack (name) VALUES (:n) ON CONFLICT (name) DO NOTHING", n=pack)
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
    return [_location(row) for row in rows]


def forget_pack(tx: Transaction, pack: str) -> None:
    """Drop a pack that is gone, so that its chunks can be stored again."""
    number = _number(tx, pack)
    tx.execute("DELETE FROM chunk WHERE pack = :n", n=number)
    tx.execute("DELETE FROM pack WHERE number = :n", n=number)


def problems(tx: Transaction) -> list[str]:
    """What the database itself finds wrong with the file of the index."""
    return [str(row[0]) for row in tx.rows("PRAGMA integrity_check") if row[0] != "ok"]
