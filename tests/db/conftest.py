"""A database of one test with one small table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.db.sqlite import SqliteDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    made = SqliteDatabase(tmp_path / "test.db", durable=False)
    with made.write() as tx:
        tx.execute("CREATE TABLE thing (name TEXT PRIMARY KEY, value BIGINT NOT NULL)")
    yield made
    made.close()
