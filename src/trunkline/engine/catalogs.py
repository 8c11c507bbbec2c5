"""Opens the catalog of a data directory: the file in it, or a PostgreSQL database.

Chunks that the catalog doesn't name are collected as garbage, and a catalog without its chunks is
worth nothing. So a data directory whose catalog is elsewhere says whose that is: the file DATABASE
has the id of the installation, as the catalog has it, and the two are only opened together.

A catalog in the directory moves into an empty database when it is first opened with one. The way
back is a backup, which always has the catalog as a file.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from trunkline.config import Config
from trunkline.db.database import Database, ServerDatabase, Transaction
from trunkline.db.migrate import migrate, migrations, missing, numbers
from trunkline.db.opening import open_database
from trunkline.db.sqlite import SqliteDatabase
from trunkline.db.transfer import move_into
from trunkline.engine import archive, home, new_catalog
from trunkline.engine.upgrade import bring_up_to_date
from trunkline.errors import Conflict, Corrupt, StoreTooOld, Unavailable
from trunkline.store.packs import pack_paths, sync_directory
from trunkline.versions import counter, invariants, unfinished

_log = logging.getLogger("trunkline.catalog")

_MOVED_SUFFIXES = ("", "-wal", "-shm")


def open_catalog(config: Config, *, now: datetime, new_id: Callable[[], str]) -> Database:
    """The catalog, in the present format; the data directory is locked by the caller.

    Raises Conflict for a directory and a database that don't belong together, StoreTooNew,
    StoreTooOld, StoreInUse, Unavailable, and what `open_database` does.
    """
    if config.database:
        return open_on_server(config, leads=True, now=now, new_id=new_id)
    if home.database_of(config.home):
        raise Conflict(
            f"the catalog of {config.home} is in a PostgreSQL database; say which in "
            "TRUNKLINE_DATABASE"
        )
    bring_up_to_date(config.home, now=now, automatic=config.upgrade == "auto")
    if not (config.home / home.CATALOG).exists():
        new_catalog.make(config.home)
    database = SqliteDatabase(config.home / home.CATALOG)
    with closed_on_errors(database):
        migrate(database, "catalog", where=str(config.home))
        _begin(database)
    return database


def open_on_server(
    config: Config, *, leads: bool, now: datetime, new_id: Callable[[], str]
) -> ServerDatabase:
    """The catalog in a PostgreSQL database; see `open_catalog`.

    Who `leads` has it alone, makes it if need be, and brings it to the present format. Another
    server takes it as it is; raises Unavailable while it is not so far.
    """
    mark = home.database_of(config.home)
    bring_up_to_date(config.home, now=now, automatic=config.upgrade == "auto")
    database = open_database(config.database, alone=leads)
    with closed_on_errors(database):
        if leads:
            _refuse_to_upgrade(database, automatic=config.upgrade == "auto")
            migrate(database, "catalog", where=database.name)
        else:
            _refuse_unmade(database)
        _bind(config, database, mark, new_id=new_id)
        _begin(database)
    return database


@contextmanager
def closed_on_errors(database: Database) -> Iterator[None]:
    """Close a database that is not handed on."""
    try:
        yield
    except BaseException:
        database.close()
        raise


def _begin(database: Database) -> None:
    invariants.guard(database)
    with database.read() as tx:
        for remark in tx.blind_spots:
            _log.warning("%s", remark)


def _refuse_unmade(database: Database) -> None:
    with database.read() as tx:
        done = numbers(tx, where=database.name)
        left = missing(migrations("catalog"), done, where=database.name)
        if left or (unfinished.is_pristine(tx) and counter.installation_of(tx) is None):
            raise Unavailable(
                f"{database.name} has no catalog of this version yet; who leads makes it"
            )


def _refuse_to_upgrade(database: Database, *, automatic: bool) -> None:
    """An older catalog in a database is upgraded by opening it, unless the settings say never."""
    with database.read() as tx:
        done = numbers(tx, where=database.name)
        left = missing(migrations("catalog"), done, where=database.name)
        fresh = unfinished.is_pristine(tx)
    if left and not fresh and not automatic:
        newest = migrations("catalog")[-1].number
        raise StoreTooOld(database.name, max(done), newest, "TRUNKLINE_UPGRADE says never")


def _bind(config: Config, database: Database, mark: str, *, new_id: Callable[[], str]) -> None:
    """Make sure that the two belong together, or make them if one of them is new."""
    directory = config.home
    with database.read() as tx:
        there = counter.installation_of(tx)
        fresh = unfinished.is_pristine(tx)
    if mark:
        if mark != there:
            what = "nothing" if fresh else "the catalog of another one"
            raise Conflict(
                f"{database.name} has {what}, and the data directory {directory} belongs to "
                "another database: name that in TRUNKLINE_DATABASE"
            )
    elif _has_catalog(directory):
        mark = _move(directory, database, fresh=fresh, new_id=new_id)
    elif _has_chunks(directory):
        raise Conflict(f"{directory} has chunks and no catalog that says what they are")
    elif not fresh and config.store and there:
        mark = there  # the bucket says whether its packs are those of this catalog
    elif not fresh:
        raise Conflict(
            f"{database.name} has the catalog of another data directory, and {directory} is "
            "empty: set TRUNKLINE_HOME to the one that has its chunks, or name an empty database"
        )
    else:
        with database.write() as tx:
            mark = counter.installation(tx, new=new_id())
    home.note_database(directory, mark)
    _set_aside(directory)


def _has_chunks(directory: Path) -> bool:
    packs = directory / "store" / "packs"
    return packs.is_dir() and bool(pack_paths(packs))


def _has_catalog(directory: Path) -> bool:
    """Whether a catalog that holds anything is in the directory."""
    path = directory / home.CATALOG
    if not path.exists() or path.stat().st_size == 0:
        return False
    database = SqliteDatabase(path)
    try:
        with database.read() as tx:
            return not unfinished.is_pristine(tx)
    finally:
        database.close()


def _move(directory: Path, database: Database, *, fresh: bool, new_id: Callable[[], str]) -> str:
    """Have the database hold what the catalog in the directory does; returns whose it is.

    If that was done already, and only its end is missing, nothing is copied.
    """
    file = SqliteDatabase(directory / home.CATALOG)
    try:
        migrate(file, "catalog", where=str(directory))
        invariants.guard(file)  # a copy out of a database has no guards yet
        with file.write() as tx:
            mine = counter.installation(tx, new=new_id())
        with file.read() as source:
            if not _same(source, database, mine):
                if not fresh:
                    raise Conflict(
                        f"{directory} has a catalog, and {database.name} has another one; name an "
                        "empty database (or schema) to move it there, or another data directory"
                    )
                problems = source.problems()
                if problems:
                    raise Corrupt(
                        f"the catalog of {directory}", "a whole database", problems[0].problem
                    )
                move_into(source, database)
                _log.info("the catalog of %s is in %s from now on", directory, database.name)
    finally:
        file.close()
    return mine


def _same(source: Transaction, database: Database, installation: str) -> bool:
    """Whether the database holds what the catalog does: nothing was done with it since."""
    with database.read() as tx:
        theirs = (counter.installation_of(tx), counter.last_number(tx))
    return theirs == (installation, counter.last_number(source))


def _set_aside(directory: Path) -> None:
    """Leave the file of a catalog that has moved under another name."""
    path = directory / home.CATALOG
    if path.exists():
        with archive.writing(directory):
            os.replace(path, directory / home.MOVED)
            for suffix in _MOVED_SUFFIXES[1:]:
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            sync_directory(directory)
