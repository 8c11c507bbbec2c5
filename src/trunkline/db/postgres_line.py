"""Statements on one connection to PostgreSQL, as many as can be on one way there and back.

A statement whose rows nobody waits for is only noted, and goes along with the next one that is
asked for an answer, or with the end of the transaction. So does the begin of the transaction. A way
costs as much as some statements do, and more where the server is on another machine.

This is libpq's pipeline mode, by the driver's thin layer over libpq: in the driver's own pipelines
and cursors a statement takes several times as long, most of it in this process. A statement that
comes again is prepared, and the server keeps its plan.

A read that asks once needs no BEGIN: what goes without the mark that ends a way (Sync) is one
transaction until that is sent, and that is all that ends it. BEGIN before a second question makes a
transaction of the usual kind of it, with the same snapshot.

Nothing has happened for good before the answer to COMMIT is there. So a connection that turns out
to be lost before it has answered anything in a transaction is replaced, and what the transaction
has told is told anew.
"""

import enum
import select
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from trunkline.db.database import Row, Value
from trunkline.db.postgres_values import TEXT, encoded, unescaped

Connection = psycopg.Connection[Row]
_PREPARED_MAX = 500  # statements that a connection keeps in mind
_PREPARED_AFTER = 2  # times that it has come
_WAITING_MAX = 200  # statements that wait for a way; and then they go
_WAITING_BYTES_MAX = 256 * 1024
_BINARY = 1
_END = ExecStatus.PIPELINE_SYNC
_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE, ExecStatus.PIPELINE_ABORTED)


class Told:
    """A statement with its values, and what came of it."""

    __slots__ = ("data", "known", "result", "text", "types")

    def __init__(self, text: str, types: tuple[int, ...], data: list[bytes | None]) -> None:
        self.text = text
        self.types = types
        self.data = data
        self.known: _Known | None = None
        self.result: PGresult | None = None

    @property
    def failed(self) -> bool:
        return self.result is not None and self.result.status in _FAILED

    @property
    def changed(self) -> int:
        """How many rows it changed."""
        return 0 if self.result is None else self.result.command_tuples or 0


class _Known:
    """What a connection knows of a statement that has come before."""

    __slots__ = ("name", "texts", "times")

    def __init__(self) -> None:
        self.times = 0
        self.name: bytes | None = None
        self.texts: list[int] | None = None  # the columns with texts in what it gives


class _Read(enum.Enum):
    """How far a read is that has not begun a transaction of the usual kind; see above."""

    NOT_ASKED = 1
    ASKED = 2
    FAILED = 3


