"""Files and directories of a tree by path: what lists and globs are made of.

A tree stores files only; a directory is there because a file lies below it. The scan goes range by
range and steps over everything deeper than the pattern can match, without reading it.

Entries come sorted by path, and a directory can sort before files that are stored before its own:
`a` comes before `a-b`, but all of `a/…` is behind it. So at the end of each range those directories
are looked up that sort before the end of it and have their files behind it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trunkline.files.columns import Columns
from trunkline.files.view import View, below
from trunkline.model.versions import FileType
from trunkline.store.digests import DIGEST_BYTES, Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or directory; a directory's size is that of all files below it."""

    path: str
    type: FileType
    size_bytes: int
    digest: str  # "" unless it was asked for
    datum: str  # key of the datum that wrote the file; "" for directories


def directory_digest(view: View, directory: str) -> str:
    """BLAKE3 of the sorted table of the files below: relative path, NUL, digest, newline.

    Depends on paths and contents only. Reads all ranges below the directory.
    """
    table = Digest()
    skip = len(directory) + 1 if directory else 0
    for part in view.slices(*below(directory)):
        digests = part.rows.digests[part.start * DIGEST_BYTES : part.end * DIGEST_BYTES].hex()
        paths = part.rows.paths[part.start : part.end]
        lines = [
            f"{path[skip:]}\0{digests[n : n + 64]}\n"
            for path, n in zip(paths, range(0, len(digests), 64), strict=True)
        ]
        table.update("".join(lines).encode("utf-8"))
    return table.hexdigest()


def file_entry(rows: Columns, i: int, *, digest: bool) -> Entry:
    return Entry(
        path=rows.paths[i],
        type=FileType.FILE,
        size_bytes=rows.sizes[i],
        digest=rows.digest(i).hex() if digest else "",
        datum=rows.datum_key(i),
    )


def directory_entry(view: View, path: str, *, digest: bool) -> Entry:
    return Entry(
        path=path,
        type=FileType.DIR,
        size_bytes=view.weigh(*below(path))[1],
        digest=directory_digest(view, path) if digest else "",
        datum="",
    )


def scan(
    view: View,
    *,
    literal: str,
    depth_min: int,
    depth_max: int | None,
    select: Callable[[list[str]], list[str]],
    digest: bool,
) -> Iterator[Entry]:
    """The selected files and directories, by path.

    Only paths that begin with `literal` and have `depth_min` to `depth_max` parts are offered to
    `select`, which keeps some of them in their order.
    """
    scanner = _Scanner(view, literal, depth_min, depth_max)
    for rows, places in scanner.batches():
        for path in select(sorted(places)):
            i = places[path]
            if i is None:
                yield directory_entry(view, path, digest=digest)
            else:
                yield file_entry(rows, i, digest=digest)


class _Scanner:
    def __init__(self, view: View, literal: str, depth_min: int, depth_max: int | None) -> None:
        self._view = view
        self._literal = literal
        self._high = _after_prefix(literal)
        self._depth_min = depth_min
        self._depth_max = depth_max
        self._directory = ""  # that of the latest path; all above it are known
        self._early: set[str] = set()  # directories that were offered before their files came

    def batches(self) -> Iterator[tuple[Columns, dict[str, int | None]]]:
        """Per range: its rows, and path → row for files, path → None for directories."""
        cursor = self._view.cursor()
        at: str | None = self._literal
        while at is not None:
            cursor.seek(at)
            if cursor.done or (self._high and cursor.first >= self._high):
                return
            rows = cursor.rows()
            found: dict[str, int | None] = {}
            at = self._collect(rows, at, found)
            self._look_ahead(rows.paths[-1], found)
            yield rows, found

    def _collect(self, rows: Columns, at: str, found: dict[str, int | None]) -> str | None:
        """Gather what the range has from `at` on; returns where the next range begins."""
        paths, most = rows.paths, self._depth_max
        i = bisect_left(paths, at)
        end = bisect_left(paths, self._high) if self._high else len(paths)
        while i < end:
            path = paths[i]
            if most is not None and path.count("/") >= most:
                parent = "/".join(path.split("/", most)[:most])
                self._enter(parent, found)
                i = bisect_left(paths, parent + "0", i, end)
                if i == len(paths):
                    return parent + "0"
                continue
            self._enter(path.rpartition("/")[0], found)
            found[path] = i
            i += 1
        return paths[-1] + "\0" if end == len(paths) else None

    def _enter(self, directory: str, found: dict[str, int | None]) -> None:
        """Note a directory and those above it, as far as they are new and could match."""
        if directory == self._directory:
            return
        before, self._directory = self._directory + "/", directory
        while directory and not before.startswith(directory + "/"):
            if directory in self._early:
                self._early.discard(directory)
            else:
                self._offer(directory, found)
            directory = directory.rpartition("/")[0]

    def _look_ahead(self, last: str, found: dict[str, int | None]) -> None:
        """Note the directories that sort before `last` and have all their files behind it."""
        for n, char in enumerate(last):
            if char < "/" and n and last[n - 1] != "/":
                directory = last[:n]
                if directory not in self._early and self._view.is_directory(directory):
                    self._early.add(directory)
                    self._offer(directory, found)

    def _offer(self, directory: str, found: dict[str, int | None]) -> None:
        parts = directory.count("/") + 1
        if (
            parts >= self._depth_min
            and (self._depth_max is None or parts <= self._depth_max)
            and directory.startswith(self._literal)
        ):
            found[directory] = None


def _after_prefix(prefix: str) -> str:
    """The first text that sorts behind everything beginning with the prefix; "" for no bound."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if code == 0xD800:  # no text holds surrogates
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:-1] + chr(code)
        prefix = prefix[:-1]
    return ""
