"""What archives hold, how much of it is allowed, and how an archive that breaks a rule is named.

Archives come from anywhere, so nothing in them is believed: a name is a path of a repo or the whole
archive is refused, and what is unpacked is counted as it comes out, never as a header promises.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from trunkline.errors import InvalidArchive, InvalidPath, shown
from trunkline.model.names import check_path

# Names that need no second look: most of them.
_PLAIN = re.compile(r"[\w-][\w.-]{0,60}(?:/[\w-][\w.-]{0,60}){0,50}", re.ASCII)
_RATIO_FREE_BYTES = 32 * 1024 * 1024  # unpacked before the ratio counts: small files are harmless


class Kind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    SPECIAL = "device or pipe"


class ArchiveEntry(NamedTuple):
    """One entry. Its content is read, or skipped, before the next entry is asked for.

    A named tuple, as there are a hundred thousand of them a second.
    """

    path: str  # canonical; "" only for the directory that the archive was made of
    kind: Kind
    size_bytes: int  # of a file
    content: Iterable[bytes]  # read once
    target: str = ""  # of a link, as it is written; of a special file, what it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may come out of one archive."""

    bytes_max: int
    ratio_max: int  # bytes unpacked for each byte received
    entries_max: int


class Meter:
    """Counts what goes into an archive and what comes out of it; raises InvalidArchive.

    One meter sees both sides of a decompressor, so a bomb is noticed while it goes off.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._received = 0
        self._unpacked = 0
        self._entries = 0

    def receiving(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces, counted."""
        for piece in pieces:
            self._received += len(piece)
            yield piece

    def receive(self, size_bytes: int) -> None:
        self._received += size_bytes

    def unpack(self, size_bytes: int) -> None:
        """Count bytes that came out."""
        self._unpacked += size_bytes
        limits = self._limits
        if self._unpacked > limits.bytes_max:
            raise InvalidArchive(
                f"the archive unpacks to more than {limits.bytes_max:,} bytes; "
                "TRUNKLINE_ARCHIVE_BYTES_MAX of the server allows more"
            )
        allowed = _RATIO_FREE_BYTES + self._received * limits.ratio_max
        if self._unpacked > allowed:
            raise InvalidArchive(
                f"the archive unpacks to more than {limits.ratio_max} times its size; "
                "TRUNKLINE_ARCHIVE_RATIO_MAX of the server allows more"
            )

    def enter(self) -> None:
        """Count an entry."""
        self._entries += 1
        if self._entries > self._limits.entries_max:
            raise self.too_many()

    def too_many(self) -> InvalidArchive:
        return InvalidArchive(
            f"the archive has more than {self._limits.entries_max:,} entries; "
            "TRUNKLINE_ARCHIVE_ENTRIES_MAX of the server allows more"
        )

    @property
    def entries_max(self) -> int:
        return self._limits.entries_max


def refused(number: int, name: str, reason: str) -> InvalidArchive:
    """The error for one entry; `number` counts from 1."""
    return InvalidArchive(f"entry {number} of the archive, {shown(name)}, is refused: {reason}")


def entry_path(number: int, name: str) -> str:
    """The path in a repo that the name of an entry stands for; raises InvalidArchive.

    A leading `./` is taken off, as `tar -c .` writes it. Everything else must be canonical already:
    a name that two programs could read as two places is refused.
    """
    if _PLAIN.fullmatch(name):
        return name
    if name.startswith("/"):
        raise refused(number, name, "its name is an absolute path")
    inside = name
    while inside.startswith("./"):
        inside = inside[2:]
        if inside.startswith("/"):
            raise refused(number, name, "it has an empty, '.' or '..' part")
    inside = inside.removesuffix("/")
    if inside in ("", "."):
        return ""
    try:
        path = check_path(inside)
    except InvalidPath as error:
        raise refused(number, name, str(error).partition("is not a file path: ")[2]) from error
    if path != inside:  # a second slash at the end
        raise refused(number, name, "it has an empty, '.' or '..' part")
    return path
