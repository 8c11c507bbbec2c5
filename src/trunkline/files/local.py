"""Walks a local file or directory for a put."""

import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from trunkline.errors import InvalidInput, LocalFileNotFound

Opener = Callable[[], BinaryIO]


def local_files(source: str) -> Iterator[tuple[str, Opener]]:
    """Each regular file at or below a path: its path relative to it ("" for itself), and a way in.

    Symlinks are followed where they lead to a file or directory inside `source`; one that leads
    outside, and anything that is not a regular file or directory, is refused with InvalidInput.
    """
    try:
        mode = os.stat(source).st_mode
    except FileNotFoundError as error:
        raise LocalFileNotFound(source) from error
    if stat.S_ISREG(mode):
        yield "", _opener(source)
        return
    if not stat.S_ISDIR(mode):
        raise InvalidInput(f"{source} is neither a file nor a directory")
    yield from _below(source, "", os.path.realpath(source), (os.path.realpath(source),))


def _below(top: str, inside: str, root: str, above: tuple[str, ...]) -> Iterator[tuple[str, Opener]]:
    with os.scandir(os.path.join(top, inside)) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        path = f"{inside}/{entry.name}" if inside else entry.name
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if not target.startswith(root + "/"):
                raise InvalidInput(f"{entry.path} is a link that leads out of {top}")
            if target in above:
                raise InvalidInput(f"{entry.path} is a link to a directory that it is in")
        if entry.is_dir():
            yield from _below(top, path, root, (*above, os.path.realpath(entry.path)))
        elif entry.is_file():
            yield path, _opener(entry.path)
        else:
            raise InvalidInput(f"{entry.path} is neither a file nor a directory, nor a link to one")


def _opener(path: str) -> Opener:
    return lambda: open(path, "rb", buffering=0)  # noqa: SIM115
