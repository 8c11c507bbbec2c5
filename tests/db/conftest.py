"""A database of one test with one small table."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_schemas import KINDS, SERVER, WHY_NOT, empty_schema

from trunkline.db.database import Database
from trunkline.db.opening import open_database
from trunkline.db.sqlite import SqliteDatabase

THING = "CREATE TABLE thing (name TEXT PRIMARY KEY, value BIGINT NOT NULL)"


@pytest.fixture
def file_database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    """One in a file, for what only SQLite does."""
    made = SqliteDatabase(tmp_path / "test.db", durable=False)
    with made.write() as tx:
        tx.define(THING)
    yield made
    made.close()


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A schema of its own in a real PostgreSQL, with nothing in it."""
    if not SERVER:
        pytest.skip(WHY_NOT)
    with empty_schema() as url:
        yield url


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    if request.param == "sqlite":
        yield request.getfixturevalue("file_database")
        return
    made = open_database(request.getfixturevalue("postgres_url"))
    with made.write() as tx:
        tx.define(THING)
    made.wait_for_change(made.revision, 30)  # it listens
    yield made
    made.close()
