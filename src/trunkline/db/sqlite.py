"""SQLite: write-ahead log, one writer, a snapshot for each reader.

Cost of a durable write transaction: one fsync of the log. Readers and the writer never block each
other.
"""

import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

from trunkline.db import guards
from trunkline.db.database import FileProblem, Row, Soon, Transaction, Value, replace_rows
from trunkline.db.seals import FUNCTION, row_seal
from trunkline.db.translation import Translation
from trunkline.db.wakeups import Revision
from trunkline.errors import Corrupt, StorageFull, TrunklineError, Unavailable

BUSY_TIMEOUT_S = 60.0  # for writers in other processes
# What the driver says of a file that a changed byte has reached, its schema included: all of our
# own statements are known to fit the schema.
_DAMAGED = (
    *("decode", "unsupported file format", "no such column", "no such table", "syntax error"),
    "user-defined function",  # ours raise nothing; text that is none can't be given to them
)
SCRUB_TIMEOUT_S = 5.0  # for the end of reads that still need the log
READERS_KEPT = 8  # connections that wait for the next reader; more are closed after use


class SqliteTransaction:
    """A transaction on one connection; see `db.database.Transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._translated = translated(path)

    def rows(self, sql: str, **parameters: Value) -> list[Row]:
        with self._translated:
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, **parameters: Value) -> Row | None:
        with self._translated:
            found: Row | None = self._connection.execute(sql, parameters).fetchone()
            return found

    def ask(self, sql: str, **parameters: Value) -> Soon[list[Row]]:
        with self._translated:
            found = self._connection.execute(sql, parameters).fetchall()
        return lambda: found

    def execute(self, sql: str, **parameters: Value) -> None:
        with self._translated:
            self._connection.execute(sql, parameters)

    def change(self, sql: str, **parameters: Value) -> int:
        with self._translated:
            return self._connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, parameters: Iterable[Mapping[str, Value]]) -> None:
        with self._translated:
            self._connection.executemany(sql, parameters)

    def hex(self, sql: str) -> str:
        return f"hex({sql})"

    def stream(self, sql: str) -> Iterator[Row]:
        with self._translated:
            yield from self._connection.execute(sql)

    def tables(self) -> list[str]:
        rows = self.rows(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
            "ORDER BY name"
        )
        return [str(name) for (name,) in rows]

    def columns(self, table: str) -> list[str]:
        rows = self.rows("SELECT name FROM pragma_table_info(:table) ORDER BY cid", table=table)
        return [str(name) for (name,) in rows]

    def define(self, sql: str) -> None:
        self.execute(sql)

    def lift_guards(self) -> None:
        guards.lift_guards(self)

    @property
    def blind_spots(self) -> tuple[str, ...]:
        return ()

    def problems(self) -> list[FileProblem]:
        return guards.guard_problems(self)


class SqliteDatabase:
    """See `db.database.Database`.

    `durable` true means that a committed transaction survives power loss (synchronous=FULL);
    otherwise it survives the death of the process, and the file stays whole in any case.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._durable = durable
        self._write_lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []  # not in use, the last used one last
        self._readers_lock = threading.Lock()
        self._closed = False
        self._revision = Revision()
        with translated(path):
            self._writer = self._connect()

    @property
    def name(self) -> str:
        return f"the database {self._path}"

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with translated(self._path):
            connection = self._take_reader()
            try:
                connection.execute("BEGIN")
                yield SqliteTransaction(connection, self._path)
            finally:
                self._give_back(connection)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._write_lock, translated(self._path):
            if self._closed:
                raise Unavailable(f"the database {self._path} has been closed")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteTransaction(self._writer, self._path)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.rollback()
                raise
        self.notify()

    def guard(self, apart: Mapping[str, Collection[str]]) -> None:
        guards.guard_rows(self, apart=apart)

    def copy_to(self, path: Path) -> None:
        with translated(path):
            connection = self._connect()
            try:
                connection.execute("VACUUM INTO ?", (str(path),))
            finally:
                connection.close()

    def take_in(self, tables: Mapping[str, tuple[list[str], Iterable[Row]]]) -> None:
        with self.write() as tx:
            tx.execute("PRAGMA defer_foreign_keys=ON")
            replace_rows(tx, tables)

    def empty_log(self) -> None:
        """Bring all that the log has into the file, which is whole without it then."""
        with self._write_lock, translated(self._path):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def copy_pages_to(self, path: Path) -> None:
        """Write an exact copy, page by page, into a new file; not durable until it is synced."""
        with translated(self._path):
            connection = self._connect()
            copy = sqlite3.connect(path, isolation_level=None)
            try:
                copy.execute("PRAGMA journal_mode=OFF")
                copy.execute("PRAGMA synchronous=OFF")
                connection.backup(copy)
            finally:
                copy.close()
                connection.close()

    def take_pages_of(self, path: Path) -> None:
        """Become what a copy is, in one transaction: all of it or nothing, durably."""
        with self._write_lock, translated(self._path):
            source = sqlite3.connect(_read_only_uri(path), uri=True)
            try:
                source.backup(self._writer)
            finally:
                source.close()
        self.notify()

    @property
    def scrub_leaves(self) -> str:
        return ""

    def scrub(self) -> bool:
        with self._write_lock, translated(self._path):
            if self._closed:
                raise Unavailable(f"the database {self._path} has been closed")
            connection = self._connect()
            try:
                connection.execute("PRAGMA temp_store=FILE")  # as large as all of the database
                connection.execute(f"PRAGMA busy_timeout={int(SCRUB_TIMEOUT_S * 1000)}")
                connection.execute("VACUUM")
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._sync_log()  # its length: after a power cut it might have the old one
                return not busy
            finally:
                connection.close()

    def _sync_log(self) -> None:
        """Only the log: to open and close the database file would end SQLite's own locks on it."""
        try:
            with self._path.with_name(f"{self._path.name}-wal").open("rb+") as file:
                os.fsync(file.fileno())
        except FileNotFoundError:
            pass  # the last connection took it along
        except OSError as error:
            raise Unavailable(f"the log of {self._path} can't be synced: {error}") from error

    @property
    def revision(self) -> int:
        return self._revision.number

    def notify(self) -> None:
        self._revision.notify()

    def wait_for_change(self, seen: int, timeout_s: float) -> int:
        return self._revision.wait(seen, timeout_s)

    def close(self) -> None:
        with self._write_lock, self._readers_lock:
            self._closed = True
            self._writer.close()
            for connection in self._readers:
                connection.close()
            self._readers.clear()

    def _take_reader(self) -> sqlite3.Connection:
        with self._readers_lock:
            if self._closed:
                raise Unavailable(f"the database {self._path} has been closed")
            if self._readers:
                return self._readers.pop()
        connection = self._connect()
        connection.execute("PRAGMA query_only=ON")
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        connection.rollback()
        with self._readers_lock:
            if len(self._readers) < READERS_KEPT and not self._closed:
                self._readers.append(connection)
                return
        connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.create_function(FUNCTION, -1, row_seal, deterministic=True)
        return connection


