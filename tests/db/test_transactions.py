"""A transaction happens completely or not at all, and readers see one moment."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trunkline.db.database import Database
from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import Corrupt, StorageFull, Unavailable

PUT = "INSERT INTO thing (name, value) VALUES (:name, :value)"
ALL = "SELECT name, value FROM thing ORDER BY name"


def content(database: Database) -> list[tuple[object, ...]]:
    with database.read() as tx:
        return tx.rows(ALL)


def put_and_fail(database: Database, error: type[BaseException]) -> None:
    with database.write() as tx:
        tx.execute(PUT, name="a", value=1)
        raise error


def put_twice(database: Database) -> None:
    with database.write() as tx:
        tx.execute(PUT, name="a", value=1)
        tx.execute(PUT, name="a", value=2)


def test_a_transaction_is_there_once_it_ended(database: Database) -> None:
    with database.write() as tx:
        tx.execute(PUT, name="a", value=1)
        tx.execute_many(PUT, [{"name": "b", "value": 2}, {"name": "c", "value": 3}])

    assert content(database) == [("a", 1), ("b", 2), ("c", 3)]


def test_a_transaction_that_raises_changes_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        put_and_fail(database, ZeroDivisionError)

    assert content(database) == []


def test_a_transaction_that_is_interrupted_changes_nothing(database: Database) -> None:
    with pytest.raises(KeyboardInterrupt):
        put_and_fail(database, KeyboardInterrupt)

    assert content(database) == []


def test_a_failed_statement_takes_the_whole_transaction_with_it(database: Database) -> None:
    with pytest.raises(Exception, match="(?i)unique|violates foreign|FOREIGN KEY"):
        put_twice(database)

    assert content(database) == []


def test_the_next_transaction_works_after_a_failed_one(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write():
        raise ZeroDivisionError

    with database.write() as tx:
        tx.execute(PUT, name="a", value=1)

    assert content(database) == [("a", 1)]


def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(database: Database) -> None:
    with database.write() as tx:
        tx.execute(PUT, name="a", value=1)

    with database.read() as reader:
        before = reader.rows(ALL)
        with database.write() as tx:
            tx.execute(PUT, name="b", value=2)
        during = reader.rows(ALL)

    assert during == before == [("a", 1)]
    assert content(database) == [("a", 1), ("b", 2)]


def test_a_reader_does_not_see_what_is_not_committed(database: Database) -> None:
    with database.write() as tx:
        tx.execute(PUT, name="a", value=1)
        seen = content(database)

    assert seen == []


def test_writing_in_a_read_is_refused(database: Database) -> None:
    with pytest.raises(Unavailable, match="read-?only"), database.read() as tx:
        tx.execute(PUT, name="a", value=1)

    assert content(database) == []


def test_row_gives_the_first_row_or_none(database: Database) -> None:
    with database.write() as tx:
        tx.execute_many(PUT, [{"name": n, "value": 1} for n in "ab"])

    with database.read() as tx:
        assert tx.row(ALL) == ("a", 1)
        assert tx.row("SELECT 1 FROM thing WHERE name = :n", n="x") is None


def test_execute_tells_how_many_rows_it_changed(database: Database) -> None:
    with database.write() as tx:
        tx.execute_many(PUT, [{"name": n, "value": 1} for n in "abc"])
        changed = tx.change("UPDATE thing SET value = 2 WHERE name > :n", n="a")

    assert changed == 2


def test_references_to_missing_rows_are_refused(database: Database) -> None:
    with database.write() as tx:
        tx.define("CREATE TABLE part (thing TEXT REFERENCES thing (name))")

    with (
        pytest.raises(Exception, match="(?i)unique|violates foreign|FOREIGN KEY"),
        database.write() as tx,
    ):
        tx.execute("INSERT INTO part (thing) VALUES ('nothing')")


def test_many_threads_lose_no_write_and_see_no_half_of_one(database: Database) -> None:
    threads, rounds = 8, 25
    with database.write() as tx:
        tx.execute_many(PUT, [{"name": "left", "value": 0}, {"name": "right", "value": 0}])

    def write_and_read(_: int) -> list[bool]:
        equal = []
        for _ in range(rounds):
            with database.write() as tx:
                value = tx.rows("SELECT value FROM thing WHERE name = 'left'")[0][0]
                tx.execute("UPDATE thing SET value = :v WHERE name = 'left'", v=value + 1)
                tx.execute("UPDATE thing SET value = :v WHERE name = 'right'", v=value + 1)
            with database.read() as tx:
                equal.append(len({value for _, value in tx.rows(ALL)}) == 1)
        return equal

    with ThreadPoolExecutor(threads) as pool:
        equal = [same for found in pool.map(write_and_read, range(threads)) for same in found]

    assert all(equal)
    assert content(database) == [("left", threads * rounds), ("right", threads * rounds)]


def test_another_process_sees_what_was_committed(
    file_database: SqliteDatabase, tmp_path: Path
) -> None:
    other = SqliteDatabase(tmp_path / "test.db", durable=False)
    with file_database.write() as tx:
        tx.execute(PUT, name="a", value=1)

    assert content(other) == [("a", 1)]
    other.close()


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()

    with pytest.raises(Unavailable, match="has been closed"), database.write():
        pass


def test_a_new_thread_can_not_read_a_closed_database(database: Database) -> None:
    database.close()
    found: list[BaseException] = []

    def read() -> None:
        try:
            content(database)
        except Unavailable as error:
            found.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()

    assert "has been closed" in str(found[0])


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_only_a_durable_database_waits_for_the_disk(
    tmp_path: Path, durable: bool, level: int
) -> None:
    made = SqliteDatabase(tmp_path / "other.db", durable=durable)

    with made.write() as tx:
        assert tx.row("PRAGMA synchronous") == (level,)
        assert tx.row("PRAGMA journal_mode") == ("wal",)
    made.close()


def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is not a database at all" * 100)

    with pytest.raises(Corrupt, match=r"bad\.db is damaged"):
        SqliteDatabase(tmp_path / "bad.db")


def test_a_directory_that_is_missing_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="unable to open"):
        SqliteDatabase(tmp_path / "nowhere" / "test.db")


def test_a_full_disk_is_named_and_changes_nothing(file_database: SqliteDatabase) -> None:
    with file_database.write() as tx:
        tx.execute("CREATE TABLE blob (content BLOB)")
        tx.row("PRAGMA max_page_count = 16")  # pages of 4 KiB, as if the disk ended there

    with pytest.raises(StorageFull, match="no space is left"), file_database.write() as tx:
        tx.execute("INSERT INTO blob (content) VALUES (:c)", c=bytes(1_000_000))

    with file_database.read() as tx:
        assert tx.row("SELECT COUNT(*) FROM blob") == (0,)
