"""PostgreSQL holds what SQLite does, in the same tables, and lets one write at a time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_schemas import SERVER, catalog_schema, empty_schema, needs_postgres
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from trunkline.db.database import Database, Transaction
from trunkline.db.migrate import migrate
from trunkline.db.opening import open_database
from trunkline.db.sqlite import SqliteDatabase
from trunkline.db.transfer import copy_into_file, move_into
from trunkline.errors import (
    Corrupt,
    InvalidInput,
    NotSupported,
    StoreInUse,
    StoreTooNew,
    Unavailable,
)

pytestmark = needs_postgres
LONG_S = 30.0


@pytest.fixture
def two(postgres_url: str) -> Iterator[list[Database]]:
    """Two servers' views of one database with the table `thing`."""
    with ExitStack() as opened:
        both = [opened.enter_context(closing(open_database(postgres_url))) for _ in range(2)]
        with both[0].write() as tx:
            tx.define("CREATE TABLE thing (name TEXT PRIMARY KEY, value BIGINT NOT NULL)")
        yield both


# --- values ---------------------------------------------------------------------------------------

TEXTS = st.text(st.sampled_from("aZé\0\ufdd0.~\U0001f600") | st.characters(codec="utf-8"))


@settings(max_examples=20)
@given(
    texts=st.lists(TEXTS, max_size=8),
    numbers=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8),
    flags=st.lists(st.booleans() | st.none(), max_size=3),
    real=st.floats(allow_nan=False),
)
def test_values_come_back_as_from_sqlite(
    texts: list[str], numbers: list[int], flags: list[bool | None], real: float
) -> None:
    def kept(database: Database) -> list[object]:
        with database.write() as tx:
            for table in {"value"} & set(tx.tables()):
                tx.execute(f"DROP TABLE {table}")
            tx.define("CREATE TABLE value (position BIGINT, text TEXT, whole BIGINT, real REAL)")
            rows = [(text, None, None) for text in texts]
            rows += [(None, number, None) for number in [*numbers, *flags]]
            rows.append((None, None, real))
            tx.execute_many(
                "INSERT INTO value (position, text, whole, real) VALUES (:p, :t, :w, :r)",
                [{"p": n, "t": t, "w": w, "r": r} for n, (t, w, r) in enumerate(rows)],
            )
        with database.read() as tx:
            found = tx.rows("SELECT * FROM value ORDER BY position")
            ordered = tx.rows("SELECT text FROM value WHERE text IS NOT NULL ORDER BY text")
            true = tx.row("SELECT 1 = 1, 1 = 2, EXISTS (SELECT 1 FROM value)")
        plain = not any("\0" in text or "\ufdd0" in text for text in texts)
        return [found, [type(v) for row in found for v in row], ordered if plain else [], true]

    with closing(SqliteDatabase(Path(":memory:"))) as file:
        expected = kept_in_memory(file, kept)
    with empty_schema() as url, closing(open_database(url)) as database:
        assert kept(database) == expected


def kept_in_memory(file: SqliteDatabase, kept) -> list[object]:
    """A database in memory has no second connection to read by."""
    file.read = file.write  # type: ignore[method-assign,assignment]
    return kept(file)


def test_a_colon_in_a_text_of_a_statement_is_no_parameter(two: list[Database]) -> None:
    with two[0].read() as tx:
        assert tx.row("SELECT 'a:b', ':c' || :d", d="e") == ("a:b", ":ce")


# --- the schema -----------------------------------------------------------------------------------


def test_both_databases_get_the_same_tables(postgres_url: str, tmp_path: Path) -> None:
    shapes = []
    for made in (SqliteDatabase(tmp_path / "c.db", durable=False), open_database(postgres_url)):
        with closing(made):
            migrate(made, "catalog", where="test")
            with made.read() as tx:
                shapes.append(shape_of_file(tx) if made is not None and not shapes else shape(tx))

    assert shapes[0] == shapes[1]


