"""Opens the index of a store, and makes it anew from the packs where it can't be used.

Only one process may make it anew, the one that owns the data directory: whoever has the file open
goes on with it, so two files of that name would be two stores that know nothing of each other.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from trunkline.errors import Corrupt, Unavailable
from trunkline.store import repair
from trunkline.store.depot import Depot
from trunkline.store.epochs import Epochs, Holds, LockedEpochs
from trunkline.store.index import Index, TableIndex, open_file


class Whole(NamedTuple):
    """What work on all of a store needs, such as a collection."""

    table: TableIndex
    epochs: Epochs


class Joined(NamedTuple):
    """What a store has beside its packs."""

    places: Index
    holds: Holds
    whole: Whole | None = None  # None for a worker, which asks for the rest
    shared: bool = False  # by servers with other directories: workers have to ask for places


def joined(directory: Path, depot: Depot, *, rebuild: bool) -> Joined:
    """What is in the directory of a store."""
    whole = Whole(open_index(directory, depot, rebuild=rebuild), LockedEpochs(directory))
    return Joined(*whole, whole)


def open_index(directory: Path, depot: Depot, *, rebuild: bool) -> TableIndex:
    """The index of a store; with `rebuild` one that is missing or can't be read is made anew.

    Otherwise that raises Unavailable, and an index of which a repair said that it is to be made
    anew is used as it is: the server does so too until it starts again.
    """
    path = directory / "index.db"
    with exclusive(directory):
        if not rebuild:
            return _open_shared(path)
        anew = not path.exists() or repair.must_rebuild(directory)
        try:
            if anew and path.exists():
                raise Corrupt(f"the index {path}", "a whole database", "one to be made anew")
            index = TableIndex(open_file(path))
        except Corrupt:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            index = TableIndex(open_file(path))
            anew = True
        if anew:
            depot.recover(index, rebuild=True)
            repair.rebuilt(directory)
    return index


def _open_shared(path: Path) -> TableIndex:
    """The index that the owner of the store has made."""
    try:
        if path.exists():
            return TableIndex(open_file(path))
        problem = "it is not there"
    except Corrupt as error:
        problem = str(error)
    raise Unavailable(
        f"the index {path} can't be used ({problem}); it is made anew when the server starts: "
        "`trunkline down`, then any command"
    )


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Only one process opens or recovers a store at a time."""
    fd = os.open(directory / "recover.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
