"""Object stores (S3 and what speaks like it, Google Cloud Storage, Azure), through obstore.

Endpoint, region and credentials come from the variables that these stores' own tools use
(`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_…`), read
by the library on the machine that fetches or writes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trunkline.errors import (
    InvalidInput,
    NotAllowed,
    NotFound,
    NotSupported,
    OperationFailed,
    TrunklineError,
    Unavailable,
)
from trunkline.fetch.urls import StoreUrl
from trunkline.values import dataclass

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRIES_MAX = 5
_PIECE_BYTES = 1024 * 1024
SMALL_BYTES = 1024 * 1024  # objects up to this size are fetched beside one another
_BESIDE = 16  # of them at a time; their contents wait in memory
_GLOB = re.compile(r"[*?\[]")
_WILD = re.compile(r"\*\*|\*|\?|\[[!^]?[^\]/]+\]|.", re.DOTALL)
_STARS_MAX = 8  # each one more lets a long key take longer to be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object of a listing."""

    key: str
    size_bytes: int


def is_pattern(url: StoreUrl) -> bool:
    """Whether the key has a wild card: `*` and `?` match within a name, `**` any names."""
    return _GLOB.search(url.key) is not None


def key_prefix(url: StoreUrl) -> str:
    """What the keys of a listing have in common, up to the last slash before any wild card."""
    return _prefix_of(url)[0]


def fetch_object(url: StoreUrl, *, plain_http: bool, bytes_max: int) -> Iterator[bytes]:
    """The content of one object; raises NotFound, NotAllowed, OperationFailed, Unavailable."""
    if not url.key or url.key.endswith("/"):
        raise InvalidInput(f"{url} names no object; add -r to put all that is below it")
    import obstore

    store = _store(url, plain_http)
    try:
        found = obstore.get(store, url.key)
        size = found.meta["size"]
        if size > bytes_max:
            raise OperationFailed(f"fetching {url} failed: it is larger than {bytes_max:,} bytes")
        received = 0
        for piece in found.stream(min_chunk_size=_PIECE_BYTES):
            received += len(piece)
            yield bytes(piece)
    except Exception as error:
        raise _translated(url, error) from error
    if received != size:
        raise OperationFailed(f"fetching {url} broke off after {received:,} of {size:,} bytes")


def list_objects(url: StoreUrl, *, plain_http: bool) -> Iterator[StoredObject]:
    """The objects below a prefix, or that match a pattern, by key; raises as `fetch_object` does.

    Empty objects whose key ends with a slash, which some tools make for directories, are left out.
    """
    import obstore

    fixed, matching = _prefix_of(url)
    store = _store(url, plain_http)
    try:
        before: StoredObject | None = None
        for batch in obstore.list(store, fixed or None):
            for meta in batch:
                found = StoredObject(key=meta["path"], size_bytes=meta["size"])
                if before is not None and not _is_directory(before, found, fixed):
                    yield before
                before = found if matching is None or matching.fullmatch(found.key) else None
        if before is not None and not _is_directory(before, None, fixed):
            yield before
    except Exception as error:
        raise _translated(url, error) from error


def fetch_objects(
    url: StoreUrl, objects: Iterable[StoredObject], *, plain_http: bool, bytes_max: int
) -> Iterator[tuple[StoredObject, Iterator[bytes]]]:
    """The objects of a listing with their contents, in order; small ones are fetched ahead."""

    def one(key: str) -> Iterator[bytes]:
        single = StoreUrl(store=url.store, bucket=url.bucket, key=key, account=url.account)
        return fetch_object(single, plain_http=plain_http, bytes_max=bytes_max)

    with ThreadPoolExecutor(_BESIDE, "trunkline-fetch") as pool:
        waiting: deque[tuple[StoredObject, Future[bytes] | None]] = deque()
        try:
            for found in objects:
                ahead = None
                if found.size_bytes <= SMALL_BYTES:
                    ahead = pool.submit(lambda key: b"".join(one(key)), found.key)
                waiting.append((found, ahead))
                if len(waiting) > _BESIDE:
                    yield _content(waiting.popleft(), one)
            while waiting:
                yield _content(waiting.popleft(), one)
        finally:
            for _, ahead in waiting:
                if ahead is not None:
                    ahead.cancel()


