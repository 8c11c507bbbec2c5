"""PostgreSQL: one writer of all processes at a time, a snapshot for each reader.

A write transaction takes a lock of the whole catalog first, as SQLite's does: what it then reads
stays true until it commits. Readers and the writer never block each other. Connections are made
when they are needed, reused, and replaced when they are lost.

A connection that is lost while COMMIT is on its way leaves open whether that happened. The number
of the transaction tells, once there is a connection again: so a change that was made is reported as
made, one that was not as Unavailable, and nothing is done twice.
"""

import select
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import RawCursor, RawServerCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from trunkline.db.database import FileProblem, Row, Transaction, Value, replace_rows
from trunkline.db.postgres_errors import translated
from trunkline.db.postgres_rows import for_rows, inserts, portions
from trunkline.db.postgres_schema import translated as as_postgres_reads_it
from trunkline.db.postgres_values import adapt, numbered
from trunkline.db.wakeups import Wakeups
from trunkline.errors import InvalidInput, NotSupported, StoreInUse, Unavailable

READERS_MAX = 24  # connections for readers at once; more wait
READERS_KEPT = 8  # connections that wait for the next reader; more are closed after use
CONNECT_TIMEOUT_S = 10
WAIT_S = 60.0  # for a connection, or for writers in other processes
STATEMENT_TIMEOUT_S = 600.0
IDLE_TIMEOUT_S = 120.0  # of a write transaction in which nothing happens
ALONE_WAIT_S = 3.0  # for the end of whoever has it alone, who may just have died
SETTLE_S = 30.0  # for a new connection that tells what became of a COMMIT
POLL_S = 10.0  # between looks for changes, should a notification have got lost
_PREPARED = 500  # statements that a connection keeps prepared
_PAGE = 1000
_OLDEST = 130000  # the oldest version of the server that has all that is used
_LOCKS = 1953656422  # what the locks of Trunkline begin with
_KEEPALIVE = {
    "connect_timeout": str(CONNECT_TIMEOUT_S),
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "application_name": "trunkline",
}
_SESSION = (
    "SET synchronous_commit TO on; SET standard_conforming_strings TO on; "
    f"SET statement_timeout TO {int(STATEMENT_TIMEOUT_S * 1000)}; "
    f"SET lock_timeout TO {int(WAIT_S * 1000)}; "
    "SET tcp_keepalives_idle TO 30; SET tcp_keepalives_interval TO 10; "
    "SET tcp_keepalives_count TO 3; SET tcp_user_timeout TO 60000; "
    "SET idle_in_transaction_session_timeout TO 0; "  # readers that wait have begun
    "SELECT current_schema()::regnamespace::oid::bigint, current_setting('server_encoding'),"
    " current_schema()::text"
)
# The schema is made once; two that make it at the same time have both made it.
_BESIDE = (
    "DO $do$ BEGIN IF to_regnamespace(quote_ident(current_schema() || '_{word}')) IS NULL "
    "THEN EXECUTE format('CREATE SCHEMA %I', current_schema() || '_{word}'); END IF; "
    "EXCEPTION WHEN unique_violation OR duplicate_schema THEN NULL; END $do$; "
    "SELECT set_config('search_path', quote_ident(current_schema() || '_{word}'), false); "
)
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_Connection = psycopg.Connection[Row]
IDLE, INTRANS = TransactionStatus.IDLE, TransactionStatus.INTRANS
INERROR = TransactionStatus.INERROR