@contextmanager
def reading(path: Path) -> Iterator[Transaction]:
    """A snapshot of a database that is not changed in any way, not even its schema or its log.

    Raises Unavailable for one that can't be read without that: its last changes are in its log, and
    the directory can't be written to. Raises Corrupt.
    """
    with translated(path):
        writable = os.access(path.parent, os.W_OK)
        log = path.with_name(f"{path.name}-wal")
        if not writable and log.exists() and log.stat().st_size:
            raise Unavailable(f"{path.parent} can't be written to, and {log.name} is to be read in")
        more = "" if writable else "&immutable=1"
        connection = sqlite3.connect(
            _read_only_uri(path) + more, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
        )
        try:
            connection.execute("BEGIN")
            yield SqliteTransaction(connection, path)
        finally:
            connection.close()


def roll_back(path: Path) -> None:
    """Undo what a crash left half-written in the file itself; the log is no part of this.

    That happens before a new file has a log. Readers of `reading` can't do it.
    """
    if path.with_name(f"{path.name}-journal").exists():
        with translated(path):
            connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
            try:
                connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            finally:
                connection.close()


def _read_only_uri(path: Path) -> str:
    return f"file:{quote(str(path))}?mode=ro"


def translated(path: Path) -> Translation:
    """Around what the driver does with a file."""
    return Translation(partial(_ours, path))


def _ours(path: Path, error: BaseException) -> TrunklineError | None:
    if isinstance(error, UnicodeDecodeError):  # the driver can't read its own words about damage
        return Corrupt(f"the database {path}", "a whole SQLite file", "a damaged one")
    if not isinstance(error, sqlite3.DatabaseError):
        return None
    text = str(error)
    if isinstance(error, sqlite3.OperationalError):
        if any(mark in text for mark in _DAMAGED):
            return Corrupt(f"the database {path}", "a whole SQLite file", text)
        if "full" in text or "disk I/O" in text:
            return StorageFull(str(path))
        if any(word in text for word in ("locked", "busy", "unable to open", "readonly")):
            return Unavailable(f"the database {path} can't be used now: {text}")
    elif "malformed" in text or "not a database" in text:
        return Corrupt(f"the database {path}", "a whole SQLite file", text)
    return None
