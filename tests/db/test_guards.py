"""Every value is kept twice: one that was changed in the file is told, with its row."""

from pathlib import Path

import pytest

from trunkline.db.guards import guard_problems, guard_rows, lift_guards
from trunkline.db.migrate import migrate
from trunkline.db.seals import row_seal, same_head
from trunkline.db.sqlite import SqliteDatabase
from trunkline.db.times import from_microseconds
from trunkline.errors import Corrupt

APART = {"repo": ("system",)}


@pytest.fixture
def guarded(tmp_path: Path) -> Path:
    """The file of a guarded catalog with two repos."""
    path = tmp_path / "catalog.db"
    database = SqliteDatabase(path)
    migrate(database, "catalog", where="here")
    guard_rows(database, apart=APART)
    with database.write() as tx:
        for number in (7, 12):
            tx.execute(
                "INSERT INTO repo VALUES (:n, 'default', :name, :text, 0, 1700000000000000, :n)",
                n=number,
                name=f"r{number}",
                text=f"the description of {number}",
            )
    database.close()
    return path


def problems(path: Path) -> list[tuple[str, int]]:
    database = SqliteDatabase(path)
    with database.read() as tx:
        found = [(problem.table, problem.row) for problem in guard_problems(tx)]
    database.close()
    return found


def change(path: Path, before: bytes, after: bytes, *, which: int = 0) -> None:
    """Change bytes of the file; of several places, the one with this number."""
    data = path.read_bytes()
    at = -1
    for _ in range(which + 1):
        at = data.index(before, at + 1)
    path.write_bytes(data[:at] + after + data[at + len(before) :])


def test_nothing_is_wrong_with_what_was_only_written(guarded: Path) -> None:
    assert problems(guarded) == []


@pytest.mark.parametrize("copy", [0, 1], ids=["in the table", "in the guard"])
def test_a_changed_value_is_told_with_its_row(guarded: Path, copy: int) -> None:
    change(guarded, b"the description of 12", b"the Description of 12", which=copy)

    assert ("repo", 2) in problems(guarded)


def test_a_changed_schema_is_told(guarded: Path) -> None:
    change(guarded, b"description TEXT NOT NULL", b"description TEXT NOT NULl")

    assert problems(guarded) == [("", 0)]


def test_a_changed_schema_is_not_accepted_by_opening(guarded: Path) -> None:
    change(guarded, b"description TEXT NOT NULL", b"description TEXT NOT NULl")
    database = SqliteDatabase(guarded)
    guard_rows(database, apart=APART)
    database.close()

    assert problems(guarded) == [("", 0)]


def test_every_column_is_in_an_index_or_apart(guarded: Path) -> None:
    database = SqliteDatabase(guarded)
    with database.read() as tx:
        for (table,) in tx.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
            info = tx.rows(f"SELECT name, pk, type FROM pragma_table_info('{table}')")
            rows = tx.rows(
                "SELECT i.name FROM pragma_index_list(:t) l, pragma_index_info(l.name) i", t=table
            )
            there = {name for (name,) in rows} | set(APART.get(table, ()))
            there |= {name for name, pk, kind in info if pk and kind == "INTEGER"}
            assert {name for name, *_ in info} <= there, table
    database.close()


def test_a_migration_may_change_any_column(guarded: Path) -> None:
    database = SqliteDatabase(guarded)
    with database.write() as tx:
        lift_guards(tx)
        tx.execute("ALTER TABLE repo DROP COLUMN description")
        tx.execute("ALTER TABLE repo ADD COLUMN motto TEXT NOT NULL DEFAULT 'onwards'")
    guard_rows(database, apart=APART)
    database.close()
    assert problems(guarded) == []

    change(guarded, b"onwards", b"0nwards", which=1)  # after the schema

    assert problems(guarded) != []


def test_a_seal_tells_what_it_is_of() -> None:
    some = [(), ("a",), ("a", "b"), ("ab",), (1,), (None,), ("a", None), (None, "a"), (0,), ("é",)]

    assert len({row_seal(0, *values) for values in some}) == len(some)
    assert row_seal(1, 7, "x", None) == -1531423425882506320


def test_a_seal_tells_which_half_was_changed() -> None:
    seal = row_seal(2, "root", 7, "described")

    assert same_head(seal, row_seal(2, "root", 7, "Described"))
    assert not same_head(seal, row_seal(2, "root", 8, "described"))
    assert row_seal(2, "root", 7, "Described") != seal


@pytest.mark.parametrize("value", [None, "soon", 2**63])
def test_what_is_no_time_is_damage(value: object) -> None:
    with pytest.raises(Corrupt, match="a row of the database is damaged: expected a time"):
        from_microseconds(value)  # type: ignore[arg-type]