class PostgresTransaction:
    """A transaction on one connection; see `db.database.Transaction`."""

    def __init__(self, connection: _Connection, name: str) -> None:
        self._connection = connection
        self._cursor = RawCursor(connection)
        self._streams = count()
        self._translated = translated(name)

    def rows(self, sql: str, **parameters: Value) -> list[Row]:
        cursor = self._run(sql, parameters)
        return cursor.fetchall() if _has_rows(cursor) else []

    def row(self, sql: str, **parameters: Value) -> Row | None:
        cursor = self._run(sql, parameters)
        return cursor.fetchone() if _has_rows(cursor) else None

    def execute(self, sql: str, **parameters: Value) -> int:
        return self._run(sql, parameters).rowcount

    def execute_many(self, sql: str, parameters: Iterable[Mapping[str, Value]]) -> None:
        names = inserts(sql)
        with self._translated:
            if names is None:
                text, names = numbered(sql)
                values = ([each[name] for name in names] for each in parameters)
                self._cursor.executemany(text, values)
                return
            for rows in portions(sql, names, parameters):
                self._cursor.execute(for_rows(sql, len(rows)), list(chain.from_iterable(rows)))

    def _run(self, sql: str, parameters: Mapping[str, Value]) -> RawCursor[Row]:
        text, names = numbered(sql)
        with self._translated:
            return self._cursor.execute(text, [parameters[name] for name in names])

    def hex(self, sql: str) -> str:
        return f"encode({sql}, 'hex')"

    def stream(self, sql: str) -> Iterator[Row]:
        stream = f"stream_{next(self._streams)}"
        with self._translated, RawServerCursor(self._connection, stream) as cursor:
            cursor.itersize = _PAGE
            cursor.execute(sql)
            yield from cursor

    def tables(self) -> list[str]:
        rows = self.rows(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() "
            'ORDER BY tablename COLLATE "C"'
        )
        return [str(name) for (name,) in rows]

    def columns(self, table: str) -> list[str]:
        rows = self.rows(
            "SELECT column_name::text FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND table_name = :table "
            "ORDER BY ordinal_position",
            table=table,
        )
        return [str(name) for (name,) in rows]

    def define(self, sql: str) -> None:
        for statement in as_postgres_reads_it(sql):
            self.execute(statement)

    def lift_guards(self) -> None:
        """The server has checksums of its own, of pages."""

    @property
    def blind_spots(self) -> tuple[str, ...]:
        found = []
        for setting, what in (
            ("data_checksums", "bytes that change on its disk are not noticed"),
            ("fsync", "a power cut may cost all of it"),
            ("full_page_writes", "a power cut may tear pages"),
        ):
            if self.row("SELECT current_setting(:setting)", setting=setting) != ("on",):
                found.append(f"PostgreSQL, which has the catalog, runs with {setting} off: {what}")
        return tuple(found)

    def problems(self) -> list[FileProblem]:
        row = self.row(
            "SELECT COALESCE(checksum_failures, 0) FROM pg_stat_database "
            "WHERE datname = current_database()"
        )
        if row is None or not row[0]:
            return []
        return [FileProblem(f"PostgreSQL has found {row[0]:,} pages with wrong checksums in it")]


