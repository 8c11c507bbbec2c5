"""The record of a checkout: which commit a directory holds, and how each file looked when written.

It is one file in the directory itself, so that it moves and goes with it. It is written aside and
renamed; a digest at its end tells a whole one from a damaged one.

Format page: docs/formats/checkout.md (version 1).
"""

import json
import os
import secrets
import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trunkline.errors import CheckoutNotFound, OperationFailed
from trunkline.files.export import ASIDE
from trunkline.model.names import CHECKOUT_RECORD
from trunkline.store.digests import DIGEST_BYTES, Digest
from trunkline.values import dataclass, field

_MAGIC = b"TLCO"
_VERSION = 1
_HEAD = struct.Struct("<4sB3xIIQ")  # magic, version, bytes of the JSON, files, bytes of the paths
_ABOUT: dict[str, type] = {"repo": str, "commit": str, "path": str, "complete": bool}
_SWAP = sys.byteorder == "big"  # stored numbers are little-endian
# Times are told in steps: what was changed within one step of the writing of the record may look
# as it did before.
UNSURE_NS = 20_000_000


class Seen(NamedTuple):
    """What a file looked like; zeros for one that may hold anything."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


UNKNOWN = Seen(0, 0, 0, 0)


def seen(found: os.stat_result) -> Seen:
    """What a file looks like."""
    return Seen(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(slots=True, kw_only=True)
class Record:
    """A checkout. Paths are relative to the directory and sorted.

    While it is `complete`, each file holds the content with its digest unless somebody changed it.
    Otherwise a checkout was interrupted: files whose look is `UNKNOWN` may hold anything; those
    with a digest of zeros were to be deleted.
    """

    repo: str
    commit: str
    path: str  # in the commit; "" for its root
    complete: bool
    paths: list[str] = field(default_factory=list)
    digests: bytearray = field(default_factory=bytearray)  # 32 a file
    looks: "array[int]" = field(default_factory=lambda: array("Q"))  # 4 a file, as in `Seen`
    written_ns: int = 0  # when the record was written, by the clock of the file system

    def __len__(self) -> int:
        return len(self.paths)

    def add(self, path: str, digest: bytes, look: Seen) -> None:
        """Append a file; by path."""
        self.paths.append(path)
        self.digests += digest
        self.looks.extend(look)

    def files(self) -> Iterator[tuple[str, bytes, Seen]]:
        """(path, digest, look) of every file."""
        digests = bytes(self.digests)
        for n, path in enumerate(self.paths):
            digest = digests[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES]
            yield path, digest, Seen(*self.looks[4 * n : 4 * n + 4])

    def surely(self, look: Seen, found: os.stat_result) -> bool:
        """Whether a file is as it was recorded, by its look alone."""
        return (
            look == seen(found)
            and look.ctime_ns < self.written_ns - UNSURE_NS
            and look.mtime_ns < self.written_ns - UNSURE_NS
        )


def read_record(directory: Path) -> Record:
    """The record in a directory; raises CheckoutNotFound, OperationFailed for a damaged one."""
    place = directory / CHECKOUT_RECORD
    try:
        with open(place, "rb", opener=_not_through_links) as file:
            data = file.read()
            written_ns = os.fstat(file.fileno()).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckoutNotFound(str(directory)) from error
    except OSError as error:
        raise OperationFailed(f"can't read {place}: {error.strerror}") from error
    record = decode(data)
    if record is None:
        raise OperationFailed(
            f"{place} is damaged; move it away and check out again with --force, which "
            "writes all files anew"
        )
    record.written_ns = written_ns
    return record


def write_record(directory: Path, record: Record) -> None:
    """Replace the record in a directory in one step; raises OSError."""
    # A name that nobody can have put a link under; and if he had, it is not followed.
    aside = directory / f"{ASIDE}{secrets.token_hex(8)}"
    try:
        with open(aside, "xb", opener=_not_through_links) as file:
            file.write(encode(record))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, directory / CHECKOUT_RECORD)
    finally:
        aside.unlink(missing_ok=True)


def encode(record: Record) -> bytes:
    """The bytes of a record."""
    about = {
        "repo": record.repo,
        "commit": record.commit,
        "path": record.path,
        "complete": record.complete,
    }
    head = json.dumps(about).encode("utf-8")
    paths = "\0".join(record.paths).encode("utf-8")
    looks = array("Q", record.looks)
    if _SWAP:
        looks.byteswap()
    body = b"".join(
        [
            _HEAD.pack(_MAGIC, _VERSION, len(head), len(record), len(paths)),
            *(head, paths, record.digests, looks.tobytes()),
        ]
    )
    return body + Digest(body).digest()


def decode(data: bytes) -> Record | None:
    """The record in some bytes; None if they are not whole. Raises OperationFailed for newer."""
    if len(data) < _HEAD.size + DIGEST_BYTES or not data.startswith(_MAGIC):
        return None
    _, version, head_bytes, count, path_bytes = _HEAD.unpack_from(data)
    if version > _VERSION:
        raise OperationFailed(
            f"the checkout was made by a newer version of Trunkline (format {version}, this "
            f"one knows {_VERSION}); use that one"
        )
    body = data[:-DIGEST_BYTES]
    length = _HEAD.size + head_bytes + path_bytes + count * (DIGEST_BYTES + 32)
    if version != _VERSION or len(body) != length or Digest(body).digest() != data[len(body) :]:
        return None
    at = _HEAD.size + head_bytes
    about = _about(body[_HEAD.size : at])
    paths = _paths(body[at : at + path_bytes], count)
    if about is None or paths is None:
        return None
    at += path_bytes
    looks = array("Q")
    looks.frombytes(body[at + count * DIGEST_BYTES :])
    if _SWAP:
        looks.byteswap()
    return Record(
        repo=about["repo"],
        commit=about["commit"],
        path=about["path"],
        complete=about["complete"],
        paths=paths,
        digests=bytearray(body[at : at + count * DIGEST_BYTES]),
        looks=looks,
    )


def _about(data: bytes) -> dict[str, Any] | None:
    try:
        about = json.loads(data)
        kinds = {name: type(about[name]) for name in _ABOUT}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return about if kinds == _ABOUT else None


def _paths(data: bytes, count: int) -> list[str] | None:
    try:
        paths = data.decode("utf-8").split("\0") if count else []
    except UnicodeDecodeError:
        return None
    return paths if len(paths) == count else None


def _not_through_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
