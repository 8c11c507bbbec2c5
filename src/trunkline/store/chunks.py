"""Bytes in, bytes out, by their hash. The one object through which a process uses the store.

Cost of a put: one hash, one batched look-up in the index, compression, a copy into a buffer. Cost
of a flush: one fdatasync of the active pack and one transaction of the index, whatever the number
of chunks. Cost of a get: one look-up (none if cached), one pread, decompression, one hash.

Several processes share a directory: each appends to a pack of its own, and sees the chunks of the
others as soon as they are flushed.
"""

import errno
import fcntl
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NewType

from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import Corrupt, StorageFull, Unavailable
from trunkline.store import bulk, packs, recovery, tables
from trunkline.store.digests import Digest
from trunkline.store.packs import Encoded, Location, PackReader, PackWriter
from trunkline.store.verify import Verifier, VerifyStats

ChunkId = NewType("ChunkId", str)  # 64 lowercase hex digits: BLAKE3 of the plain bytes

CACHE_BYTES = 32 * 1024 * 1024  # plain chunks kept in memory, for manifests mostly
_CACHED_CHUNK_BYTES_MAX = 1024 * 1024
_READERS_MAX = 64  # open packs
_PENDING_MAX = 32 * 1024  # chunks that are put and not yet indexed
_PUT_BYTES = 8 * 1024 * 1024  # encoded at a time

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class ChunkStore:
    """The chunks of one data directory. Thread-safe; one per process.

    Invariants: a chunk's id is the hash of its bytes, checked on every read; a chunk is indexed
    only after it is durable, so whoever finds it in the index may rely on it.

    After a failed fsync (or any failed write but a full disk) nothing is known about what is on the
    disk: the store then refuses all puts and flushes until it is opened again; reads go on.
    """

    def __init__(self, directory: Path, *, writer: str = "server") -> None:
        self._directory = directory
        self._packs = directory / "packs"
        self._writer = writer
        self._flush_lock = threading.Lock()  # taken before _lock
        self._lock = threading.Lock()  # guards the five below
        self._pack: PackWriter | None = None
        self._pending: dict[bytes, Location] = {}
        self._readers: OrderedDict[str, PackReader] = OrderedDict()
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cache_bytes = 0
        self._failed = ""
        self._verifier: Verifier | None = None
        self._packs.mkdir(parents=True, exist_ok=True)
        self._index = self._open_index()

    def put(self, data: bytes) -> ChunkId:
        """Store one chunk; it is durable after the next flush."""
        return self.put_many([data])[0]

    def put_many(self, pieces: Sequence[bytes]) -> list[ChunkId]:
        """Store chunks with one look-up; returns their ids in the same order.

        Raises StorageFull, after which the caller gives up its operation: what it put is never
        referred to.
        """
        digests = [Digest(piece).digest() for piece in pieces]
        self.put_hashed(digests, pieces)
        return [ChunkId(digest.hex()) for digest in digests]

    def put_hashed(self, digests: Sequence[bytes], pieces: Sequence[bytes]) -> None:
        """Store chunks whose digests the caller has computed from these very bytes."""
        wanted = dict(zip(digests, pieces, strict=True))
        with self._lock:
            self._check_writable()
            for digest in self._pending.keys() & wanted.keys():
                del wanted[digest]
        if not wanted:
            return
        with self._index.read() as tx:
            for digest in tables.known(tx, list(wanted)):
                del wanted[digest]
        encoded: list[Encoded] = []
        encoded_bytes = 0
        for digest, data in wanted.items():
            encoded.append(packs.encode(digest, data))
            encoded_bytes += len(encoded[-1].payload)
            if encoded_bytes >= _PUT_BYTES:
                self._append(encoded)
                encoded, encoded_bytes = [], 0
        self._append(encoded)

    def flush(self) -> None:
        """Make everything that was put durable, and visible to other processes."""
        with self._flush_lock:
            with self._lock:
                self._check_writable()
                places = list(self._pending.values())
                pack = self._pack
                if not places:
                    return
                if pack is not None:
                    with self._writing():
                        pack.drain()
            if pack is not None:
                # Outside of _lock: others go on reading and putting while the disk works.
                self._sync(pack)
            self._publish(places, sealed=None)

    def get(self, chunk: ChunkId) -> bytes:
        """The bytes of a chunk; raises Corrupt if they are damaged or missing."""
        return self.get_many([chunk])[chunk]

    def get_many(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, bytes]:
        """The bytes of several chunks, each read once; raises Corrupt as `get` does."""
        found: dict[ChunkId, bytes] = {}
        missing: dict[bytes, ChunkId] = {}
        with self._lock:
            for chunk in chunks:
                data = self._cache.get(chunk)
                if data is None:
                    missing[bytes.fromhex(chunk)] = chunk
                else:
                    self._cache.move_to_end(chunk)
                    found[chunk] = data
        if missing:
            places = self._find(list(missing))
            for place in sorted(places.values(), key=_position):
                chunk = missing[place.digest]
                found[chunk] = self._read(place)
                self._remember(chunk, found[chunk])
            for digest in missing.keys() - places.keys():
                raise Corrupt(f"chunk {digest.hex()}", "a stored chunk", "none")
        return found

    def read_many(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """As `get_many`, for bulk: read in large parts, and not kept in memory."""
        found: dict[bytes, bytes] = {}
        for run in bulk.runs(list(self.places(digests).values())):
            reader = self._reader_of(run[-1])
            if reader is not None:
                found.update(bulk.read_run(reader, run))
            else:
                for place in run:
                    found[place.digest] = self._read(place)
        return found

    def places(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        """Where chunks are, for `copy_chunk`; raises Corrupt for one that is nowhere."""
        places = self._find(digests)
        for digest in digests:
            if digest not in places:
                raise Corrupt(f"chunk {digest.hex()}", "a stored chunk", "none")
        return places

    def copy_chunk(self, place: Location, fd: int, offset: int) -> None:
        """Write a chunk into an open file of the caller's, at an offset; raises Corrupt, OSError.

        The hash is checked before. Several threads may do this at once.
        """
        reader = self._reader_of(place)
        if reader is None:
            bulk.write_at(fd, memoryview(self._read(place)), offset)
        else:
            bulk.copy_chunk(reader, place, fd, offset)

    def has(self, chunk: ChunkId) -> bool:
        """Whether the chunk is stored, as far as the index knows."""
        return bool(self.has_many([chunk]))

    def has_many(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Which of the chunks are stored, as far as the index knows."""
        digests = {bytes.fromhex(chunk): chunk for chunk in chunks}
        with self._lock:
            there = digests.keys() & self._pending.keys()
        rest = [digest for digest in digests if digest not in there]
        if rest:
            with self._index.read() as tx:
                there |= tables.known(tx, rest)
        return {digests[digest] for digest in there}

    def recover(self) -> None:
        """Settle what died processes left: call once at the start of a server."""
        with self._exclusive():
            recovery.recover(self._packs, self._index, rebuild=False)

    def verify(self, *, read_data: bool) -> Iterator[tuple[ChunkId, str]]:
        """(chunk, problem) for everything damaged; the chunk is "" for damage between chunks.

        `read_data` decompresses and hashes every chunk; without it only headers, footers and the
        index are compared. `stats` tells what was seen, while and after the problems are read.
        """
        self._verifier = Verifier(self._packs, self._index, read_data=read_data)
        for chunk, problem in self._verifier.run():
            yield ChunkId(chunk), problem

    @property
    def stats(self) -> VerifyStats:
        """What the latest verification has seen."""
        return self._verifier.stats if self._verifier else VerifyStats()

    def stored_bytes(self) -> int:
        """The size of all packs on the disk."""
        return sum(
            entry.stat().st_size
            for entry in os.scandir(self._packs)
            if entry.name.endswith(packs.SUFFIX)
        )

    def close(self) -> None:
        """Flush, seal the active pack, and let go of all files."""
        try:
            if not self._failed:
                self._seal()
        finally:
            with self._lock:
                if self._pack is not None:
                    self._pack.close()
                    self._pack = None
                self._failed = self._failed or "the store has been closed"
                self._readers.clear()
                self._cache.clear()
            self._index.close()

    # --- writing ----------------------------------------------------------------------------------

    def _append(self, chunks: Sequence[Encoded]) -> None:
        at = 0
        while at < len(chunks):
            self._make_room()
            with self._lock:
                self._check_writable()
                pack = self._pack = self._pack or self._new_pack()
                room = max(0, _PENDING_MAX - len(self._pending))
                for chunk in chunks[at : at + room]:
                    if pack.full:
                        break
                    at += 1
                    if chunk.digest not in self._pending:
                        self._pending[chunk.digest] = pack.append(chunk)
                    if pack.wants_drain:
                        with self._writing():
                            pack.drain()

    def _make_room(self) -> None:
        with self._lock:
            full_pack = self._pack is not None and self._pack.full
            many_pending = len(self._pending) >= _PENDING_MAX
        if full_pack:
            self._seal()
        elif many_pending:
            self.flush()

    def _new_pack(self) -> PackWriter:
        with self._writing():
            while True:
                pack = PackWriter(self._packs, name=secrets.token_hex(16), writer=self._writer)
                if not pack.lost:
                    return pack
                pack.close()

    def _seal(self) -> None:
        """Finish the active pack, if there is one, and publish all that is pending."""
        with self._flush_lock:
            with self._lock:
                self._check_writable()
                pack = self._pack
                places = list(self._pending.values())
                if pack is not None:
                    if pack.empty:
                        pack.abandon()
                        pack = None
                    else:
                        with self._writing():
                            pack.write_footer()
            if pack is not None:
                self._sync(pack)
                pack.close()
            with self._lock:
                self._pack = None
            self._publish(places, sealed=pack.name if pack else None)

    def _sync(self, pack: PackWriter) -> None:
        try:
            pack.sync()
        except OSError as error:
            with self._lock:
                self._fail(error)
                pack.abandon()
                self._pack = None
                self._pending.clear()
            raise self._unavailable() from error

    def _publish(self, places: Sequence[Location], *, sealed: str | None) -> None:
        """Index durable chunks. If that fails they stay pending, for the next flush."""
        if places or sealed:
            with self._index.write() as tx:
                tables.add(tx, places)
                if sealed:
                    tables.set_sealed(tx, sealed)
        with self._lock:
            for place in places:
                self._pending.pop(place.digest, None)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of writing into ours. A full disk can be retried; nothing else can."""
        try:
            yield
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise StorageFull(str(self._directory)) from error
            self._fail(error)
            raise self._unavailable() from error

    def _fail(self, error: OSError) -> None:
        self._failed = (
            f"the store {self._directory} can't be written to any more "
            f"({error.strerror or error}); look at the disk, then restart the server"
        )

    def _unavailable(self) -> Unavailable:
        return Unavailable(self._failed)

    def _check_writable(self) -> None:
        if self._failed:
            raise self._unavailable()

    # --- reading ----------------------------------------------------------------------------------

    def _find(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        with self._lock:
            places = {d: self._pending[d] for d in digests if d in self._pending}
        rest = [digest for digest in digests if digest not in places]
        if rest:
            with self._index.read() as tx:
                places.update(tables.find(tx, rest))
        return places

    def _read(self, place: Location) -> bytes:
        with self._lock:
            record = None
            if self._pack is not None and self._pack.name == place.pack:
                record = self._pack.peek(place)
            reader = self._readers.get(place.pack)
            if reader is not None:
                self._readers.move_to_end(place.pack)
        if record is None:
            if reader is None:
                reader = self._open_reader(place)
            return bulk.read_one(reader, place)
        return packs.decode(record, place)

    def _reader_of(self, place: Location) -> PackReader | None:
        """The open pack of a chunk; None while the record is, at least partly, in the buffer."""
        with self._lock:
            pack = self._pack
            if pack is not None and pack.name == place.pack and pack.peek(place) is not None:
                return None
            reader = self._readers.get(place.pack)
            if reader is not None:
                self._readers.move_to_end(place.pack)
                return reader
        return self._open_reader(place)

    def _open_reader(self, place: Location) -> PackReader:
        try:
            reader = PackReader(self._packs / (place.pack + packs.SUFFIX))
        except FileNotFoundError as error:
            raise Corrupt(
                f"chunk {place.digest.hex()}", f"pack {place.pack}", "no such file"
            ) from error
        with self._lock:
            self._readers[place.pack] = reader
            while len(self._readers) > _READERS_MAX:
                self._readers.popitem(last=False)
        return reader

    def _remember(self, chunk: ChunkId, data: bytes) -> None:
        if len(data) > _CACHED_CHUNK_BYTES_MAX:
            return
        with self._lock:
            if chunk not in self._cache:
                self._cache[chunk] = data
                self._cache_bytes += len(data)
            while self._cache_bytes > CACHE_BYTES:
                _, dropped = self._cache.popitem(last=False)
                self._cache_bytes -= len(dropped)

    # --- opening ----------------------------------------------------------------------------------

    def _open_index(self) -> SqliteDatabase:
        """The index; made anew from the packs when it is missing or can't be read."""
        path = self._directory / "index.db"
        with self._exclusive():
            rebuild = not path.exists()
            try:
                index = tables.open_index(path)
            except Corrupt:
                for suffix in ("", "-wal", "-shm"):
                    (self._directory / f"index.db{suffix}").unlink(missing_ok=True)
                index = tables.open_index(path)
                rebuild = True
            if rebuild:
                recovery.recover(self._packs, index, rebuild=True)
        return index

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Only one process opens or recovers at a time."""
        lock = self._directory / "recover.lock"
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _position(place: Location) -> tuple[str, int]:
    return place.pack, place.offset
