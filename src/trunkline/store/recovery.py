"""Brings packs and index back together after processes died: the packs are the truth.

Runs at the start of a server, and when the index had to be made anew. Cost: a full read of the
packs that the index does not know as sealed (one per process that died; all, without an index).
"""

import os
from dataclasses import replace
from pathlib import Path

from trunkline.store import packs, tables
from trunkline.store.index import TableIndex
from trunkline.store.packs import PackContent


def recover(directory: Path, index: TableIndex, *, rebuild: bool) -> None:
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
                _settle(fd, path, index, rebuild=rebuild)
            finally:
                os.close(fd)
        elif rebuild:
            _index_living(path, index)


def remove_scratch(directory: Path) -> None:
    """Remove the scratch databases of collections and surveys that died."""
    for pattern in ("live.db*", "uses-*.db*"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)


def _settle(fd: int, path: Path, index: TableIndex, *, rebuild: bool) -> None:
    """Make a pack without an owner whole, durable and indexed; remove it when it holds nothing.

    A footer alone proves nothing here: a power cut may have kept it and lost records before it,
    which nobody was told to be durable. So every record is checked; bad ones are not listed again.
    Without an index all packs come here, also those that were durable: their damage is left as it
    is, for `fsck` to tell.
    """
    data = path.read_bytes()
    content = packs.read_content(data, path.name.removesuffix(packs.SUFFIX))
    if content.sealed:
        whole = packs.whole_records(data, content.places)
        if rebuild:
            content = replace(content, places=tuple(whole))
        elif len(whole) < len(content.places):
            content = packs.read_records(data, content.name)
    if not content.places:
        if not (rebuild and content.sealed):
            os.unlink(path)
        return
    sealed = content.sealed or _seal(fd, content)
    # Nothing may be indexed before it is durable: others would rely on it.
    os.fdatasync(fd)
    packs.sync_directory(path.parent)
    with index.write() as tx:
        tables.add(tx, content.places)
        if sealed:
            tables.set_sealed(tx, content.name)


def _seal(fd: int, content: PackContent) -> bool:
    """Write the footer of a pack; without one on a full disk, where the next start tries again."""
    try:
        if not content.header_whole:
            # A power cut kept later sectors and lost the first one, which only says the name.
            os.pwrite(fd, packs.header(content.name, "recovery"), 0)
        os.ftruncate(fd, content.end)
        seal = packs.footer(content.places, content.end)
        while seal:
            count = os.pwrite(fd, seal, os.fstat(fd).st_size)
            seal = seal[count:]
    except OSError as error:
        if error.errno not in packs.NO_SPACE:
            raise
        os.ftruncate(fd, content.end)
        return False
    return True


def _index_living(path: Path, index: TableIndex) -> None:
    content = packs.read_content(path.read_bytes(), path.name.removesuffix(packs.SUFFIX))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
    with index.write() as tx:
        tables.add(tx, content.places)