class PostgresDatabase:
    """See `db.database.Database`. The tables are in the first schema of the search path.

    Raises InvalidInput for a URL that can't be read, NotSupported for a server that is too old or
    has another encoding than UTF-8, Unavailable where it can't be reached. With `alone`, nobody
    else may have it open like that: raises StoreInUse.
    """

    def __init__(self, url: str, *, alone: bool = False, beside: str = "") -> None:
        self._parameters = _parameters(url)
        self._session = (_BESIDE.format(word=beside) if beside else "") + _SESSION
        self._name = _name(self._parameters)
        self._alone = alone
        self._own = uuid.uuid4().hex
        self._write_lock = threading.Lock()
        self._readers: list[_Connection] = []  # not in use, the last used one last
        self._readers_lock = threading.Lock()
        self._places = threading.BoundedSemaphore(READERS_MAX)
        self._closed = False
        self._schema = 0
        self.schema = ""
        self._condition: tuple[str, Callable[[], None]] | None = None
        self._opened = False  # once, with `alone`: who has it since then is us
        self._writer: _Connection | None = None
        with translated(self.name):
            self._writer = self._connect_writer()
        self._wakeups = Wakeups(self._listen)

    @property
    def name(self) -> str:
        return self._name

    # --- transactions -----------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with self._place(), translated(self.name):
            connection = self._begin_read()
            try:
                yield PostgresTransaction(connection, self.name)
            finally:
                self._give_back(connection)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=WAIT_S):
            raise Unavailable(f"all {READERS_MAX} connections to {self.name} are in use")
        try:
            yield
        finally:
            self._places.release()

    def _begin_read(self) -> _Connection:
        """A connection with an open transaction; those that got lost meanwhile are dropped."""
        while True:
            with self._readers_lock:
                self._refuse_closed()
                kept = self._readers.pop() if self._readers else None
            connection = kept or self._connect()
            try:
                if kept is None:
                    connection.execute(_READ)
                elif not _has_begun(connection):
                    raise psycopg.OperationalError("it was lost")
            except psycopg.OperationalError:
                connection.close()
                if kept is None:
                    raise
            else:
                return connection

    def _give_back(self, connection: _Connection) -> None:
        if _begin_anew(connection):
            with self._readers_lock:
                if len(self._readers) < READERS_KEPT and not self._closed:
                    self._readers.append(connection)
                    return
        connection.close()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._write_lock, translated(self.name):
            connection, number = self._begin_write()
            try:
                yield PostgresTransaction(connection, self.name)
            except BaseException:
                self._rolled_back(connection)
                raise
            self._commit(connection, number)
        self.notify()

    def _begin_write(self) -> tuple[_Connection, str]:
        """The writer's connection with an open transaction, whose number is told."""
        self._refuse_closed()
        while True:
            kept = self._writer
            connection = kept or self._connect_writer()
            self._writer = connection
            try:
                return connection, self._lock(connection)
            except psycopg.OperationalError:
                # One that is well waited for too long, say.
                if self._rolled_back(connection) or kept is None:
                    raise

    def _lock(self, connection: _Connection) -> str:
        """Begin to write: nobody else does until the end. Returns the transaction's number.

        What is read afterwards is what was committed last: each statement sees that by itself.
        """
        condition, lost = self._condition or ("", None)
        cursor = connection.execute(
            "BEGIN ISOLATION LEVEL READ COMMITTED; "
            f"SELECT pg_advisory_xact_lock({_LOCKS}, {self._schema}), pg_current_xact_id()::text; "
            + condition,
            prepare=False,
        )
        cursor.nextset()
        row = cursor.fetchone()
        assert row is not None, "the statement gives a row"
        if lost is not None:
            cursor.nextset()
            if cursor.fetchone() is None:
                self._rolled_back(connection)
                lost()
                raise Unavailable(
                    "this server was not heard of for too long, and counts as gone; it begins anew"
                )
        return str(row[1])

    def _commit(self, connection: _Connection, number: str) -> None:
        try:
            connection.execute(
                f"SELECT pg_notify('{self._channel}', '{self._own}'); COMMIT", prepare=False
            )
        except psycopg.OperationalError as error:
            if self._rolled_back(connection):
                raise
            self._settle(number, error)

    def _rolled_back(self, connection: _Connection) -> bool:
        """End a transaction that failed; a connection where that fails too is given up.

        One that was lost in the middle of many statements does not count as closed by itself.
        """
        with suppress(psycopg.Error):
            connection.execute("ROLLBACK")
            if connection.info.transaction_status == IDLE:
                return True
        connection.close()
        self._writer = None
        return False

    def _settle(self, number: str, error: psycopg.Error) -> None:
        """Return if a transaction was committed whose connection is lost; raises Unavailable.

        The server ends it before it gives the lock to anybody else.
        """
        deadline = time.monotonic() + SETTLE_S
        status = None
        while status is None:
            try:
                connection, _ = self._begin_write()
                found = connection.execute("SELECT pg_xact_status($1::xid8)", [number]).fetchone()
                connection.execute("ROLLBACK")
                status = "" if found is None else str(found[0])
            except (psycopg.Error, Unavailable):
                if time.monotonic() > deadline or self._closed:
                    raise Unavailable(
                        f"the connection to {self.name} was lost while a change was being "
                        "committed; whether it was made shows when the database is back"
                    ) from error
                time.sleep(0.1)
        if status != "committed":
            raise Unavailable(
                f"the connection to {self.name} was lost, and the change was not made"
            ) from error

    def is_alone(self) -> bool:
        return bool(self._of_holder("pid"))

    def end_alone(self) -> None:
        self._of_holder("pg_terminate_backend(pid)")

    def _of_holder(self, what: str) -> list[Row]:
        """Something about the session that has the lock which no two have."""
        with self.read() as tx:
            return tx.rows(
                f"SELECT {what} FROM pg_locks "  # noqa: S608 a column or a function
                "WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
                "AND classid::bigint = :lock AND objid::bigint = :schema AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())",
                lock=_LOCKS + 1,
                schema=self._schema,
            )

    def only_while(self, row: str, lost: Callable[[], None]) -> None:
        with self._write_lock:
            self._condition = (row, lost)

    # --- the whole --------------------------------------------------------------------------------

    def guard(self, apart: Mapping[str, Collection[str]]) -> None:
        """The checksums of the server are what notices changed bytes."""

    def copy_to(self, path: Path) -> None:
        from trunkline.db.transfer import copy_into_file

        with self.read() as tx:
            copy_into_file(tx, path)

    def take_in(self, tables: Mapping[str, tuple[list[str], Iterable[Row]]]) -> None:
        with self.write() as tx:
            tx.execute("SET CONSTRAINTS ALL DEFERRED")
            replace_rows(tx, tables)
            self._count_on(tx)

    def _count_on(self, tx: Transaction) -> None:
        """Have numbers that the database gives out begin behind those that are there."""
        for table, column in tx.rows(
            "SELECT table_name::text, column_name::text FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND is_identity = 'YES'"
        ):
            tx.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "  # noqa: S608
                f'COALESCE(MAX("{column}"), 0) + 1, false) FROM "{table}"'
            )

    def scrub(self) -> bool:
        with self._write_lock, translated(self.name):
            self._refuse_closed()
            connection = self._connect()
            try:
                connection.execute("SET statement_timeout TO 0")
                with self.read() as tx:
                    names = tx.tables()
                for name in names:
                    connection.execute(f'VACUUM FULL "{name}"')
                with suppress(psycopg.errors.InsufficientPrivilege):
                    connection.execute("CHECKPOINT")
            finally:
                connection.close()
        return True

    @property
    def scrub_leaves(self) -> str:
        return (
            f"the log of {self.name} (pg_wal), its archive, replicas and dumps may still hold what "
            "was in the catalog: have them expire"
        )

    # --- changes ----------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        return self._wakeups.revision

    def notify(self) -> None:
        self._wakeups.notify()

    def wait_for_change(self, seen: int, timeout_s: float) -> int:
        return self._wakeups.wait(seen, timeout_s)

    def _listen(self, closing: threading.Event, changed: Wakeups) -> None:
        """Hear of what other processes commit, until the end or until the connection is lost."""
        with suppress(psycopg.Error, Unavailable), self._connect() as connection:
            connection.execute(f"LISTEN {self._channel}")
            changed.notify()  # what was committed before
            while not closing.is_set():
                for notice in connection.notifies(timeout=POLL_S, stop_after=1):
                    if notice.payload != self._own:
                        changed.notify()
                    break
                else:
                    connection.execute("SELECT 1")
                    changed.notify()

    @property
    def _channel(self) -> str:
        return f"trunkline_{self._schema}"

    def close(self) -> None:
        self._wakeups.close()
        with self._write_lock, self._readers_lock:
            self._closed = True
            if self._writer is not None:
                self._writer.close()
            for connection in self._readers:
                connection.close()
            self._readers.clear()

    # --- connections ------------------------------------------------------------------------------

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Unavailable(f"the database {self.name} has been closed")

    def _connect(self) -> _Connection:
        connection = psycopg.connect(**self._parameters, autocommit=True, cursor_factory=RawCursor)
        try:
            if connection.info.server_version < _OLDEST:
                raise NotSupported(
                    f"{self.name} is PostgreSQL {connection.info.server_version // 10000}; "
                    f"Trunkline needs {_OLDEST // 10000} or newer"
                )
            connection.prepared_max = _PREPARED
            adapt(connection)
            cursor = connection.execute(self._session, prepare=False)
            while cursor.nextset():
                pass
            schema, encoding, name = cursor.fetchone() or (None, "", "")
            if schema is None:
                raise InvalidInput(f"{self.name} has no schema that the search path names")
            if encoding != "UTF8":
                raise NotSupported(
                    f"{self.name} has the encoding {encoding}; make it with ENCODING 'UTF8'"
                )
            self._schema, self.schema = int(schema) & 0x7FFFFFFF, str(name)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_writer(self) -> _Connection:
        """A connection that, with `alone`, has the lock that no two have; it ends with it."""
        connection = self._connect()
        connection.execute(
            f"SET idle_in_transaction_session_timeout TO {int(IDLE_TIMEOUT_S * 1000)}"
        )
        if not self._alone:
            return connection
        first = self._opened is False
        wait_ms = int((ALONE_WAIT_S if first else WAIT_S) * 1000)
        try:
            connection.execute(
                f"SET lock_timeout TO {wait_ms}; "
                f"SELECT pg_advisory_lock({_LOCKS + 1}, {self._schema}); "
                f"SET lock_timeout TO {int(WAIT_S * 1000)}",
                prepare=False,
            )
        except psycopg.Error as error:
            connection.close()
            if first and isinstance(error, psycopg.errors.LockNotAvailable):
                raise StoreInUse(self.name, "another server") from error
            raise
        self._opened = True
        return connection


