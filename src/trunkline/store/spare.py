"""Chunks out of packs that are not of this store, such as those of a backup, by their hash.

What is taken is whole: every record is hashed when the packs are read for the first time, which is
not before something is asked for, and again when it is taken.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import Corrupt
from trunkline.store import packs, tables
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.digests import raw
from trunkline.store.index import open_file
from trunkline.store.packs import Encoded, PackReader, PackWriter

_PAGE = 1_000  # chunks asked for at a time


class SparePacks:
    """Some packs, and once they were needed, a scratch index of them. For one thread."""

    def __init__(self, paths: Iterable[Path], *, pace: Callable[[], None]) -> None:
        # Numbers instead of names, which may be of any form.
        self._paths = {f"{number:x}": path for number, path in enumerate(paths)}
        self._pace = pace
        self._index: SqliteDatabase | None = None
        self._held = ExitStack()

    def take(self, digests: Sequence[bytes]) -> Iterator[Encoded]:
        """Those of the chunks that the packs have, as they can be appended to a pack."""
        if not self._paths:
            return
        index = self._index or self._read()
        for start in range(0, len(digests), _PAGE):
            self._pace()
            with index.read() as tx:
                found = tables.find(tx, digests[start : start + _PAGE])
            for place in found.values():
                yield packs.as_stored(PackReader(self._paths[place.pack]).record(place), place)

    def _read(self) -> SqliteDatabase:
        scratch = self._held.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-"))
        self._index = index = open_file(Path(scratch) / "index.db")
        self._held.callback(index.close)
        for name, path in self._paths.items():
            self._pace()
            try:
                data = path.read_bytes()
            except OSError:
                continue  # what can't be read has nothing to give
            places = packs.whole_records(data, packs.read_content(data, name).places)
            with index.write() as tx:
                tables.add(tx, places)
        return index

    def close(self) -> None:
        """Forget the index."""
        self._held.close()


def damaged_records(path: Path) -> set[bytes]:
    """The chunks that a sealed pack lists and does not have whole."""
    data = path.read_bytes()
    places = packs.read_content(data, path.stem).places
    return {p.digest for p in places} - {p.digest for p in packs.whole_records(data, places)}


class Rescue:
    """Reads chunks of a store, and takes those that it lacks out of spare packs.

    What was taken is in packs of its own in a directory, durable after `finish`.
    """

    def __init__(self, chunks: ChunkStore, spare: SparePacks, directory: Path) -> None:
        self._chunks = chunks
        self._spare = spare
        self._directory = directory
        self._pack: PackWriter | None = None
        self.taken: set[bytes] = set()
        self.paths: list[Path] = []

    def get(self, chunk: ChunkId) -> bytes:
        """The bytes of a chunk, from wherever it is whole; raises Corrupt if it is nowhere."""
        try:
            return self._chunks.get(chunk)
        except Corrupt:
            digest = raw(chunk)
            for found in self._spare.take([digest]):
                self._keep(found)
                return packs.content_of(found)
            raise

    def take(self, digests: Sequence[bytes]) -> None:
        """Take what there is of these."""
        for found in self._spare.take([d for d in digests if d not in self.taken]):
            self._keep(found)

    def _keep(self, chunk: Encoded) -> None:
        if chunk.digest in self.taken:
            return
        self.taken.add(chunk.digest)
        if self._pack is None:
            name = secrets.token_hex(16)
            self._pack = PackWriter(self._directory, name=name, writer="rescue")
            self.paths.append(self._directory / f"{name}{packs.SUFFIX}")
        self._pack.append(chunk)
        if self._pack.wants_drain:
            self._pack.drain()
        if self._pack.full:
            self.finish()

    def finish(self) -> None:
        """Seal what was begun, and make it durable; raises OSError."""
        pack, self._pack = self._pack, None
        if pack is not None:
            try:
                pack.write_footer()
                pack.sync()
            finally:
                pack.close()
