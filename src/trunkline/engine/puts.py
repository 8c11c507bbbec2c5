"""Stores the contents of changes, whatever they come as; nothing refers to them yet.

One content may be a file, an archive whose files go below a directory, or a text that is cut into
files. It may arrive with the change, lie in a local file, or be fetched from a URL.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import FileIO

from trunkline.api.changes import (
    CopyFile,
    DeleteFile,
    FileChange,
    PutFile,
    PutLocal,
    PutUrl,
    Split,
)
from trunkline.engine.intakes import is_directory, taken_in
from trunkline.engine.services import Services
from trunkline.errors import FileNotFoundInCommit, InvalidInput, shown
from trunkline.fetch.local import local_files
from trunkline.files.apply import LooseParts
from trunkline.files.archived import Limits
from trunkline.files.delta import DeltaId, DeltaWriter
from trunkline.files.intake import Counts
from trunkline.files.manifest import RootId
from trunkline.files.numbering import Numbered, next_number, renumbered
from trunkline.files.splitting import file_name, split_content
from trunkline.files.unpack import archive_entries, unpack
from trunkline.jobs.stages import server_fetcher
from trunkline.model.names import check_path
from trunkline.versions.commits import CommitRecord

_READ_BYTES = 1024 * 1024

RootOf = Callable[[str, str], tuple[RootId, CommitRecord]]  # of a repo and a commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Changes whose contents are stored."""

    deltas: list[DeltaId]
    loose: LooseParts | None = None  # parts of the deltas that are not stored
    numbered: tuple[Numbered, ...]  # files whose numbers depend on the tree that they are put into

    def for_tree(self, services: Services, root: Callable[[], RootId]) -> list[DeltaId]:
        """The deltas for a tree: appended splits go on where its numbers end.

        To be called while nobody else appends (`Services.turn`).
        """
        deltas, found = self.deltas, self.numbered
        if found:
            self.keep()
        for n, numbered in enumerate(found):
            earlier = [one for one in found[:n] if one.directory == numbered.directory]
            first = next_number(services.trees, root(), numbered.directory)
            first += sum(one.count for one in earlier)
            if first != numbered.first:
                deltas = renumbered(services.trees, deltas, numbered, first)
        return deltas

    def keep(self) -> None:
        """Store the deltas whole, for a commit that will name them; the caller flushes."""
        if self.loose is not None:
            self.loose.store()


class Storing:
    """Stores the contents of one stream of changes."""

    def __init__(
        self,
        services: Services,
        *,
        root_of: RootOf,
        base: Callable[[], RootId],
        counts: Counts,
        loose: LooseParts | None = None,
    ) -> None:
        """`base` gives the tree that the changes are likely to be made to."""
        self._services = services
        self._root_of = root_of
        self._base = base
        self._counts = counts
        self._loose = loose
        self._writer = DeltaWriter(services.trees, loose=loose)
        self._numbered: list[Numbered] = []

    def store(self, changes: Iterable[FileChange]) -> Stored:
        for change in changes:
            match change:
                case PutFile():
                    self._put(change, change.path, change.content)
                case PutUrl():
                    content = server_fetcher(self._services.config).read(change.url)
                    self._put(change, change.path, content)
                case PutLocal() if is_directory(change):
                    with taken_in(self._services, self._writer, change, self._counts, base=None):
                        self._services.chunks.flush()
                case PutLocal():
                    self._put_local(change)
                case DeleteFile():
                    self._writer.delete(check_path(change.path, root_allowed=True))
                case CopyFile():
                    self._copy(change)
        deltas = self._writer.finish()
        return Stored(deltas=deltas, loose=self._loose, numbered=tuple(self._numbered))

    def _put(
        self,
        change: PutFile | PutUrl | PutLocal,
        path: str,
        content: Iterable[bytes],
        file: FileIO | None = None,
    ) -> None:
        if change.unpack is not None:
            config = self._services.config
            limits = Limits(
                bytes_max=config.archive_bytes_max,
                ratio_max=config.archive_ratio_max,
                entries_max=config.archive_entries_max,
            )
            entries = archive_entries(
                content, form=change.unpack.format, limits=limits, spool=config.home, file=file
            )
            base = check_path(path, root_allowed=True)
            links = change.unpack.links
            unpack(self._writer, base, entries, links=links, append=change.append)
        elif change.split is not None:
            directory = check_path(path, root_allowed=True)
            self._split(directory, content, change.split, append=change.append)
        else:
            self._writer.put(check_path(path), content, append=change.append)

    def _split(
        self, directory: str, content: Iterable[bytes], split: Split, *, append: bool
    ) -> None:
        number = first = 0
        if append:
            same = [one for one in self._numbered if one.directory == directory]
            number = first = (
                same[-1].first + same[-1].count
                if same
                else next_number(self._services.trees, self._base(), directory)
            )
        else:
            self._writer.delete(directory)
        most = self._services.config.archive_entries_max
        for part in split_content(content, split):
            if number - first >= most:
                raise InvalidInput(
                    f"the content makes more than {most:,} files; give --target-file-datums or "
                    "--target-file-bytes. Nothing was changed"
                )
            path = f"{directory}/{file_name(number)}" if directory else file_name(number)
            self._writer.put(path, part)
            number += 1
        if append and number > first:
            self._numbered.append(Numbered(directory=directory, first=first, count=number - first))

    def _put_local(self, change: PutLocal) -> None:
        base = check_path(change.path, root_allowed=True)
        if change.mirror and os.path.isdir(change.source):
            self._writer.delete(base)
        for file in local_files(change.source, links=change.links):
            if file.path and change.unpack is not None:
                raise InvalidInput(
                    f"{shown(change.source)} is a directory; name the archives to be unpacked"
                )
            path = "/".join(part for part in (base, file.path) if part)
            with file.open() as content:
                if change.unpack is None and change.split is None:
                    self._writer.put_open(check_path(path), content.fileno(), append=change.append)
                else:
                    self._put(change, path, _pieces(content), content)

    def _copy(self, change: CopyFile) -> None:
        source = check_path(change.source_path, root_allowed=True)
        target = check_path(change.path, root_allowed=True)
        root, record = self._root_of(change.source_repo, change.source_commit)
        if not change.append:
            self._writer.delete(target)
        slices = self._services.trees.slices(root, source)
        if not self._writer.copy(slices, source=source, target=target, append=change.append):
            raise FileNotFoundInCommit(change.source_repo, record.id, change.source_path)


def _pieces(file: FileIO) -> Iterator[bytes]:
    while piece := file.read(_READ_BYTES):
        yield piece
