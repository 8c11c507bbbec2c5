"""The migration that brings quiet sources: what is in the trash comes back as it was."""

from pathlib import Path

from trunkline.db.migrate import apply, migrations
from trunkline.db.sqlite import SqliteDatabase
from trunkline.versions.tables import KEPT_COLUMNS, kept_rows, put_row

BEFORE = 12


def test_provenance_in_the_trash_of_an_older_catalog_can_be_put_back(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "catalog.db", durable=False)
    for migration in migrations("catalog"):
        if migration.number <= BEFORE:
            apply(database, migration)
    with database.write() as tx:
        tx.execute("INSERT INTO repo VALUES (1, 'default', 'r', '', 0, 0, 0)")
        for number in (2, 3):
            tx.execute(f"INSERT INTO branch VALUES ({number}, 1, 'b{number}', NULL, 0, 0)")
        tx.execute("INSERT INTO trash VALUES (900, 'branch', 'x', 'x', 0)")
        for place, row in (("branch_provenance", "[3, 2, 0]"), ("cut", "[3, 2]")):
            tx.execute(f"INSERT INTO trash_row VALUES (900, '{place}', 0, '{row}')")

    for migration in migrations("catalog"):
        apply(database, migration)
    with database.write() as tx:
        [row] = kept_rows(tx, 900, "branch_provenance")
        put_row(tx, "branch_provenance", row)

        assert dict(zip(KEPT_COLUMNS["branch_provenance"], row, strict=True)) == {
            "derived": 3,
            "source": 2,
            "position": 0,
            "quiet": 0,
        }
        assert kept_rows(tx, 900, "cut") == [[3, 2]]
    database.close()
