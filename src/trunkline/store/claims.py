"""Whose packs a bucket has: one store's, which both sides write down.

Beside the index a store keeps the record of its bucket; without one its packs are files. The bucket
has an owner object, written on the condition that there was none, with the installation whose packs
these are (as its catalog says) and the directory that works on them. Where only catalog and bucket
are left, the catalog's installation proves that they belong together; the directory that takes the
bucket over becomes the one that works on it, and another one is refused from then on.
"""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trunkline.config import Config
from trunkline.errors import Conflict, Corrupt, InvalidInput, Unavailable, shown
from trunkline.fetch.buckets import Bucket, Taken
from trunkline.fetch.urls import STORES, StoreUrl, parse_url, scheme_of, without_secrets
from trunkline.store.bucket import FOLDER, BucketDepot
from trunkline.store.depot import Depot, LocalDepot
from trunkline.store.packs import disk_errors, sync_directory

RECORD = "bucket.json"  # in the directory of the store
OWNER = "owner.json"  # in the bucket
_FORMAT = 1
_OPENING_S = 12.0  # less than a command waits for a server that it has started


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket that packs are in, and how it is reached."""

    url: str  # as it was given, without a slash at its end
    plain_http: bool  # the endpoint is an http URL
    cache_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    format: int
    url: str
    plain_http: bool
    cache_bytes: int
    directory: str  # the id of this directory of a store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    format: int
    installation: str
    directory: str


def place_at(text: str, *, plain_http: bool, cache_bytes: int) -> Place:
    """The setting; raises InvalidInput for what is no bucket."""
    text = text.rstrip("/")
    _parsed(text)
    return Place(url=text, plain_http=plain_http, cache_bytes=cache_bytes)


def _parsed(text: str) -> StoreUrl:
    if scheme_of(text) not in STORES:
        said = shown(without_secrets(text) if "://" in text else text)
        raise InvalidInput(
            f"TRUNKLINE_STORE is {said}; it must name a bucket: "
            "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
        )
    url = parse_url(text)
    assert isinstance(url, StoreUrl)
    if any(part in ("", ".", "..") for part in url.key.split("/")) and url.key:
        raise InvalidInput(f"TRUNKLINE_STORE is {shown(text)}; its prefix is no path of names")
    return url


def depot_of(directory: Path) -> Depot:
    """Where the packs of a store are, as its directory says."""
    record = _read_record(directory)
    if record is None:
        return LocalDepot(directory / "packs")
    bucket = Bucket(_parsed(record.url), plain_http=record.plain_http)

    def confirm() -> None:
        _check_ours(bucket, record)

    return BucketDepot(bucket, directory, cache_bytes=record.cache_bytes, confirm=confirm)


def bucket_of(directory: Path) -> str | None:
    """The URL of the bucket that the packs of a store are in; None if they are files."""
    record = _read_record(directory)
    return None if record is None else record.url


def is_shared(config: Config) -> bool:
    """Whether servers with other data directories may work on the same store."""
    return bool(config.database and (config.store or bucket_of(config.home / "store")))


def open_bucket(directory: Path) -> Bucket:
    """The bucket that the packs of a store are in, for what else is kept there."""
    record = _read_record(directory)
    assert record is not None, "its packs are in a bucket"
    return Bucket(_parsed(record.url), plain_http=record.plain_http)


def record_of(directory: Path) -> str:
    """What a worker on another machine is told of where packs are; see `take_record`."""
    return (directory / RECORD).read_text("utf-8")


def take_record(directory: Path, text: str) -> None:
    """Have a directory in which nothing was read and write the packs of another one."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RECORD).write_text(text, "utf-8")


def settle(
    directory: Path,
    place: Place | None,
    *,
    installation: Callable[[], str],
    fresh: bool,
    shared: str = "",
) -> None:
    """See to it that a store is where the setting says; its owner calls it before it opens it.

    Without a setting, it is where it was. A store that several directories have is `shared`: they
    all go by that id. Raises Conflict if that is elsewhere, the bucket is
    another store's, or it has nothing and the catalog is not `fresh`, so that it names packs;
    Unavailable if the bucket can't be reached.
    """
    record = _read_record(directory)
    if record is None and place is None:
        return
    if record is None:
        assert place is not None
        record = _claim_for(directory, place, installation(), fresh=fresh, shared=shared)
    elif place is not None:
        if place.url != record.url:
            raise Conflict(
                f"the packs of {directory} are in {record.url}, and TRUNKLINE_STORE says "
                f"{place.url}: to move them, take a backup and restore it into another data "
                "directory with that setting"
            )
        record = _record_of(place, record.directory)
    bucket = _bucket(record)
    if shared and record.directory != shared:  # it was of this directory alone
        _check_ours(bucket, record)
        record = replace(record, directory=shared)
        _set_owner(bucket, installation(), shared)
        _remove_index(directory)
    _check_ours(bucket, record)
    _write_record(directory, record)


