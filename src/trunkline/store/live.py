"""The set of all chunks that something refers to, on disk: as many as there are, in little memory.

A scratch database that lives as long as one collection. Digests are gathered in memory and added in
sorted batches; those of the last two batches are known without asking, because neighbouring
commits name mostly the same ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from trunkline.db.sqlite import SqliteDatabase
from trunkline.store import tables

_BATCH = 100_000  # digests gathered in memory
_PAGE = 10_000


class LiveSet:
    """Digests of chunks, objects that were walked, and where to begin. For one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._remove()
        self._database = SqliteDatabase(path, durable=False)
        with self._database.write() as tx:
            tables.create_scratch(tx)
        self._new: set[bytes] = set()
        self._before: set[bytes] = set()

    def add(self, digests: Iterable[bytes]) -> None:
        """Note chunks that are needed."""
        self._new.update(digests)
        if len(self._new) >= _BATCH:
            self._write()

    def walk_once(self, kind: int, digests: Sequence[bytes]) -> list[bytes]:
        """Those of the objects that were never asked for; they are walked from now on.

        By kind, because a file may happen to have the bytes of a manifest.
        """
        if not digests:
            return []
        with self._database.write() as tx:
            return tables.walk_once(tx, kind, dict.fromkeys(digests))

    def among(self, digests: Sequence[bytes]) -> set[bytes]:
        """Which of the digests are needed."""
        self._write()
        with self._database.read() as tx:
            return tables.live_among(tx, digests)

    def count(self) -> int:
        """How many chunks are needed."""
        self._write()
        with self._database.read() as tx:
            return tables.live_count(tx)

    def pages(self) -> Iterator[list[bytes]]:
        """All of them in order, in pieces."""
        self._write()
        after = b""
        while True:
            with self._database.read() as tx:
                page = tables.live_page(tx, after, _PAGE)
            if not page:
                return
            yield page
            after = page[-1]

    def begin_at(self, starts: Iterable[tuple[int, bytes]]) -> None:
        """Note where to begin walking: (kind, digest), each once."""
        with self._database.write() as tx:
            tables.add_starts(tx, starts)

    def starts(self) -> Iterator[tuple[int, bytes]]:
        """Where to begin walking, in the order in which it was noted."""
        number = 0
        while True:
            with self._database.read() as tx:
                page = tables.starts_after(tx, number, _PAGE)
            if not page:
                return
            yield from ((kind, digest) for _, kind, digest in page)
            number = page[-1][0]

    def close(self) -> None:
        """Forget everything."""
        self._database.close()
        self._remove()

    def _write(self) -> None:
        new = self._new - self._before
        if new:
            with self._database.write() as tx:
                tables.add_live(tx, sorted(new))
        self._before, self._new = self._new, set()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
