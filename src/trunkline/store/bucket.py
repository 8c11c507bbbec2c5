"""Packs as objects of a bucket; this machine has those that are being written, and a cache.

A pack is written into a local file as everywhere. To make what it has durable is to upload it, so
each flush ends its pack: small commits make small packs, which compaction merges. What the index
has is in the bucket; a local pack that is not was never acknowledged, and goes with its writer.

Object names and the owner object: docs/formats/bucket.md. Why so: docs/decisions/0051-packs-in-a-
bucket.md.
"""

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from trunkline.errors import Conflict, Unavailable
from trunkline.fetch.buckets import Bucket, Taken
from trunkline.store import packs, tables
from trunkline.store.blocks import BlockReader, Blocks, kept_whole
from trunkline.store.depot import ASIDE_SUFFIX, Reader, new_pack
from trunkline.store.index import TableIndex
from trunkline.store.packs import RECORD_BYTES, SUFFIX, Location, PackContent, PackWriter

FOLDER = "packs"
_ASIDE = "damaged"
_NAME = re.compile(rf"{FOLDER}/([0-9a-f]{{32}})\{SUFFIX}")
_TAIL_BYTES = 64 * 1024  # of a pack, with the footer of up to 1,363 records
_KEPT_BYTES_MAX = 4 * 1024 * 1024
_PIECE_BYTES = 8 * 1024 * 1024
_LISTED = 64  # footers that are read before they are indexed


