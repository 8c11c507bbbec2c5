"""Who uses which chunks, on disk: for surveys of what things take up, in little memory."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from trunkline.db.sqlite import SqliteDatabase
from trunkline.store import packs, tables
from trunkline.store.index import TableIndex

_BATCH = 100_000
_PAGE = 10_000
_KINDS = 1000  # more than there are kinds of objects


class Use(NamedTuple):
    """A chunk that is stored, what its record takes up, and who uses it."""

    stored_bytes: int
    owners: frozenset[int]


class Uses:
    """A scratch database that lives as long as one survey. For one thread."""

    def __init__(self, path: Path, index: TableIndex) -> None:
        self._path = path
        self._index = index
        self._remove()
        self._database = SqliteDatabase(path, durable=False)
        with self._database.write() as tx:
            tables.create_uses(tx)

    def by(self, owner: int) -> "OwnerUses":
        """Where to note what an owner uses."""
        return OwnerUses(self._database, owner)

    def all(self) -> Iterator[Use]:
        """Every stored chunk that somebody uses."""
        place = (b"", -1)
        rest: list[tuple[bytes, int]] = []
        while True:
            with self._database.read() as tx:
                page = tables.uses_after(tx, *place, _PAGE)
            rows = rest + page
            last = len(page) < _PAGE
            # The owners of the last digest may go on in the next page.
            cut = len(rows)
            while not last and rows[cut - 1][0] == rows[-1][0]:
                cut -= 1
            yield from self._of(rows[:cut])
            if last:
                return
            rest, place = rows[cut:], page[-1]

    def _of(self, rows: Sequence[tuple[bytes, int]]) -> Iterator[Use]:
        digests = list(dict.fromkeys(digest for digest, _ in rows))
        with self._index.read() as tx:
            places = tables.find(tx, digests)
        for digest, group in groupby(rows, key=lambda row: row[0]):
            if digest in places:
                size = places[digest].stored + packs.RECORD_BYTES + packs.ENTRY_BYTES
                yield Use(size, frozenset(owner for _, owner in group))

    def close(self) -> None:
        """Forget everything."""
        self._database.close()
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


class OwnerUses:
    """Notes the chunks that one owner uses; call `done` at the end."""

    def __init__(self, database: SqliteDatabase, owner: int) -> None:
        self._database = database
        self._owner = owner
        self._new: set[bytes] = set()

    def add(self, digests: Iterable[bytes]) -> None:
        """These chunks are used."""
        self._new.update(digests)
        if len(self._new) >= _BATCH:
            self.done()

    def walk_once(self, kind: int, digests: Sequence[bytes]) -> list[bytes]:
        """Those of the objects that were not walked for this owner before."""
        if not digests:
            return []
        with self._database.write() as tx:
            return tables.walk_once(tx, self._owner * _KINDS + kind, dict.fromkeys(digests))

    def done(self) -> None:
        """Write down what is in memory."""
        with self._database.write() as tx:
            tables.add_uses(tx, self._owner, sorted(self._new))
        self._new = set()
