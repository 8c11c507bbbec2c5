"""Many rows by one statement of PostgreSQL: the same as with a statement for each."""

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_schemas import empty_schema, needs_postgres

psycopg = pytest.importorskip("psycopg")

from trunkline.db.database import Database, Row, Value  # noqa: E402
from trunkline.db.opening import open_database  # noqa: E402
from trunkline.db.postgres_rows import ROWS_MAX, for_columns, inserts, portions  # noqa: E402
from trunkline.db.sqlite import SqliteDatabase  # noqa: E402

PUT = (
    "INSERT INTO kept (name, value, twice) VALUES (:name, :value, :value) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


@given(st.lists(st.integers(0, 400), max_size=700))
def test_each_row_goes_by_one_statement_in_order_and_none_is_replaced_by_its_own(
    keys: list[int],
) -> None:
    names = inserts(PUT)
    assert names == ("name", "value")

    sent = list(portions(PUT, names, ({"name": k, "value": n} for n, k in enumerate(keys))))

    assert [row for rows in sent for row in rows] == [(k, n) for n, k in enumerate(keys)]
    for rows in sent:
        assert 0 < len(rows) <= ROWS_MAX
        assert len({key for key, _ in rows}) == len(rows)


def test_a_column_without_values_has_no_array() -> None:
    assert for_columns(PUT, (True, True)) == (
        "INSERT INTO kept (name, value, twice) SELECT of_row.c1, of_row.c2, of_row.c2 "
        "FROM unnest($1, $2) AS of_row(c1, c2) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )
    assert for_columns(PUT, (False, True)) == (
        "INSERT INTO kept (name, value, twice) SELECT NULL, of_row.c2, of_row.c2 "
        "FROM unnest($1) AS of_row(c2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE kept SET value = :value WHERE name = :name",
        "INSERT INTO kept (name, value) SELECT number, :value FROM other WHERE name = :name",
        "INSERT INTO kept (name, value) VALUES (:name, COALESCE(:value, 0))",
        "INSERT INTO kept (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET value = :value",
    ],
)
def test_other_statements_are_left_to_themselves(sql: str) -> None:
    assert inserts(sql) is None


COLUMNS = {
    "text": st.none() | st.text(st.sampled_from('a,{}"\\\0\ufdd0') | st.characters(codec="utf-8")),
    "whole": st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1),
    "reals": st.none() | st.floats(allow_nan=False) | st.integers(-9, 9),
    "bytes": st.none() | st.binary(max_size=9),
}


@needs_postgres
@settings(max_examples=20)
@given(rows=st.lists(st.fixed_dictionaries(COLUMNS), max_size=6))
def test_rows_are_in_the_table_as_they_are_in_one_of_sqlite(rows: list[dict[str, Value]]) -> None:
    def kept(database: Database) -> list[Row]:
        with database.write() as tx:
            tx.define(
                "CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT, whole BIGINT, reals REAL, "
                "bytes BLOB)"
            )
            tx.execute_many(
                "INSERT INTO t (text, whole, reals, bytes) VALUES (:text, :whole, :reals, :bytes)",
                rows,
            )
            return tx.rows("SELECT * FROM t ORDER BY n")

    with closing(SqliteDatabase(Path(":memory:"))) as file:
        expected = kept(file)
    with empty_schema() as url, closing(open_database(url)) as database:
        assert kept(database) == expected