def _has_rows(cursor: RawCursor[Row]) -> bool:
    """Whether a statement gave any; its `description` says so too, at the cost of the statement."""
    return cursor.pgresult is not None and cursor.pgresult.nfields > 0


def _begin_anew(connection: _Connection) -> bool:
    """End a read and begin the next one, without waiting for that: it takes as long as a question.

    One that has begun sees what was committed when it asks for the first time, and costs the server
    nothing until then. False if the connection is lost.
    """
    if connection.info.transaction_status not in (INTRANS, INERROR):
        return False
    try:
        connection.pgconn.send_query(f"ROLLBACK; {_READ}".encode())
        return connection.pgconn.flush() == 0
    except psycopg.Error:
        return False


def _has_begun(connection: _Connection) -> bool:
    """Wait for what `_begin_anew` began; False if the connection is lost since, as far as seen.

    libpq itself would wait without letting other threads run.
    """
    answer = select.poll()
    answer.register(connection.pgconn.socket, select.POLLIN)
    while True:
        while connection.pgconn.is_busy():
            if not answer.poll(WAIT_S * 1000):
                return False
            connection.pgconn.consume_input()
        if connection.pgconn.get_result() is None:
            break
    # What the server says of its own accord then is that it ends the connection.
    return not answer.poll(0) and connection.info.transaction_status == INTRANS


def _parameters(url: str) -> dict[str, Any]:
    """What libpq is told; raises InvalidInput without a word of the URL, which has a password."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        raise InvalidInput(
            "TRUNKLINE_DATABASE can't be read; it is written "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None
    return {**_KEEPALIVE, **{key: value for key, value in given.items() if value is not None}}


def _name(parameters: Mapping[str, Any]) -> str:
    """How sentences call it, without its password."""
    database, host, port = (str(parameters.get(key) or "") for key in ("dbname", "host", "port"))
    place = f"{host}:{port}" if host and port else host or port
    return "the PostgreSQL database " + " at ".join(filter(None, (database, place)))
