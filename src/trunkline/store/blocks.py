"""Parts of packs that live elsewhere, kept on this disk within a bound.

A pack that is far away is read in blocks of 1 MiB: a request costs as much as reading some hundred
KiB, and who needs one chunk of a pack soon needs its neighbours. Each block is a file of its own,
put in place in one step, so that all processes of a data directory share them without a lock; packs
that were written here are kept whole. Nothing here is ever synced or trusted: every chunk is hashed
when it is read, and a block that is not what it should be is dropped and fetched again.

The oldest files go first. How long ago one was used is its time of modification, which is brought
up to date when a file is used that looks old.
"""

import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from trunkline.store.packs import RECORD_BYTES, SUFFIX, Location, PackReader

BLOCK_BYTES = 1024 * 1024
_AHEAD = 4  # blocks that are fetched with one that follows upon another
_RUN_MAX = 8  # blocks in one request
_BESIDE = 8  # requests at once
_PREFETCHED_MAX = 64  # blocks that a caller may have fetched ahead of its reads
_BLOCKS_MAX = 256  # of one pack; it has fewer
_USED_S = 120.0  # use is noted this exactly
_FILES_MAX = 100_000
_FREE_SHARE = 0.5  # of what is free on the disk is left to others
_TRIMMED = 0.9  # of the bound is left after a trim
_TRIM = ".trim"
_OVERHEAD_BYTES = 4096  # what a file takes up at least

Answer = TypeVar("Answer")
Fetch = Callable[[str, int, int], bytes]  # name of a pack, from, to; fewer bytes at its end


class _Kept(NamedTuple):
    used: float  # seconds since the epoch
    size: int
    path: str


