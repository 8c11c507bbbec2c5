"""Reads tar streams strictly: ustar, pax and GNU long names, one pass, a bounded buffer.

A parser of our own because the entries of a hostile archive must be refused with a reason, where
the lenient readers guess, and because it reads more than 100,000 small files a second.

Rules beyond the format: names are UTF-8 and canonical paths below the archive; a header whose
checksum, size or length is wrong ends everything; the archive must have its end mark (a block of
zeros), and behind it nothing but zeros. Sparse files and volumes that continue others are refused.
"""

import re
from collections.abc import Iterable, Iterator
from zlib import adler32

from trunkline.errors import InvalidArchive
from trunkline.files.archived import ArchiveEntry, Kind, Meter, entry_path, refused
from trunkline.files.bytesource import BrokeOff, ByteSource

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_WHOLE_BYTES_MAX = 256 * 1024  # a file up to this size is taken in one piece
_EXTRA_BYTES_MAX = 64 * 1024  # of a pax header or a long name
_ADLER = 65521
_OCTAL = re.compile(rb"[ ]*([0-7]*)[ \0]*")
_PAX_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")

_LINKS = {0x31: Kind.HARDLINK, 0x32: Kind.SYMLINK}
_REGULAR = (0x30, 0x00, 0x37)  # "0", NUL of old archives, "7" (contiguous)
_DIRECTORY, _VOLUME = 0x35, 0x56
_SPECIAL = {0x33: "a character device", 0x34: "a block device", 0x36: "a named pipe"}
_OTHERS = {
    0x53: "it is a sparse file; make the archive without --sparse",
    0x4D: "it continues a file of another volume",
    0x44: "it is a directory of an incremental dump",
    0x4E: "it has a long name in a form that is no longer in use",
}
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK = 0x78, 0x67, 0x4C, 0x4B


def read_tar(pieces: Iterable[bytes], meter: Meter) -> Iterator[ArchiveEntry]:
    """The entries of an uncompressed tar stream, in its order; raises InvalidArchive.

    Directories, links and special files come as entries too: the caller decides about them. All of
    the stream is read, so that what is behind the end is known to be nothing.
    """
    return _TarReader(pieces, meter).entries()


def looks_like_tar(start: bytes) -> bool:
    """Whether a content may be a tar archive; at least its first 512 bytes are needed."""
    block = start[:_BLOCK]
    return len(block) == _BLOCK and (block == _ZEROS or _checksum_fits(block))


