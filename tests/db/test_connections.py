"""Readers come and go; their connections do not pile up."""

import threading
from pathlib import Path

import pytest

from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import Unavailable


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files can't be counted here")
def test_threads_that_read_and_end_leave_no_open_files(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db")
    read_once(database)
    before = open_files()

    for _ in range(200):
        thread = threading.Thread(target=read_once, args=(database,))
        thread.start()
        thread.join()

    assert open_files() <= before + 2
    database.close()


def test_a_read_inside_of_a_read_is_another_snapshot(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db")

    with database.read() as outer, database.read() as inner:
        assert outer.row("SELECT 1") == inner.row("SELECT 1") == (1,)

    database.close()


def test_a_closed_database_says_so_to_readers(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db")
    database.close()

    with pytest.raises(Unavailable, match="closed"), database.read():
        pass


def read_once(database: SqliteDatabase) -> None:
    with database.read() as tx:
        tx.row("SELECT 1")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
