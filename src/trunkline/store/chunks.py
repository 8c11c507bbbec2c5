"""Bytes in, bytes out, by their hash. The one object through which a process uses the store.

Cost of a put: one hash, one batched look-up in the index, compression, a copy into a buffer. Cost
of a flush: one fdatasync of the active pack and one transaction of the index, whatever the number
of chunks. Cost of a get: one look-up (none if cached), one pread, decompression, one hash.

Several processes share a directory: each appends to a pack of its own, and sees the chunks of the
others as soon as they are flushed.
"""

import errno
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NewType

from trunkline.errors import Corrupt, StorageFull, TrunklineError, Unavailable
from trunkline.store import bulk, opening, packs, recovery
from trunkline.store.cache import ChunkCache
from trunkline.store.claims import depot_of
from trunkline.store.collect import Collection
from trunkline.store.depot import Reader
from trunkline.store.digests import Digest, raw
from trunkline.store.live import LiveSet
from trunkline.store.packs import Encoded, Location, PackWriter, Piece
from trunkline.store.verify import Verifier, VerifyStats

ChunkId = NewType("ChunkId", str)  # 64 lowercase hex digits: BLAKE3 of the plain bytes

_READERS_MAX = 64  # open packs
_MOVES_MAX = 8  # how often a chunk may change its place while it is read
_PENDING_MAX = 8 * 1024  # chunks that are put before a flush of them begins
_FLUSHING_MAX = 2  # flushes that run beside the puts; a third is waited for
_LARGE_BYTES = 512 * 1024  # chunks that are compressed by threads
_PUT_BYTES = 8 * 1024 * 1024  # encoded at a time


class _Batch(NamedTuple):
    """What one flush makes durable."""

    pack: PackWriter
    places: tuple[Location, ...]
    sealed: bool  # the pack has its footer, and is closed afterwards
    appended: int  # the store's count when the batch was made


