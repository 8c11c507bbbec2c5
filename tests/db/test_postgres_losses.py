"""Connections to PostgreSQL break, and nothing is lost, doubled or left open."""

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from frail_line import BEFORE, BEHIND, FrailLine, frail_line
from postgres_schemas import needs_postgres, within
from psycopg.conninfo import conninfo_to_dict

from trunkline.db.database import Database, Transaction
from trunkline.db.opening import open_database
from trunkline.db.postgres import PostgresDatabase
from trunkline.errors import Unavailable

pytestmark = needs_postgres
ADD = "INSERT INTO thing (name, value) VALUES (:name, 1)"
LONG_S = 30.0


@pytest.fixture
def line(postgres_url: str) -> Iterator[FrailLine]:
    given = conninfo_to_dict(postgres_url)
    with frail_line(str(given["host"]), int(str(given["port"]))) as made:
        yield made


@pytest.fixture
def far(line: FrailLine, postgres_url: str) -> Iterator[Database]:
    """The database behind the line."""
    given = conninfo_to_dict(postgres_url)
    schema = str(given["options"]).rpartition("=")[2]
    address = f"{given['user']}:{given['password']}@127.0.0.1:{line.port}"
    with closing(
        open_database(within(f"postgresql://{address}/{given['dbname']}", schema))
    ) as made:
        with made.write() as tx:
            tx.define("CREATE TABLE thing (name TEXT PRIMARY KEY, value BIGINT NOT NULL)")
        yield made


def add(database: Database, name: str) -> None:
    with database.write() as tx:
        tx.execute(ADD, name=name)


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return [name for (name,) in tx.rows("SELECT name FROM thing ORDER BY name")]


def session(tx: Transaction) -> int:
    row = tx.row("SELECT pg_backend_pid()")
    assert row is not None
    return int(row[0])


def end_session(postgres_url: str, number: int) -> None:
    """That one alone: other tests have sessions with the same server."""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [number])


def test_connections_that_were_lost_while_idle_are_replaced(far: Database, line: FrailLine) -> None:
    add(far, "a")
    assert names(far) == ["a"]

    line.cut()

    assert names(far) == ["a"]
    add(far, "b")
    line.cut()
    add(far, "c")
    assert names(far) == ["a", "b", "c"]


def test_a_change_whose_connection_is_lost_is_not_made(far: Database, line: FrailLine) -> None:
    def add_two() -> None:
        with far.write() as tx:
            tx.change(ADD, name="a")
            line.cut()
            tx.execute(ADD, name="b")

    with pytest.raises(Unavailable, match="the change was not made"):
        add_two()

    assert names(far) == []
    add(far, "c")
    assert names(far) == ["c"]


def test_a_read_whose_connection_is_lost_says_so(far: Database, line: FrailLine) -> None:
    def read() -> None:
        with far.read() as tx:
            line.cut()
            tx.rows("SELECT 1")

    with pytest.raises(Unavailable, match="can't be used now"):
        read()

    assert names(far) == []


def test_who_is_inside_of_a_transaction_hears_of_a_loss_in_our_words(
    far: Database, line: FrailLine
) -> None:
    heard = []

    def read() -> None:
        with far.read() as tx:
            line.cut()
            for _ in range(2):
                with pytest.raises(Unavailable, match="can't be used now"):
                    tx.rows("SELECT 1")
                heard.append("of the loss")
            tx.rows("SELECT 1")

    with pytest.raises(Unavailable):
        read()

    assert heard == ["of the loss"] * 2


def test_a_commit_that_got_through_without_an_answer_counts(far: Database, line: FrailLine) -> None:
    line.cut_at(b"COMMIT\0", BEHIND)

    add(far, "a")

    assert names(far) == ["a"]


def test_a_commit_that_did_not_get_through_is_told(far: Database, line: FrailLine) -> None:
    line.cut_at(b"COMMIT\0", BEFORE)

    with pytest.raises(Unavailable, match="the change was not made"):
        add(far, "a")

    assert names(far) == []
    add(far, "a")
    assert names(far) == ["a"]


def test_a_server_that_is_away_is_unavailable_until_it_is_back(
    far: Database, line: FrailLine
) -> None:
    add(far, "a")
    line.take_down(True)
    line.cut()

    with pytest.raises(Unavailable):
        names(far)
    with pytest.raises(Unavailable):
        add(far, "b")

    line.take_down(False)
    add(far, "b")
    assert names(far) == ["a", "b"]


