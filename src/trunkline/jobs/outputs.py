"""What user code left in /pfs/out: checked as hostile, and added to the outputs of its datum.

Regular files are stored. A symlink to an input, or to another output, shares its content without
the bytes moving. Everything else (links that lead outside, pipes, sockets, devices, names that no
repo takes) fails the datum with a reason.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import FileIO
from pathlib import Path

from trunkline.fetch.local import LocalFile, LocalLink, LocalRefused, scan_directory
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import FileRow, RootId
from trunkline.files.tree import Trees
from trunkline.jobs.segments import PlannedDatum
from trunkline.model.names import check_path
from trunkline.pipelines.datums import DatumFile
from trunkline.runtimes.base import CONTAINER, OUT, PFS, Slot
from trunkline.runtimes.process import REWRITE

_READ_BYTES = 1024 * 1024
_SMALL_BYTES_MAX = 256 * 1024  # outputs up to this size, all together, are read at the first look
_LINKS_MAX = 40  # on the way to one file, as the kernel has it
_SMALL_COST = 4096  # what a file counts beside its content


class OutputRefused(Exception):
    """Something in /pfs/out that can't become a file of a commit."""


def collect(
    slot: Slot, stage: Path, trees: Trees, planned: PlannedDatum, writer: DeltaWriter
) -> tuple[int, int]:
    """Store the outputs of a datum, whose inputs are in `stage`; returns bytes and files.

    All or nothing: when it raises (OutputRefused, StorageFull, OperationFailed), nothing was added,
    so that another try begins with nothing.
    """
    out = str(slot.out)
    links: list[str] = []
    small: list[tuple[str, bytes]] = []  # contents at hand
    room = _SMALL_BYTES_MAX
    for found in scan_directory(out):
        match found:
            case LocalRefused(path=path, reason=reason):
                raise OutputRefused(f"{OUT}/{path} can't be committed: {reason}")
            case LocalLink(path=path):
                links.append(path)
            case LocalFile(path=path, size_bytes=size):
                room -= size + _SMALL_COST
                if room >= 0:
                    with found.open() as content:
                        small.append((path, content.read()))
    rows, files = _linked(links, slot, stage, trees, planned)
    if room >= 0:
        rows += [writer.store(path, (content,), datum=planned.key) for path, content in small]
    else:  # a second look, now that it is known that everything can be stored
        for found in scan_directory(out):
            if isinstance(found, LocalFile):
                with found.open() as content:
                    rows.append(_stored(writer, found.path, content, planned.key))
    for path, inside in files:
        with FileIO(os.path.join(out, inside)) as content:
            rows.append(_stored(writer, path, content, planned.key))
    for row in rows:
        ours = row.datum == planned.key  # else it is that of an input
        writer.put_row(row if ours else replace(row, datum=planned.key))
    return sum(row.size_bytes for row in rows), len(rows)


def _linked(
    links: list[str], slot: Slot, stage: Path, trees: Trees, planned: PlannedDatum
) -> tuple[list[FileRow], list[tuple[str, str]]]:
    """What symlinks lead to: the rows of inputs, and (link, path) of other outputs."""
    rows: list[FileRow] = []
    files: list[tuple[str, str]] = []
    if not links:
        return rows, files
    out = os.path.realpath(slot.out)
    view = os.path.realpath(stage) if slot.isolation == REWRITE else PFS
    given = _Given(trees, planned, view)
    for path in links:
        if slot.isolation == CONTAINER:
            target = _resolved(f"{OUT}/{path}", {OUT: out, PFS: os.path.realpath(stage)})
        else:
            target = os.path.realpath(os.path.join(out, path))
        inside = _below(target, out) or _below(target, f"{view}/out")
        if inside is not None and os.path.isfile(os.path.join(out, inside)):
            files.append((path, inside))
        else:
            rows += given.linked(path, target)
    return rows, files


def _stored(writer: DeltaWriter, path: str, content: FileIO, key: str) -> FileRow:
    return writer.store(path, iter(lambda: content.read(_READ_BYTES), b""), datum=key)


class _Given:
    """What the inputs gave to a datum, by where user code finds it."""

    def __init__(self, trees: Trees, planned: PlannedDatum, view: str) -> None:
        self._trees = trees
        self._inside = f"{view}/"  # what a link may lead to begins with this
        self._sources: dict[str, list[DatumFile]] = {}
        for file in planned.datum.files:
            place = f"{view}/{file.name}/{file.path}".rstrip("/")
            self._sources.setdefault(place, []).append(file)

    def linked(self, link: str, target: str) -> list[FileRow]:
        """The rows of what a symlink leads to, renamed to be at or below the link.

        Raises OutputRefused, and InvalidPath where that makes a path too long.
        """
        found = {(f"{link}/{below}" if below else link): row for below, row in self._rows(target)}
        if not found:
            raise OutputRefused(
                f"{OUT}/{link} is a link to {_shown(target)}, which is not in an input of this "
                "datum; copy the file instead"
            )
        return [replace(row, path=check_path(path)) for path, row in found.items()]

    def _rows(self, target: str) -> Iterator[tuple[str, FileRow]]:
        """(path relative to the target, row) of each file at or below it."""
        above = target
        while above.startswith(self._inside):
            for source in self._sources.get(above, ()):
                inside = f"{source.path}{target[len(above) :]}".lstrip("/")
                for row in self._trees.walk(RootId(source.root), inside):
                    yield row.path[len(inside) :].lstrip("/"), row
                    if row.path == inside:
                        return  # a file; nothing is below it
            above = above.rpartition("/")[0]
        for place, sources in self._sources.items():
            below = _below(place, target) if target.startswith(self._inside) else None
            for source in sources if below else ():
                for row in self._trees.walk(RootId(source.root), source.path):
                    yield f"{below}{row.path[len(source.path) :]}", row


def _resolved(path: str, places: Mapping[str, str]) -> str:
    """What a path comes to where some directories are in other places of this machine.

    `places` are those, inner ones first; of what is outside of them nothing is known, nor asked.
    """
    done, waiting = "", path.split("/")[::-1]
    followed = 0
    while waiting:
        name = waiting.pop()
        if name in ("", "."):
            continue
        if name == "..":
            done = done.rpartition("/")[0]
            continue
        found = f"{done}/{name}"
        inside = ((at, _below(found, at)) for at in places)
        here = next((os.path.join(places[at], rest) for at, rest in inside if rest), "")
        if here and os.path.islink(here) and followed < _LINKS_MAX:
            followed += 1
            text = os.readlink(here)
            done = "" if text.startswith("/") else done
            waiting += text.split("/")[::-1]
        else:
            done = found
    return done or "/"


def _below(path: str, folder: str) -> str | None:
    """The path relative to a folder, "" for the folder itself, None when it is not inside."""
    if path == folder:
        return ""
    return path[len(folder) + 1 :] if path.startswith(folder + "/") else None


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