def shape_of_file(tx: Transaction) -> dict[str, object]:
    found: dict[str, object] = {"tables": tx.tables()}
    kinds = {"INTEGER": "bigint", "BIGINT": "bigint", "TEXT": "text", "REAL": "double precision"}
    for table in tx.tables():
        info = tx.rows(f"PRAGMA table_info({table})")
        key = [name for _, name, *_, pk in sorted(info, key=lambda row: row[5]) if pk]
        found[f"columns of {table}"] = [
            (name, kinds[kind], bool(needed) or name in key) for _, name, kind, needed, *_ in info
        ]
        found[f"key of {table}"] = key
        indexes = set()
        for _, index, unique, origin, _ in tx.rows(f"PRAGMA index_list({table})"):
            columns = tuple(name for *_, name in tx.rows(f"PRAGMA index_info({index})"))
            if origin != "pk":
                indexes.add((bool(unique), columns))
        found[f"indexes of {table}"] = indexes
        found[f"references of {table}"] = {
            (column, other, to, on_delete == "CASCADE")
            for _, _, other, column, to, _, on_delete, _ in tx.rows(
                f"PRAGMA foreign_key_list({table})"
            )
        }
    rows = tx.rows("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
    found["triggers"] = rows
    return found


def shape(tx: Transaction) -> dict[str, object]:
    found: dict[str, object] = {"tables": tx.tables()}
    for table in tx.tables():
        oid = f"'{table}'::regclass"
        found[f"columns of {table}"] = [
            (name, kind, bool(needed))
            for name, kind, needed in tx.rows(
                "SELECT attname::text, format_type(atttypid, NULL), attnotnull FROM pg_attribute "
                f"WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            )
        ]
        indexes = set()
        key: list[str] = []
        for columns, unique, primary in tx.rows(
            "SELECT array_to_string(ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) "
            "WITH ORDINALITY k(n, o) JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = k.n ORDER BY k.o), ','), indisunique, indisprimary FROM pg_index i "
            f"WHERE i.indrelid = {oid}"
        ):
            if primary:
                key = columns.split(",")
            else:
                indexes.add((bool(unique), tuple(columns.split(","))))
        found[f"key of {table}"] = key
        found[f"indexes of {table}"] = indexes
        found[f"references of {table}"] = {
            (column, other, to, kind == "c")
            for column, other, to, kind in tx.rows(
                "SELECT a.attname::text, c.confrelid::regclass::text, b.attname::text, "
                "c.confdeltype::text FROM pg_constraint c "
                "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] "
                "JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1] "
                f"WHERE c.contype = 'f' AND c.conrelid = {oid}"
            )
        }
    found["triggers"] = tx.rows(
        "SELECT t.tgname::text, r.relname::text FROM pg_trigger t JOIN pg_class r "
        "ON r.oid = t.tgrelid WHERE NOT t.tgisinternal AND r.relnamespace = "
        'current_schema()::regnamespace ORDER BY t.tgname::text COLLATE "C"'
    )
    return found


def test_every_text_is_compared_byte_by_byte(postgres_url: str) -> None:
    with closing(open_database(postgres_url)) as database:
        migrate(database, "catalog", where="test")
        with database.read() as tx:
            others = tx.rows(
                "SELECT table_name::text, column_name::text FROM information_schema.columns "
                "WHERE table_schema = current_schema() AND data_type = 'text' "
                "AND collation_name IS DISTINCT FROM 'C'"
            )

    assert others == []


def test_two_servers_migrate_once(postgres_url: str) -> None:
    with closing(open_database(postgres_url)) as one, closing(open_database(postgres_url)) as other:
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda it: migrate(it, "catalog", where="it"), (one, other)))

        assert done[0] == done[1]
        with one.read() as tx:
            assert tx.row("SELECT COUNT(*) FROM change_number") == (1,)


def test_a_newer_database_is_refused(two: list[Database]) -> None:
    newest = migrate(two[0], "catalog", where="it")
    with two[0].write() as tx:
        tx.execute("INSERT INTO migration (number) VALUES (:n)", n=newest + 1)

    with pytest.raises(StoreTooNew):
        migrate(two[1], "catalog", where="it")


# --- several processes ----------------------------------------------------------------------------


def test_no_two_servers_write_at_once(two: list[Database]) -> None:
    with two[0].write() as tx:
        tx.execute("INSERT INTO thing (name, value) VALUES ('n', 0)")

    def count(database: Database) -> None:
        for _ in range(50):
            with database.write() as tx:
                [(value,)] = tx.rows("SELECT value FROM thing")
                tx.execute("UPDATE thing SET value = :v", v=value + 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, two * 2))

    with two[0].read() as tx:
        assert tx.rows("SELECT value FROM thing") == [(200,)]


def test_what_another_server_commits_wakes_up_who_waits(two: list[Database]) -> None:
    one, other = two
    one.wait_for_change(one.revision, LONG_S)  # it listens
    seen = one.revision
    woken = threading.Event()

    def wait() -> None:
        one.wait_for_change(seen, LONG_S)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    with other.write() as tx:
        tx.execute("INSERT INTO thing (name, value) VALUES ('n', 0)")

    assert woken.wait(5)  # much less than the slow look
    thread.join()