def test_who_listens_hears_again_after_a_loss(
    far: Database, line: FrailLine, postgres_url: str
) -> None:
    far.wait_for_change(far.revision, LONG_S)
    line.cut()
    seen = far.wait_for_change(far.revision, LONG_S)  # it listens again

    with closing(open_database(postgres_url)) as other:
        heard = threading.Thread(target=far.wait_for_change, args=(seen, LONG_S))
        heard.start()
        add(other, "a")
        heard.join(LONG_S)

    assert far.revision > seen


def test_a_server_that_ends_our_sessions_is_survived(far: Database, postgres_url: str) -> None:
    add(far, "a")
    assert names(far) == ["a"]

    with far.write() as tx:
        writer = session(tx)
    end_session(postgres_url, writer)

    add(far, "b")
    assert names(far) == ["a", "b"]


def test_who_lost_the_lock_changes_nothing_while_another_has_it(
    line: FrailLine, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.db.postgres.WAIT_S", 0.5)
    given = conninfo_to_dict(postgres_url)
    schema = str(given["options"]).rpartition("=")[2]
    address = f"{given['user']}:{given['password']}@127.0.0.1:{line.port}"
    url = within(f"postgresql://{address}/{given['dbname']}", schema)
    with closing(open_database(url, alone=True)) as first:
        with first.write() as tx:
            tx.define("CREATE TABLE thing (name TEXT PRIMARY KEY, value BIGINT NOT NULL)")
        line.cut()
        with closing(open_database(postgres_url, alone=True)) as second:
            add(second, "a")
            with pytest.raises(Unavailable, match="lock timeout"):
                add(first, "b")
            assert names(second) == ["a"]

        add(first, "c")
        assert names(first) == ["a", "c"]


def test_who_counts_as_gone_does_not_wait_for_who_took_over(
    line: FrailLine, postgres_url: str
) -> None:
    given = conninfo_to_dict(postgres_url)
    schema = str(given["options"]).rpartition("=")[2]
    address = f"{given['user']}:{given['password']}@127.0.0.1:{line.port}"
    url = within(f"postgresql://{address}/{given['dbname']}", schema)
    told = threading.Event()
    with closing(open_database(url, alone=True)) as first:
        with first.write() as tx:
            tx.define("CREATE TABLE thing (name TEXT PRIMARY KEY, value BIGINT NOT NULL)")
        add(first, "first")
        assert isinstance(first, PostgresDatabase)
        first.only_while("SELECT 1 FROM thing WHERE name = 'first'", told.set)
        line.cut()
        with closing(open_database(postgres_url, alone=True)) as second:
            with second.write() as tx:
                tx.execute("DELETE FROM thing")
            with pytest.raises(Unavailable, match="counts as gone"):
                add(first, "b")
            assert names(second) == []
    assert told.is_set()


def test_a_session_that_ends_is_told_as_that_whatever_was_being_prepared(
    far: Database, postgres_url: str
) -> None:
    def add_some(number: int) -> None:
        with far.write() as tx:
            for name in range(number):
                tx.change(ADD, name=f"{number} {name}")
            end_session(postgres_url, session(tx))
            tx.change(ADD, name=f"{number} last")

    for number in range(8):
        with pytest.raises(Unavailable, match="the change was not made|can't be used now"):
            add_some(number)

    add(far, "a")
    assert names(far) == ["a"]


@pytest.mark.parametrize("moment", [0, 2, 2500, 4999])
def test_a_session_that_ends_amid_many_statements_is_replaced(
    far: Database, postgres_url: str, moment: int
) -> None:
    def add_many() -> None:
        with far.write() as tx:
            writer = session(tx)

            def many() -> Iterator[dict[str, str]]:
                for number in range(5000):
                    if number == moment:
                        end_session(postgres_url, writer)
                    yield {"name": str(number)}

            tx.execute_many(ADD, many())

    with pytest.raises(Unavailable):
        add_many()

    add(far, "a")
    assert names(far) == ["a"]


def test_a_connection_that_can_not_be_rolled_back_is_replaced(far: Database) -> None:
    """As when it is lost amid many statements: what was sent together is not answered any more."""

    def leave_half_sent() -> None:
        with far.write() as tx:
            tx.change(ADD, name="a")
            tx._line._pgconn.send_query_params(b"SELECT 1", None)
            raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"):
        leave_half_sent()

    add(far, "b")
    assert names(far) == ["b"]