class BucketDepot:
    """The packs of one store. Raises Unavailable, and StorageFull where the bucket says so."""

    whole = True

    def __init__(
        self,
        bucket: Bucket,
        directory: Path,
        *,
        cache_bytes: int,
        confirm: Callable[[], None],
    ) -> None:
        self.where = str(bucket)
        self._bucket = bucket
        self._confirm = confirm
        self._writing = directory / "writing"
        self._writing.mkdir(parents=True, exist_ok=True)
        self._blocks = Blocks(directory / "cache", self._part, bytes_max=cache_bytes)
        self._lock = threading.Lock()
        self._sent: set[str] = set()  # packs that are in the bucket, and not indexed yet

    # --- writing ----------------------------------------------------------------------------------

    def new(self, writer: str) -> PackWriter:
        return new_pack(self._writing, writer)

    def secure(self, pack: PackWriter) -> None:
        if pack.name in self._sent:
            return
        try:
            self._bucket.put_new(_key(pack.name), self._local(pack.name).read_bytes())
        except Taken as error:
            raise Unavailable(
                f"the object store {self.where} has other bytes under the name of a new pack "
                f"({pack.name}); does another program write there?"
            ) from error
        with self._lock:
            self._sent.add(pack.name)

    def done(self, pack: PackWriter) -> None:
        self._blocks.keep(self._local(pack.name), pack.name)
        with self._lock:
            self._sent.discard(pack.name)
        pack.close()

    # --- reading ----------------------------------------------------------------------------------

    def reader(self, name: str) -> Reader:
        # In this order, which is that in which a pack moves.
        for path in (self._local(name), self._blocks.whole(name)):
            reader = kept_whole(path)
            if reader is not None:
                return reader
        return BlockReader(self._blocks, name)

    def origin(self, name: str) -> Reader:
        return _Origin(self._bucket, name)

    def prefetch(self, places: Iterable[Location]) -> None:
        self._blocks.prefetch(places, here=lambda name: self._local(name).exists())

    def refetch(self, place: Location) -> bool:
        return self._blocks.drop(place)

    def names(self) -> list[str]:
        return sorted(self.sizes())

    def sizes(self) -> dict[str, int]:
        found = ((_NAME.fullmatch(key), size) for key, size in self._bucket.sizes(FOLDER))
        return {match[1]: size for match, size in found if match}

    def size(self, name: str) -> int:
        return self._bucket.size(_key(name))

    def read(self, name: str) -> bytes:
        kept = self._kept(name)
        return self._bucket.get(_key(name)) if kept is None else kept

    def _kept(self, name: str) -> bytes | None:
        """A small pack that is here, if it is whole: to merge many would be a request for each."""
        try:
            if self._blocks.whole(name).stat().st_size > _KEPT_BYTES_MAX:
                return None
            data = self._blocks.whole(name).read_bytes()
        except FileNotFoundError:
            return None
        content = packs.read_content(data, name)
        places = packs.whole_records(data, content.places)
        return data if content.sealed and len(places) == len(content.places) else None

    def pieces(self, name: str, size: int) -> Iterator[bytes]:
        for start in range(0, size, _PIECE_BYTES):
            yield self._part(name, start, min(start + _PIECE_BYTES, size))

    def read_damaged(self, name: str) -> tuple[bytes, int]:
        return self._bucket.get(_key(name)), 0

    def is_written(self, name: str) -> bool:
        return self._local(name).exists()

    # --- removing ---------------------------------------------------------------------------------

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        if names:
            self._bucket.delete([_key(name) for name in names])
        for name in names:
            self._blocks.forget(name)
        return {}

    def set_aside(self, names: Sequence[str]) -> dict[str, str]:
        for name in names:
            self._bucket.move(_key(name), f"{_ASIDE}/{name}{ASIDE_SUFFIX}")
            self._blocks.forget(name)
        return {}

    def aside(self) -> list[str]:
        return sorted(f"{self._bucket}/{key}" for key, _ in self._bucket.sizes(_ASIDE))

    def settle(self) -> None:
        self._blocks.forget_all_but(set(self.sizes()))

    def give_way(self) -> None:
        self._blocks.give_way()

    def confirm(self) -> None:
        self._confirm()

    def close(self) -> None:
        self._blocks.close()

    # --- after crashes ----------------------------------------------------------------------------

    def recover(self, index: TableIndex, *, rebuild: bool) -> None:
        """What the bucket has and the index does not is read from the footers; see `recovery`.

        A pack that a listing leaves out is asked for before anybody believes it: the index may be
        newer than the listing.
        """
        self.tidy()
        with index.read() as tx:
            known = tables.packs(tx)
        sizes = self.sizes()
        for name in known.keys() - sizes.keys():
            if not self._is_there(name):
                with index.write() as tx:
                    tables.forget_pack(tx, name)
        new = iter([name for name in sorted(sizes) if not known.get(name)])
        while some := list(islice(new, _LISTED)):
            requests = [partial(self._content, name, sizes[name]) for name in some]
            contents = [content for content in self._blocks.beside(requests) if content]
            with index.write() as tx:
                for content in contents:
                    tables.add(tx, content.places)
                    tables.set_sealed(tx, content.name)

    def tidy(self) -> None:
        """Packs of writers that died were not acknowledged, unless they are in the bucket."""
        for path in packs.pack_paths(self._writing):
            try:
                fd = packs.take_over(path)
            except FileNotFoundError:
                continue
            if fd is not None:
                packs.remove(path)
                os.close(fd)

    def _content(self, name: str, size: int) -> PackContent | None:
        """What a pack lists; None if it is gone."""
        try:
            start = max(0, size - _TAIL_BYTES)
            tail = self._part(name, start, size)
            begin = packs.footer_start(tail)
            if begin is not None and begin < start:
                tail, start = self._part(name, begin, size), begin
            listed = packs.read_footer(tail, name, before=start)
            if listed is None:
                return packs.read_content(self.read(name), name)
        except FileNotFoundError:
            return None
        return PackContent(
            name=name, sealed=True, header_whole=True, places=listed[0], end=listed[1]
        )

    def _is_there(self, name: str) -> bool:
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def _part(self, name: str, start: int, end: int) -> bytes:
        return self._bucket.get_part(_key(name), start, end).data

    def _local(self, name: str) -> Path:
        return self._writing / (name + SUFFIX)


def upload(bucket: Bucket, name: str, data: bytes) -> None:
    """Put the bytes of a pack into a bucket, sealed if they are not, unless it holds nothing."""
    content = packs.read_content(data, name)
    if not content.places:
        return
    if not content.sealed:
        data = data[: content.end] + packs.footer(content.places, content.end)
    try:
        bucket.put_new(_key(name), data)
    except Taken as error:
        raise Conflict(f"{bucket} has another pack {name}; choose another prefix") from error


class _Origin:
    """A pack that is read where it lives."""

    removed = False

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._key = _key(name)

    def record(self, place: Location) -> bytes:
        return self.part(place.offset, RECORD_BYTES + place.stored)

    def part(self, offset: int, size: int) -> bytes:
        return self._bucket.get_part(self._key, offset, offset + size).data

    def part_into(self, offset: int, buffer: memoryview) -> int:
        data = self.part(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _key(name: str) -> str:
    return f"{FOLDER}/{name}{SUFFIX}"
