"""Brings packs and index back together after processes died: the packs are the truth.

Runs at the start of a server, and when the index had to be made anew. Cost: the footers of packs
that the index does not know, and a full read of those that were never sealed (one per process that
died).
"""

import os
from pathlib import Path

from trunkline.db.sqlite import SqliteDatabase
from trunkline.store import packs, tables
from trunkline.store.packs import PackContent


def recover(directory: Path, index: SqliteDatabase, *, rebuild: bool) -> None:
    """Seal the packs of dead writers, drop their torn tails, and index what was not indexed.

    What was flushed before a crash is readable afterwards. With `rebuild`, the packs of living
    writers are read into the index too.
    """
    with index.read() as tx:
        known = tables.packs(tx)
    present = {path.name.removesuffix(packs.SUFFIX): path for path in packs.pack_paths(directory)}
    # First those that are gone: a compaction may have moved their chunks to a pack that a power cut
    # made the index forget. And what is missing must count as such, so that a put heals it.
    for name in known.keys() - present.keys():
        with index.write() as tx:
            tables.forget_pack(tx, name)
    for name, path in present.items():
        if known.get(name):
            continue
        fd = packs.take_over(path)
        if fd is not None:
            try:
                _settle(fd, path, index)
            finally:
                os.close(fd)
        elif rebuild:
            _index_living(path, index)


def remove_scratch(directory: Path) -> None:
    """Remove the scratch databases of collections and surveys that died."""
    for pattern in ("live.db*", "uses-*.db*"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)


def _settle(fd: int, path: Path, index: SqliteDatabase) -> None:
    """Make a pack without an owner whole, durable and indexed; remove it when it holds nothing."""
    content = _read(path)
    if not content.places:
        os.unlink(path)
        return
    if not content.sealed:
        os.ftruncate(fd, content.end)
        seal = packs.footer(content.places, content.end)
        while seal:
            count = os.pwrite(fd, seal, os.fstat(fd).st_size)
            seal = seal[count:]
    # Nothing may be indexed before it is durable: others would rely on it.
    os.fdatasync(fd)
    packs.sync_directory(path.parent)
    with index.write() as tx:
        tables.add(tx, content.places)
        tables.set_sealed(tx, content.name)


def _index_living(path: Path, index: SqliteDatabase) -> None:
    content = _read(path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
    with index.write() as tx:
        tables.add(tx, content.places)


def _read(path: Path) -> PackContent:
    return packs.read_content(path.read_bytes(), path.name.removesuffix(packs.SUFFIX))
