"""Waiting for the next committed write, without polling."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trunkline.db.database import Database

LONG_S = 30.0


def test_a_committed_write_wakes_up_who_waits(database: Database) -> None:
    seen = database.revision
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(database.wait_for_change, seen, LONG_S)
        with database.write() as tx:
            tx.execute("INSERT INTO thing (name, value) VALUES ('a', 1)")

        assert waiting.result(LONG_S) == database.revision > seen


def test_who_is_late_does_not_wait(database: Database) -> None:
    seen = database.revision
    with database.write():
        pass

    assert database.wait_for_change(seen, LONG_S) == seen + 1


def test_what_was_written_is_readable_once_its_revision_is_known(database: Database) -> None:
    counts: list[int] = []
    target = 50

    def follow() -> None:
        seen = 0
        while not counts or counts[-1] < target:
            seen = database.wait_for_change(seen, LONG_S)
            with database.read() as tx:
                counts.append(tx.rows("SELECT COUNT(*) FROM thing")[0][0])

    thread = threading.Thread(target=follow)
    thread.start()
    for number in range(target):
        with database.write() as tx:
            tx.execute("INSERT INTO thing (name, value) VALUES (:n, 1)", n=str(number))
    thread.join(LONG_S)

    assert counts[-1] == target
    assert counts == sorted(counts)


def test_a_transaction_that_failed_wakes_nobody(database: Database) -> None:
    seen = database.revision
    with pytest.raises(ZeroDivisionError), database.write():
        raise ZeroDivisionError

    assert database.wait_for_change(seen, 0) == seen


def test_waiting_ends_with_its_time(database: Database) -> None:
    seen = database.revision

    assert database.wait_for_change(seen, 0.01) == seen


def test_notify_wakes_up_without_a_write(database: Database) -> None:
    seen = database.revision
    database.notify()

    assert database.wait_for_change(seen, LONG_S) > seen
