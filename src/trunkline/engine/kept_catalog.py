"""The catalog as it was before the last upgrade, kept beside the present one.

Format: docs/formats/data-directory.md. `before-upgrade` takes its name only when all in it is
durable, so it holds a whole copy or is not there. It holds the copy of the upgrade that was begun
last; whoever needs the space may remove it.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trunkline.db.guards import SEAL
from trunkline.db.migrate import apply, migrations, numbers
from trunkline.db.sqlite import SqliteDatabase, reading
from trunkline.db.sqlite_checks import differing_tables
from trunkline.engine import archive
from trunkline.engine.home import CATALOG, write_format
from trunkline.errors import Corrupt
from trunkline.store.packs import sync_directory

DIRECTORY = "before-upgrade"

_RECORD = "UPGRADE.json"
_VERSION = 1
_FIRST_FORMAT = 1  # of directories that did not say one
# What collecting garbage notes for itself: the same names are alive with it and without. And what
# follows from the schema, which the migrations decide.
_APART = ("collection", "removed_name", SEAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept, and of which upgrade."""

    release: str  # that did it
    begun: str  # RFC 3339
    finished: str  # or "", as long as it is under way
    format: int  # of the data directory before
    catalog: tuple[int, ...]  # numbers of the migrations that it had had
    index: tuple[int, ...]  # those of the index of the store; none: there was no index
    size_bytes: int
    digest: str  # of the copy


def kept(home: Path) -> Kept | None:
    """What is kept; None if nothing is. Raises Corrupt for a record that can't be read."""
    path = home / DIRECTORY / _RECORD
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.pop("trunkline_upgrade") != _VERSION:
            raise ValueError("another version")
        document["catalog"] = tuple(document["catalog"])
        document["index"] = tuple(document["index"])
        return Kept(**document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"the record {path}", "a record of an upgrade", str(error)) from error


def keep(
    home: Path, database: SqliteDatabase, *, format_before: int, release: str, begun: str
) -> Kept:
    """Copy the catalog aside, durably, in the place of what was kept before.

    Raises StorageFull and OperationFailed, after which what was kept before still is.
    """
    new = home / f".{DIRECTORY}.new"
    place = home / DIRECTORY
    with archive.writing(home):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
    with database.read() as tx:
        done = numbers(tx, where=str(home))
    database.copy_pages_to(new / CATALOG)
    with archive.writing(home):
        with (new / CATALOG).open("rb+") as file:
            os.fsync(file.fileno())
        record = Kept(
            release=release,
            begun=begun,
            finished="",
            format=format_before,
            catalog=tuple(sorted(done)),
            index=_index_numbers(home),
            size_bytes=(new / CATALOG).stat().st_size,
            digest=archive.digest_of(new / CATALOG),
        )
        _write(new, record)
        if place.exists():
            forget(home)
        os.rename(new, place)
        sync_directory(home)
    return record


def note_finished(home: Path, record: Kept, *, finished: str) -> None:
    with archive.writing(home):
        _write(home / DIRECTORY, replace(record, finished=finished))


def forget(home: Path) -> bool:
    """Remove what is kept, and say whether all of it is gone.

    A crash leaves all of it under its name, or what `clear_leftovers` removes.
    """
    old = home / f".{DIRECTORY}.old"
    with archive.writing(home):
        shutil.rmtree(old, ignore_errors=True)
        os.rename(home / DIRECTORY, old)
        sync_directory(home)
        shutil.rmtree(old, ignore_errors=True)
    return not old.exists()


def clear_leftovers(home: Path) -> None:
    """Remove what a crash left of a copy that was being made or removed; nobody may be at it."""
    for suffix in ("new", "old"):
        shutil.rmtree(home / f".{DIRECTORY}.{suffix}", ignore_errors=True)


def changed_since(home: Path, database: SqliteDatabase, record: Kept) -> list[str]:
    """The tables that were written to since the upgrade.

    What the catalog was right after it is found by upgrading the copy once more, on a copy of it.
    """
    check(home, record)
    again = home / DIRECTORY / ".again.db"
    _remove_database(again)
    try:
        with archive.writing(home):
            shutil.copyfile(home / DIRECTORY / CATALOG, again)
        with database.read() as tx:
            done = numbers(tx, where=str(home))
        replayed = SqliteDatabase(again, durable=False)
        try:
            for migration in migrations("catalog"):
                if migration.number in done - set(record.catalog):
                    apply(replayed, migration)
            with database.read() as now, replayed.read() as then:
                return differing_tables(now, then, apart=_APART)
        finally:
            replayed.close()
    finally:
        _remove_database(again)


def put_back(home: Path, database: SqliteDatabase, record: Kept) -> None:
    """Make the catalog what it was before; then nothing is kept any more.

    After a crash it is the one or the other, and can be said again. The index of the store goes if
    the older version does not know its format: it makes one from the packs.
    """
    check(home, record)
    if _index_numbers(home) != record.index:
        _remove_database(home / "store" / "index.db")
    database.take_pages_of(home / DIRECTORY / CATALOG)
    write_format(home, record.format or _FIRST_FORMAT)
    forget(home)


def check(home: Path, record: Kept) -> None:
    """Raises Corrupt if the copy is not what was written."""
    path = home / DIRECTORY / CATALOG
    try:
        found = (path.stat().st_size, archive.digest_of(path))
    except OSError as error:
        raise Corrupt(f"the copy {path}", "it to be readable", str(error)) from error
    if found != (record.size_bytes, record.digest):
        raise Corrupt(f"the copy {path}", f"digest {record.digest}", found[1])


def _index_numbers(home: Path) -> tuple[int, ...]:
    path = home / "store" / "index.db"
    if not path.exists():
        return ()
    try:
        with reading(path) as tx:
            return tuple(sorted(numbers(tx, where=str(path))))
    except Corrupt:  # it is made anew from the packs
        return ()


def _write(directory: Path, record: Kept) -> None:
    document = {"trunkline_upgrade": _VERSION, **asdict(record)}
    archive.replace_text(directory / _RECORD, json.dumps(document, indent=1))


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
