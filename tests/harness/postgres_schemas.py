"""Catalogs in a real PostgreSQL for tests, each in a schema of its own.

`TRUNKLINE_TEST_POSTGRES` names the server (`.ci/run` starts one). A schema with all tables takes a
quarter of a second to make, so it is emptied and used again.
"""

import atexit
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

SERVER = os.environ.get("TRUNKLINE_TEST_POSTGRES", "")
WHY_NOT = "TRUNKLINE_TEST_POSTGRES names no server"
# For parametrised fixtures.
KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.skipif(not SERVER, reason=WHY_NOT))]
needs_postgres = pytest.mark.skipif(not SERVER, reason=WHY_NOT)

_numbers = itertools.count(1)
_free: list[str] = []  # URLs of schemas with all tables and no more in them than a new one


def _run(*statements: str) -> None:
    import psycopg

    with psycopg.connect(SERVER, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]


@contextmanager
def empty_schema() -> Iterator[str]:
    """The URL of a schema with nothing in it, which is gone afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _run(f"CREATE SCHEMA {name}")
    try:
        yield within(SERVER, name)
    finally:
        _run(f"DROP SCHEMA {name} CASCADE", f"DROP SCHEMA IF EXISTS {name}_store CASCADE")


@contextmanager
def catalog_schema() -> Iterator[str]:
    """The URL of a schema that has all tables of the catalog, and is emptied afterwards."""
    if _free:
        url = _free.pop()
    else:
        made = empty_schema()
        url = made.__enter__()
        atexit.register(made.__exit__, None, None, None)
        _migrate(url)
    try:
        yield url
    finally:
        _clear(url)
        _free.append(url)


def within(server: str, schema: str) -> str:
    """The server's URL with a schema as the search path."""
    mark = "&" if "?" in server else "?"
    return f"{server}{mark}options={quote(f'-csearch_path={schema}')}"


def _migrate(url: str) -> None:
    from trunkline.db.migrate import migrate
    from trunkline.db.opening import open_database

    database = open_database(url)
    migrate(database, "catalog", where="test")
    database.close()


def _clear(url: str) -> None:
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        connection.execute("SET lock_timeout TO '10s'")
        rows = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables "
            "WHERE schemaname IN (current_schema(), current_schema() || '_store')"
        ).fetchall()
        for schema, table in rows:
            if table != "migration":
                connection.execute(f'DELETE FROM "{schema}"."{table}"')  # type: ignore[arg-type]
        connection.execute("INSERT INTO change_number (value) VALUES (0)")
        connection.execute(
            "INSERT INTO project (number, name, description, created_us, changed) "
            "VALUES (0, 'default', '', NULL, 0)"
        )
        for table in ("pipeline", "datum", "removed_name"):
            connection.execute(
                f"ALTER TABLE {table} ALTER COLUMN number RESTART"  # type: ignore[arg-type]
            )
