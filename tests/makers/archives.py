"""Makers of archives, good and bad, for the tests."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping

from trunkline.files.archived import Limits, Meter

LIMITS = Limits(bytes_max=1 << 30, ratio_max=200, entries_max=100_000)


def meter(**limits: int) -> Meter:
    given = {"bytes_max": 1 << 30, "ratio_max": 200, "entries_max": 100_000, **limits}
    return Meter(Limits(**given))


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def header(
    name: bytes = b"f",
    *,
    size: int | bytes = 0,
    kind: bytes = b"0",
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: int | None = None,
) -> bytes:
    """One tar header, with whatever is wished in it."""
    size_field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136] = size_field
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[157 : 157 + len(link)] = link
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b" " * 8
    total = sum(block) if checksum is None else checksum
    block[148:156] = b"%06o\0 " % total
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


END = bytes(1024)


def entry(name: bytes, data: bytes = b"", **more: object) -> bytes:
    return header(name, size=len(data), **more) + padded(data)  # type: ignore[arg-type]


def pax(fields: Mapping[bytes, bytes] | bytes, kind: bytes = b"x") -> bytes:
    data = fields if isinstance(fields, bytes) else b"".join(map(_record, fields.items()))
    return header(b"pax", size=len(data), kind=kind) + padded(data)


def _record(field: tuple[bytes, bytes]) -> bytes:
    body = b" " + field[0] + b"=" + field[1] + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def tar_of(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], *, form: int = 1) -> bytes:
    """An archive as Python's own writer makes it."""
    pairs = files.items() if isinstance(files, Mapping) else files
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in pairs:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], *, method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    pairs = files.items() if isinstance(files, Mapping) else files
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in pairs:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return buffer.getvalue()


def raw_zip(*entries: tuple[bytes, bytes], flags: int = 0, attributes: int = 0) -> bytes:
    """A zip archive of stored entries, byte by byte: names may be anything."""
    import zlib

    local, central = b"", b""
    for name, data in entries:
        numbers = (flags, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name))
        offset = len(local)
        local += b"PK\x03\x04" + struct.pack("<5H3I2H", 20, *numbers, 0) + name + data
        central += (
            b"PK\x01\x02"
            + struct.pack("<4B4H3I5H2I", 20, 3, 20, 0, *numbers, 0, 0, 0, 0, attributes, offset)
            + name
        )
    count = len(entries)
    end = struct.pack("<4H2IH", 0, 0, count, count, len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + end
