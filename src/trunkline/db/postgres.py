"""PostgreSQL: one writer of all processes at a time, a snapshot for each reader.

A write transaction takes a lock of the whole catalog first, as SQLite's does: what it then reads
stays true until it commits. Readers and the writer never block each other. Connections are made
when they are needed, reused, and replaced when they are lost (`db.postgres_line`). A transaction
begins with the first statement that is asked for an answer.

A connection that is lost while COMMIT is on its way leaves open whether that happened. The number
of the transaction tells, once there is a connection again: so a change that was made is reported as
made, one that was not as Unavailable, and nothing is done twice.
"""

import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from trunkline.db.database import FileProblem, Row, Soon, Transaction, Value, replace_rows
from trunkline.db.postgres_errors import translated
from trunkline.db.postgres_line import Connection, Line, Told
from trunkline.db.postgres_rows import for_columns, inserts, portions
from trunkline.db.postgres_schema import translated as as_postgres_reads_it
from trunkline.db.postgres_values import adapt, array_of, numbered
from trunkline.db.translation import Translation
from trunkline.db.wakeups import Wakeups
from trunkline.errors import InvalidInput, NotSupported, StoreInUse, Unavailable

READERS_MAX = 24  # connections for readers at once; more wait
READERS_KEPT = 8  # connections that wait for the next reader; more are closed after use
CONNECT_TIMEOUT_S = 10
WAIT_S = 60.0  # for a connection, or for writers in other processes
STATEMENT_TIMEOUT_S = 600.0
IDLE_TIMEOUT_S = 120.0  # of a write transaction in which nothing happens
_LOOK_S = 1.0  # between looks whether we still count, while another one has what we had alone
ALONE_WAIT_S = 3.0  # for the end of whoever has it alone, who may just have died
SETTLE_S = 30.0  # for a new connection that tells what became of a COMMIT
POLL_S = 10.0  # between looks for changes, should a notification have got lost
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
    "SET idle_in_transaction_session_timeout TO 0; "  # a reader may take its time
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
# What BEGIN begins, so that it need not say so each time.
_READERS = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_WRITERS = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"
_streams = count()  # a name comes once: a connection keeps in mind what FETCH gives from it


