"""Bringing a database to the newest schema, and leaving alone what is newer."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest

from trunkline.db.database import Database
from trunkline.db.migrate import migrate, migrations, missing, numbers
from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import StoreTooNew

MIGRATIONS = files("trunkline.db") / "migrations" / "catalog"


def schema(database: Database) -> list[tuple[str, tuple[str, ...]]]:
    with database.read() as tx:
        return [(table, tuple(tx.columns(table))) for table in tx.tables()]


def test_a_new_database_gets_all_tables(database: Database) -> None:
    migrate(database, "catalog", where="here")

    names = {name for name, _ in schema(database)}
    assert {"repo", "branch", "commit_record", "commit_provenance", "run", "migration"} <= names


def test_migrating_again_changes_nothing(database: Database) -> None:
    newest = migrate(database, "catalog", where="here")
    before = schema(database), database.revision

    assert migrate(database, "catalog", where="here") == newest
    assert (schema(database), database.revision) == before


def test_each_migration_is_recorded(database: Database) -> None:
    newest = migrate(database, "catalog", where="here")

    with database.read() as tx:
        numbers = [number for (number,) in tx.rows("SELECT number FROM migration ORDER BY number")]
    assert numbers[0] == 1
    assert numbers[-1] == newest


def test_a_newer_database_is_refused_and_left_alone(database: Database) -> None:
    newest = migrate(database, "catalog", where="here")
    with database.write() as tx:
        tx.execute("INSERT INTO migration (number) VALUES (:n)", n=newest + 1)
    before = schema(database), database.revision

    with pytest.raises(StoreTooNew, match=rf"my home has format {newest + 1}.* up to {newest};"):
        migrate(database, "catalog", where="my home")

    assert (schema(database), database.revision) == before


def test_a_number_that_is_unknown_is_refused_even_below_the_newest_one(
    database: Database,
) -> None:
    newest = migrate(database, "catalog", where="here")
    with database.read() as tx:
        done = numbers(tx, where="here")

    with pytest.raises(StoreTooNew):
        missing([m for m in migrations("catalog") if m.number != 2], done, where="here")

    assert done == {m.number for m in migrations("catalog")}
    assert newest == max(done)


def test_a_migration_says_which_tables_it_writes_anew(tmp_path: Path) -> None:
    [found] = [m for m in migrations("catalog") if m.number == 1]

    assert found.title == "versions"
    assert found.rewrites == ()


def test_an_older_database_ends_up_with_the_schema_of_a_new_one(tmp_path: Path) -> None:
    new = SqliteDatabase(tmp_path / "new.db", durable=False)
    older = SqliteDatabase(tmp_path / "older.db", durable=False)
    with older.write() as tx:
        tx.execute("CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY NOT NULL)")
        tx.execute("INSERT INTO migration (number) VALUES (1)")
        for statement in (MIGRATIONS / "0001_versions.sql").read_text().split(";\n"):
            tx.execute(statement)

    migrate(new, "catalog", where="here")
    migrate(older, "catalog", where="here")

    assert schema(older) == schema(new)
    new.close()
    older.close()


def test_a_number_that_came_later_than_a_higher_one_is_made_up_for(
    database: Database,
) -> None:
    migrate(database, "catalog", where="here")
    with database.write() as tx:
        tx.execute("DROP TABLE notice")
        tx.execute("DROP TABLE notice_wanted")
        tx.execute("DELETE FROM migration WHERE number = 19")

    migrate(database, "catalog", where="here")

    with database.read() as tx:
        assert tx.row("SELECT COUNT(*) FROM notice") == (0,)


def test_two_first_users_migrate_once(tmp_path: Path) -> None:
    both = [SqliteDatabase(tmp_path / "shared.db", durable=False) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda one: migrate(one, "catalog", where="here"), both))

    assert done[0] == done[1]
    with both[0].read() as tx:
        assert tx.row("SELECT COUNT(*) FROM change_number") == (1,)
    assert schema(both[0]) == schema(both[1])
    for one in both:
        one.close()
