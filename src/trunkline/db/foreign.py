"""Tables of somebody else's database, filled anew in one transaction; through SQLAlchemy.

The tables are there before: what they contained is deleted, and rows are inserted, each value as
its column's type has it. Everything of it happens, or nothing.

No driver can be told from outside to wait no longer, so the database is talked to in a thread of
its own. Where it does not answer, or nobody wants that any more, the thread is left behind: it
commits nothing then, and ends when its driver gives up.
"""

import datetime
import decimal
import json
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from trunkline.errors import (
    InvalidInput,
    NotFound,
    NotSupported,
    OperationFailed,
    Unavailable,
    plain,
    shown,
)

# scheme → the dialect and driver that are used for it; `scheme+driver` names another driver
_DIALECTS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "snowflake": "snowflake",
    "sqlite": "sqlite",
}
_CONNECT_S, _ANSWER_S = 30, 600  # a database that is silent for longer is given up
_LIMITS = {  # by driver: that what is left behind ends, too
    "psycopg": {"connect_timeout": _CONNECT_S, "keepalives_idle": 60},
    "psycopg2": {"connect_timeout": _CONNECT_S, "keepalives_idle": 60},
    "pymysql": {
        "connect_timeout": _CONNECT_S,
        "read_timeout": _ANSWER_S,
        "write_timeout": _ANSWER_S,
    },
    "snowflake": {"login_timeout": _CONNECT_S, "network_timeout": _ANSWER_S},
}
_LOOK_S = 0.2  # whether it is still wanted
_COMMIT_S = 5.0  # a COMMIT that is on its way is waited for, though nobody wants it any more
_ROWS = 1000  # of an INSERT
_REASON_CHARACTERS = 500
_TRUE, _FALSE = frozenset({"true", "t", "1", "yes"}), frozenset({"false", "f", "0", "no"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRow:
    """A row from a file: values by column, or in the order of the table's columns."""

    where: str  # for sentences: file and line
    values: Mapping[str, Any] | Sequence[Any]


def check_database_url(text: str) -> None:
    """Raise InvalidInput for a URL that leads to no kind of database that is known."""
    scheme, mark, rest = text.partition("://")
    dialect = scheme.partition("+")[0]
    if not mark or dialect not in _DIALECTS or not rest:
        raise InvalidInput(
            "the URL of a database begins with postgresql://, mysql://, snowflake:// or "
            f"sqlite:///, not {shown(scheme, 30)}"
        )


def fill_tables(
    url: str,
    *,
    password: str,
    tables: Iterable[tuple[str, Iterable[ForeignRow]]],
    emptied: Collection[str] = (),
    check: Callable[[], None],
    answer_s: float = _ANSWER_S,
) -> int:
    """Replace the rows of each table; how many rows there are now.

    A table that comes again is added to. Those of `emptied` that are there and did not come have no
    rows afterwards. `password` is used if the URL has none. `check` is called
    now and then, and before the end; what it raises undoes everything, at once even while the
    database does not answer. One that does not for `answer_s` seconds is Unavailable. Raises
    NotSupported without library or driver, NotFound for a table or column that is not there,
    InvalidInput for a value that does not fit, Unavailable and OperationFailed with what the
    database says.
    """
    sqlalchemy = _library()
    try:
        target = _target(sqlalchemy, url, password)
        limits = _LIMITS.get(target.get_driver_name(), {})
        own = {name: value for name, value in limits.items() if name not in target.query}
        engine = sqlalchemy.create_engine(target, connect_args=own)
    except ImportError as error:
        raise NotSupported(f"the driver of the database is not installed ({error})") from error
    except (sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
        raise InvalidInput(f"the URL of the database can't be read: {_said(error)}") from None
    try:
        return _Attempt(sqlalchemy, engine, tables, emptied, check).wait(answer_s)
    except sqlalchemy.exc.OperationalError as error:
        raise Unavailable(f"the database says: {_said(error)}") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise OperationFailed(f"the database says: {_said(error)}") from None


class _LeftBehind(Exception):
    """Nobody waits for this thread any more."""


class _Attempt:
    """A transaction in a thread of its own, and who waits for it."""

    def __init__(
        self,
        sqlalchemy: Any,
        engine: Any,
        tables: Iterable[tuple[str, Iterable[ForeignRow]]],
        emptied: Collection[str],
        check: Callable[[], None],
    ) -> None:
        self._sqlalchemy = sqlalchemy
        self._engine = engine
        self._tables = tables
        self._emptied = emptied
        self._check = check
        self._lock = threading.Lock()
        self._left = self._committing = self._connected = False
        self._heard = time.monotonic()
        self._done = threading.Event()
        self._count = 0
        self._error: BaseException | None = None

    def wait(self, answer_s: float) -> int:
        """Begin, and wait for the end; how many rows there are."""
        threading.Thread(target=self._run, name="trunkline-database", daemon=True).start()
        try:
            while not self._done.wait(_LOOK_S):
                self._check()
                most_s = answer_s if self._connected else min(_CONNECT_S, answer_s)
                if time.monotonic() - self._heard > most_s:
                    raise Unavailable(f"the database did not answer for {most_s:g} s")
        except BaseException:
            self._leave()
            raise
        if self._error is not None:
            raise self._error
        return self._count

    def _leave(self) -> None:
        with self._lock:
            self._left = True
        if self._committing:
            self._done.wait(_COMMIT_S)

    def _run(self) -> None:
        try:
            with self._engine.begin() as connection:
                self._connected = True
                filling = _Filling(self._sqlalchemy, connection, self._goes_on)
                self._count = filling.fill(self._tables)
                filling.empty(self._emptied)
                self._check()  # the last thing before everybody sees it
                with self._lock:
                    self._goes_on()
                    self._committing = True
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()
            self._engine.dispose()

    def _goes_on(self) -> None:
        self._heard = time.monotonic()
        if self._left:
            raise _LeftBehind


class _Filling:
    """One transaction."""

    def __init__(self, sqlalchemy: Any, connection: Any, goes_on: Callable[[], None]) -> None:
        """`goes_on` is called between any two steps."""
        self._sqlalchemy = sqlalchemy
        self._connection = connection
        self._goes_on = goes_on
        self._tables: dict[str, Any] = {}

    def fill(self, tables: Iterable[tuple[str, Iterable[ForeignRow]]]) -> int:
        count = 0
        for name, rows in tables:
            self._goes_on()
            table = self._table(name)
            source = iter(rows)
            while batch := list(islice(source, _ROWS)):
                self._connection.execute(table.insert(), [self._fitted(table, r) for r in batch])
                count += len(batch)
                self._goes_on()
        return count

    def empty(self, names: Iterable[str]) -> None:
        """Leave no rows in some tables, but those that were filled."""
        for name in names:
            self._goes_on()
            with suppress(NotFound):  # who dropped it wants no rows of it
                self._table(name)

    def _table(self, name: str) -> Any:
        """The table as the database has it, emptied when it is first met."""
        found = self._tables.get(name)
        if found is None:
            schema, _, bare = name.rpartition(".")
            try:
                found = self._sqlalchemy.Table(
                    bare,
                    self._sqlalchemy.MetaData(),
                    schema=schema or None,
                    autoload_with=self._connection,
                )
            except self._sqlalchemy.exc.NoSuchTableError:
                raise NotFound(
                    f"the database has no table '{name}', which a directory of the output names; "
                    "create it first"
                ) from None
            self._connection.execute(found.delete())
            self._tables[name] = found
        return found

    def _fitted(self, table: Any, row: ForeignRow) -> dict[str, Any]:
        """All columns that the row has a value for, so that rows of a batch go together."""
        columns = list(table.columns)
        if isinstance(row.values, Mapping):
            known = {column.name for column in columns}
            for name in row.values:
                if name not in known:
                    raise NotFound(f"{row.where}: the table '{table.name}' has no column '{name}'")
            pairs = [(column, row.values.get(column.name)) for column in columns]
        else:
            if len(row.values) != len(columns):
                raise InvalidInput(
                    f"{row.where}: there are {len(row.values)} values, and the table "
                    f"'{table.name}' has {len(columns)} columns"
                )
            pairs = list(zip(columns, row.values, strict=True))
        return {column.name: _value(column, value, row.where) for column, value in pairs}


def _value(column: Any, value: Any, where: str) -> Any:
    """A value as the column's type wants it; text is read, other values are taken as they are."""
    if not isinstance(value, str):
        return value
    try:
        wanted = column.type.python_type
    except NotImplementedError:
        wanted = str
    if wanted is str:
        return value
    if not value:
        return None
    try:
        read: Callable[[str], Any] = _READ.get(wanted, str)
        if column.type.__visit_name__ == "TINYINT":  # which is what MySQL makes of BOOLEAN
            read = _small
        return read(value)
    except (ValueError, ArithmeticError, KeyError):
        raise InvalidInput(
            f"{where}: {shown(value, 40)} does not fit the column '{column.name}', which is "
            f"{column.type}"
        ) from None


def _truth(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(text)


def _small(text: str) -> int:
    return int(_truth(text)) if text.strip().lower() in ("true", "false") else int(text)


_READ: dict[type, Callable[[str], Any]] = {
    bool: _truth,
    int: int,
    float: float,
    decimal.Decimal: decimal.Decimal,
    bytes: str.encode,
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
    dict: json.loads,
    list: json.loads,
}


def _library() -> Any:
    try:
        import sqlalchemy
    except ImportError as error:
        raise NotSupported(
            "databases need the extra 'sql'; install trunkline[sql] and the driver of the database "
            "(psycopg, pymysql, snowflake-sqlalchemy) on the machine of the server"
        ) from error
    return sqlalchemy


def _target(sqlalchemy: Any, url: str, password: str) -> Any:
    scheme, _, rest = url.partition("://")
    found = sqlalchemy.make_url(f"{_DIALECTS.get(scheme, scheme)}://{rest}")
    if password and found.username and not found.password:
        found = found.set(password=password)
    return found


def _said(error: Exception) -> str:
    """What the database said, without the statement and its values, which may be long or secret."""
    text = str(getattr(error, "orig", None) or error).strip()
    text = re.sub(r"\s+", " ", text)
    return plain(text)[:_REASON_CHARACTERS]
