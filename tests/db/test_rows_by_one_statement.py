"""Many rows by one statement of PostgreSQL: the same as with a statement for each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

psycopg = pytest.importorskip("psycopg")

from trunkline.db.postgres_rows import SIZES, for_rows, inserts, portions  # noqa: E402

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

    assert [row for rows in sent for row in rows] == [[k, n] for n, k in enumerate(keys)]
    for rows in sent:
        assert len(rows) in SIZES
        assert len({key for key, _ in rows}) == len(rows)
        assert for_rows(PUT, len(rows)).count("(") == len(rows) + 2


def test_the_numbers_of_values_go_on_from_row_to_row() -> None:
    assert for_rows(PUT, 2) == (
        "INSERT INTO kept (name, value, twice) VALUES ($1, $2, $2), ($3, $4, $4) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
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
