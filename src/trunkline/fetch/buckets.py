"""Objects below one prefix of a bucket, for whoever keeps bytes there for good.

Fetching reads what others own, once; here the same objects are written, read in parts, listed and
removed. What a bucket can't do now is Unavailable (StorageFull where it says that it is full), with
the place in the sentence and never a credential; an object that is not there is a
FileNotFoundError, as a file is.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trunkline.errors import StorageFull, TrunklineError, Unavailable
from trunkline.fetch.objects import check_available, open_store
from trunkline.fetch.urls import StoreUrl

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PATIENCE_S = 90.0  # no request is repeated after this
_TRIES = 4  # of a conditional put, which the library does not repeat where its answer is lost
_FIRST_PAUSE_S = 0.2  # then doubled, and up to half more by chance
_CONNECT_S = 10
_REQUEST_S = 300  # for one request with its body: 32 MiB at 110 KB/s
_RETRIES: dict[str, Any] = {
    "max_retries": 6,
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}
_PARTS_FROM_BYTES = 16 * 1024 * 1024  # objects of this size are written in parts
_PART_BYTES = 8 * 1024 * 1024
_PARTS_BESIDE = 4


class Part(NamedTuple):
    """Bytes of an object, and how many it has."""

    data: bytes
    size: int


class Taken(Exception):
    """There is another object of that name."""


class Bucket:
    """The objects below a prefix. Keys are what follows it. Thread-safe."""

    def __init__(self, url: StoreUrl, *, plain_http: bool, patience_s: float = PATIENCE_S) -> None:
        check_available()
        self._patience_s = patience_s
        self._url = url
        self._prefix = f"{url.key.strip('/')}/" if url.key.strip("/") else ""
        self._plain_http = plain_http
        self._opened: ObjectStore | None = None
        self._conditional = True  # as far as is known

    def __str__(self) -> str:
        return f"{self._url.place}/{self._prefix}".rstrip("/")

    def put_new(self, key: str, data: bytes) -> None:
        """Write an object that is not there yet; durable when this returns.

        The same bytes under the same name are no matter: that is what a lost answer looks like.
        Raises Taken for other bytes.
        """
        for tried in range(1, _TRIES + 1):
            try:
                self._put(key, data)
                return
            except Exception as error:
                found = self._same(key, data, error)
                if found is not None:
                    if found:
                        return
                    raise Taken(f"{self}/{key}") from error
                problem = self._translated(error, "be written to")
                if tried == _TRIES or not _is_passing(error):
                    raise problem from error
            time.sleep(_FIRST_PAUSE_S * 2 ** (tried - 1) * (1 + random.random() / 2))  # noqa: S311

    def replace(self, key: str, data: bytes) -> None:
        """Write an object, whatever was there."""
        import obstore

        try:
            obstore.put(self._store(), self._prefix + key, data)
        except Exception as error:
            raise self._translated(error, "be written to") from error

    def upload(self, key: str, source: Path) -> None:
        """Write an object with what a file has, whatever was there."""
        import obstore

        try:
            obstore.put(
                self._store(),
                self._prefix + key,
                source,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_BESIDE,
            )
        except Exception as error:
            raise self._translated(error, "be written to") from error

    def download(self, key: str, target: Path) -> None:
        """Have what an object has in a file. Raises OSError for what can't be written."""
        with open(target, "wb") as file:
            while True:
                part = self.get_part(key, file.tell(), file.tell() + _PART_BYTES)
                file.write(part.data)
                if not part.data or file.tell() >= part.size:
                    return

    def _put(self, key: str, data: bytes) -> None:
        import obstore
        from obstore import exceptions

        path = self._prefix + key
        if len(data) < _PARTS_FROM_BYTES:
            if self._conditional:
                try:
                    obstore.put(self._store(), path, data, mode="create", use_multipart=False)
                    return
                except Exception as error:
                    if not _is_unsupported(error):
                        raise
                    self._conditional = False
            # The next best for a store that knows no conditions: look first.
            if self._is_there(key):
                raise exceptions.AlreadyExistsError(key)
            obstore.put(self._store(), path, data, use_multipart=False)
            return
        # No condition goes with parts: names that have so much behind them are random.
        obstore.put(
            self._store(),
            path,
            data,
            use_multipart=True,
            chunk_size=_PART_BYTES,
            max_concurrency=_PARTS_BESIDE,
        )

    def _is_there(self, key: str) -> bool:
        try:
            self.size(key)
        except FileNotFoundError:
            return False
        return True

    def _same(self, key: str, data: bytes, error: Exception) -> bool | None:
        """Whether the object is there with these bytes after a put that failed; None if it is not.

        None also where nobody can tell, unless it was said to be there.
        """
        from obstore import exceptions

        said = isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError)
        if not said and not _is_passing(error):
            return None
        try:
            return self.get(key) == data
        except (TrunklineError, OSError):
            if said:
                raise
            return None

    def get(self, key: str) -> bytes:
        """All of an object."""
        import obstore

        try:
            found = obstore.get(self._store(), self._prefix + key)
            data = bytes(found.bytes())
        except Exception as error:
            raise self._translated(error, "be read") from error
        if len(data) != found.meta["size"]:
            raise Unavailable(f"the object store {self} breaks off within {key}; try again")
        return data

    def get_part(self, key: str, start: int, end: int) -> Part:
        """Bytes of an object, fewer at its end; from behind it there are none."""
        import obstore

        for _ in range(_TRIES):
            try:
                options: Any = {"range": (start, end)}
                found = obstore.get(self._store(), self._prefix + key, options=options)
                data, size = bytes(found.bytes()), found.meta["size"]
            except Exception as error:
                if _is_behind(error):
                    return Part(b"", self.size(key))
                raise self._translated(error, "be read") from error
            if len(data) == min(end, size) - start:
                return Part(data, size)
        raise Unavailable(f"the object store {self} breaks off within {key}; try again")

    def size(self, key: str) -> int:
        """The bytes of an object."""
        import obstore

        try:
            return obstore.head(self._store(), self._prefix + key)["size"]
        except Exception as error:
            raise self._translated(error, "be read") from error

    def sizes(self, below: str) -> Iterator[tuple[str, int]]:
        """(key, bytes) of the objects in a folder."""
        import obstore

        try:
            for batch in obstore.list(self._store(), self._prefix + below, chunk_size=1000):
                for meta in batch:
                    yield meta["path"].removeprefix(self._prefix), meta["size"]
        except Exception as error:
            raise self._translated(error, "be listed") from error

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are gone are no matter."""
        import obstore

        try:
            obstore.delete(self._store(), [self._prefix + key for key in keys])
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._translated(error, "be written to") from error

    def move(self, key: str, target: str) -> None:
        """Give an object another name."""
        import obstore

        try:
            obstore.copy(self._store(), self._prefix + key, self._prefix + target)
            obstore.delete(self._store(), self._prefix + key)
        except Exception as error:
            raise self._translated(error, "be written to") from error

    def _store(self) -> ObjectStore:
        if self._opened is None:
            options = {
                "connect_timeout": timedelta(seconds=min(_CONNECT_S, self._patience_s / 2)),
                "timeout": timedelta(seconds=_REQUEST_S),
            }
            retries = {**_RETRIES, "retry_timeout": timedelta(seconds=self._patience_s)}
            self._opened = open_store(
                self._url, plain_http=self._plain_http, options=options, retries=retries
            )
        return self._opened

    def _translated(self, error: Exception, verb: str) -> Exception:
        """One sentence for the many lines of the library."""
        if isinstance(error, TrunklineError):
            return error
        from obstore import exceptions

        text = str(error)
        kinds = exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
        missing = isinstance(error, FileNotFoundError | exceptions.NotFoundError)
        no_bucket = "NoSuchBucket" in text or "ContainerNotFound" in text
        if missing and verb == "be read" and not no_bucket:
            return FileNotFoundError(f"no such object in {self}")
        if missing or no_bucket:
            return Unavailable(
                f"there is no bucket '{self._url.bucket}' for the store {self}: make it, or look "
                "at the endpoint that the environment of the server names"
            )
        if isinstance(error, kinds) or any(word in text for word in _REFUSALS):
            return Unavailable(
                f"the object store {self} can't {verb} with the credentials in the environment of "
                "the server: look at them, and at what they are allowed"
            )
        if any(word in text for word in _FULL):
            return StorageFull(str(self))
        return Unavailable(f"the object store {self} can't {verb} now ({_first_words(text)})")


_REFUSALS = (
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
    *("AuthenticationFailed", "AuthorizationFailure", "403 Forbidden", "401 Unauthorized"),
)
_FULL = ("507 Insufficient Storage", "StorageFull", "QuotaExceeded", "InsufficientAccountResources")
_STATUS = re.compile(r"status code: (\d{3}[\w -]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_FINAL = (*_REFUSALS, *_FULL, "NoSuchBucket", "ContainerNotFound")


def _is_passing(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    from obstore import exceptions

    kinds = (exceptions.GenericError, OSError)
    return isinstance(error, kinds) and not any(word in str(error) for word in _FINAL)


def _is_unsupported(error: Exception) -> bool:
    from obstore import exceptions

    return isinstance(error, exceptions.NotSupportedError) or "NotImplemented" in str(error)


def _is_behind(error: Exception) -> bool:
    return "status code: 416" in str(error)


def _first_words(text: str) -> str:
    """What the store answers, or what the library says; not where in itself it says so."""
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is not None:
        return f"it answers {status[1].strip()}{f', {code[1]}' if code else ''}"
    said = text.split("\n\nDebug source", 1)[0]
    said = said.removeprefix("Generic S3 error: ").removeprefix("Generic GCS error: ")
    return " ".join(said.split())[:200]
