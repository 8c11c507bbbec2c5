"""Takes the compression off a stream, with a limit on what may come out.

gzip, bzip2, xz and zstd are told by their first bytes. Several compressed streams behind one
another count as one, as their tools have it; zeros may follow (tapes and disks are padded), and
nothing else.
"""

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from trunkline.errors import InvalidArchive
from trunkline.files.archived import Meter
from trunkline.files.bytesource import PIECE_BYTES, ByteSource

_MEMORY_BYTES_MAX = 256 * 1024 * 1024  # of a decompressor: xz -9 needs 65 MiB, zstd --ultra 128
_ZSTD_WINDOW_LOG_MAX = 27  # 128 MiB, what the zstd tool itself takes without being asked for more


class _Decompressor(Protocol):
    """The interface that bz2, lzma and zstd share."""

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class _Gzip:
    """zlib with that interface."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _zstd() -> _Decompressor:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX}
    return zstd.ZstdDecompressor(options=options)


_FORMATS: dict[bytes, tuple[str, Callable[[], _Decompressor]]] = {
    b"\x1f\x8b": ("gzip", _Gzip),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY_BYTES_MAX)),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
}
MAGIC_BYTES = 6


def inflated(pieces: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """The content without its compression, or as it is; both sides are counted.

    Raises InvalidArchive when it is damaged, unfinished or more than the limits allow.
    """
    source = ByteSource(meter.receiving(pieces))
    start = source.peek(MAGIC_BYTES)
    known = _format_of(start)
    if known is None:
        for piece in source.rest():
            meter.unpack(len(piece))
            yield piece
        return
    yield from _streams(known, source, meter)


def _format_of(start: bytes) -> bytes | None:
    return next((magic for magic in _FORMATS if start.startswith(magic)), None)


def _streams(magic: bytes, source: ByteSource, meter: Meter) -> Iterator[bytes]:
    name, make = _FORMATS[magic]
    behind = b""
    while True:
        decompressor = make()
        data = behind
        while not decompressor.eof:
            if decompressor.needs_input and not data:
                data = source.some(PIECE_BYTES)
                if not data:
                    raise InvalidArchive(f"the {name} stream broke off before its end")
            piece = _decompressed(name, decompressor, data)
            data = b""
            meter.unpack(len(piece))
            if piece:
                yield piece
        behind = decompressor.unused_data
        while len(behind) < MAGIC_BYTES and (more := source.some(PIECE_BYTES)):
            behind += more
        if not behind.startswith(magic):
            break
    _check_padding(name, behind, source)


def _decompressed(name: str, decompressor: _Decompressor, data: bytes) -> bytes:
    try:
        return decompressor.decompress(data, PIECE_BYTES)
    except MemoryError as error:
        raise InvalidArchive(f"the {name} stream needs too much memory to be unpacked") from error
    except Exception as error:
        # Each library has errors of its own; there is nothing else that could fail here.
        raise InvalidArchive(f"the {name} stream is damaged ({error})") from error


def _check_padding(name: str, behind: bytes, source: ByteSource) -> None:
    while behind:
        if behind.count(0) != len(behind):
            raise InvalidArchive(f"there is more behind the end of the {name} stream")
        behind = source.some(PIECE_BYTES)
