"""Archives into changes of a tree: which kind of archive it is, and what becomes of its entries."""

import posixpath
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, cast

from trunkline.errors import InvalidArchive, InvalidPath
from trunkline.files.archived import ArchiveEntry, Kind, Limits, Meter, entry_path, refused
from trunkline.files.bytesource import ByteSource
from trunkline.files.columns import FileRow
from trunkline.files.delta import DeltaWriter
from trunkline.files.inflate import inflated
from trunkline.files.untar import looks_like_tar, read_tar
from trunkline.files.zips import EMPTY, START, read_zip
from trunkline.model.names import check_path

_TAR_BLOCK = 512
_FOLLOWED_MAX = 250_000  # files that are remembered so that links can mean them
_HOPS_MAX = 40
_SPOOL_MEMORY_BYTES = 16 * 1024 * 1024


def archive_entries(
    content: Iterable[bytes], *, form: str, limits: Limits, spool: Path, file: FileIO | None = None
) -> Iterator[ArchiveEntry]:
    """The entries of a tar (of any compression) or zip archive; `form` may be `auto`.

    A zip archive can only be read from its end: unless `file` is that same content in a file, it is
    first written to an unnamed file in the directory `spool`. Raises InvalidArchive.
    """
    meter = Meter(limits)
    source = ByteSource(content)
    start = source.peek(4)
    if not start:
        raise InvalidArchive("there is nothing, not even an empty archive")
    is_zip = start in (START, EMPTY)
    if form == "zip" or (form == "auto" and is_zip):
        if not is_zip:
            raise InvalidArchive("it is not a zip archive")
        with _seekable(source, file, spool, limits) as whole:
            yield from read_zip(whole, meter)
        return
    plain = ByteSource(inflated(source.rest(), meter))
    if not looks_like_tar(plain.peek(_TAR_BLOCK)):
        raise InvalidArchive("it is not a tar archive" if form == "tar" else _NO_ARCHIVE)
    yield from read_tar(plain.rest(), meter)


_NO_ARCHIVE = "it is neither a tar nor a zip archive"


def unpack(
    writer: DeltaWriter,
    base: str,
    entries: Iterable[ArchiveEntry],
    *,
    links: str,
    append: bool,
) -> int:
    """Write the files of an archive below a directory of the tree; returns how many.

    `links` is what to do about links and special files: `refuse` the archive, `skip` them, or
    `follow` them (store the file of the archive that a link means; special files are refused).
    Of several entries with one name the last counts, as in any tar archive that was added to; with
    `append` they are refused. Raises InvalidArchive.
    """
    return _Unpacking(writer, base, links=links, append=append).run(entries)


class _Unpacking:
    def __init__(self, writer: DeltaWriter, base: str, *, links: str, append: bool) -> None:
        self._writer = writer
        self._prefix = f"{base}/" if base else ""
        self._links = links
        self._append = append
        self._seen: set[int] = set()  # hashes of paths; only with append
        self._rows: dict[str, FileRow] = {}  # only where links are followed
        self._meant: dict[str, tuple[int, ArchiveEntry]] = {}

    def run(self, entries: Iterable[ArchiveEntry]) -> int:
        files = 0
        for number, entry in enumerate(entries, 1):
            if entry.kind is Kind.FILE:
                self._put(number, entry)
                files += 1
            elif entry.kind is not Kind.DIRECTORY:
                self._link(number, entry)
        for path, (at, entry) in self._meant.items():
            row = self._row_of(at, entry)
            self._writer.put_row(replace(row, path=self._path(at, path)), append=self._append)
        return files + len(self._meant)

    def _put(self, number: int, entry: ArchiveEntry) -> None:
        if self._append:
            key = hash(entry.path)
            if key in self._seen:
                raise refused(number, entry.path, "it is there twice, and files are appended to")
            self._seen.add(key)
        row = self._writer.put(self._path(number, entry.path), entry.content, append=self._append)
        if self._links == "follow":
            self._meant.pop(entry.path, None)
            self._rows[entry.path] = row
            if len(self._rows) > _FOLLOWED_MAX:
                raise InvalidArchive(
                    f"links are followed in archives of up to {_FOLLOWED_MAX:,} files only"
                )

    def _link(self, number: int, entry: ArchiveEntry) -> None:
        if self._links == "skip":
            return
        what = entry.target if entry.kind is Kind.SPECIAL else f"a {entry.kind.value}"
        if self._links == "refuse":
            raise refused(number, entry.path, f"it is {what}; --links skip leaves such entries out")
        if entry.kind is Kind.SPECIAL:
            raise refused(number, entry.path, f"it is {what}, which can't be stored")
        self._meant[entry.path] = (number, entry)

    def _row_of(self, number: int, entry: ArchiveEntry) -> FileRow:
        """The file that a link means, through further links."""
        at = entry
        for _ in range(_HOPS_MAX):
            target = _target(number, at)
            row = self._rows.get(target)
            if target in self._meant:
                at = self._meant[target][1]
            elif row is not None:
                return row
            else:
                raise refused(
                    number, entry.path, f"it is a link to '{target}', no file of the archive"
                )
        raise refused(number, entry.path, "it is a link that leads in a circle")

    def _path(self, number: int, inside: str) -> str:
        if not self._prefix:
            return inside
        path = self._prefix + inside
        if len(path) < 1024:  # in characters: it can't be too long in bytes
            return path
        try:
            return check_path(path)
        except InvalidPath as error:
            raise refused(number, inside, str(error).partition("path: ")[2]) from error


def _target(number: int, entry: ArchiveEntry) -> str:
    """The path in the archive that a link points to; raises InvalidArchive if it leads out."""
    if entry.kind is Kind.HARDLINK:
        return entry_path(number, entry.target)
    out = refused(number, entry.path, f"it is a link that leads out of the archive: {entry.target}")
    if entry.target.startswith("/"):
        raise out
    target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
    if target == ".." or target.startswith("../"):
        raise out
    return target


@contextmanager
def _seekable(
    source: ByteSource, file: FileIO | None, spool: Path, limits: Limits
) -> Iterator[BinaryIO]:
    if file is not None:
        buffered = BufferedReader(file)
        try:
            yield cast("BinaryIO", buffered)
        finally:
            buffered.detach()  # the file is closed by whoever opened it
        return
    with tempfile.SpooledTemporaryFile(_SPOOL_MEMORY_BYTES, dir=str(spool)) as whole:
        size = 0
        for piece in source.rest():
            size += len(piece)
            if size > limits.bytes_max:
                raise InvalidArchive(
                    f"the archive is larger than {limits.bytes_max:,} bytes; "
                    "TRUNKLINE_ARCHIVE_BYTES_MAX of the server allows more"
                )
            whole.write(piece)
        yield cast("BinaryIO", whole)
