"""Trees: the one object through which the rest of Trunkline reads and changes files.

A tree is immutable and named by its root. Equal trees have equal roots, whatever changes led to
them; a change makes a new tree, which shares all untouched ranges with the old one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from trunkline.errors import Corrupt
from trunkline.files.apply import LooseParts, apply_deltas
from trunkline.files.batches import contents
from trunkline.files.check import check_tree
from trunkline.files.columns import FileRow
from trunkline.files.content import read_content
from trunkline.files.diff import diff_trees
from trunkline.files.entries import (
    Entry,
    directory_digest,
    directory_entry,
    file_entry,
    scan,
)
from trunkline.files.export import export_rows
from trunkline.files.glob import compile_glob
from trunkline.files.head import HeadRows
from trunkline.files.index import Loader
from trunkline.files.manifest import RootId
from trunkline.files.segments import DeltaId
from trunkline.files.tar import tar_pieces
from trunkline.files.view import Slice, View, below
from trunkline.model.versions import Side
from trunkline.store.chunks import ChunkStore

__all__ = ["Entry", "Trees"]


class Trees:
    """All trees of a chunk store. Thread-safe.

    Paths are canonical (`model.names.check_path`); "" is the root directory. Order is that of the
    UTF-8 bytes of paths. Every method raises Corrupt for damaged or missing objects.
    """

    def __init__(self, chunks: ChunkStore) -> None:
        self.chunks = chunks
        self._loader = Loader(chunks)

    def totals(self, root: RootId) -> tuple[int, int]:
        """(files, bytes) of a tree, from its root alone."""
        return self._view(root).totals

    def find(self, root: RootId, path: str) -> FileRow | None:
        """The row of a file; None for a directory, and for what isn't there."""
        return self._view(root).find(path)

    def entry(self, root: RootId, path: str, *, digest: bool = False) -> Entry | None:
        """A file or directory, or None; the root directory is always there."""
        view = self._view(root)
        place = view.place(path)
        if place is not None:
            return file_entry(*place, digest=digest)
        if view.is_directory(path):
            return directory_entry(view, path, digest=digest)
        return None

    def list(
        self, root: RootId, directory: str, *, digest: bool = False, after: str = ""
    ) -> Iterator[Entry]:
        """The entries of a directory by name; of a file, itself; of nothing, none.

        Of a directory those up to the path `after` are left out, and not read.
        """
        view = self._view(root)
        place = view.place(directory)
        if place is not None:
            return iter([file_entry(*place, digest=digest)])
        depth = directory.count("/") + 2 if directory else 1
        return scan(
            view,
            literal=below(directory)[0],
            depth_min=depth,
            depth_max=depth,
            select=_everything,
            digest=digest,
            after=after,
        )

    def walk(self, root: RootId, prefix: str = "", *, after: str = "") -> Iterator[FileRow]:
        """The rows of a file, or of all files below a directory, by path; from behind `after`."""
        view = self._view(root)
        row = view.find(prefix) if prefix else None
        if row:
            return iter([row] if prefix > after else [])
        low, high = below(prefix)
        return view.walk(max(low, after + "\0") if after else low, high)

    def ends(self, root: RootId, directory: str) -> tuple[str, str] | None:
        """The first and the last path below a directory; None if there is nothing below."""
        return self._view(root).ends(*below(directory))

    def glob(
        self,
        root: RootId,
        pattern: str,
        *,
        digest: bool = False,
        beginning: str = "",
        wanted: Callable[[str], bool] | None = None,
        after: str = "",
    ) -> Iterator[Entry]:
        """The files and directories that match, by path; see `files.glob`. Raises InvalidGlob.

        Of them those that begin with `beginning`, which begins as all of them do, and are `wanted`;
        for others no digest is made. Those up to the path `after` are left out, and not read.
        """
        glob = compile_glob(pattern)
        view = self._view(root)

        def select(paths: Iterable[str]) -> list[str]:
            found = glob.select(paths)
            return found if wanted is None else list(filter(wanted, found))

        if glob.is_root:
            roots = [] if after else select([""])
            return (directory_entry(view, path, digest=digest) for path in roots)
        return scan(
            view,
            literal=beginning or glob.literal,
            depth_min=glob.depth_min,
            depth_max=glob.depth_max,
            select=select,
            digest=digest,
            after=after,
        )

    def digest(self, root: RootId, path: str) -> str:
        """What a file or directory contains, as 64 hex digits; that of nothing is an empty table's.

        A file: BLAKE3 of its content. A directory: BLAKE3 of the sorted lines "relative path, NUL,
        digest, newline" of all files below it.
        """
        view = self._view(root)
        place = view.place(path)
        return place[0].digest(place[1]).hex() if place else directory_digest(view, path)

    def diff(
        self,
        new_root: RootId,
        new_prefix: str,
        old_root: RootId,
        old_prefix: str,
        *,
        after: str = "",
    ) -> Iterator[tuple[Side, FileRow]]:
        """What differs in paths below the prefixes or in contents; see `files.diff`."""
        return diff_trees(
            new=self._view(new_root),
            new_prefix=new_prefix,
            old=self._view(old_root),
            old_prefix=old_prefix,
            after=after,
        )

    def head_rows(self, root: RootId, directory: str) -> HeadRows:
        """The files below a directory, to compare sorted rows with them."""
        return HeadRows(self._view(root), directory)

    def read(self, row: FileRow, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """The content of a file from an offset; nothing past its end."""
        return read_content(self.chunks, row, offset=offset, size=size)

    def apply(
        self, root: RootId, deltas: Sequence[DeltaId], *, loose: LooseParts | None = None
    ) -> RootId:
        """The tree after all changes, in order; `loose` has parts of them that are not stored.

        Cost: the ranges that the changes fall in, and the index. Raises PathConflict if a path
        would be a file and a directory. Flush the chunk store to make the result durable.
        """
        return apply_deltas(self._loader, root, deltas, loose=loose)

    def export(
        self, rows: Iterable[FileRow], directory: Path, *, strip: str = "", mode: int = 0o644
    ) -> int:
        """Write files below a local directory, without the leading `strip`; returns the bytes.

        Files that are there are replaced. Raises InvalidPath for a path that would lead out,
        AlreadyExists where a directory stands in the way, StorageFull.
        """
        return export_rows(self.chunks, rows, directory, strip=strip, mode=mode)

    def slices(self, root: RootId, prefix: str = "") -> Iterator[Slice]:
        """The rows of a file, or of all files below a directory, as slices of columns."""
        view = self._view(root)
        is_file = bool(prefix) and view.place(prefix) is not None
        return view.slices(*((prefix, prefix + "\0") if is_file else below(prefix)))

    def name_lines(self, root: RootId, prefix: str = "") -> Iterator[bytes]:
        """The path of a file, or of all files below a directory, by path, one a line."""
        view = self._view(root)
        is_file = bool(prefix) and view.place(prefix) is not None
        return view.name_lines(*((prefix, prefix + "\0") if is_file else below(prefix)))

    def contents(
        self, root: RootId, prefix: str = ""
    ) -> Iterator[tuple[str, int, Iterable[bytes]]]:
        """(path, size, content) of a file, or of all files below a directory, by path.

        Each content is to be read before the next one is asked for. Reading raises Corrupt.
        """
        return contents(self.chunks, self.slices(root, prefix))

    def tar(self, root: RootId, prefix: str, *, above: str, mtime_s: int) -> Iterator[bytes]:
        """The same as a tar archive, with names relative to the directory `above`."""
        return tar_pieces(self.chunks, self.slices(root, prefix), above=above, mtime_s=mtime_s)

    def verify(
        self, root: RootId, *, fresh: Callable[[str], bool] = lambda _: True
    ) -> Iterator[tuple[str, str]]:
        """(path, problem) for everything wrong with the structure of a tree; see `files.check`."""
        try:
            view = self._view(root)
        except Corrupt as error:
            return iter([("", str(error))])
        return check_tree(view, self.chunks, fresh)

    def _view(self, root: RootId) -> View:
        return View(self._loader, root)


def _everything(paths: "list[str]") -> "list[str]":
    return paths
