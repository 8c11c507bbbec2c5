"""Changes to files, and how a stream of them travels.

A stream is a sequence of frames: one byte of kind, four bytes of length (big endian), then that
many bytes. A change begins with a JSON header frame; the content of a `PutFile` follows as data
frames up to the next header. The stream must close with an end frame: without it the receiver
discards everything, so that a lost connection changes nothing.

Format page: docs/formats/change-stream.md (version 1).
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from trunkline.errors import InvalidInput, shown
from trunkline.values import dataclass, field

MEDIA_TYPE = "application/vnd.trunkline.changes.v1"

_FRAME = struct.Struct(">cI")
_HEADER, _DATA, _END = b"h", b"d", b"e"
_HEADER_BYTES_MAX = 64 * 1024
_APART_FROM_BYTES = 64 * 1024  # more is not worth a copy to be one with its five bytes of head
_DATA_BYTES_MAX = 1024 * 1024


ARCHIVE_FORMATS = ("auto", "tar", "zip")
ARCHIVE_LINKS = ("refuse", "skip", "follow")
TREE_LINKS = ("inside", "refuse", "skip", "follow")
SPLIT_BY = ("line", "json", "csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpack:
    """The content is an archive: its files are written below the path, all or none of them.

    `tar` may be compressed (gzip, bzip2, xz, zstd); `auto` tells tar and zip apart. `links` says
    what is done about links and special files in it; `follow` stores what a link means, which must
    be a file of the same archive.
    """

    format: str = "auto"
    links: str = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The content is cut between records into files `0000000000000000`, … below the path.

    A file is closed once it has `file_records` records or `file_bytes` bytes, whichever is first;
    where both are 0, with each record. The first `header_records` records stand in every file.
    Joined in order (without the repeated headers) the files are the content again, byte for byte.
    """

    by: str  # line, json or csv
    file_records: int = 0
    file_bytes: int = 0
    header_records: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PutFile:
    """Write (or, with `append`, append to) one file; `content` is read once, in order.

    Of what is unpacked, each file is written or appended to. What is split replaces all that was
    at or below the path, or with `append` becomes files that continue its numbers.
    """

    path: str
    content: Iterable[bytes] = field(repr=False)
    append: bool = False
    unpack: Unpack | None = None
    split: Split | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutLocal:
    """Write a file or directory tree that the server can read itself.

    Only for a server on the same machine, reached over its private socket. `device` and `inode` are
    what the client sees behind `source`: a server that sees something else there refuses. With
    `mirror`, all that is below `path` and not in the source (a directory) is removed.

    `links` says what is done about symbolic links in a directory: `inside` takes those to files of
    the same directory as these files and refuses all others, `refuse` refuses all, `skip` leaves
    all out, `follow` stores what they mean, be it files or directories, inside or not.
    """

    path: str
    source: str  # absolute
    device: int
    inode: int
    append: bool = False
    unpack: Unpack | None = None
    split: Split | None = None
    mirror: bool = False
    links: str = "inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutUrl:
    """Write the content behind an http(s) or object-store URL, fetched by the server.

    Servers fetch only from hosts and buckets that their settings list; see `fetch`.
    """

    path: str
    url: str
    append: bool = False
    unpack: Unpack | None = None
    split: Split | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFile:
    """Remove a file, or a directory with all below it; a missing path is no error."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFile:
    """Copy a file or directory of any commit, without its bytes moving."""

    path: str
    source_repo: str
    source_commit: str
    source_path: str
    append: bool = False


FileChange = PutFile | PutLocal | PutUrl | DeleteFile | CopyFile

_KINDS: dict[str, type[FileChange]] = {
    "put": PutFile,
    "put-local": PutLocal,
    "put-url": PutUrl,
    "delete": DeleteFile,
    "copy": CopyFile,
}
# Fields that came later: who doesn't know them gets none without need.
_LEFT_OUT: dict[str, object] = {"mirror": False, "links": "inside"}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_TREATMENTS: dict[str, type] = {"unpack": Unpack, "split": Split}


def write_changes(changes: Iterable[FileChange]) -> Iterator[bytes]:
    """The bytes of a stream of changes, its end frame included, in pieces of any size."""
    for change in changes:
        header: dict[str, object] = {"kind": _NAMES[type(change)]}
        for name in change.__slots__:
            value = getattr(change, name)
            if name in _TREATMENTS:
                if value is not None:
                    header[name] = {field: getattr(value, field) for field in value.__slots__}
            elif name != "content" and (name not in _LEFT_OUT or value != _LEFT_OUT[name]):
                header[name] = value
        yield _frame(_HEADER, json.dumps(header).encode("utf-8"))
        if isinstance(change, PutFile):
            for piece in change.content:
                for start in range(0, len(piece), _DATA_BYTES_MAX):
                    part = bytes(piece[start : start + _DATA_BYTES_MAX])
                    if len(part) < _APART_FROM_BYTES:
                        yield _frame(_DATA, part)
                    else:
                        yield _FRAME.pack(_DATA, len(part))
                        yield part
    yield _frame(_END, b"")


def framed_file(path: str) -> bytes:
    """What the stream of a file begins with whose content comes bit by bit."""
    return b"".join(write_changes([PutFile(path=path, content=())]))[: -_FRAME.size]


def framed_data(content: bytes) -> bytes:
    """Some of that content."""
    parts = range(0, len(content), _DATA_BYTES_MAX)
    return b"".join(_frame(_DATA, content[at : at + _DATA_BYTES_MAX]) for at in parts)


def framed_end() -> bytes:
    """What is behind it."""
    return _frame(_END, b"")


def read_changes(body: Iterable[bytes]) -> Iterator[FileChange]:
    """The changes of a stream, lazily.

    Each change must be used (its content read) before the next one is asked for; content that was
    not read is skipped. Raises InvalidInput for a malformed or unfinished stream.

    Contents are `StreamedContent`. If the body too has `readinto` beside its pieces, what is wanted
    of them by that method comes straight from it.
    """
    frames = _Frames(body)
    while True:
        kind, size = frames.next()
        if kind == _END:
            frames.take(size)
            return
        if kind == _DATA:
            frames.left = size
            continue
        if kind != _HEADER:
            raise InvalidInput("the stream of changes has a frame of an unknown kind")
        yield _change(frames.take(size), frames)


def _change(payload: bytes, frames: "_Frames") -> FileChange:
    try:
        header = json.loads(payload)
        kind = _KINDS[header.pop("kind")]
        for name, treatment in _TREATMENTS.items():
            if name in header:
                header[name] = treatment(**_typed(treatment, header[name]))
        given = _typed(kind, header)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput("the stream of changes has a malformed header") from error
    _check_treatments(given)
    if kind is PutFile:
        return PutFile(content=StreamedContent(frames), **given)
    return kind(**given)


def _typed(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """The same fields, each seen to have the type that is declared; raises TypeError."""
    from dataclasses import MISSING  # who only writes changes pays nothing for it

    declared = kind.__dataclass_fields__  # type: ignore[attr-defined]
    for name, value in given.items():
        if name == "content" or type(value) not in (declared[name].type, _TREATMENTS.get(name)):
            raise TypeError(name)
    lacking = [
        name
        for name, one in declared.items()
        if name not in given and name != "content" and one.default is MISSING
    ]
    if lacking:
        raise TypeError(lacking[0])
    return given


def _check_treatments(given: dict[str, Any]) -> None:
    unpack, split = given.get("unpack"), given.get("split")
    if "links" in given:
        check_choice("what to do about links", given["links"], TREE_LINKS)
    if unpack is not None:
        if split is not None:
            raise InvalidInput("a content is unpacked or split, not both")
        check_choice("an archive format", unpack.format, ARCHIVE_FORMATS)
        check_choice("what to do about links", unpack.links, ARCHIVE_LINKS)
    if split is not None:
        check_split(split)


def check_choice(what: str, given: str, choices: tuple[str, ...]) -> None:
    """Raise InvalidInput unless the word is one of the choices."""
    if given not in choices:
        raise InvalidInput(f"{shown(given)} is not {what}; use {', '.join(choices)}")


def check_split(split: Split) -> None:
    """Raise InvalidInput for a way to split that makes no sense."""
    check_choice("a way to split", split.by, SPLIT_BY)
    if min(split.file_records, split.file_bytes, split.header_records) < 0:
        raise InvalidInput("the records and bytes of a split can't be negative")
    if split.by == "json" and split.header_records:
        raise InvalidInput("json has no header records; only csv and lines do")


def _frame(kind: bytes, payload: bytes) -> bytes:
    return _FRAME.pack(kind, len(payload)) + payload


class StreamedContent:
    """The content of the change that was read last: once, in order."""

    def __init__(self, frames: "_Frames") -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[bytes]:
        return self._frames.content()

    def readinto(self, view: memoryview) -> int:
        """Some of the next bytes, written to this memory; 0 at the end."""
        return self._frames.readinto(view)


class _Frames:
    """Reads frames off a body that arrives in pieces of any size; one head can be put back.

    Data is passed on in the pieces in which it comes, without being put together.
    """

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = iter(body)
        self._into: Callable[[memoryview], int] | None = getattr(body, "readinto", None)
        self._piece = b""
        self._at = 0
        self.left = 0  # bytes of a frame that are still to be read
        self._pushed: tuple[bytes, int] | None = None

    def next(self) -> tuple[bytes, int]:
        """Kind and size of the next frame, behind what was left of the one before."""
        for _ in self.some():
            pass
        if self._pushed is not None:
            head, self._pushed = self._pushed, None
            return head
        kind, size = _FRAME.unpack(self.take(_FRAME.size))
        most = _DATA_BYTES_MAX if kind == _DATA else _HEADER_BYTES_MAX
        if size > most:
            raise InvalidInput("the stream of changes has a frame that is too long")
        return kind, size

    def content(self) -> Iterator[bytes]:
        """The data up to the next head."""
        while True:
            yield from self.some()
            kind, size = self.next()
            if kind != _DATA:
                self._pushed = kind, size
                return
            self.left = size

    def readinto(self, view: memoryview) -> int:
        """Some of the data up to the next head, straight to where it is wanted; 0 at its end."""
        while not self.left:
            kind, size = self.next()
            if kind != _DATA:
                self._pushed = kind, size
                return 0
            self.left = size
        view = view[: self.left]
        while self._at == len(self._piece):
            if self._into is not None:
                count = self._into(view)
                if not count:
                    raise _broken_off()
                self.left -= count
                return count
            self._fetch()
        part = self._piece[self._at : self._at + len(view)]
        view[: len(part)] = part
        self._at += len(part)
        self.left -= len(part)
        return len(part)

    def some(self) -> Iterator[bytes]:
        """What is left of the frame, in pieces."""
        while self.left:
            if self._at == len(self._piece):
                self._fetch()
            if self._at or self.left < len(self._piece):
                part = self._piece[self._at : self._at + self.left]
            else:
                part = self._piece
            self._at += len(part)
            self.left -= len(part)
            if part:
                yield part

    def take(self, size: int) -> bytes:
        """So many bytes as one."""
        end = self._at + size
        if end <= len(self._piece):
            taken = self._piece[self._at : end]
            self._at = end
            return taken
        self.left = size
        return b"".join(self.some())

    def _fetch(self) -> None:
        piece = next(self._body, None)
        if piece is None:
            raise _broken_off()
        self._piece, self._at = piece, 0


def _broken_off() -> InvalidInput:
    return InvalidInput("the stream of changes broke off before its end; nothing was changed")
