"""What a backup is made of: a directory with a manifest that names every file by size and digest.

Format page: docs/formats/backup.md. Nothing that the manifest names is ever changed: a new backup
writes new files beside them, then replaces the manifest in one step, then removes what it does not
name any more. So a crash leaves the one backup or the other, whole.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from trunkline.errors import (
    Corrupt,
    InvalidInput,
    NotFound,
    OperationFailed,
    StorageFull,
    TrunklineError,
)
from trunkline.store.digests import Digest
from trunkline.store.locks import alone, shared
from trunkline.store.packs import NO_SPACE, SUFFIX, sync_directory

MANIFEST = "BACKUP.json"
VERSION = 2
_VERSIONS = (1, VERSION)  # that can be read
CATALOG = "catalog-{digest}.db"
PACKS = "packs"
BACKUP_LOCK = "backup.lock"

_PIECE_BYTES = 4 * 1024 * 1024
_NAME_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A file of a backup; `name` is below its directory, `pack` what it is called in a store."""

    name: str
    size_bytes: int
    digest: str
    pack: str = ""  # "" for the catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    created: str  # RFC 3339
    release: str
    format: int  # of the data directory
    commits: int
    catalog: Archived
    packs: tuple[Archived, ...]
    installation: str = ""  # whose it is; "" in version 1, which does not say

    @property
    def files(self) -> tuple[Archived, ...]:
        return (self.catalog, *self.packs)


Checked = TypeVar("Checked", Archived, Manifest)


def read_manifest(directory: Path) -> Manifest | None:
    """That of a backup; None if there is none. Raises Corrupt, InvalidInput for a newer one."""
    path = directory / MANIFEST
    try:
        document = json.loads(path.read_text("utf-8"))
        version = document["trunkline_backup"]
        body = document["backup"]
        digest = document["digest"]
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise InvalidInput(f"{directory} is not a directory") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Corrupt(f"the backup's {path}", "a manifest", str(error)) from error
    if version not in _VERSIONS:
        raise InvalidInput(
            f"the backup {directory} has format {version!r}; this Trunkline reads up to {VERSION}"
        )
    found = Digest(_canonical(body)).hexdigest()
    if found != digest:
        raise Corrupt(f"the backup's {path}", f"digest {digest}", found)
    try:
        return _checked(
            Manifest(
                **{
                    **body,
                    "catalog": _archived(body["catalog"]),
                    "packs": tuple(_archived(entry) for entry in body["packs"]),
                }
            )
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"the backup's {path}", "a manifest", str(error)) from error


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Make this the backup that the directory holds; all its files are durable before."""
    body = asdict(manifest)
    document = {
        "trunkline_backup": VERSION,
        "digest": Digest(_canonical(body)).hexdigest(),
        "backup": body,
    }
    with writing(directory):
        replace_text(directory / MANIFEST, json.dumps(document, indent=1))


def _canonical(body: object) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _archived(entry: dict[str, Any]) -> Archived:
    """An entry of a manifest; no name in it can lead out of the backup or of a store."""
    found = _checked(Archived(**entry))
    for name in (*found.name.split("/"), found.pack.removesuffix(SUFFIX) or "x"):
        stem = name.replace(".", "").replace("-", "")
        if not stem.isalnum() or name.startswith(".") or len(name) > _NAME_MAX:
            raise ValueError(f"the name {name!r}")
    return found


def _checked(value: Checked) -> Checked:
    """A value out of JSON, each field of it seen to have its type; raises TypeError."""
    for one in fields(value):
        found = getattr(value, one.name)
        if one.type in (int, str) and type(found) is not one.type:
            raise TypeError(f"{one.name} can't be {found!r}")
    if isinstance(value, Archived) and value.size_bytes < 0:
        raise TypeError("a size can't be negative")
    return value


def replace_text(path: Path, text: str) -> None:
    """Give a small file this content in one step, durably; raises OSError."""
    aside = path.with_name(f".{path.name}.new")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(aside, path)
    sync_directory(path.parent)


def copy(
    pieces: Iterator[bytes], target: Path, *, size_bytes: int, pace: Callable[[], None]
) -> str:
    """Copy bytes into a new file durably; returns their BLAKE3.

    Raises OperationFailed if there are fewer of them than there should be.
    """
    digest = Digest()
    aside = target.with_name(f".{target.name}.new")
    with writing(target.parent), aside.open("wb") as writer:
        left = size_bytes
        for piece in pieces:
            pace()
            digest.update(piece)
            writer.write(piece)
            left -= len(piece)
        if left:
            raise OperationFailed(f"what is copied to {target} became shorter meanwhile; try again")
        writer.flush()
        os.fsync(writer.fileno())
        os.rename(aside, target)
    return digest.hexdigest()


def check(directory: Path, entry: Archived) -> None:
    """Read a file of a backup; raises Corrupt, naming it, unless it is as the manifest says."""
    path = directory / entry.name
    try:
        size, digest = path.stat().st_size, digest_of(path)
    except OSError as error:
        raise Corrupt(f"the backup's {path}", "it to be readable", str(error)) from error
    if (size, digest) != (entry.size_bytes, entry.digest):
        raise Corrupt(
            f"the backup's {path}",
            f"{entry.size_bytes} bytes with digest {entry.digest}",
            f"{size} bytes with digest {digest}",
        )


def digest_of(path: Path) -> str:
    digest = Digest()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def require_manifest(directory: Path) -> Manifest:
    """That of a backup; raises NotFound if there is none."""
    found = read_manifest(directory)
    if found is None:
        raise NotFound(f"there is no backup in {directory}: it has no {MANIFEST}")
    return found


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turn errors of writing into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StorageFull(str(directory)) from error
        raise OperationFailed(f"can't write to {directory}: {error.strerror or error}") from error


def make_directory(directory: Path) -> None:
    """Make a directory and what is missing above it, so that a power cut takes none of them away.

    Raises OSError.
    """
    missing = [d for d in (directory, *directory.parents) if not d.exists()]
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for made in missing or [directory]:  # whoever made it may have died before this
        sync_directory(made.parent)


@contextmanager
def kept(path: Path, changing: Callable[[], TrunklineError]) -> Iterator[None]:
    """Keep others from taking the lock on a file as `locked` does, or raise what `changing` gives.

    Without the file, or the right to read it, nobody is kept from anything.
    """
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(shared(path, changing))
        yield


@contextmanager
def locked(path: Path, taken: Callable[[], TrunklineError]) -> Iterator[None]:
    """Hold the lock on a file, or raise what `taken` gives; see `store.locks`."""
    with ExitStack() as held:
        with writing(path.parent):
            held.enter_context(alone(path, taken))
        yield