class Blocks:
    """The cache of one data directory, as one process sees it. Thread-safe."""

    def __init__(self, directory: Path, fetch: Fetch, *, bytes_max: int) -> None:
        self._directory = directory
        self._fetch = fetch
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in range(64)]  # so that none is fetched twice at once
        self._pool: ThreadPoolExecutor | None = None
        self._added = bytes_max  # since the last trim: the first one looks what is there
        self.fetched = 0  # requests
        directory.mkdir(parents=True, exist_ok=True)

    def whole(self, name: str) -> Path:
        """Where a pack is kept that is kept whole."""
        return Path(self._whole(name))

    def _whole(self, name: str) -> str:
        return f"{self._directory}/{name}{SUFFIX}"

    def give_way(self) -> None:
        """The disk is full: leave half of what is kept to others."""
        with suppress(OSError):
            self._trim(share=0.5)

    def keep(self, path: Path, name: str) -> None:
        """Take over the file of a whole pack."""
        size = path.stat().st_size
        try:
            os.replace(path, self.whole(name))
        except OSError:
            _unlinked(path)
        self._note(size)

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Bytes of a pack; fewer at its end. Raises FileNotFoundError, Unavailable."""
        at, end = offset, offset + size
        parts: list[bytes] = []
        while at < end:
            block, low = divmod(at, BLOCK_BYTES)
            high = end - block * BLOCK_BYTES
            data = self._cached(name, block, low, min(high, BLOCK_BYTES) - low)
            if data is None:
                data = self._load(name, block, (end - 1) // BLOCK_BYTES)[low:high]
            parts.append(data)
            at += len(data)
            if not data or at % BLOCK_BYTES:
                break  # all of it, or the end of the pack
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def prefetch(self, places: Iterable[Location], *, here: Callable[[str], bool]) -> None:
        """Fetch blocks beside one another that will be read; not more than are soon.

        Packs that are `here` need none.
        """
        wanted: dict[str, set[int]] = {}
        count = 0
        for place in places:
            first = place.offset // BLOCK_BYTES
            last = (place.offset + RECORD_BYTES + place.stored - 1) // BLOCK_BYTES
            blocks = wanted.setdefault(place.pack, set())
            before = len(blocks)
            blocks.update(range(first, last + 1))
            count += len(blocks) - before
            if count >= _PREFETCHED_MAX:
                break
        runs = [
            run
            for name, blocks in wanted.items()
            if not here(name) and not os.path.exists(self._whole(name))
            for run in self._missing_runs(name, sorted(blocks))
        ]
        if len(runs) > 1:
            list(self._threads().map(self._try_to_load, runs))

    def _try_to_load(self, run: tuple[str, int, int]) -> None:
        with suppress(FileNotFoundError):  # moved to another pack: who reads it finds out
            self._load(*run)

    def drop(self, place: Location) -> bool:
        """Forget what is kept of a chunk; whether there was anything."""
        first = place.offset // BLOCK_BYTES
        last = (place.offset + RECORD_BYTES + place.stored - 1) // BLOCK_BYTES
        paths = [
            self._whole(place.pack),
            *(self._path(place.pack, b) for b in range(first, last + 1)),
        ]
        return sum(_unlinked(path) for path in paths) > 0

    def forget(self, name: str) -> None:
        """Forget all of a pack."""
        for path in (self._whole(name), *(self._path(name, block) for block in range(_BLOCKS_MAX))):
            _unlinked(path)

    def forget_all_but(self, names: set[str]) -> None:
        """Forget packs that are no more, and files that somebody died on."""
        for entry in os.scandir(self._directory):
            if entry.name != _TRIM and entry.name.partition("-")[0].partition(".")[0] not in names:
                _unlinked(entry.path)

    def beside(self, requests: Iterable[Callable[[], Answer]]) -> Iterator[Answer]:
        """What requests give, some of them made beside one another, in their order."""
        return self._threads().map(lambda request: request(), requests)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    # --- one block --------------------------------------------------------------------------------

    def _cached(self, name: str, block: int, offset: int, size: int) -> bytes | None:
        try:
            fd = os.open(self._path(name, block), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if time.time() - os.fstat(fd).st_mtime > _USED_S:
                os.utime(fd)
            return os.pread(fd, size, offset)
        finally:
            os.close(fd)

    def _load(self, name: str, first: int, last: int) -> bytes:
        """Fetch blocks, and maybe some behind them: their bytes, or those of the first if another
        thread was quicker.
        """
        with self._turns[hash((name, first)) % len(self._turns)]:
            there = self._cached(name, first, 0, BLOCK_BYTES)
            if there is not None:
                return there
            if first and os.path.exists(self._path(name, first - 1)):
                last = max(last, first + (_AHEAD if last == first else _RUN_MAX) - 1)
            last = min(last, first + _RUN_MAX - 1)
            data = self._fetch(name, first * BLOCK_BYTES, (last + 1) * BLOCK_BYTES)
            with self._lock:
                self.fetched += 1
            for number, start in enumerate(range(0, len(data), BLOCK_BYTES), start=first):
                self._write(self._path(name, number), data[start : start + BLOCK_BYTES])
            self._note(len(data))
        return data

    def _missing_runs(self, name: str, blocks: list[int]) -> Iterator[tuple[str, int, int]]:
        """(name, first, last) of neighbouring blocks that are not here."""
        missing = [block for block in blocks if not os.path.exists(self._path(name, block))]
        while missing:
            length = 1
            while length < min(_RUN_MAX, len(missing)) and missing[length] == missing[0] + length:
                length += 1
            yield name, missing[0], missing[length - 1]
            del missing[:length]

    def _write(self, path: str, data: bytes) -> None:
        """A block that finds no room is not kept."""
        aside = self._directory / f".{secrets.token_hex(8)}"
        try:
            aside.write_bytes(data)
            os.replace(aside, path)
        except OSError:
            _unlinked(aside)
            with suppress(OSError):  # whoever needs the space may remove the cache at any time
                self._directory.mkdir(exist_ok=True)

    def _path(self, name: str, block: int) -> str:
        return f"{self._directory}/{name}-{block}"

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_BESIDE, "packs")
            return self._pool

    # --- the bound --------------------------------------------------------------------------------

    def _note(self, size: int) -> None:
        """So much was added; look after the bound now and then."""
        with self._lock:
            self._added += max(size, _OVERHEAD_BYTES)
            if self._added < self._bytes_max // 32:
                return
            self._added = 0
        with suppress(OSError):
            self._trim()

    def _trim(self, *, share: float = 1.0) -> None:
        """Remove what was used the longest ago, unless another process does so just now.

        At most this share of what is kept stays.
        """
        fd = os.open(self._directory / _TRIM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            files = sorted(self._files())
            total = sum(file.size for file in files)
            disk = os.statvfs(self._directory)
            room = total + int(disk.f_bavail * disk.f_frsize * _FREE_SHARE)
            most = min(self._bytes_max, room, int(total * share))
            left = len(files)
            goal = most * _TRIMMED if total > most else most
            for file in files:
                if total <= goal and left <= _FILES_MAX:
                    break
                if _unlinked(file.path):
                    total -= file.size
                left -= 1
        finally:
            os.close(fd)

    def _files(self) -> Iterator[_Kept]:
        for entry in os.scandir(self._directory):
            if entry.name != _TRIM:
                with suppress(FileNotFoundError):
                    stat = entry.stat()
                    yield _Kept(stat.st_mtime, max(stat.st_size, _OVERHEAD_BYTES), entry.path)


class BlockReader:
    """A pack that is read through the cache."""

    removed = False  # what is not there any more is told when it is read

    def __init__(self, blocks: Blocks, name: str) -> None:
        self._blocks = blocks
        self._name = name

    def record(self, place: Location) -> bytes:
        return self.part(place.offset, RECORD_BYTES + place.stored)

    def part(self, offset: int, size: int) -> bytes:
        return self._blocks.read(self._name, offset, size)

    def part_into(self, offset: int, buffer: memoryview) -> int:
        data = self.part(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def kept_whole(path: Path) -> PackReader | None:
    """A pack that is kept whole, if it is."""
    try:
        reader = PackReader(path)
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _USED_S:
                os.utime(path)
    except FileNotFoundError:
        return None
    return reader


def _unlinked(path: Path | str) -> bool:
    try:
        os.unlink(path)
    except OSError:
        return False
    return True
