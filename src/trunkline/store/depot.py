"""Where whole packs live: the one seam between the store and what keeps its bytes.

A pack is always written into a file of this machine (`packs.PackWriter`); `secure` makes it
durable. Everything else asks for packs by name, and does not know whether they are files of a
directory (here) or objects of a bucket (`store.bucket`).
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from trunkline.store import packs, recovery
from trunkline.store.index import TableIndex
from trunkline.store.packs import SUFFIX, Location, PackReader, PackWriter

ASIDE_SUFFIX = ".pack.damaged"

_PIECE_BYTES = 4 * 1024 * 1024


class Reader(Protocol):
    """An open pack. What is not there is a FileNotFoundError, now or when it is read."""

    @property
    def removed(self) -> bool: ...
    def record(self, place: Location) -> bytes: ...
    def part(self, offset: int, size: int) -> bytes: ...
    def part_into(self, offset: int, buffer: memoryview) -> int: ...


class Depot(Protocol):
    """The packs of one store. Thread-safe. Raises OSError where the disk fails."""

    @property
    def where(self) -> str:
        """The place, as words for a sentence."""

    @property
    def whole(self) -> bool:
        """Whether only whole packs can be made durable, so that each flush ends one."""

    def new(self, writer: str) -> PackWriter:
        """Begin a pack."""

    def secure(self, pack: PackWriter) -> None:
        """Make all that the pack has durable; may be tried again after a TrunklineError."""

    def done(self, pack: PackWriter) -> None:
        """Let go of a pack that is secure, sealed and indexed."""

    def reader(self, name: str) -> Reader:
        """Open a pack to read chunks."""

    def origin(self, name: str) -> Reader:
        """Open a pack where it lives, past all caches."""

    def prefetch(self, places: Iterable[Location]) -> None:
        """These will be read."""

    def refetch(self, place: Location) -> bool:
        """Drop what is kept nearer than the pack itself; whether there was anything."""

    def names(self) -> list[str]:
        """All packs, in a fixed order."""

    def sizes(self) -> dict[str, int]:
        """The bytes of all packs."""

    def size(self, name: str) -> int: ...
    def read(self, name: str) -> bytes: ...
    def pieces(self, name: str, size: int) -> Iterator[bytes]:
        """The first bytes of a pack, to be copied away."""

    def read_damaged(self, name: str) -> tuple[bytes, int]:
        """As `packs.read_damaged`."""

    def is_written(self, name: str) -> bool:
        """Whether a process still writes the pack."""

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove packs that nothing points to; by name, why one is still there."""

    def set_aside(self, names: Sequence[str]) -> dict[str, str]:
        """Give damaged packs names under which they are no packs any more; as `remove`."""

    def aside(self) -> list[str]:
        """Where those are, as words for a sentence."""

    def settle(self) -> None:
        """What was removed does not come back, here or in caches."""

    def confirm(self) -> None:
        """Raise Conflict or Unavailable unless this is where the packs of this store are."""

    def give_way(self) -> None:
        """The disk is full: remove what can be had again."""

    def tidy(self) -> None:
        """Remove what died processes left on this machine, and nobody was told of."""

    def recover(self, index: TableIndex, *, rebuild: bool) -> None:
        """Bring packs and index back together; see `store.recovery`."""

    def close(self) -> None: ...


class LocalDepot:
    """Packs in a directory."""

    whole = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.where = str(directory)
        directory.mkdir(parents=True, exist_ok=True)

    def new(self, writer: str) -> PackWriter:
        return new_pack(self._directory, writer)

    def secure(self, pack: PackWriter) -> None:
        pack.sync()

    def done(self, pack: PackWriter) -> None:
        pack.close()

    def reader(self, name: str) -> PackReader:
        return PackReader(self._path(name))

    def origin(self, name: str) -> PackReader:
        return self.reader(name)

    def prefetch(self, places: Iterable[Location]) -> None:
        """The system does so by itself."""

    def refetch(self, place: Location) -> bool:
        return False

    def names(self) -> list[str]:
        return [path.name.removesuffix(SUFFIX) for path in packs.pack_paths(self._directory)]

    def sizes(self) -> dict[str, int]:
        return {
            entry.name.removesuffix(SUFFIX): entry.stat().st_size
            for entry in os.scandir(self._directory)
            if entry.name.endswith(SUFFIX)
        }

    def size(self, name: str) -> int:
        return self._path(name).stat().st_size

    def read(self, name: str) -> bytes:
        return self._path(name).read_bytes()

    def pieces(self, name: str, size: int) -> Iterator[bytes]:
        return pieces_of(self._path(name), size)

    def read_damaged(self, name: str) -> tuple[bytes, int]:
        return packs.read_damaged(self._path(name))

    def is_written(self, name: str) -> bool:
        fd = packs.take_over(self._path(name))
        if fd is not None:
            os.close(fd)
        return fd is None

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        return self._each(names, packs.remove)

    def set_aside(self, names: Sequence[str]) -> dict[str, str]:
        return self._each(names, lambda path: packs.rename(path, path.with_suffix(ASIDE_SUFFIX)))

    def _each(self, names: Sequence[str], do: Callable[[Path], None]) -> dict[str, str]:
        """What can't be done to packs, and why."""
        left: dict[str, str] = {}
        for name in names:
            try:
                do(self._path(name))
            except OSError as error:
                left[name] = str(error.strerror)
        return left

    def aside(self) -> list[str]:
        found = sorted(self._directory.glob(f"*{ASIDE_SUFFIX}"))
        return [f"store/{self._directory.name}/{path.name}" for path in found]

    def settle(self) -> None:
        packs.sync_directory(self._directory)

    def confirm(self) -> None:
        """Nobody else could have them."""

    def give_way(self) -> None:
        """All of it is needed."""

    def close(self) -> None:
        """Nothing is held."""

    def tidy(self) -> None:
        """Some of it may have been told: see `recover`."""

    def recover(self, index: TableIndex, *, rebuild: bool) -> None:
        recovery.recover(self._directory, index, rebuild=rebuild)

    def _path(self, name: str) -> Path:
        return self._directory / (name + SUFFIX)


def pieces_of(path: Path, size: int) -> Iterator[bytes]:
    """The first bytes of a file, in large pieces."""
    with path.open("rb") as file:
        while size and (piece := file.read(min(size, _PIECE_BYTES))):
            size -= len(piece)
            yield piece


def new_pack(directory: Path, writer: str) -> PackWriter:
    """Begin a pack in a directory."""
    while True:
        pack = PackWriter(directory, name=secrets.token_hex(16), writer=writer)
        if not pack.lost:
            return pack
        pack.close()
