"""What `get file` writes to this machine's disk or to standard output."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.cli.progress import transfer
from trunkline.cli.session import current, operations

if TYPE_CHECKING:
    from trunkline.connect.materialise import Origin
    from trunkline.model.versions import CommitInfo


def write_file(
    repo: str, ref: str, path: str, output: str, *, offset: int = 0, size: int | None = None
) -> None:
    """Write one file, or a part of it, to `output`, where it appears when it is whole."""
    from trunkline.connect.materialise import write_file

    commit = operations().commits.inspect_commit(repo, ref)
    total = _total(commit, path)
    if total is not None:
        total = max(0, total - offset if size is None else min(size, total - offset))
    with transfer(path, total) as advance:
        write_file(
            _origin(), commit, path.strip("/"), Path(output), advance, offset=offset, size=size
        )


def write_tree(repo: str, ref: str, path: str, output: str) -> None:
    """Write all files below a directory (or the one file) into the directory `output`."""
    from trunkline.connect.materialise import write_tree

    # The commit, not the branch: all files are of one commit though the branch moves on.
    commit = operations().commits.inspect_commit(repo, ref)
    with transfer(path.strip("/") or repo, _total(commit, path)) as advance:
        write_tree(_origin(), commit, path.strip("/"), Path(output), advance)


def write_tar(repo: str, ref: str, path: str, output: str | None) -> None:
    """Write all files below a directory (or the one file) as a tar archive."""
    from trunkline.connect.materialise import write_whole

    pieces = operations().files.read_tar(repo, ref, path)
    if output is None or output == "-":
        write_out(pieces)
        return
    with transfer(path.strip("/") or repo, None) as advance:
        write_whole(Path(output), pieces, advance)


def write_out(pieces: Iterable[bytes]) -> None:
    """Write bytes to standard output."""
    out = sys.stdout.buffer
    for piece in pieces:
        out.write(piece)
    out.flush()


def _origin() -> "Origin":
    from trunkline.connect.materialise import Origin

    return Origin(operations=operations(), home=current().link.home)


def _total(commit: "CommitInfo", path: str) -> int | None:
    """How much there is to come; asked for only where somebody sees the answer."""
    if not path.strip("/"):
        return commit.size_bytes if commit.finished else None
    if not sys.stderr.isatty():
        return None
    return operations().files.inspect_file(commit.repo, commit.id, path).size_bytes
