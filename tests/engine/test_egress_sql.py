"""The output of a job fills the tables of a database (`egress.sql_database`)."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trunkline.db.foreign import ForeignRow, fill_tables
from trunkline.errors import InvalidSpec, NotFound, Unavailable
from trunkline.model.jobs import JobState

pytest.importorskip("sqlalchemy", reason="needs the extra 'sql'")

SCHEMA = """
CREATE TABLE flowers (
  id INTEGER, name VARCHAR(50), seen TIMESTAMP, wild BOOLEAN, size NUMERIC(6,2)
);
CREATE TABLE notes (name VARCHAR(50), id INTEGER);
INSERT INTO notes VALUES ('old', 0);
"""


@pytest.fixture
def data(open_engine: Any, tmp_path: Path) -> Any:
    database = sqlite3.connect(tmp_path / "db")
    database.executescript(SCHEMA)
    database.close()
    driver = open_engine(TRUNKLINE_EGRESS_RETRY_S="0")
    driver.engine.repos.create_repo("data")
    driver.path = tmp_path / "db"
    return driver


def egress(driver: Any, kind: str, **more: Any) -> dict[str, Any]:
    columns = more.pop("columns", [])
    file_format = {"type": kind, "columns": columns}
    return {"sqlDatabase": {"url": f"sqlite:///{driver.path}", "fileFormat": file_format, **more}}


def run(driver: Any, files: dict[str, str | bytes], kind: str, **more: Any) -> Any:
    driver.put("data", files)
    update = {"update": True} if "made" in [p.name for p in _pipelines(driver)] else {}
    driver.pipeline(
        "made",
        "cp -r /pfs/data/. /pfs/out/",
        glob="/",
        egress=egress(driver, kind, **more),
        **update,
    )
    return driver.job("made")


def _pipelines(driver: Any) -> list[Any]:
    return list(driver.engine.pipelines.list_pipelines())


def rows(driver: Any, table: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(driver.path)
    try:
        return database.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
    finally:
        database.close()


FLOWERS = '2,"a, b",,false,1.5\n1,Tim,2017-03-12T21:51:45,true,\n'


def test_csv_goes_into_the_columns_in_their_order_as_their_types(data: Any) -> None:
    job = run(data, {"flowers/deep/0.csv": FLOWERS, "flowers/1": "3,c,,0,2\n"}, "CSV")

    assert (job.state, job.reason) == (JobState.SUCCESS, "")
    assert rows(data, "flowers") == [
        (1, "Tim", "2017-03-12 21:51:45.000000", 1, None),
        (2, "a, b", None, 0, 1.5),
        (3, "c", None, 0, 2),
    ]
    assert data.engine.pipelines.inspect_pipeline("made").warnings == ()


def test_csv_with_a_header_goes_into_the_named_columns(data: Any) -> None:
    job = run(data, {"notes/x": "more,id,name\n?,2,b\n?,1,a\n"}, "CSV", columns=["name", "id"])

    assert job.state is JobState.SUCCESS
    assert rows(data, "notes") == [("a", 1), ("b", 2)]  # what was there is gone


def test_json_goes_into_the_columns_that_it_names(data: Any) -> None:
    first = {"id": 1, "name": 'a"{', "wild": True, "seen": "2020-01-01"}
    text = json.dumps(first) + "\n" + json.dumps({"id": 2}, indent=2) + "\n"

    job = run(data, {"flowers/a": text, "flowers/b": json.dumps([{"id": 3, "size": 1.25}])}, "JSON")

    assert job.state is JobState.SUCCESS
    assert rows(data, "flowers") == [
        (1, 'a"{', "2020-01-01 00:00:00.000000", 1, None),
        (2, None, None, None, None),
        (3, None, None, None, 1.25),
    ]


def test_parquet_goes_into_the_columns_that_it_names(data: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.table({"id": [1, 2], "name": ["a", None]})
    pyarrow.parquet.write_table(table, sink)

    job = run(data, {"notes/x.parquet": sink.getvalue().to_pybytes()}, "PARQUET")

    assert job.state is JobState.SUCCESS
    assert rows(data, "notes") == [("a", 1), (None, 2)]


def test_the_next_job_fills_the_tables_anew(data: Any) -> None:
    run(data, {"notes/a": "a,1\n", "notes/b": "b,2\n"}, "CSV")
    data.put("data", {"notes/a": "c,3\n"})

    assert data.job("made").state is JobState.SUCCESS
    assert rows(data, "notes") == [("b", 2), ("c", 3)]


def test_a_table_that_is_no_longer_in_the_output_loses_its_rows(data: Any) -> None:
    run(data, {"notes/a": "a,1\n", "flowers/b": FLOWERS}, "CSV")
    data.delete("data", "notes")

    assert data.job("made").state is JobState.SUCCESS
    assert rows(data, "notes") == []
    assert len(rows(data, "flowers")) == 2

    database = sqlite3.connect(data.path)
    database.execute("INSERT INTO notes VALUES ('of others', 7)")
    database.commit()
    database.close()
    data.put("data", {"flowers/b": FLOWERS * 2})

    assert data.job("made").state is JobState.SUCCESS
    assert rows(data, "notes") == [("of others", 7)]  # which is theirs again


@pytest.mark.parametrize(
    ("files", "kind", "told"),
    [
        ({"notes/a": "a,1\nb,two\n"}, "CSV", "notes/a, line 2: 'two' does not fit the column 'id'"),
        ({"notes/a": "a,1,2\n"}, "CSV", "there are 3 values, and the table 'notes' has 2"),
        ({"notes/a": "a,1\n", "none/b": "1\n"}, "CSV", "the database has no table 'none'"),
        ({"notes/a": "a,1\n", "top": "1\n"}, "CSV", "'top' is in no directory"),
        ({"notes/a": '{"other": 1}'}, "JSON", "has no column 'other'"),
        ({"notes/a": '{"id": 1'}, "JSON", "does not end"),
        ({"notes/a": "[1]"}, "JSON", "it is no object"),
        ({"notes/a": "nonsense"}, "PARQUET", "notes/a"),
        ({"notes/a": b"\xff\xfe"}, "CSV", "can't be read as CSV"),
    ],
)
def test_what_does_not_fit_fails_the_job_and_leaves_the_database_as_it_was(
    data: Any, files: dict[str, str | bytes], kind: str, told: str
) -> None:
    job = run(data, files, kind)

    assert job.state is JobState.FAILURE
    assert job.reason.startswith("egress to sqlite:///")
    assert told in job.reason
    assert rows(data, "notes") == [("old", 0)]
    assert data.engine.commits.inspect_commit("made", "master").error is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://user@localhost:1/db",
            "egress to postgresql://localhost:1/db failed 3 times",
        ),
        ("mysql://user@localhost:1/db", "egress to mysql://localhost:1/db failed 3 times"),
    ],
)
def test_a_database_that_is_not_reached_or_has_no_driver_fails_the_job(
    data: Any, url: str, told: str
) -> None:
    data.put("data", {"notes/a": "a,1\n"})
    asked = {"sql_database": {"url": url, "file_format": {"type": "CSV"}}}
    data.pipeline("made", "cp -r /pfs/data/. /pfs/out/", glob="/", egress=asked)

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert told in job.reason


@pytest.fixture
def locked(data: Any) -> Iterator[sqlite3.Connection]:
    """A lock on the database, whose driver would wait for it for an hour."""
    lock = sqlite3.connect(data.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    yield lock
    lock.close()


def silent(driver: Any) -> dict[str, Any]:
    url = f"sqlite:///{driver.path}?timeout=3600"
    return {"sqlDatabase": {"url": url, "fileFormat": {"type": "CSV"}}}


def begin(driver: Any, name: str) -> Any:
    """A job that waits for the locked database."""
    driver.pipeline(name, "cp -r /pfs/data/. /pfs/out/", glob="/", egress=silent(driver))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        [job] = driver.engine.jobs.list_jobs(pipeline=name, number=1)
        if job.state is JobState.EGRESSING:
            return job
        time.sleep(0.02)
    raise AssertionError("its output was never copied")


def test_stopped_jobs_let_go_of_a_database_that_does_not_answer(
    data: Any, locked: sqlite3.Connection, tmp_path: Path
) -> None:
    data.put("data", {"notes/a": "a,1\n"})
    names = [f"made{number}" for number in range(6)]  # more than copy at once
    jobs = [(name, begin(data, name)) for name in names]

    for name, job in jobs:
        data.engine.jobs.stop_job(f"{name}@{job.id}")
    data.pipeline("other", "touch /pfs/out/x", egress={"URL": f"file://{tmp_path}/t"})

    assert data.job("other").state is JobState.SUCCESS
    assert data.job("made0").state is JobState.KILLED
    left = [thread for thread in threading.enumerate() if thread.name == "trunkline-database"]
    locked.execute("COMMIT")  # now it answers, and who was left behind does nothing
    for thread in left:
        thread.join(60)
    assert rows(data, "notes") == [("old", 0)]


def test_a_server_ends_though_a_database_does_not_answer(
    data: Any, locked: sqlite3.Connection
) -> None:
    data.put("data", {"notes/a": "a,1\n"})
    begin(data, "made")

    data.engine.close()
    locked.execute("COMMIT")

    assert rows(data, "notes") == [("old", 0)]


def test_a_database_that_does_not_answer_is_given_up(data: Any, locked: sqlite3.Connection) -> None:
    row = ForeignRow(where="x", values=("a", "1"))

    with pytest.raises(Unavailable, match="the database did not answer for 0.5 s"):
        fill_tables(
            f"sqlite:///{data.path}?timeout=3600",
            password="",
            tables=[("notes", [row])],
            check=lambda: None,
            answer_s=0.5,
        )


def test_the_password_comes_from_a_secret_that_must_be_there(data: Any) -> None:
    import base64

    secret = {"name": "db", "key": "PACHYDERM_SQL_PASSWORD"}
    with pytest.raises(NotFound, match="there is no secret 'db'"):
        run(data, {"notes/a": "a,1\n"}, "CSV", secret=secret)

    value = base64.b64encode(b"letmein").decode()
    data.engine.secrets.create_secret("db", data={"PACHYDERM_SQL_PASSWORD": value})
    job = run(data, {"notes/a": "a,1\n"}, "CSV", secret=secret)

    assert job.state is JobState.SUCCESS
    assert rows(data, "notes") == [("a", 1)]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"url": "redis://x", "fileFormat": {"type": "CSV"}}, "begins with postgresql://"),
        ({"url": "sqlite:////x"}, "file_format"),
        ({"fileFormat": {"type": "CSV"}}, "begins with postgresql://"),
    ],
)
def test_what_is_no_database_is_refused(data: Any, asked: Any, told: str) -> None:
    with pytest.raises(InvalidSpec, match=told):
        data.pipeline("made", "true", egress={"sqlDatabase": asked})