def store_object(
    url: StoreUrl, key: str, content: bytes | Iterator[bytes], *, plain_http: bool
) -> None:
    """Write one object of the bucket, in parts if the content comes in pieces; whole or not at all.

    What the content raises is passed on; else as `fetch_object`.
    """
    check_available()
    import obstore

    store = _store(url, plain_http)
    problem: list[BaseException] = []
    if isinstance(content, bytes):
        given: bytes | Iterator[bytes] = content
    else:
        given = _noting(content, problem)
    try:
        obstore.put(store, key, given)
    except Exception as error:
        if problem:
            raise problem[0] from None
        whole = StoreUrl(store=url.store, bucket=url.bucket, key=key, account=url.account)
        raise _translated(whole, error, writing=True) from error


def _noting(content: Iterator[bytes], problem: list[BaseException]) -> Iterator[bytes]:
    """The content; the library would hide what it raises in an error of its own."""
    try:
        yield from content
    except BaseException as error:
        problem.append(error)
        raise


def _content(
    item: tuple[StoredObject, Future[bytes] | None], one: Any
) -> tuple[StoredObject, Iterator[bytes]]:
    found, ahead = item
    return found, one(found.key) if ahead is None else iter([ahead.result()])


def _prefix_of(url: StoreUrl) -> tuple[str, re.Pattern[str] | None]:
    """What the store lists by, and what is to be picked of that."""
    key = url.key.strip("/")
    match = _GLOB.search(key)
    if match is None:
        return key, None
    fixed = key[: match.start()].rpartition("/")[0]
    if key.count("*") > _STARS_MAX:
        raise InvalidInput(f"{url} has more than {_STARS_MAX} stars")
    return fixed, re.compile(_WILD.sub(_expression, key), re.DOTALL)


def _expression(match: re.Match[str]) -> str:
    """The regular expression for one part of a pattern."""
    text = match[0]
    if text in ("**", "*", "?"):
        return {"**": ".*", "*": "[^/]*", "?": "[^/]"}[text]
    if len(text) > 1:  # a set: its members are taken as they are, but for a leading `!`
        negated = "^" if text[1] in "!^" else ""
        members = text[2:-1] if negated else text[1:-1]
        return f"[{negated}{re.escape(members).replace(chr(92) + '-', '-')}]"
    return re.escape(text)


def _is_directory(found: StoredObject, behind: StoredObject | None, prefix: str) -> bool:
    if found.size_bytes:
        return False
    return found.key == prefix or (behind is not None and behind.key.startswith(found.key + "/"))


@lru_cache(maxsize=16)
def _opened(kind: str, bucket: str, account: str | None, plain_http: bool) -> ObjectStore:
    url = StoreUrl(store=kind, bucket=bucket, key="", account=account)
    retries = {"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=60)}
    return open_store(url, plain_http=plain_http, options={}, retries=retries)


def open_store(url: StoreUrl, *, plain_http: bool, options: Any, retries: Any) -> ObjectStore:
    """The library's view of a bucket, with options of its client and for its retries."""
    from obstore.store import AzureStore, GCSStore, S3Store

    if plain_http:
        options = {**options, "allow_http": True}
    if url.store == "s3":
        return S3Store(url.bucket, client_options=options, retry_config=retries)
    if url.store == "gs":
        return GCSStore(url.bucket, client_options=options, retry_config=retries)
    more: Any = {} if url.account is None else {"account_name": url.account}
    return AzureStore(url.bucket, client_options=options, retry_config=retries, **more)


def _store(url: StoreUrl, plain_http: bool) -> ObjectStore:
    try:
        return _opened(url.store, url.bucket, url.account, plain_http)
    except Exception as error:
        raise _translated(url, error) from error


def check_available() -> None:
    """Raise NotSupported where the library for object stores is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise NotSupported(
            "object stores need the extra 's3'; install trunkline[s3] on the machine that fetches"
        ) from error


def _translated(url: StoreUrl, error: Exception, *, writing: bool = False) -> TrunklineError:
    """One sentence for the many lines of the library."""
    if isinstance(error, TrunklineError):
        return error
    from obstore import exceptions

    said = str(error).split("\n\nDebug source", 1)[0].split(" - Server returned", 1)[0].strip()
    if isinstance(error, FileNotFoundError | exceptions.NotFoundError):
        return NotFound(f"there is nothing at {url}")
    if isinstance(error, ValueError | exceptions.InvalidPathError):
        return InvalidInput(f"{url} can't be {'written' if writing else 'fetched'}: {said}")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        verb = "written" if writing else "read"
        return NotAllowed(f"{url} may not be {verb} with the credentials of this machine")
    if "NoSuchBucket" in str(error):
        return NotFound(f"there is no bucket '{url.bucket}' ({url})")
    if "error sending request" in said or "HTTP error" in said:
        return Unavailable(f"the object store of {url} can't be reached: {said}")
    return OperationFailed(f"{'writing' if writing else 'fetching'} {url} failed: {said}")
