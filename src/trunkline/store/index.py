"""Where each chunk is: what a store asks, whoever has the answer.

The index is a file beside the packs, or is in a database that several servers share (`TableIndex`);
a worker that can't open it asks its server (`jobs.places`).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from trunkline.db.database import Database, ServerDatabase, Transaction
from trunkline.db.migrate import migrate
from trunkline.db.opening import open_database
from trunkline.db.sqlite import SqliteDatabase
from trunkline.db.sqlite_checks import file_problems
from trunkline.errors import Corrupt, StorageFull, StoreTooNew, Unavailable
from trunkline.store import tables
from trunkline.store.packs import Location

BESIDE = "store"  # what the schema of an index is called beside that of its catalog


class Index(Protocol):
    """What is asked for while chunks are stored and read. Thread-safe."""

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        """Where the chunks are that are known."""

    def known(self, digests: Sequence[bytes]) -> set[bytes]:
        """Which of the chunks are known."""

    def claim(self, digests: Sequence[bytes]) -> set[bytes]:
        """Which of the chunks are known; those that were condemned are wanted again from now on."""

    def publish(self, places: Sequence[Location], *, sealed: str | None) -> None:
        """Chunks are durable, and maybe a pack will not grow any more."""

    def close(self) -> None: ...


class TableIndex:
    """The index itself, in a database."""

    def __init__(
        self, database: Database, *, problems: Callable[[Transaction], list[str]] = file_problems
    ) -> None:
        self._database = database
        self.problems = problems  # what is wrong with pages and rows
        self.read: Callable[[], AbstractContextManager[Transaction]] = database.read
        self.write: Callable[[], AbstractContextManager[Transaction]] = database.write

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        with self.read() as tx:
            return tables.find(tx, digests)

    def known(self, digests: Sequence[bytes]) -> set[bytes]:
        with self.read() as tx:
            return set(tables.known(tx, digests))

    def claim(self, digests: Sequence[bytes]) -> set[bytes]:
        with self.read() as tx:
            there = tables.known(tx, digests)
        condemned = [digest for digest, is_condemned in there.items() if is_condemned]
        if not condemned:
            return set(there)
        with self.write() as tx:
            tables.revive(tx, condemned)
            still = tables.known(tx, condemned)
        return {digest for digest, was in there.items() if not was or digest in still}

    def publish(self, places: Sequence[Location], *, sealed: str | None) -> None:
        with self.write() as tx:
            tables.add(tx, places)
            if sealed is not None:
                tables.set_sealed(tx, sealed)

    def scrub(self) -> bool:
        """See `db.database.Database.scrub`."""
        return self._database.scrub()

    def close(self) -> None:
        self._database.close()


def open_file(path: Path) -> SqliteDatabase:
    """An index in a file, with the newest schema; raises Corrupt for one that can't be used."""
    # Losing the last transactions in a power cut is harmless: the packs tell them again.
    database = SqliteDatabase(path, durable=False)
    try:
        migrate(database, "index", where=str(path.parent))
        with database.read() as tx:
            tables.find(tx, [bytes(32)])
            tables.packs(tx)
    except (StoreTooNew, StorageFull, Unavailable, OSError, MemoryError):
        database.close()
        raise
    except Exception as error:
        # A damaged schema shows itself in many ways, and all of them end in making it anew.
        database.close()
        raise Corrupt(f"the index {path}", "a whole database", str(error)) from error
    return database


def open_shared(url: str) -> ServerDatabase:
    """The index that servers share, in a schema beside that of their catalog."""
    database = open_database(url, beside=BESIDE)
    try:
        migrate(database, "index", where=database.name)
    except BaseException:
        database.close()
        raise
    return database


def problems_told(tx: Transaction) -> list[str]:
    """What a database says by itself that is wrong with it."""
    return [found.problem for found in tx.problems()]