class ChunkStore:
    """The chunks of one data directory. Thread-safe; one per process.

    Invariants: a chunk's id is the hash of its bytes, checked on every read; a chunk is indexed
    only after it is durable, so whoever finds it in the index may rely on it.

    After a failed fsync (or any failed write but a full disk) nothing is known about what is on the
    disk: the store then refuses all puts and flushes until it is opened again; reads go on.

    Only who owns the directory may `rebuild` an index that can't be used; to others it is
    Unavailable. See `store.opening`. Where several directories have one store, index and epochs
    are what they have `joined`, and are closed with this.
    """

    def __init__(
        self,
        directory: Path,
        *,
        writer: str = "server",
        rebuild: bool = True,
        joined: opening.Joined | None = None,
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._flush_lock = threading.Lock()  # taken before _lock
        self._lock = threading.Lock()  # guards the eight below
        self._pack: PackWriter | None = None
        self._pending: dict[bytes, Location] = {}  # put, and not yet indexed
        self._fresh: list[Location] = []  # the part of it that no flush has begun with
        self._appended = 0  # chunks, ever
        self._durable = 0  # of these, in their order
        self._readers: OrderedDict[str, Reader] = OrderedDict()
        self._cache = ChunkCache()
        self._failed = ""
        self._encoders = ThreadPoolExecutor(2, "encode")
        self._flusher = ThreadPoolExecutor(1, "flush")
        self._flushing: deque[Future[None]] = deque()  # guarded by _flush_lock
        self._late: list[_Batch] = []  # that could not be made durable or indexed yet; likewise
        self._verifier: Verifier | None = None
        with packs.disk_errors(directory):
            self.depot = depot_of(directory)
            self.joined = joined or opening.joined(directory, self.depot, rebuild=rebuild)
            self._index, self.epochs = self.joined.places, self.joined.holds

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

    def put_hashed(self, digests: Sequence[bytes], pieces: Sequence[Piece]) -> None:
        """Store chunks whose digests the caller has computed from these very bytes.

        The pieces are not used any more when it returns.
        """
        wanted = dict(zip(digests, pieces, strict=True))
        with self._lock:
            self._check_writable()
            for digest in self._pending.keys() & wanted.keys():
                del wanted[digest]
        if not wanted:
            return
        for digest in self._claim(list(wanted)):
            del wanted[digest]
        names, contents = list(wanted), list(wanted.values())
        start = size = 0
        for end, data in enumerate(contents, start=1):
            size += len(data)
            if size >= _PUT_BYTES or end == len(contents):
                self._append(self._encode(names[start:end], contents[start:end]))
                start, size = end, 0

    @property
    def appended(self) -> int:
        """How many chunks were stored since the start; `durable` says how many of these are so."""
        return self._appended

    @property
    def durable(self) -> int:
        """All that was put when `appended` had this value is durable."""
        return self._durable

    def flush(self) -> None:
        """Make everything that was put durable, and visible to other processes."""
        with self._flush_lock:
            self._settle()
            with self._lock:
                self._check_writable()
                batch = self._batch(sealed=self.depot.whole)
                if batch is None:
                    return
            # Outside of _lock: others go on reading and putting while the disk works.
            self._finish(batch)

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
                    missing[raw(chunk)] = chunk
                else:
                    found[chunk] = data
        if missing:
            places = self.find(list(missing))
            if len(places) > 1:
                self.depot.prefetch(places.values())
            for place in sorted(places.values(), key=_position):
                chunk = missing[place.digest]
                found[chunk] = self._read_anywhere(place)
                self.remember(chunk, found[chunk])
            for digest in missing.keys() - places.keys():
                raise Corrupt(f"chunk {digest.hex()}", "a stored chunk", "none")
        return found

    def read_many(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """As `get_many`, for bulk: read in large parts, and not kept in memory."""
        with self._lock:
            cached = {digest: self._cache.get(ChunkId(digest.hex())) for digest in digests}
        found = {digest: data for digest, data in cached.items() if data is not None}
        places = self.places([d for d in digests if d not in found])
        for run in bulk.runs(list(places.values())):
            try:
                if (reader := self._reader_of(run[-1])) is not None:
                    found.update(bulk.read_run(reader, run))
                    continue
            except Corrupt:
                pass  # damaged, or moved: one by one it is told which
            for place in run:
                found[place.digest] = self._read_anywhere(place)
        return found

    def places(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        """Where chunks are, for `copy_chunk`; raises Corrupt for one that is nowhere."""
        places = self.find(digests)
        for digest in digests:
            if digest not in places:
                raise Corrupt(f"chunk {digest.hex()}", "a stored chunk", "none")
        self.depot.prefetch(places.values())
        return places

    def copy_chunk(self, place: Location, fd: int, offset: int, turn: bulk.Turn) -> None:
        """Write a chunk into an open file, at an offset; see `bulk.copy_chunk`.

        Several threads may do this at once, with one `turn` for each file.
        """
        try:
            if (reader := self._reader_of(place)) is not None:
                bulk.copy_chunk(reader, place, fd, offset, turn)
                return
        except Corrupt:
            pass  # damaged, or moved to another pack
        data = memoryview(self._read_anywhere(place))
        with turn:
            bulk.write_at(fd, data, offset)

    def has(self, chunk: ChunkId) -> bool:
        """Whether the chunk is stored, as far as the index knows."""
        return bool(self.has_many([chunk]))

    def has_many(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Which of the chunks are stored, as far as the index knows."""
        digests = {raw(chunk): chunk for chunk in chunks}
        with self._lock:
            there = digests.keys() & self._pending.keys()
        rest = [digest for digest in digests if digest not in there]
        if rest:
            there |= self._index.known(rest)
        return {digests[digest] for digest in there}

    def claim_many(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Which of the chunks are stored, and stay so while the caller's hold lasts."""
        digests = {raw(chunk): chunk for chunk in chunks}
        with self._lock:
            there = digests.keys() & self._pending.keys()
        there |= self._claim([digest for digest in digests if digest not in there])
        return {digests[digest] for digest in there}

    @contextmanager
    def hold(self) -> Iterator[None]:
        """While inside, what was found stored stays stored; see `store.epochs`."""
        held = self.epochs.begin()
        try:
            yield
        finally:
            held.end()

    def collection(self) -> Collection:
        """What removes chunks that nobody needs, and packs that hold few others."""
        return Collection(self._directory, self.depot, *self._whole, writer=self._writer)

    def let_go(self, *, cached: bool = False) -> None:
        """Close packs that are gone, to free their bytes; `cached`: chunks in memory too."""
        with self._lock:
            for name in [name for name, reader in self._readers.items() if reader.removed]:
                del self._readers[name]
            if cached:
                self._cache.clear()

    def seal(self, *, abandoned: bool = False) -> None:
        """Finish the active pack, and those of processes that died; the next put begins another."""
        self._seal()
        if abandoned:
            with packs.disk_errors(self._directory), opening.exclusive(self._directory):
                self.depot.recover(self._whole.table, rebuild=False)

    def recover(self, *, here: bool = False) -> None:
        """Settle what died processes left: call once at the start of a server.

        Only what they left `here`, where other servers have the store too. Raises StorageFull,
        Unavailable.
        """
        with packs.disk_errors(self._directory), opening.exclusive(self._directory):
            # Syncing a pack makes its own name durable, not those of the directories above.
            packs.sync_directory(self._directory)
            packs.sync_directory(self._directory.parent)
            recovery.remove_scratch(self._directory)
            self.depot.tidy()
            if not here:
                self.depot.recover(self._whole.table, rebuild=False)

    def verify(
        self, *, read_data: bool, share: float = 1.0, needed: LiveSet | None = None
    ) -> Iterator[tuple[ChunkId, str]]:
        """(chunk, problem) for everything damaged; the chunk is "" for damage between chunks.

        `read_data` decompresses and hashes every chunk (of this share of the packs); without it
        only headers, footers and the index are compared. What is not in `needed` may be missing
        from the index. `stats` tells what was seen, while and after the problems are read.
        """
        self._verifier = Verifier(
            self.depot, self._whole.table, share=share if read_data else 0.0, needed=needed
        )
        for chunk, problem in self._verifier.run():
            yield ChunkId(chunk), problem

    @property
    def damaged_packs(self) -> list[str]:
        """The packs in which the latest verification has found something damaged."""
        return sorted(self._verifier.damaged_packs) if self._verifier else []

    @property
    def stats(self) -> VerifyStats:
        """What the latest verification has seen."""
        return self._verifier.stats if self._verifier else VerifyStats()

    def stored_bytes(self) -> int:
        """The size of all packs."""
        return sum(self.depot.sizes().values())

    def close(self) -> None:
        """Flush, seal the active pack, and let go of all files."""
        try:
            if not self._failed:
                self._seal()
        finally:
            with self._lock:
                for pack in (self._pack, *(batch.pack for batch in self._late)):
                    if pack is not None:
                        pack.close()
                self._pack = None
                self._failed = self._failed or "the store has been closed"
                self._readers.clear()
                self._cache.clear()
            self._flusher.shutdown()
            self._encoders.shutdown()
            self.depot.close()
            self.epochs.close()
            self._index.close()

    @property
    def _whole(self) -> opening.Whole:
        assert self.joined.whole is not None, "who asks others for places does no such work"
        return self.joined.whole

    def _claim(self, digests: list[bytes]) -> set[bytes]:
        """Which chunks the index has; those that were condemned are wanted again from now on."""
        return self._index.claim(digests) if digests else set()

    # --- writing ----------------------------------------------------------------------------------

    def _encode(self, digests: list[bytes], chunks: list[Piece]) -> list[Encoded]:
        """Compress chunks, large ones side by side."""
        if len(chunks) > 1 and len(chunks[0]) >= _LARGE_BYTES:
            return list(self._encoders.map(packs.encode, digests, chunks))
        return packs.encode_many(digests, chunks)

    def _append(self, chunks: Sequence[Encoded]) -> None:
        at = 0
        while at < len(chunks):
            self._make_room()
            with self._lock:
                self._check_writable()
                pack = self._pack = self._pack or self._new_pack()
                room = max(0, _PENDING_MAX - len(self._fresh))
                with self._writing():
                    for chunk in chunks[at : at + room]:
                        if pack.full:
                            break
                        if chunk.digest not in self._pending:
                            place = pack.append(chunk)
                            self._pending[chunk.digest] = place
                            self._fresh.append(place)
                            self._appended += 1
                        at += 1
                        if pack.wants_drain:
                            pack.drain()

    def _make_room(self) -> None:
        """Begin a flush beside the puts when a pack is full or many chunks are not indexed."""
        with self._lock:
            if not self._is_full():
                return
        with self._flush_lock:
            with self._lock:
                self._check_writable()
                if not self._is_full():
                    return  # another thread was quicker
            if self._late:
                self._settle()  # raises what keeps them here: no more is written until that is over
            with self._lock:
                self._check_writable()
                full = self._pack is not None and self._pack.full
                batch = self._batch(sealed=full or self.depot.whole)
            while len(self._flushing) >= _FLUSHING_MAX:
                self._flushing.popleft().result()
            if batch is not None:
                self._flushing.append(self._flusher.submit(self._finish_beside, batch))

    def _is_full(self) -> bool:
        full = self._pack is not None and self._pack.full
        return full or len(self._fresh) >= _PENDING_MAX

    def _batch(self, *, sealed: bool) -> "_Batch | None":
        """What a flush has to make durable, handed to the system; None for nothing. In _lock.

        With `sealed` the active pack gets its footer, and the next put begins another one.
        """
        pack = self._pack
        if pack is None or pack.empty or not (self._fresh or sealed):
            return None
        with self._writing():
            if sealed:
                pack.write_footer()
            else:
                pack.drain()
        batch = _Batch(pack, tuple(self._fresh), sealed, self._appended)
        self._fresh = []
        if sealed:
            self._pack = None
        return batch

    def _finish(self, batch: "_Batch") -> None:
        """Make a batch durable and index it; what can't be done now is left to `_settle`."""
        if self._late:
            self._late.append(batch)
            return
        try:
            self._complete(batch)
        except TrunklineError:
            if not self._failed:
                self._late.append(batch)
            raise

    def _finish_beside(self, batch: "_Batch") -> None:
        """The same beside the puts: whoever flushes meets what went wrong when he tries again."""
        try:
            self._finish(batch)
        except TrunklineError:
            if self._failed:
                raise

    def _complete(self, batch: "_Batch") -> None:
        self._secure(batch.pack)
        self._publish(batch)

    def _settle(self) -> None:
        """Wait for the flushes that run beside the puts, and make up for what they left."""
        while self._flushing:
            self._flushing.popleft().result()
        while self._late:
            with self._lock:
                self._check_writable()
            self._complete(self._late[0])
            del self._late[0]

    def _new_pack(self) -> PackWriter:
        with self._writing():
            return self.depot.new(self._writer)

    def _seal(self) -> None:
        """Finish the active pack, if there is one, and publish all that is pending."""
        with self._flush_lock:
            self._settle()
            with self._lock:
                self._check_writable()
                if self._pack is not None and self._pack.empty:
                    self._pack.abandon()
                    self._pack = None
                batch = self._batch(sealed=True)
            if batch is not None:
                self._finish(batch)

    def _secure(self, pack: PackWriter) -> None:
        try:
            self.depot.secure(pack)
        except OSError as error:
            with self._lock:
                self._fail(error)
                pack.abandon()
                if self._pack is not None and self._pack is not pack:
                    self._pack.abandon()
                self._pack = None
                self._pending.clear()
                self._fresh = []
            raise self._unavailable() from error

    def _publish(self, batch: "_Batch") -> None:
        """Index durable chunks. If that fails they stay pending.

        The pack is locked until then: of one that nobody writes and the index does not have, others
        dispose.
        """
        if batch.pack.lost:
            with self._lock:
                self._fail(FileNotFoundError(errno.ENOENT, f"pack {batch.pack.name} is gone"))
            raise self._unavailable()
        self._index.publish(batch.places, sealed=batch.pack.name if batch.sealed else None)
        if batch.sealed:
            self.depot.done(batch.pack)
        with self._lock:
            for place in batch.places:
                self._pending.pop(place.digest, None)
            self._durable = max(self._durable, batch.appended)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of writing into ours. A full disk can be retried; nothing else can."""
        try:
            yield
        except OSError as error:
            if error.errno in packs.NO_SPACE:
                self.depot.give_way()
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

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        """Where the chunks are that are stored, as far as the index knows."""
        with self._lock:
            places = {d: self._pending[d] for d in digests if d in self._pending}
        rest = [digest for digest in digests if digest not in places]
        if rest:
            places.update(self._index.find(rest))
        return places

    def _read_anywhere(self, place: Location) -> bytes:
        """The chunk, also if it moves to another pack meanwhile."""
        fresh = False
        for _ in range(_MOVES_MAX):
            try:
                return self._read(place)
            except Corrupt:
                now = self.find([place.digest]).get(place.digest)
                if now is None or (now == place and (fresh or not self._refetch(place))):
                    raise
                fresh, place = now == place, now
        return self._read(place)

    def _refetch(self, place: Location) -> bool:
        """Forget what may be a damaged copy of a pack, kept near; whether there was any."""
        with self._lock:
            self._readers.pop(place.pack, None)
        return self.depot.refetch(place)

    def _read(self, place: Location) -> bytes:
        with self._lock:
            record = None
            if self._pack is not None and self._pack.name == place.pack:
                record = self._pack.peek(place)
            reader = self._readers.get(place.pack)
            if reader is not None:
                self._readers.move_to_end(place.pack)
        if record is not None:
            return packs.decode(record, place)
        return bulk.read_one(reader or self._open_reader(place), place)

    def _reader_of(self, place: Location) -> Reader | None:
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

    def _open_reader(self, place: Location) -> Reader:
        try:
            reader = self.depot.reader(place.pack)
        except FileNotFoundError as error:
            name = f"chunk {place.digest.hex()}"
            raise Corrupt(name, f"pack {place.pack}", "no such file") from error
        with self._lock:
            self._readers[place.pack] = reader
            while len(self._readers) > _READERS_MAX:
                self._readers.popitem(last=False)
        return reader

    def remember(self, chunk: ChunkId, data: bytes) -> None:
        """Keep the bytes of a stored chunk in memory, because they will be read soon."""
        with self._lock:
            self._cache.keep(chunk, data)


def _position(place: Location) -> tuple[str, int]:
    return place.pack, place.offset