class _TarReader:
    def __init__(self, pieces: Iterable[bytes], meter: Meter) -> None:
        self._source = ByteSource(pieces)
        self._meter = meter
        self._number = 0
        self._ended = False

    def entries(self) -> Iterator[ArchiveEntry]:
        meter = self._meter
        while not self._ended:
            block = self._block()
            if block is None:
                return
            self._number += 1
            meter.enter()
            entry, size = self._entry(block)
            if entry is None:
                continue
            padding = -size % _BLOCK
            if size <= _WHOLE_BYTES_MAX:
                if size:
                    yield ArchiveEntry(entry[0], entry[1], size, (self._take(size),), entry[2])
                    self._take(padding)
                else:
                    yield ArchiveEntry(entry[0], entry[1], 0, (), entry[2])
                continue
            content = self._stream(size)
            yield ArchiveEntry(entry[0], entry[1], size, content, entry[2])
            for _ in content:  # whatever the caller left
                pass
            self._take(padding)

    def _entry(self, block: bytes) -> tuple[tuple[str, Kind, str] | None, int]:
        """(path, kind, target) and size of the entry that begins with a header, or None for none.

        Headers that only say something about the next one are read on the way.
        """
        name = target = ""
        size: int | None = None
        kind = block[156]
        while kind in (_PAX, _LONG_NAME, _LONG_LINK, _PAX_GLOBAL):
            extra = self._extra(block)
            if kind == _LONG_NAME:
                name = self._text(extra.partition(b"\0")[0], "its name")
            elif kind == _LONG_LINK:
                target = self._text(extra.partition(b"\0")[0], "the target of its link")
            else:
                fields = self._pax(extra, own=kind == _PAX)
                name = fields.get("path", name)
                target = fields.get("linkpath", target)
                size = int(fields["size"]) if "size" in fields else size
            following = self._block()
            if following is None:
                if kind == _PAX_GLOBAL:
                    return None, 0
                raise InvalidArchive("the archive ends between a header and its file")
            block, kind = following, following[156]
        name = name or self._name(block)
        size = self._size(block, name) if size is None else size
        if kind in _REGULAR:
            return self._regular(name, kind, size), size
        if kind == _VOLUME:
            for _ in self._stream(size + -size % _BLOCK):
                pass
            return None, 0
        if kind in _OTHERS:
            raise refused(self._number, name, _OTHERS[kind])
        if kind not in _LINKS and kind not in _SPECIAL and kind != _DIRECTORY:
            raise refused(self._number, name, f"it has the unknown type {bytes([kind])!r}")
        path = entry_path(self._number, name)
        if size:
            # Some readers skip these bytes, others take them for the next header.
            raise refused(self._number, name, "it is no file, but it has a size")
        if kind in _SPECIAL:
            return (path, Kind.SPECIAL, _SPECIAL[kind]), 0
        if kind == _DIRECTORY:
            return (path, Kind.DIRECTORY, ""), 0
        target = target or self._text(_until_nul(block[157:257]), "the target of its link")
        return (path, _LINKS[kind], target), 0

    def _regular(self, name: str, kind: int, size: int) -> tuple[str, Kind, str]:
        path = entry_path(self._number, name)
        if name.endswith("/"):
            if kind != 0x00 or size:
                raise refused(self._number, name, "it is a file with the name of a directory")
            return path, Kind.DIRECTORY, ""  # as archives of before 1988 have it
        if not path:
            raise refused(self._number, name, "its name is empty")
        return path, Kind.FILE, ""

    # --- headers ----------------------------------------------------------------------------------

    def _block(self) -> bytes | None:
        """The next header; None behind the end mark, once all of the rest is seen to be zeros."""
        try:
            block = self._source.take(_BLOCK)
        except BrokeOff as error:
            raise self._broke_off() from error
        if not _checksum_fits(block):
            if block != _ZEROS:
                raise InvalidArchive(self._no_header())
            for piece in self._source.rest():
                if piece.count(0) != len(piece):
                    raise InvalidArchive("there is more behind the end of the archive")
            self._ended = True
            return None
        return block

    def _no_header(self) -> str:
        if self._number:
            return f"what follows entry {self._number} of the archive is no tar header"
        return "it is not a tar archive"

    def _name(self, block: bytes) -> str:
        name = _until_nul(block[:100])
        # GNU and older headers have other things where ustar has the directories of a name.
        if block[257:263] == b"ustar\0" and block[345]:
            name = _until_nul(block[345:500]) + b"/" + name
        return self._text(name, "its name")

    def _size(self, block: bytes, name: str) -> int:
        data = block[124:136]
        match = _OCTAL.fullmatch(data)
        if match is not None:
            return int(match[1] or b"0", 8)
        if data[0] == 0x80:
            size = int.from_bytes(data[1:], "big")
            if size < 1 << 63:
                return size
        why = "is negative" if data[0] == 0xFF else "can't be read"
        raise refused(self._number, name, f"its size {why}")

    def _extra(self, block: bytes) -> bytes:
        size = self._size(block, "a header of the next entry")
        if size > _EXTRA_BYTES_MAX:
            raise refused(
                self._number, self._name(block), f"it has a header of {size:,} bytes before it"
            )
        extra = self._take(size)
        self._take(-size % _BLOCK)
        return extra

    def _pax(self, data: bytes, *, own: bool) -> dict[str, str]:
        """The fields of a pax header that say where an entry is and how long."""
        fields: dict[str, str] = {}
        at = 0
        while at < len(data):
            match = _PAX_LENGTH.match(data, at)
            end = at + int(match[1]) if match else 0
            if match is None or end > len(data) or end <= match.end() or data[end - 1] != 0x0A:
                raise InvalidArchive(f"entry {self._number} of the archive has a bad pax header")
            key, equals, value = data[match.end() : end - 1].partition(b"=")
            at = end
            if not equals:
                raise InvalidArchive(f"entry {self._number} of the archive has a bad pax header")
            if key.startswith(b"GNU.sparse."):
                raise refused(self._number, "", _OTHERS[0x53])
            if key not in (b"path", b"linkpath", b"size"):
                continue
            if not own:
                raise refused(self._number, "", f"a {key.decode()} for all entries makes no sense")
            text = self._text(value, f"its {key.decode()}")
            if "\0" in text or not text:
                raise refused(self._number, text, f"its {key.decode()} is no text")
            if key == b"size" and not (text.isascii() and text.isdigit() and len(text) < 19):
                raise refused(self._number, "", "its size can't be read")
            fields[key.decode()] = text
        return fields

    def _text(self, data: bytes, what: str) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            name = data.decode("utf-8", "backslashreplace")
            raise refused(self._number, name, f"{what} is not valid UTF-8") from error

    # --- bytes ------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        try:
            return self._source.take(size)
        except BrokeOff as error:
            raise self._broke_off() from error

    def _stream(self, size: int) -> Iterator[bytes]:
        try:
            yield from self._source.stream(size)
        except BrokeOff as error:
            raise self._broke_off() from error

    def _broke_off(self) -> InvalidArchive:
        where = f"in or behind entry {self._number}" if self._number else "before its first entry"
        return InvalidArchive(f"the archive broke off {where}; it has no end mark")


def _until_nul(data: bytes) -> bytes:
    end = data.find(0)
    return data if end < 0 else data[:end]


def _checksum_fits(block: bytes) -> bool:
    """Whether the checksum of a header is right.

    It is the sum of all bytes, its own field counted as spaces. Adler-32 holds that sum modulo a
    prime just below 2**16, at the speed of C; old writers summed up signed bytes.
    """
    field = block[148:156]
    match = _OCTAL.fullmatch(field)
    if match is None or not match[1]:
        return False
    stored = int(match[1], 8) + sum(field) - 256
    if ((adler32(block) & 0xFFFF) - 1 - stored) % _ADLER == 0:
        return True
    high = sum(1 for byte in block if byte > 127)
    return high > 0 and sum(block) - 256 * high == stored
