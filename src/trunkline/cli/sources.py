"""What `put file` sends: from the sources that a user names to a list of changes.

Everything is checked before the first byte goes: a missing source or a target that two sources
share must leave the repo as it was.
"""

import os
import posixpath
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from trunkline.api.changes import DeleteFile, FileChange, PutFile, PutLocal, PutUrl
from trunkline.cli.arguments import is_url, read_document
from trunkline.cli.output import note
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed, shown
from trunkline.model.names import check_path
from trunkline.values import dataclass

if TYPE_CHECKING:
    from trunkline.fetch.local import LocalFile

STDIN = "-"
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """What becomes of files that are there already."""

    append: bool
    mirror: bool  # those that the source, a directory, has not are removed
    by_server: bool = False  # the server fetches URLs
    links: str = "inside"  # what is done about those in directories; see `PutLocal`


Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing to put, and the path in the repo where it goes.

    `status` is what the file system said about a path of this machine; None for a URL and stdin.
    """

    text: str  # as the user wrote it
    target: str  # canonical; "" only for a directory that becomes the root
    status: os.stat_result | None
    many: bool = False  # a URL of an object store that stands for many objects

    @property
    def is_directory(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)

    @property
    def can_be_handed_over(self) -> bool:
        """Whether a server on this machine reads the same bytes behind the same path.

        Not for pipes, nor for what the kernel makes up for each process that asks (size 0).
        """
        if self.status is None:
            return False
        if self.is_directory:
            return True
        return stat.S_ISREG(self.status.st_mode) and self.status.st_size > 0

    @property
    def can_be_read_again(self) -> bool:
        return self.status is not None and (self.is_directory or stat.S_ISREG(self.status.st_mode))


def find_sources(
    names: Sequence[str],
    target: str | None,
    *,
    recursive: bool,
    full_path: bool,
    together: bool = False,
) -> list[Source]:
    """Each source with its place in the repo.

    One source takes the place of `target`; several, or a `target` that ends in a slash, go below
    it; without `target` a source keeps its own name, with `full_path` the directories before it
    too. With `together` all of them go to `target`, or to the root: what is in them has names.
    Raises LocalFileNotFound, InvalidInput, InvalidPath.
    """
    found: list[Source] = []
    for name in names:
        status = None if name == STDIN or is_url(name) else _status(name)
        many = is_url(name) and _means_many(name, recursive=recursive)
        directory = many or (status is not None and stat.S_ISDIR(status.st_mode))
        if directory and not recursive and not many:
            raise InvalidInput(f"'{name}' is a directory; add -r to put all that is in it")
        if together:
            place = target or "/"
        else:
            place = _place(name, target, alone=len(names) == 1, directory=directory, full=full_path)
        canonical = check_path(place, root_allowed=directory or together)
        found.append(Source(text=name, target=canonical, status=status, many=many))
    if not together:
        _refuse_twins(found)
    return found


def _status(name: str) -> os.stat_result:
    try:
        return os.stat(name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LocalFileNotFound(name) from error
    except (OSError, ValueError) as error:
        raise OperationFailed(f"{name!r} could not be read: {error}") from error


def _place(name: str, target: str | None, *, alone: bool, directory: bool, full: bool) -> str:
    if target is not None and alone and (directory or (target.strip("/") and target[-1:] != "/")):
        return target
    if name == STDIN:
        raise InvalidInput("no filename specified: stdin needs a path to be stored under")
    if is_url(name):
        own = _name_of_url(name)
        own = own if full else posixpath.basename(own)
    elif full:
        own = os.path.normpath(name)
        own = "" if own == "." else own
    else:
        # `.` and `..` have the name of the directory that they stand for
        own = os.path.basename(os.path.abspath(name))
    return posixpath.join(target or "", own.lstrip("/"))


def _name_of_url(url: str) -> str:
    if url.lower().startswith(("http://", "https://")):
        from urllib.parse import unquote, urlsplit

        return unquote(urlsplit(url).path)
    from trunkline.cli.urls import own_name

    return own_name(url)


def _means_many(url: str, *, recursive: bool) -> bool:
    from trunkline.cli.urls import means_many

    return means_many(url, recursive=recursive)


def _refuse_twins(sources: Sequence[Source]) -> None:
    seen: set[str] = set()
    for source in sources:
        if source.target in seen and not source.is_directory and not source.many:
            raise InvalidInput(
                f"multiple files put with the path {source.target}, aborting; nothing was changed"
            )
        seen.add(source.target)


def read_list(name: str) -> list[str]:
    """The sources in an input file (a path, URL, or `-`): one per line, blank lines aside.

    Raises InvalidInput for a list from a URL that names files of this machine: whoever wrote it
    could have any of them put.
    """
    text = read_document(name, bytes_max=1024**3)
    found = [line.strip() for line in text.splitlines() if line.strip()]
    for source in found:
        if is_url(name) and not is_url(source):
            raise InvalidInput(
                f"{name} names {shown(source)}, a file of this machine; a list from a URL may name "
                "URLs only"
            )
        if source == STDIN:
            raise InvalidInput(f"{name} names '-'; standard input can't be in a list")
    return found


def total_bytes(sources: Sequence[Source], placing: Placing) -> int | None:
    """How much will be sent, or None when that is not known beforehand."""
    total = 0
    for source in sources:
        if source.status is None or not source.can_be_read_again:
            return None
        if source.is_directory:
            from trunkline.fetch.local import local_files

            total += sum(file.size_bytes for file in local_files(source.text, links=placing.links))
        else:
            total += source.status.st_size
    return total


def handed_over(sources: Sequence[Source], placing: Placing) -> list[FileChange] | None:
    """The changes for a server that reads the files itself; None when it can't read some of them.

    Mixed streams are not made: if the server refuses a path, all is sent again, and what came from
    a pipe could not be. What is behind links of a directory may look otherwise to the server.
    """
    for source in sources:
        if source.is_directory and placing.links == "follow":
            return None
        if not source.can_be_handed_over and not (placing.by_server and is_url(source.text)):
            return None
    changes: list[FileChange] = []
    for source in sources:
        if source.status is None:
            changes.append(PutUrl(path=source.target, url=source.text, append=placing.append))
            continue
        changes.append(
            PutLocal(
                path=source.target,
                source=os.path.abspath(source.text),
                device=source.status.st_dev,
                inode=source.status.st_ino,
                append=placing.append,
                mirror=placing.mirror,
                links=placing.links if source.is_directory else "inside",
            )
        )
    return changes


def streamed(
    sources: Sequence[Source], placing: Placing, *, advance: Advance
) -> Iterator[FileChange]:
    """The changes with the content of every file in the stream."""
    append = placing.append
    for source in sources:
        if placing.mirror:
            yield DeleteFile(path=source.target or "/")
        if is_url(source.text):
            yield from _url(source, placing, advance)
        elif source.text == STDIN:
            note("Reading from stdin.")
            yield PutFile(
                path=source.target, content=_pieces(sys.stdin.buffer.read, advance), append=append
            )
        elif source.is_directory:
            from trunkline.fetch.local import local_files

            for file in local_files(source.text, links=placing.links):
                target = check_path(posixpath.join(source.target, file.path))
                yield PutFile(path=target, content=_opened(file, advance), append=append)
        else:
            yield PutFile(path=source.target, content=_content(source.text, advance), append=append)


def _url(source: Source, placing: Placing, advance: Advance) -> Iterator[FileChange]:
    if placing.by_server:
        yield PutUrl(path=source.target, url=source.text, append=placing.append)
        return
    from trunkline.cli.urls import changes_of

    yield from changes_of(
        source.text,
        source.target,
        many=source.many,
        append=placing.append,
        advance=advance,
    )


def _content(path: str, advance: Advance) -> Iterator[bytes]:
    # Opened when it is its turn: a tree may have more files than a process may have open.
    try:
        with open(path, "rb") as file:
            yield from _pieces(file.read, advance)
    except OSError as error:
        raise OperationFailed(f"{path} could not be read: {error.strerror}") from error


def _opened(file: "LocalFile", advance: Advance) -> Iterator[bytes]:
    with file.open() as opened:
        try:
            yield from _pieces(opened.read, advance)
        except OSError as error:
            raise OperationFailed(f"{file.path} could not be read: {error.strerror}") from error


def _pieces(read: Callable[[int], bytes], advance: Advance) -> Iterator[bytes]:
    while piece := read(_PIECE_BYTES):
        advance(len(piece))
        yield piece
