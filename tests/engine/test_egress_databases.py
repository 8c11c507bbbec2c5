"""The output of a job fills the tables of real databases: PostgreSQL, and MariaDB as MySQL.

Where they are say `TRUNKLINE_TEST_POSTGRES` and `TRUNKLINE_TEST_MYSQL`; `.ci/run` starts both.
"""

import base64
import datetime
import decimal
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from trunkline.model.jobs import JobState

sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs the extra 'sql'")

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
SECRET = {"name": "db", "key": "PACHYDERM_SQL_PASSWORD"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A schema of its own in a real database."""

    driver: Any
    engine: Any
    url: str  # without the password
    password: str
    schema: str

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            found = connection.execute(
                sqlalchemy.text(f"SELECT * FROM {self.schema}.{table} ORDER BY id")
            )
            return [tuple(row) for row in found]

    def run(self, files: dict[str, str], *, url: str = "", kind: str = "CSV") -> Any:
        named = {f"{self.schema}.{path}": text for path, text in files.items()}
        self.driver.put("data", named)
        asked = {"url": url or self.url, "fileFormat": {"type": kind}, "secret": SECRET}
        self.driver.pipeline(
            "made", "cp -r /pfs/data/. /pfs/out/", glob="/", egress={"sqlDatabase": asked}
        )
        return self.driver.job("made")


@pytest.fixture(params=["TRUNKLINE_TEST_POSTGRES", "TRUNKLINE_TEST_MYSQL"])
def target(request: pytest.FixtureRequest, open_engine: Any) -> Iterator[Target]:
    address = os.environ.get(request.param)
    if not address:
        pytest.skip(f"{request.param} names no database (.ci/run starts one)")
    url = sqlalchemy.make_url(address)
    engine = sqlalchemy.create_engine(url.set(drivername=DRIVERS[url.drivername]))
    schema = f"t{uuid.uuid4().hex[:12]}"
    driver = open_engine(TRUNKLINE_EGRESS_RETRY_S="0")
    driver.engine.repos.create_repo("data")
    value = base64.b64encode(url.password.encode()).decode()
    driver.engine.secrets.create_secret("db", data={"PACHYDERM_SQL_PASSWORD": value})
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA {schema}"))
        connection.execute(
            sqlalchemy.text(
                f"CREATE TABLE {schema}.flowers (id INTEGER PRIMARY KEY, name VARCHAR(20), "
                "seen TIMESTAMP NULL, wild BOOLEAN, size NUMERIC(6,2), place DATE)"
            )
        )
        connection.execute(
            sqlalchemy.text(f"INSERT INTO {schema}.flowers (id, name) VALUES (0, 'old')")
        )
    yield Target(
        driver=driver,
        engine=engine,
        url=url._replace(password=None).render_as_string(),
        password=url.password,
        schema=schema,
    )
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                f"DROP SCHEMA {schema}{' CASCADE' if url.drivername == 'postgresql' else ''}"
            )
        )
    engine.dispose()


OLD = (0, "old", None, None, None, None)


def test_values_arrive_as_the_types_of_their_columns(target: Target) -> None:
    text = '1,"a, \'b""",2017-03-12T21:51:45,true,1.5,2020-02-29\n2,é%s:x,,false,,\n'

    job = target.run({"flowers/x.csv": text})

    assert (job.state, job.reason) == (JobState.SUCCESS, "")
    seen, size = datetime.datetime(2017, 3, 12, 21, 51, 45), decimal.Decimal("1.50")
    assert target.rows("flowers") == [
        (1, "a, 'b\"", seen, True, size, datetime.date(2020, 2, 29)),
        (2, "é%s:x", None, False, None, None),
    ]


def test_json_leaves_out_what_it_does_not_name(target: Target) -> None:
    job = target.run({"flowers/x": '{"id": 7, "wild": true}\n{"name": "b", "id": 8}'}, kind="JSON")

    assert job.state is JobState.SUCCESS
    assert [row[:4] for row in target.rows("flowers")] == [
        (7, None, None, True),
        (8, "b", None, None),
    ]


def test_many_rows_of_many_files_go_in_at_once(target: Target) -> None:
    files = {
        f"flowers/{part}.csv": "".join(f"{part * 1000 + n},n{n},,,,\n" for n in range(1000))
        for part in range(5)
    }

    assert target.run(files).state is JobState.SUCCESS
    assert [row[0] for row in target.rows("flowers")] == list(range(5000))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1,a,,,,\n1,b,,,,\n", "the database says: "),  # one key twice
        (f"1,{'x' * 30},,,,\n", "the database says: "),  # too long
        ("one,a,,,,\n", "'one' does not fit the column 'id'"),
    ],
)
def test_what_the_database_refuses_fails_the_job_and_changes_nothing(
    target: Target, line: str, told: str
) -> None:
    job = target.run({"flowers/x": line})

    assert job.state is JobState.FAILURE
    assert told in job.reason
    assert target.password not in job.reason
    assert target.rows("flowers") == [OLD]


def test_a_wrong_password_is_told_without_it(target: Target) -> None:
    value = base64.b64encode(b"not-the-word").decode()
    target.driver.engine.secrets.delete_secret("db")
    target.driver.engine.secrets.create_secret("db", data={"PACHYDERM_SQL_PASSWORD": value})

    job = target.run({"flowers/x": "1,a,,,,\n"})

    assert job.state is JobState.FAILURE
    assert "failed 3 times: the database says: " in job.reason
    assert "not-the-word" not in job.reason
    assert target.rows("flowers") == [OLD]


def test_a_table_that_another_reads_meanwhile_is_seen_as_before_or_after(target: Target) -> None:
    with target.engine.connect() as reader:
        isolated = reader.execution_options(isolation_level="REPEATABLE READ")
        query = sqlalchemy.text(f"SELECT id FROM {target.schema}.flowers ORDER BY id")
        before = [row[0] for row in isolated.execute(query)]
        job = target.run({"flowers/x": "1,a,,,,\n"})
        during = [row[0] for row in isolated.execute(query)]

    assert job.state is JobState.SUCCESS
    assert (before, during) == ([0], [0])
    assert [row[0] for row in target.rows("flowers")] == [1]
