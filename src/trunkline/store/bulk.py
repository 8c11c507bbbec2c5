"""Reading many chunks at once, in the order and the extent in which they lie on the disk.

What a single read costs beyond its bytes (a system call, an allocation, a look at the header) is
shared: neighbouring records come with one read. Every chunk is hashed, as in every other read.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from trunkline.errors import Corrupt
from trunkline.store.depot import Reader
from trunkline.store.digests import Digest
from trunkline.store.packs import (
    RECORD_BYTES,
    Location,
    decode,
    decode_large,
    decode_part,
    is_plain,
)

_RUN_BYTES_MAX = 1024 * 1024
_APART_FROM_BYTES = 64 * 1024  # a copy of so much costs more than a second system call
_GAP_BYTES_MAX = 16 * 1024  # read and thrown away, rather than read apart

Turn = AbstractContextManager[object]  # to be inside of while one writes

_local = threading.local()  # a buffer per thread: fresh memory costs more than the copy into it


def runs(places: Sequence[Location]) -> Iterator[list[Location]]:
    """Groups of records that are worth one read, in the order of packs and offsets."""
    run: list[Location] = []
    start = end = 0
    for place in sorted(places, key=_position):
        near = run and place.pack == run[0].pack and place.offset - end <= _GAP_BYTES_MAX
        if near and place.offset + place.stored - start <= _RUN_BYTES_MAX:
            run.append(place)
        else:
            if run:
                yield run
            run, start = [place], place.offset
        end = place.offset + RECORD_BYTES + place.stored
    if run:
        yield run


def read_one(reader: Reader, place: Location) -> bytes:
    """One chunk; raises Corrupt."""
    try:
        if place.stored < _APART_FROM_BYTES:
            return decode(reader.part(place.offset, RECORD_BYTES + place.stored), place)
        head = reader.part(place.offset, RECORD_BYTES)
        payload = reader.part(place.offset + RECORD_BYTES, place.stored)
    except OSError as error:
        raise _unreadable(place, error) from error
    return decode_large(head, payload, place)


def read_run(reader: Reader, run: Sequence[Location]) -> dict[bytes, bytes]:
    """The chunks of one group; raises Corrupt."""
    start, last = run[0].offset, run[-1]
    if len(run) == 1:
        return {last.digest: read_one(reader, last)}
    try:
        data = reader.part(start, last.offset + RECORD_BYTES + last.stored - start)
    except OSError as error:
        raise _unreadable(run[0], error) from error
    return {place.digest: decode_part(data, place.offset - start, place) for place in run}


def copy_chunk(reader: Reader, place: Location, fd: int, offset: int, turn: Turn) -> None:
    """Write a chunk into an open file, at an offset; raises Corrupt, and OSError for the file.

    Who writes is in `turn`: several who write one file at once wait for each other in the system,
    and keep the processor busy with it. The system could copy by itself, but slowly: chunks lie
    across its pages, and their bytes have to come through here to be hashed anyway.
    """
    length = RECORD_BYTES + place.stored
    buffer = _buffer(length)
    try:
        count = reader.part_into(place.offset, buffer)
    except OSError as error:
        raise _unreadable(place, error) from error
    if count == length and is_plain(buffer, place):
        data = buffer[RECORD_BYTES:]
        if Digest(data).digest() != place.digest:
            raise Corrupt(f"chunk {place.digest.hex()}", "its bytes", "others")
    else:
        data = memoryview(decode(bytes(buffer[:count]), place))
    with turn:
        write_at(fd, data, offset)


def write_at(fd: int, data: memoryview, offset: int) -> None:
    """Write all of the data at an offset of an open file."""
    while data:
        count = os.pwrite(fd, data, offset)
        data, offset = data[count:], offset + count


def _unreadable(place: Location, error: OSError) -> Corrupt:
    return Corrupt(f"chunk {place.digest.hex()}", "bytes", str(error))


def _buffer(size: int) -> memoryview:
    """Memory of this thread, until it asks again."""
    held: memoryview | None = getattr(_local, "buffer", None)
    if held is None or len(held) < size:
        held = _local.buffer = memoryview(bytearray(size + size // 4))
    return held[:size]


def _position(place: Location) -> tuple[str, int]:
    return place.pack, place.offset
