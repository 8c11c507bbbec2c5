"""Data directories as older versions left them."""

import sqlite3
import zipfile
from pathlib import Path

from trunkline.db.migrate import apply, migrations
from trunkline.db.sqlite import SqliteDatabase

_GOLDEN = Path(__file__).parents[1] / "golden" / "data-directory" / "v1.zip"
GOLDEN_NUMBER = 3  # of the newest migration that it has had
NUMBERS = [m.number for m in migrations("catalog") if m.number >= GOLDEN_NUMBER]


def old_store(home: Path, *, number: int = GOLDEN_NUMBER) -> Path:
    """One that holds what the golden one holds, at this migration of the catalog."""
    with zipfile.ZipFile(_GOLDEN) as archive:
        archive.extractall(home)
    database = SqliteDatabase(home / "catalog.db", durable=False)
    for migration in migrations("catalog"):
        if GOLDEN_NUMBER < migration.number <= number:
            apply(database, migration)
    database.close()
    return home


def files_of(home: Path) -> dict[str, bytes]:
    """All that is on the disk, but for who holds it and logs of databases that hold nothing."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != "engine.lock" and not path.name.endswith("-shm")
        if not (path.name.endswith("-wal") and not path.stat().st_size)
    }


def dump(path: Path) -> list[str]:
    """A database as SQL."""
    connection = sqlite3.connect(path)
    try:
        return sorted(connection.iterdump())
    finally:
        connection.close()