def test_only_one_server_has_it_alone(postgres_url: str) -> None:
    with closing(open_database(postgres_url, alone=True)):
        with pytest.raises(StoreInUse, match="another server"):
            open_database(postgres_url, alone=True)
        open_database(postgres_url).close()

    open_database(postgres_url, alone=True).close()


# --- reads ----------------------------------------------------------------------------------------


def test_a_read_is_over_with_its_first_failure(two: list[Database]) -> None:
    with two[0].read() as tx:
        with pytest.raises(psycopg.DataError, match="division"):
            tx.row("SELECT 1 / (1 - 1)")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            tx.row("SELECT 1")

    with two[0].read() as tx:
        assert tx.row("SELECT 1") == (1,)


@pytest.mark.parametrize("asked_before", [False, True])
def test_rows_are_streamed_whatever_was_asked_before(
    two: list[Database], asked_before: bool
) -> None:
    with two[0].read() as tx:
        if asked_before:
            assert tx.row("SELECT 1") == (1,)
        assert list(tx.stream("SELECT n FROM generate_series(1, 2500) AS n")) == [
            (n,) for n in range(1, 2501)
        ]
        assert tx.row("SELECT 1") == (1,)


# --- what can't be opened -------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with pytest.raises(Unavailable, match="PostgreSQL database d at") as raised:
        open_database("postgresql://u:geheim@127.0.0.1:1/d")

    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:geheim@h/d?bad=1", "postgresql://u:geheim@[h", "geheim", "mysql://geheim@h/d"],
)
def test_a_url_that_can_not_be_read_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        open_database(url)

    assert "geheim" not in str(raised.value)


def test_a_role_without_connections_left_is_told() -> None:
    name = "narrow_role"
    with psycopg.connect(SERVER, autocommit=True) as admin:
        admin.execute(f"DROP ROLE IF EXISTS {name}")
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p' CONNECTION LIMIT 0")
        try:
            with pytest.raises(Unavailable, match="too many connections"):
                open_database(as_url(user=name, password="p"))
        finally:
            admin.execute(f"DROP ROLE {name}")


def as_url(**changed: str) -> str:
    given = {**conninfo_to_dict(SERVER), **changed}
    assert make_conninfo(**given)
    return "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**given)


def test_a_database_in_another_encoding_is_refused() -> None:
    name = "latin_database"
    with psycopg.connect(SERVER, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name}")
        admin.execute(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' "
            "LC_CTYPE 'C'"
        )
        try:
            with pytest.raises(NotSupported, match="LATIN1"):
                open_database(as_url(dbname=name))
        finally:
            admin.execute(f"DROP DATABASE {name}")


# --- moving ---------------------------------------------------------------------------------------


def test_rows_go_to_a_file_and_back(tmp_path: Path) -> None:
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    with closing(SqliteDatabase(first, durable=False)) as file:
        migrate(file, "catalog", where="test")
        with file.write() as tx:
            tx.execute("UPDATE change_number SET value = 77")
            for number, parent in ((5, None), (9, 5), (12, 9)):
                if parent is None:
                    tx.execute(
                        "INSERT INTO repo VALUES (1, 'default', 'r', :text, 0, 0, 0)",
                        text="with \0 in it",
                    )
                tx.execute(
                    "INSERT INTO commit_record (number, repo, id, origin, parent, line, "
                    "description, started_us) VALUES (:n, 1, :id, 'user', :p, 5, '', 0)",
                    n=number,
                    id=str(number),
                    p=parent,
                )
            tx.execute(
                "INSERT INTO pipeline (name, version, state, changed) VALUES ('p', 1, 'x', 1)"
            )
        with catalog_schema() as url, closing(open_database(url)) as database:
            with file.read() as tx:
                move_into(tx, database)
            with database.write() as tx:  # goes on with numbers
                tx.execute(
                    "INSERT INTO pipeline (name, version, state, changed) VALUES ('q', 1, 'x', 1)"
                )
                assert tx.row("SELECT MAX(number) FROM pipeline") == (2,)
                tx.execute("DELETE FROM pipeline WHERE name = 'q'")
            with database.read() as tx:
                copy_into_file(tx, second)
        with closing(SqliteDatabase(second)) as again, again.read() as now, file.read() as then:
            for table in then.tables():
                rows = f"SELECT * FROM {table}"
                assert sorted(map(repr, now.rows(rows))) == sorted(map(repr, then.rows(rows)))


def test_rows_of_other_tables_are_not_taken(two: list[Database], tmp_path: Path) -> None:
    with closing(SqliteDatabase(tmp_path / "c.db")) as file:
        migrate(file, "catalog", where="test")
        with file.read() as tx, pytest.raises(Corrupt, match="the tables of this version"):
            move_into(tx, two[0])
