"""What user code left in /pfs/out: checked as hostile, and added to the outputs of its datum.

Regular files are stored. A symlink to an input, or to another output, shares its content without
the bytes moving. Everything else (links that lead outside, pipes, sockets, devices, names that no
repo takes) fails the datum with a reason.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from io import FileIO
from pathlib import Path

from trunkline.fetch.local import LocalFile, LocalLink, LocalRefused, scan_directory
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import FileRow, RootId
from trunkline.files.tree import Trees
from trunkline.jobs.segments import PlannedDatum
from trunkline.runtimes.base import OUT, PFS, Slot

_READ_BYTES = 1024 * 1024


class OutputRefused(Exception):
    """Something in /pfs/out that can't become a file of a commit."""


def collect(
    slot: Slot, stage: Path, trees: Trees, planned: PlannedDatum, writer: DeltaWriter
) -> tuple[int, int]:
    """Store the outputs of a datum, whose inputs are in `stage`; returns bytes and files.

    All or nothing: when it raises (OutputRefused, StorageFull, OperationFailed), nothing was added,
    so that another try begins with nothing.
    """
    out = os.path.realpath(slot.out)
    view = PFS if slot.isolation == "namespace" else os.path.realpath(stage)
    rows: list[FileRow] = []
    files: list[tuple[str, str]] = []  # (path in the commit, behind which link)
    for found in scan_directory(out):
        match found:
            case LocalRefused(path=path, reason=reason):
                raise OutputRefused(f"{OUT}/{path} can't be committed: {reason}")
            case LocalLink(path=path):
                target = os.path.realpath(os.path.join(out, path))
                inside = _below(target, out) or _below(target, f"{view}/out")
                if inside is not None and os.path.isfile(os.path.join(out, inside)):
                    files.append((path, inside))
                else:
                    rows += _linked(trees, planned, view, link=path, target=target)
    # A second look, once it is known that everything can be stored.
    for found in scan_directory(out):
        if isinstance(found, LocalFile):
            with found.open() as content:
                rows.append(_stored(writer, found.path, content, planned.key))
    for path, inside in files:
        with FileIO(os.path.join(out, inside)) as content:
            rows.append(_stored(writer, path, content, planned.key))
    for row in rows:
        writer.put_row(replace(row, datum=planned.key))
    return sum(row.size_bytes for row in rows), len(rows)


def _stored(writer: DeltaWriter, path: str, content: FileIO, key: str) -> FileRow:
    return writer.store(path, iter(lambda: content.read(_READ_BYTES), b""), datum=key)


def _linked(
    trees: Trees, planned: PlannedDatum, view: str, *, link: str, target: str
) -> Iterator[FileRow]:
    """The rows of the input that a symlink leads to, renamed to be at or below the link."""
    for source in planned.datum.files:
        inside = _below(target, f"{view}/{source.name}")
        if inside is None:
            continue
        found = False
        for row in trees.walk(RootId(source.root), inside):
            found = True
            below = row.path[len(inside) :].lstrip("/")
            yield replace(row, path=f"{link}/{below}" if below else link)
        if found:
            return
    raise OutputRefused(
        f"{OUT}/{link} is a link to {_shown(target)}, which is not in an input of this datum; "
        "copy the file instead"
    )


def _below(path: str, folder: str) -> str | None:
    """The path relative to a folder, "" for the folder itself, None when it is not inside."""
    if path == folder:
        return ""
    return path[len(folder) + 1 :] if path.startswith(folder + "/") else None


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
