"""What files of a local directory contained when they were read last, by their stamps.

One file for each source directory, derived: it may be removed at any time, and one that is damaged
counts as far as it is whole. It holds blocks of files in the order in which directories are gone
through; so an old one is read from front to back while the new one is written. Until the new one is
complete it stands beside the old one; whatever ends the process, what both say is used next time.

Format page: docs/formats/stat-cache.md (version 1).
"""

import contextlib
import fcntl
import os
import struct
from array import array
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from trunkline.errors import Conflict, Corrupt
from trunkline.files.columns import Columns, decode_columns, encode_columns
from trunkline.files.listing import STAMP
from trunkline.store.locks import alone

_MAGIC = b"TLSTAT\r\n"
_HEAD = struct.Struct("<8sB3x32s")  # magic, version, digest of what the source is
_BLOCK = struct.Struct("<II")  # bytes behind this, CRC-32 of them
_NAME = struct.Struct("<II")  # bytes of the directory's path, number of files
_ROWS_MAGIC = b"TLSB"
_VERSION = 1
_BLOCK_BYTES_MAX = 64 * 1024 * 1024
_BUFFER_BYTES = 1024 * 1024


class Block(NamedTuple):
    """Some files of one directory, sorted; `rows` has their names for paths."""

    directory: str  # relative, "" for the top
    stamps: "array[int]"
    rows: Columns


class Known:
    """The files of one directory that are known."""

    def __init__(self) -> None:
        self.stamps = array("Q")
        self.rows = Columns()

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each name is; the latest word about it counts."""
        return {name: n for n, name in enumerate(self.rows.paths)}


NOTHING = Known()


def order_of(directory: str) -> str:
    """Directories sort as they are gone through: each before what is in it, then the next one."""
    return directory + "/" if directory else ""


class StatCache:
    """The cache of one source: `take` what is known, `add` what is true now, both in order.

    One process and thread has it at a time. Nothing that goes wrong with it is an error: what
    can't be written is not known the next time.
    """

    def __init__(self, path: Path, source: bytes) -> None:
        """`source` tells this source from others (32 bytes): a file about another one is empty.

        Raises OSError, BlockingIOError if somebody else has it open.
        """
        self._path = path
        self._part = path.with_suffix(".part")
        self._source = source
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._part.exists():
                self._merge()
            self._old = _blocks(path, source)
            self._next = next(self._old, None)
            self._out: BinaryIO | None = _begin(self._part, source)
        except BaseException:
            os.close(self._lock)
            raise

    def take(self, directory: str) -> Known:
        """What is known about a directory; later calls name later directories."""
        wanted, found = order_of(directory), Known()
        while self._next is not None and order_of(self._next.directory) <= wanted:
            block = self._next
            if block.directory == directory:
                found.stamps += block.stamps
                found.rows.copy_rows(block.rows, 0, len(block.rows))
            self._next = next(self._old, None)
        return found

    def add(self, encoded: bytes) -> None:
        """Note a block (of `encode_block`) whose chunks are durable."""
        if self._out is not None:
            try:
                self._out.write(_BLOCK.pack(len(encoded), crc32(encoded)))
                self._out.write(encoded)
            except OSError:
                self._give_up()

    def save(self) -> None:
        """Hand what was noted to the system, for a next time even if this process dies now."""
        if self._out is not None:
            try:
                self._out.flush()
            except OSError:
                self._give_up()

    def close(self, *, complete: bool) -> None:
        """Replace the old cache; by both together unless all of the source was gone through."""
        self._old.close()
        try:
            if self._out is not None:
                self._out.close()
                if complete:
                    os.replace(self._part, self._path)
                else:
                    self._merge()
        except OSError:
            self._give_up()
        finally:
            os.close(self._lock)

    def _give_up(self) -> None:
        """Leave the old cache as it is."""
        out, self._out = self._out, None
        for step in (out.close if out else lambda: None, self._part.unlink):
            with contextlib.suppress(OSError):
                step()

    def _merge(self) -> None:
        """Make one file of the old one and of what the new one has got to."""
        aside = self._path.with_suffix(".merged")
        with _begin(aside, self._source) as out:
            new, old = _blocks(self._part, self._source), _blocks(self._path, self._source)
            head, before = next(new, None), next(old, None)
            while head is not None or before is not None:
                # At equal directories the old block first: the latest word counts.
                if head is None or (
                    before is not None and order_of(before.directory) <= order_of(head.directory)
                ):
                    assert before is not None
                    block, before = before, next(old, None)
                else:
                    block, head = head, next(new, None)
                encoded = encode_block(block)
                out.write(_BLOCK.pack(len(encoded), crc32(encoded)))
                out.write(encoded)
        os.replace(aside, self._path)
        self._part.unlink(missing_ok=True)


def forget_all(directory: Path) -> int:
    """Remove the caches of all sources; returns how many stay because a put has them open."""
    in_use = 0
    for path in sorted(directory.glob("*.lock")):
        try:
            with alone(path, lambda: Conflict("it is being put")):
                for cache in directory.glob(f"{path.stem}.*"):
                    if cache != path:
                        cache.unlink(missing_ok=True)
        except Conflict:
            in_use += 1
    return in_use


def encode_block(block: Block) -> bytes:
    """A block as it is stored."""
    name = block.directory.encode("utf-8")
    return b"".join(
        [
            _NAME.pack(len(name), len(block.rows)),
            name,
            block.stamps.tobytes(),
            encode_columns(_ROWS_MAGIC, block.rows),
        ]
    )


def _decode_block(data: bytes) -> Block:
    size, count = _NAME.unpack_from(data)
    at = _NAME.size + size
    start = at + 8 * STAMP * count
    directory = data[_NAME.size : at].decode("utf-8")
    stamps = array("Q", data[at:start])
    rows = decode_columns(_ROWS_MAGIC, data[start:])
    if len(rows) != count:
        raise Corrupt("a stat cache", f"{count} files", str(len(rows)))
    return Block(directory, stamps, rows)


def _begin(path: Path, source: bytes) -> BinaryIO:
    out = path.open("wb", buffering=_BUFFER_BYTES)
    out.write(_HEAD.pack(_MAGIC, _VERSION, source))
    return out


def _blocks(path: Path, source: bytes) -> Generator[Block, None, None]:
    """The blocks of a file up to one that is not whole; none if it is about another source."""
    try:
        file = path.open("rb", buffering=_BUFFER_BYTES)
    except OSError:
        return
    with file:
        if file.read(_HEAD.size) != _HEAD.pack(_MAGIC, _VERSION, source):
            return
        while (data := _next_block(file)) is not None:
            try:
                yield _decode_block(data)
            except (Corrupt, ValueError, struct.error):
                return


def _next_block(file: BinaryIO) -> bytes | None:
    head = file.read(_BLOCK.size)
    if len(head) != _BLOCK.size:
        return None
    size, checksum = _BLOCK.unpack(head)
    if size > _BLOCK_BYTES_MAX:
        return None
    data = file.read(size)
    return data if len(data) == size and crc32(data) == checksum else None