def _bucket(place: "Place | _Record") -> Bucket:
    """The bucket, for few requests of somebody who waits for a server to start."""
    return Bucket(_parsed(place.url), plain_http=place.plain_http, patience_s=_OPENING_S)


def claim(directory: Path, place: Place, *, installation: str) -> None:
    """Make a bucket that nobody has that of a new store; raises Conflict for another's."""
    record = _record_of(place, secrets.token_hex(16))
    bucket = _bucket(place)
    if _put_owner(bucket, installation, record.directory) is not None:
        raise _another(bucket)
    _write_record(directory, record)


def free_bucket(place: Place) -> Bucket:
    """A bucket that nobody has; raises Conflict."""
    if _read_owner(_bucket(place)) is not None:
        raise _another(_bucket(place))
    return Bucket(_parsed(place.url), plain_http=place.plain_http)


def _claim_for(
    directory: Path, place: Place, installation: str, *, fresh: bool, shared: str
) -> _Record:
    """A store that has no record takes a bucket: a new one, or one that has lost its directory."""
    packs = directory / FOLDER
    if packs.is_dir() and any(packs.iterdir()):
        raise Conflict(
            f"the packs of {directory} are files there, and TRUNKLINE_STORE says {place.url}: to "
            "move them, take a backup and restore it into another data directory with that setting"
        )
    record = _record_of(place, shared or secrets.token_hex(16))
    bucket = _bucket(place)
    owner = _read_owner(bucket)
    if owner is None:
        if not fresh:
            raise Conflict(
                f"{bucket} is empty, and the catalog names packs that must be somewhere: name the "
                "bucket that has them, or restore a backup"
            )
        owner = _put_owner(bucket, installation, record.directory)
    if owner is not None:
        if owner.installation != installation:
            raise _another(bucket)
        if owner.directory != record.directory:
            _set_owner(bucket, installation, record.directory)
    _remove_index(directory)  # of packs that were files once
    return record


def _remove_index(directory: Path) -> None:
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (directory / name).unlink(missing_ok=True)


def _check_ours(bucket: Bucket, record: _Record) -> None:
    owner = _read_owner(bucket)
    if owner is None:
        raise Unavailable(
            f"{bucket} has no {OWNER}, so it is not where the packs of this data directory are: "
            "look at the endpoint and the account that the environment of the server names"
        )
    if owner.directory != record.directory:
        raise Conflict(
            f"another data directory has taken over the packs in {bucket}; this one must not be "
            f"used any more (if both share a catalog in PostgreSQL and the other one has ended, "
            f"remove store/{RECORD} here, and the next start takes them back)"
        )


def _another(bucket: Bucket) -> Conflict:
    return Conflict(
        f"{bucket} has the packs of another data directory; choose another prefix for this one"
    )


def _put_owner(bucket: Bucket, installation: str, directory: str) -> _Owner | None:
    """Write the owner object if there is none; else what it says."""
    owner = _Owner(format=_FORMAT, installation=installation, directory=directory)
    try:
        bucket.put_new(OWNER, _text(owner))
    except Taken:
        return _read_owner(bucket)
    return None


def _set_owner(bucket: Bucket, installation: str, directory: str) -> None:
    owner = _Owner(format=_FORMAT, installation=installation, directory=directory)
    bucket.replace(OWNER, _text(owner))


def _read_owner(bucket: Bucket) -> _Owner | None:
    try:
        text = bucket.get(OWNER)
    except FileNotFoundError:
        return None
    try:
        owner = _Owner(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise Corrupt(f"{bucket}/{OWNER}", "the record of an owner", str(error)) from error
    _check_format(f"{bucket}/{OWNER}", owner.format)
    return owner


def _record_of(place: Place, directory: str) -> _Record:
    return _Record(format=_FORMAT, directory=directory, **asdict(place))


def _read_record(directory: Path) -> _Record | None:
    path = directory / RECORD
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    try:
        record = _Record(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise Corrupt(str(path), "the record of a bucket", str(error)) from error
    _check_format(str(path), record.format)
    return record


def _check_format(where: str, number: int) -> None:
    if number != _FORMAT:
        raise Unavailable(f"{where} has format {number!r}; this Trunkline reads {_FORMAT}")


def _write_record(directory: Path, record: _Record) -> None:
    text = _text(record)
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        path, aside = directory / RECORD, directory / f".{RECORD}.new"
        if path.exists() and path.read_bytes() == text:
            return
        with aside.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_directory(directory)


def _text(value: _Record | _Owner) -> bytes:
    return (json.dumps(asdict(value), indent=1) + "\n").encode("utf-8")
