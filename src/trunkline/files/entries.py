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

_STRIDE = 32  # rows looked at together to begin with


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

    Depends on paths and contents only. Reads all ranges below the directory, unless the same ones
    were read for it before, in whatever tree.
    """
    memo, key = view.loader.digests, _covering(view, directory)
    known = memo.get(key)
    if known is None:
        known = _digest_below(view, directory)
        memo.put(key, known)
    return known


def _covering(view: View, directory: str) -> bytes:
    """What the digest of a directory depends on: its path and the names of what holds its rows."""
    units = Digest(directory.encode("utf-8") + b"\0")
    low, high = below(directory)
    cursor = view.cursor(low)
    while not cursor.done and (high is None or cursor.first < high):
        inside = low <= cursor.first and (high is None or cursor.last < high)
        if cursor.level and not inside:
            cursor.descend()
            continue
        units.update(bytes.fromhex(cursor.blob))
        cursor.step()
    return units.digest()


def _digest_below(view: View, directory: str) -> str:
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
    after: str = "",
) -> Iterator[Entry]:
    """The selected files and directories, by path, from behind the path `after`.

    Only paths that begin with `literal` and have `depth_min` to `depth_max` parts are offered to
    `select`, which keeps some of them in their order.
    """
    scanner = _Scanner(view, literal, depth_min, depth_max)
    for rows, places in scanner.batches(after):
        # A directory can sort before `after` and have files behind it.
        for path in select(sorted(path for path in places if path > after or not after)):
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

    def batches(self, after: str) -> Iterator[tuple[Columns, dict[str, int | None]]]:
        """Per range: its rows, and path → row for files, path → None for directories.

        From the first range on that has anything behind the path `after`.
        """
        cursor = self._view.cursor()
        at: str | None = max(self._literal, after)
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
            directory = path.rpartition("/")[0]
            self._enter(directory, found)
            stop = _end_of_files(paths, i, end, directory)
            found.update(zip(paths[i:stop], range(i, stop), strict=True))
            i = stop
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


def _end_of_files(paths: list[str], start: int, end: int, directory: str) -> int:
    """Where a run of files right in a directory ends; the path at `start` is one."""
    stop = bisect_left(paths, directory + "0", start, end) if directory else end
    slashes = directory.count("/") + 1 if directory else 0
    at, stride = start, _STRIDE
    while at < stop:
        to = min(at + stride, stop)
        # Each path below has as many slashes as the directory and one more, or even more.
        if "\0".join(paths[at:to]).count("/") > slashes * (to - at):
            return next(n for n in range(at, to) if paths[n].count("/") > slashes)
        at, stride = to, stride * 4
    return stop


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