class Line:
    """One connection, which is made when it is needed and may be replaced; for one at a time."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._told: list[Told] = []  # and not sent
        self._bytes = 0  # of arrays among them
        self._silent = 0  # ways that nobody has waited for the end of
        self._heard = False  # something in this transaction, or it is new
        self._begin = 0  # statements that begin a transaction, while they are not sent
        self._begun: Callable[[], None] | None = None
        self._read: _Read | None = None

    # --- transactions -----------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, if that is not so; raises what the driver does."""
        self._heard = self._connection is None
        if self._connection is None:
            self._reach(self._connect())

    def begin(self, *statements: str) -> list[Told]:
        """Begin a transaction, with what is asked first."""
        self.open()
        self._begin = len(statements)
        return [self._tell(Told(statement, (), [])) for statement in statements]

    def begin_read(self) -> None:
        """Begin a transaction that changes nothing, and is as the session says by itself."""
        self.open()
        self._begin = 0
        self._read = _Read.NOT_ASKED

    def begin_block(self) -> None:
        """Have a transaction that cursors can be in."""
        if self._read is _Read.NOT_ASKED:
            self._read = None
            self._told.insert(0, Told("BEGIN", (), []))

    def once_begun(self, check: Callable[[], None]) -> None:
        """Have something called as soon as the transaction has begun; it may raise."""
        self._begun = check

    def end(self) -> None:
        """Carry out what was told, if that is more than to begin."""
        if len(self._told) > self._begin:
            self.go()

    def leave(self, statement: str) -> bool:
        """End a transaction that changed nothing, without waiting for that.

        False if the connection is lost, or nobody knows what it does.
        """
        read = self._read
        self._forget()
        if self._connection is None:
            return False
        asked_once = read is _Read.ASKED
        if not asked_once and (self._silent or self.status == TransactionStatus.IDLE):
            return True  # nothing was asked in it
        try:
            if not asked_once:
                self._send(Told(statement, (), []), [])
            self._pgconn.pipeline_sync()
            self._silent += 1
            if self._pgconn.flush() == 0:
                return True
        except psycopg.Error:
            pass
        self.close()
        return False

    def roll_back(self) -> bool:
        """End a transaction that failed; a connection where that fails too is given up."""
        self._forget()
        if self._connection is None:
            return False
        if self.status != TransactionStatus.IDLE:
            self._heard = True
            try:
                self.ask("ROLLBACK")
            except psycopg.Error:
                self.close()
                return False
        if self.status == TransactionStatus.IDLE:
            return True
        self.close()
        return False

    def close(self) -> None:
        self._forget()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _forget(self) -> None:
        self._told.clear()
        self._bytes = 0
        self._begun = self._read = None

    @property
    def status(self) -> TransactionStatus:
        return TransactionStatus(self._pgconn.transaction_status)

    # --- statements -------------------------------------------------------------------------------

    def tell(self, text: str, values: Iterable[Value] = ()) -> Told:
        """Note a statement; it is carried out before those that are told after it."""
        return self._tell(Told(text, *encoded(values)))

    def tell_arrays(self, text: str, arrays: Sequence[tuple[int, bytes]]) -> Told:
        """`tell` with arrays for values, of which the types are given."""
        self._bytes += sum(len(array) for _, array in arrays)
        return self._tell(Told(text, tuple(kind for kind, _ in arrays), [a for _, a in arrays]))

    def _tell(self, told: Told) -> Told:
        self._told.append(told)
        if len(self._told) > _WAITING_MAX or self._bytes > _WAITING_BYTES_MAX:
            self.go()
        return told

    def ask(self, text: str, values: Iterable[Value] = ()) -> Told:
        """Carry out a statement and all that was told before."""
        told = self.tell(text, values)
        self.go()
        return told

    def rows(self, told: Told) -> list[Row]:
        """What a statement gave, once it is carried out; none where it gives no rows."""
        if told.result is None:
            self.go()
        result, known = told.result, told.known
        if result is None or known is None:
            raise psycopg.OperationalError("what was asked was not sent")
        _check(result)
        if result.ntuples == 0:
            return []
        self._reader.set_pgresult(result)
        rows: list[Row] = self._reader.load_rows(0, result.ntuples, tuple)
        if known.texts is None:
            known.texts = [n for n in range(result.nfields) if result.ftype(n) == TEXT]
        return unescaped(rows, known.texts)

    def go(self) -> None:
        """Send what was told and wait for all of it; raises the first failure."""
        told, self._told = self._told, []
        self._bytes = self._begin = 0
        if not told:
            return
        read = self._read
        if read is _Read.FAILED:
            raise psycopg.errors.InFailedSqlTransaction("what was asked before has failed")
        if read is _Read.ASKED:
            told.insert(0, Told("BEGIN", (), []))
            self._read = None
        try:
            self._exchange(told)
        except psycopg.OperationalError:
            if self._heard:
                raise
            self._heard = True
            self._reach(self._connect())
            self._exchange(told)
        self._heard = True
        for one in told:
            _check(one.result)
        if self._begun is not None:
            begun, self._begun = self._begun, None
            begun()

    # --- the wire ---------------------------------------------------------------------------------

    def _reach(self, connection: Connection) -> None:
        """Have a new connection."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._pgconn.enter_pipeline_mode()
        self._reader = Transformer.from_context(connection)
        self._known: OrderedDict[tuple[str, tuple[int, ...]], _Known] = OrderedDict()
        self._names = 0
        self._silent = 0
        self._answer = select.poll()
        self._answer.register(self._pgconn.socket, select.POLLIN)

    def _exchange(self, told: Sequence[Told]) -> None:
        """One way there and back. Whatever comes in between, the connection is given up."""
        if self._connection is None:
            raise psycopg.OperationalError("the connection is lost")
        try:
            expected: list[Told | _Known] = []
            for one in told:
                one.result = None
                self._send(one, expected)
            first = self._read is _Read.NOT_ASKED
            if first:
                self._pgconn.send_flush_request()
            else:
                self._pgconn.pipeline_sync()
            self._flush()
            while self._silent:
                self._receive_end(skip=True)
                self._silent -= 1
            self._receive(expected)
            if first and not any(one.failed for one in told):
                self._read = _Read.ASKED
                return
            if first:
                self._read = _Read.FAILED
                self._pgconn.pipeline_sync()
                self._flush()
            self._receive_end()
        except BaseException:
            self._connection.close()
            self._connection = None
            for one in told:
                if _is_told_by_server(one.result):
                    _check(one.result)  # says more than that the connection was closed
            raise

    def _receive(self, expected: Sequence[Told | _Known]) -> None:
        is_busy, get_result = self._pgconn.is_busy, self._pgconn.get_result
        refused = None  # by the server, when it was asked to prepare a statement
        for one in expected:
            result = self._next() if is_busy() else get_result()
            if result is None or result.status == _END:
                raise psycopg.OperationalError("the connection is lost")
            if isinstance(one, Told):
                one.result, refused = refused or result, None
            elif result.status != ExecStatus.COMMAND_OK:
                one.name, one.times = None, 0  # it was not prepared
                refused = result
            if (self._next() if is_busy() else get_result()) is not None:
                raise psycopg.OperationalError("the connection is not in step")

    def _receive_end(self, *, skip: bool = False) -> None:
        """What a way ends with; `skip` what comes before that."""
        while (result := self._next()) is None or result.status != _END:
            if not skip:
                raise psycopg.OperationalError("the connection is not in step")

    def _send(self, told: Told, expected: list[Told | _Known]) -> None:
        """Pass a statement on to libpq, which sends it when it has some of them."""
        pgconn = self._pgconn
        key = (told.text, told.types)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
            if len(self._known) > _PREPARED_MAX:
                _, oldest = self._known.popitem(last=False)
                if oldest.name is not None:
                    text = b"DEALLOCATE " + oldest.name
                    pgconn.send_query_params(text, None)
                    expected.append(_Known())
        else:
            self._known.move_to_end(key)
        told.known = known
        formats = (_BINARY,) * len(told.types)
        known.times += 1
        if known.name is None and known.times > _PREPARED_AFTER:
            self._names += 1
            known.name = f"{told.text.split(maxsplit=1)[0]}_{self._names}".encode()
            pgconn.send_prepare(known.name, told.text.encode(), told.types)
            expected.append(known)
        if known.name is not None:
            pgconn.send_query_prepared(known.name, told.data, formats, _BINARY)
        else:
            text = told.text.encode()
            pgconn.send_query_params(text, told.data, told.types, formats, _BINARY)
        expected.append(told)

    def _flush(self) -> None:
        """Send all of it; the server must be able to answer meanwhile, or it would not read on."""
        if self._pgconn.flush() == 0:
            return
        both = select.poll()
        both.register(self._pgconn.socket, select.POLLIN | select.POLLOUT)
        while True:
            [(_, events)] = both.poll()
            if events & ~select.POLLOUT:
                self._pgconn.consume_input()
            if self._pgconn.flush() == 0:
                return

    def _next(self) -> PGresult | None:
        """The next result; libpq itself would wait without letting other threads run."""
        while self._pgconn.is_busy():
            self._answer.poll()
            self._pgconn.consume_input()
        return self._pgconn.get_result()


def _is_told_by_server(result: PGresult | None) -> bool:
    """Whether a failure has words of the server: those of libpq, of a loss, have no code."""
    return result is not None and bool(result.error_field(DiagnosticField.SQLSTATE))


def _check(result: PGresult | None) -> None:
    """Raise what a result says that is a failure."""
    if result is not None and result.status in _FAILED:
        raise error_from_result(result)
