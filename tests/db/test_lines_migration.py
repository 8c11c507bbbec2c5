"""The migration that gives commits lines: of any history, with what is in the trash of it."""

import random
import sqlite3
from pathlib import Path

from trunkline.db.migrate import apply, migrations
from trunkline.db.sqlite import SqliteDatabase

BEFORE = 7


def old_catalog(place: Path, seed: int) -> SqliteDatabase:
    """A catalog with 60 commits in two repos, made on top of each other by chance, and a trash."""
    database = SqliteDatabase(place / f"{seed}.db", durable=False)
    for migration in migrations("catalog"):
        if migration.number <= BEFORE:
            apply(database, migration)
    chance = random.Random(seed)
    with database.write() as tx:
        for repo in (1, 2):
            tx.execute(f"INSERT INTO repo VALUES ({repo}, 'default', 'r{repo}', '', 0, 0, 0)")
        for entry, kind in ((900, "repo"), (901, "commit")):
            tx.execute(f"INSERT INTO trash VALUES ({entry}, '{kind}', 'x', 'x', 0)")
        made: dict[str, list[int]] = {"1": [], "2": [], "900": [], "901": []}
        for number in range(10, 70):
            place_of = chance.choice(sorted(made))
            parent = chance.choice([None, *made[place_of][-4:], *made[place_of][-1:]])
            values = {"n": number, "id": f"{number:032x}", "parent": parent}
            if place_of in ("1", "2"):
                tx.execute(
                    "INSERT INTO commit_record (number, repo, id, origin, parent, depth, jump, "
                    f"description, started_us) VALUES (:n, {place_of}, :id, 'user', :parent, 0, "
                    ":parent, '', 0)",
                    **values,
                )
            else:
                tx.execute(
                    "INSERT INTO trash_commit VALUES (:n, " + place_of + ", 3, :id, NULL, 'user', "
                    ":parent, 0, NULL, '', 0, 0, 'r', 0, 0, NULL)",
                    **values,
                )
            made[place_of].append(number)
    return database


def out_of_line(database: SqliteDatabase, table: str, apart: str) -> list[object]:
    """Those that are not on top of the one before them on their line."""
    with database.read() as tx:
        return tx.rows(
            f"SELECT number, line, parent, before FROM (SELECT number, line, parent, LAG(number) "
            f"OVER (PARTITION BY line ORDER BY number) AS before FROM {table} {apart}) "
            "WHERE line = 0 OR (before IS NOT NULL AND before <> COALESCE(parent, 0))"
        )


def test_every_commit_gets_a_line_on_which_it_is_on_top_of_the_one_before(tmp_path: Path) -> None:
    for seed in range(20):
        database = old_catalog(tmp_path, seed)
        [lines] = [m for m in migrations("catalog") if m.number == BEFORE + 1]

        apply(database, lines)

        assert out_of_line(database, "commit_record", "") == []
        assert out_of_line(database, "trash_commit", "") == []
        with database.read() as tx:
            shared = tx.rows(
                "SELECT c.line FROM commit_record c JOIN trash_commit t ON t.line = c.line"
            )
            assert shared == []
            firsts = tx.rows(
                "SELECT parent, COUNT(DISTINCT line) - COUNT(*) FROM commit_record "
                "GROUP BY parent HAVING COUNT(DISTINCT line) <> COUNT(*)"
            )
            assert firsts == [], "two children of one commit are on one line"
        database.close()


def test_a_long_history_is_migrated_in_time_that_grows_as_it_does(tmp_path: Path) -> None:
    steps = []
    for length in (500, 2000):
        database = SqliteDatabase(tmp_path / f"{length}.db", durable=False)
        for migration in migrations("catalog"):
            if migration.number <= BEFORE:
                apply(database, migration)
        with database.write() as tx:
            tx.execute("INSERT INTO repo VALUES (1, 'default', 'r', '', 0, 0, 0)")
            tx.execute_many(
                "INSERT INTO commit_record (number, repo, id, origin, parent, depth, description, "
                "started_us) VALUES (:n, 1, :n, 'user', :parent, 0, '', 0)",
                [{"n": n, "parent": n - 1 or None} for n in range(1, length + 1)],
            )
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        connection: sqlite3.Connection = database._writer
        connection.set_progress_handler(step, 10)
        [lines] = [m for m in migrations("catalog") if m.number == BEFORE + 1]
        apply(database, lines)
        connection.set_progress_handler(None, 0)
        steps.append(count)
        database.close()

    assert steps[1] < 6 * steps[0]
