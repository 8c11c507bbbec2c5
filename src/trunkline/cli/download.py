"""What `get file` writes to this machine's disk.

A file appears under its name only when it is whole: it is written beside it and renamed.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from trunkline.api.changes import PutFile, read_changes
from trunkline.cli.progress import transfer
from trunkline.cli.session import operations
from trunkline.errors import InvalidInput, OperationFailed
from trunkline.model.names import check_path


def write_file(repo: str, ref: str, path: str, output: str, *, offset_bytes: int = 0) -> None:
    """Write the content of one file to `output`."""
    info = operations().files.inspect_file(repo, ref, path)
    with transfer(path, max(info.size_bytes - offset_bytes, 0)) as advance:
        pieces = operations().files.read_file(repo, info.commit, path, offset_bytes=offset_bytes)
        _write(Path(output), pieces, advance)


def write_tree(repo: str, ref: str, path: str, output: str) -> None:
    """Write all files below a directory (or the one file) into the directory `output`."""
    files = operations().files
    top = files.inspect_file(repo, ref, path)
    # The id, not the branch: all files are of one commit though the branch moves on.
    commit = top.commit
    target = Path(output)
    _make_directory(target)
    with transfer(top.path or repo, top.size_bytes) as advance:
        for file in read_changes(files.read_tree(repo, commit, path)):
            if not isinstance(file, PutFile):
                continue
            place = target / check_path(file.path)
            if target.resolve() not in place.parent.resolve().parents and (
                place.parent.resolve() != target.resolve()
            ):
                raise InvalidInput(f"{place} leads out of {output} (a link is in the way)")
            _make_directory(place.parent)
            _write(place, file.content, advance)


def _write(place: Path, pieces: Iterable[bytes], advance: Callable[[int], None]) -> None:
    if place.exists() and not place.is_file():
        _write_into(place, pieces, advance)  # a pipe or device: there is nothing to rename
        return
    aside = place.with_name(f".{place.name[:200]}.{secrets.token_hex(4)}")
    try:
        _write_into(aside, pieces, advance)
        os.replace(aside, place)
    except OSError as error:
        raise OperationFailed(f"{place} could not be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _write_into(place: Path, pieces: Iterable[bytes], advance: Callable[[int], None]) -> None:
    with place.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            advance(len(piece))


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperationFailed(f"{directory} could not be made: {error.strerror}") from error