class PostgresTransaction:
    """A transaction on one connection; see `db.database.Transaction`."""

    def __init__(self, line: Line, ours: Translation) -> None:
        self._line = line
        self._translated = ours

    def rows(self, sql: str, **parameters: Value) -> list[Row]:
        with self._translated:
            return self._line.rows(self._told(sql, parameters))

    def row(self, sql: str, **parameters: Value) -> Row | None:
        with self._translated:
            return next(iter(self._line.rows(self._told(sql, parameters))), None)

    def ask(self, sql: str, **parameters: Value) -> Soon[list[Row]]:
        told = self._told(sql, parameters)

        def answer() -> list[Row]:
            with self._translated:
                return self._line.rows(told)

        return answer

    def execute(self, sql: str, **parameters: Value) -> None:
        self._told(sql, parameters)

    def change(self, sql: str, **parameters: Value) -> int:
        told = self._told(sql, parameters)
        with self._translated:
            self._line.go()
            return told.changed

    def execute_many(self, sql: str, parameters: Iterable[Mapping[str, Value]]) -> None:
        names = inserts(sql)
        if not names:
            for each in parameters:
                self._told(sql, each)
            return
        with self._translated:
            text, _ = numbered(sql)
            for rows in portions(sql, names, parameters):
                if len(rows) > 1 and self._told_as_arrays(sql, rows):
                    continue
                for row in rows:
                    self._line.tell(text, row)

    def _told_as_arrays(self, sql: str, rows: list[tuple[Value, ...]]) -> bool:
        """Insert rows by one statement; false where their values don't have one type each."""
        try:
            arrays = list(map(array_of, zip(*rows, strict=True)))
        except TypeError:
            return False
        given = tuple(array is not None for array in arrays)
        if any(given):
            self._line.tell_arrays(for_columns(sql, given), [a for a in arrays if a is not None])
        return any(given)

    def _told(self, sql: str, parameters: Mapping[str, Value]) -> Told:
        text, names = numbered(sql)
        with self._translated:
            return self._line.tell(text, [parameters[name] for name in names])

    def hex(self, sql: str) -> str:
        return f"encode({sql}, 'hex')"

    def stream(self, sql: str) -> Iterator[Row]:
        cursor = f"stream_{next(_streams)}"
        self._line.begin_block()
        self.execute(f"DECLARE {cursor} NO SCROLL CURSOR FOR {sql}")
        while page := self.rows(f"FETCH {_PAGE} FROM {cursor}"):
            yield from page
        self.execute(f"CLOSE {cursor}")

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
        self._translated = translated(self._name)
        self._alone = alone
        self._own = uuid.uuid4().hex
        self._write_lock = threading.Lock()
        self._readers: list[Line] = []  # not in use, the last used one last
        self._readers_lock = threading.Lock()
        self._places: SimpleQueue[None] = SimpleQueue()  # one for each reader that there may be
        for _ in range(READERS_MAX):
            self._places.put(None)
        self._closed = False
        self._schema = 0
        self.schema = ""
        self._condition: tuple[str, Callable[[], None]] | None = None
        self._opened = False  # once, with `alone`: who has it since then is us
        self._writer = Line(self._connect_writer)
        with self._translated:
            self._writer.open()
        self._wakeups = Wakeups(self._listen)

    @property
    def name(self) -> str:
        return self._name

    # --- transactions -----------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        try:
            self._places.get(timeout=WAIT_S)
        except Empty:
            raise Unavailable(f"all {READERS_MAX} connections to {self.name} are in use") from None
        try:
            with self._translated:
                line = self._take_reader()
                try:
                    line.begin_read()
                    yield PostgresTransaction(line, self._translated)
                    line.end()
                finally:
                    self._give_back(line)
        finally:
            self._places.put(None)

    def _take_reader(self) -> Line:
        with self._readers_lock:
            self._refuse_closed()
            return self._readers.pop() if self._readers else Line(self._connect_reader)

    def _give_back(self, line: Line) -> None:
        if line.leave("ROLLBACK"):
            with self._readers_lock:
                if len(self._readers) < READERS_KEPT and not self._closed:
                    self._readers.append(line)
                    return
        line.close()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._write_lock, self._translated:
            number = self._begin_write()
            try:
                yield PostgresTransaction(self._writer, self._translated)
                begun = number()
            except BaseException:
                self._writer.roll_back()
                raise
            self._commit(begun)
        self.notify()

    def _begin_write(self) -> Callable[[], str]:
        """Begin to write: nobody else does until the end. Gives the transaction's number, later.

        What is read is what was committed last: each statement sees that by itself.
        """
        self._refuse_closed()
        line = self._writer
        row, lost = self._condition or ("", None)
        lock = f"SELECT pg_advisory_xact_lock({_LOCKS}, {self._schema}), "
        told = line.begin("BEGIN", f"{lock}pg_current_xact_id()::text", *filter(None, [row]))

        def begun() -> None:
            if lost is not None and not line.rows(told[2]):
                line.roll_back()
                lost()
                raise _gone()

        line.once_begun(begun)
        return lambda: str(line.rows(told[1])[0][1])

    def _commit(self, number: str) -> None:
        try:
            self._writer.tell("SELECT pg_notify($1, $2)", [self._channel, self._own])
            self._writer.ask("COMMIT")
        except psycopg.OperationalError as error:
            if self._writer.roll_back():
                raise
            self._settle(number, error)
        except psycopg.Error:
            self._writer.roll_back()
            raise

    def _settle(self, number: str, error: psycopg.Error) -> None:
        """Return if a transaction was committed whose connection is lost; raises Unavailable.

        The server ends it before it gives the lock to anybody else.
        """
        deadline = time.monotonic() + SETTLE_S
        status = None
        while status is None:
            try:
                self._begin_write()
                told = self._writer.tell("SELECT pg_xact_status($1::xid8)", [number])
                [(found,)] = self._writer.rows(told)
                self._writer.roll_back()
                status = str(found)
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
        with self._write_lock, self._translated:
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
            self._writer.close()
            for line in self._readers:
                line.close()
            self._readers.clear()

    # --- connections ------------------------------------------------------------------------------

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Unavailable(f"the database {self.name} has been closed")

    def _connect(self) -> Connection:
        connection: Connection = psycopg.connect(**self._parameters, autocommit=True)
        try:
            if connection.info.server_version < _OLDEST:
                raise NotSupported(
                    f"{self.name} is PostgreSQL {connection.info.server_version // 10000}; "
                    f"Trunkline needs {_OLDEST // 10000} or newer"
                )
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

    def _connect_reader(self) -> Connection:
        connection = self._connect()
        connection.execute(_READERS)
        return connection

    def _connect_writer(self) -> Connection:
        """A connection that, with `alone`, has the lock that no two have; it ends with it."""
        connection = self._connect()
        connection.execute(
            f"{_WRITERS}; SET idle_in_transaction_session_timeout TO {int(IDLE_TIMEOUT_S * 1000)}"
        )
        if not self._alone:
            return connection
        first = self._opened is False
        try:
            self._take_alone(connection, ALONE_WAIT_S if first else WAIT_S)
        except BaseException as error:
            connection.close()
            if first and isinstance(error, psycopg.errors.LockNotAvailable):
                raise StoreInUse(self.name, "another server") from error
            raise
        self._opened = True
        return connection

    def _take_alone(self, connection: Connection, wait_s: float) -> None:
        """Have the lock that no two have. Who counts as gone does not wait: another one has it."""
        deadline = time.monotonic() + wait_s
        while True:
            row, lost = self._condition or ("", None)
            if lost is not None and connection.execute(row, prepare=False).fetchone() is None:
                lost()
                raise _gone()
            wait_ms = max(1, int(1000 * min(_LOOK_S, deadline - time.monotonic())))
            try:
                connection.execute(
                    f"SET lock_timeout TO {wait_ms}; "
                    f"SELECT pg_advisory_lock({_LOCKS + 1}, {self._schema}); "
                    f"SET lock_timeout TO {int(WAIT_S * 1000)}",
                    prepare=False,
                )
                return
            except psycopg.errors.LockNotAvailable:
                if time.monotonic() >= deadline:
                    raise


def _gone() -> Unavailable:
    return Unavailable(
        "this server was not heard of for too long, and counts as gone; it begins anew"
    )


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
