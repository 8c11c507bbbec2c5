"""How often the operations that users wait for most go to PostgreSQL and back.

A way costs what the network and two wake-ups cost, whatever it carries; so what is asked is asked
together, and what is only to be done goes along.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import count

import psycopg
import pytest
from postgres_schemas import SERVER, catalog_schema, needs_postgres

from trunkline.db.database import Database, Transaction
from trunkline.db.opening import open_database
from trunkline.jobs import tables as jobs
from trunkline.model.jobs import DatumState
from trunkline.versions import branches, commits, repos
from trunkline.versions.counter import next_number

pytestmark = needs_postgres
NOW = datetime(2024, 5, 6, tzinfo=UTC)
TREE = {"root": "r00t", "files": 1, "size_bytes": 1, "now": NOW}
NEW = {"description": "", "now": NOW}
LONG_S = 30.0
_numbers = count(1)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with catalog_schema() as url, closing(open_database(url)) as made:
        with made.write() as tx:
            repos.create_repo(tx, "data", **NEW)
        put(made)
        yield made


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements went on each way that was waited for."""
    from trunkline.db.postgres_line import Line

    found: list[int] = []
    exchange = Line._exchange

    def noted(line: Line, told: list[object]) -> None:
        found.append(len(told))
        exchange(line, told)

    monkeypatch.setattr(Line, "_exchange", noted)
    return found


def run_id() -> str:
    return f"{next(_numbers):012x}4{0:019x}"


def head(database: Database) -> str:
    with database.read() as tx:
        found = branches.branch_head(tx, "data", "master")
    assert found is not None
    return found.id


def put(database: Database, expected_head: str | None = None) -> None:
    with database.write() as tx:
        commits.put_commit(
            tx, "data", "master", expected_head=expected_head, **TREE, description="",
            run_id=run_id(),
        )  # fmt: skip


def start(database: Database) -> str:
    with database.write() as tx:
        commit = commits.start_commit(
            tx, "data", branch="master", parent=None, **NEW, run_id=run_id()
        )
    return commit.commit.id


def finish(database: Database, commit: str) -> None:
    with database.write() as tx:
        commits.finish_commit(tx, "data", commit, **TREE)


def lease(tx: Transaction) -> None:
    made = jobs.LeaseRecord(id=next_number(tx), job=1, first=0, until=100, worker="w")
    jobs.record_leases(tx, [made])
    jobs.advance_leased(tx, 1, 100)


def outcomes(tx: Transaction) -> None:
    records = [
        jobs.DatumRecord(
            job=1, position=at, key=f"{at:064x}", state=DatumState.SUCCESS, tries=1, worker="w",
            started=NOW, finished=NOW, downloaded_bytes=1, uploaded_bytes=1, download_us=1,
            process_us=1, upload_us=1, log=(), reason="",
        )
        for at in range(100)
    ]  # fmt: skip
    results = [
        jobs.ResultRecord(key=record.key, output=("d",), files=1, size_bytes=1, log=())
        for record in jobs.insert_datums(tx, 1, records)
    ]
    jobs.insert_results(tx, results, job=1, now=NOW)


def test_a_put_asks_once_and_then_writes(database: Database, ways: list[int]) -> None:
    before = head(database)
    ways.clear()

    put(database, before)

    # begin, lock, number, branch; run, commit, branch, repo, notification, commit
    assert ways == [4, 6]


def test_a_commit_is_started_and_finished_by_two_ways_each(
    database: Database, ways: list[int]
) -> None:
    commit = start(database)
    assert ways == [4, 6]
    ways.clear()

    finish(database, commit)

    # begin, lock, triggers, commit; commit, deltas, number, repo, notification, commit
    assert ways == [4, 6]


def test_a_commit_is_inspected_by_one_way(database: Database, ways: list[int]) -> None:
    with database.read() as tx:
        found = commits.commit_info(tx, commits.resolve(tx, "data", "master"))
    assert ways == [1]
    ways.clear()

    with database.read() as tx:
        assert commits.commit_info(tx, commits.resolve(tx, "data", found.id)) == found
    assert ways == [1]


def test_a_list_of_commits_takes_as_many_as_are_wanted(database: Database, ways: list[int]) -> None:
    with database.read() as tx:
        list(commits.list_commits(tx, "data", number=100))

    assert ways == [1, 2]  # the second time with BEGIN


@pytest.mark.parametrize(("work", "expected"), [(lease, [3, 4]), (outcomes, [3, 4])])
def test_leases_and_outcomes_of_many_datums_go_by_two_ways(
    database: Database,
    ways: list[int],
    work: Callable[[Transaction], None],
    expected: list[int],
) -> None:
    with database.write() as tx:
        work(tx)

    assert ways == expected


def test_connections_that_wait_for_work_are_in_no_transaction(database: Database) -> None:
    """Which operators would take for a mistake, and a snapshot for good would be one."""
    sessions = []
    for begin in (database.read, database.write):
        with begin() as tx:
            sessions += tx.rows("SELECT pg_backend_pid()")

    with psycopg.connect(SERVER, autocommit=True) as admin:
        deadline = time.monotonic() + LONG_S
        states = {"?"}
        while states != {"idle"} and time.monotonic() < deadline:
            rows = admin.execute(
                "SELECT state FROM pg_stat_activity WHERE pid = ANY(%s)",
                [[session for (session,) in sessions]],
            )
            states = {state for (state,) in rows}
    assert states == {"idle"}
