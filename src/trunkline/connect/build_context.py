"""The directory that an image is built of, as the server gets it: one archive, with file modes.

Times and owners are left out, so that an equal directory is an equal archive.
"""

import hashlib
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trunkline.api.changes import PutFile
from trunkline.api.connection import Operations
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed

CONTEXT_FILE = "context.tar"
_PIECE_BYTES = 1024 * 1024
_TAG_DIGITS = 12


def upload_context(operations: Operations, directory: Path) -> str:
    """Store the archive of a directory; the root of a file set with nothing but that."""
    with tempfile.TemporaryFile() as file:
        try:
            with tarfile.open(fileobj=file, mode="w") as archive:
                archive.add(directory, arcname=".", filter=_plain)
        except OSError as error:
            raise OperationFailed(f"can't read {directory}: {error.strerror}") from error
        file.seek(0)

        def pieces() -> Iterator[bytes]:
            while piece := file.read(_PIECE_BYTES):
                yield piece

        change = PutFile(path=CONTEXT_FILE, content=pieces())
        return operations.files.create_file_set([change]).root


def dockerfile_of(spec_file: Path, named: str) -> Path:
    """The Dockerfile that a spec means, seen from its own place; the context is its directory.

    Raises LocalFileNotFound, InvalidInput.
    """
    place = spec_file.parent / (named or "Dockerfile")
    if not place.exists():
        raise LocalFileNotFound(str(place), "--build")
    if not place.is_file():
        raise InvalidInput(
            f"--build needs a Dockerfile, and {place} is none; name it in transform.dockerfile"
        )
    return place


def tag_of(pipeline: str, context: str, dockerfile: str) -> str:
    """The tag of what is built for a pipeline (its full name) out of a context."""
    name = re.sub(r"[^a-z0-9]+", "-", pipeline.lower()).strip("-")
    content = hashlib.blake2b(f"{context}\0{dockerfile}".encode()).hexdigest()
    return f"trunkline-{name}:{content[:_TAG_DIGITS]}"


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = 0
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
