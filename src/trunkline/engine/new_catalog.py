"""Makes the catalog of a new data directory: aside, by all migrations, and then under its name.

Nothing waits for the disk before it is whole; after a crash there is a catalog or none.
"""

import os
from pathlib import Path

from trunkline.db.migrate import migrate
from trunkline.db.sqlite import SqliteDatabase
from trunkline.engine import archive, home
from trunkline.store.packs import sync_directory
from trunkline.versions import invariants

_FILES = ("", "-wal", "-shm")  # of a database that is open, or was when its process died


def make(directory: Path) -> None:
    """Make the catalog of a data directory that has none; the caller has locked it.

    Raises StorageFull, OperationFailed.
    """
    place = directory / home.CATALOG
    aside = directory / f".{home.CATALOG}.new"
    with archive.writing(directory):
        for path in (place, aside):
            for suffix in _FILES:  # a log is not to be read into another catalog than its own
                path.with_name(path.name + suffix).unlink(missing_ok=True)
    fill(aside)
    with archive.writing(directory):
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.rename(aside, place)
        sync_directory(directory)


def fill(path: Path) -> None:
    """Make a file with all tables of a catalog and nothing in them; it is not durable yet."""
    database = SqliteDatabase(path, durable=False)
    try:
        migrate(database, "catalog", where=str(path.parent))
        invariants.guard(database)
    finally:
        database.close()
