"""Writes files to where a URL leads: an object store, or a directory (`file:///path`).

Objects and files that are there under the same name are replaced, each at once; others stay.
"""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trunkline.errors import InvalidInput, NotAllowed, OperationFailed, shown
from trunkline.fetch.objects import SMALL_BYTES, store_object
from trunkline.fetch.urls import STORES, StoreUrl, parse_url, scheme_of, without_secrets

_BESIDE = 16  # small objects that are written at a time
_FILE = "file"

File = tuple[str, int, Iterable[bytes]]  # path, bytes, content: to be read before the next one


class Interrupted(Exception):
    """Whoever asked does not want it any more."""


def parse_target(text: str) -> StoreUrl | Path:
    """Where a URL leads; raises InvalidInput for one that can't be written to."""
    scheme = scheme_of(text)
    if scheme == _FILE:
        parts = urlsplit(text)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
            raise InvalidInput(f"{shown(text)} names no directory; write file:///path/to/it")
        return Path(path)
    if scheme not in STORES:
        raise InvalidInput(
            f"{shown(without_secrets(text))} can't be written to: only object stores (s3, gs, az "
            "and their other names) and file:///path can"
        )
    found = parse_url(text)
    assert isinstance(found, StoreUrl)
    return found


def put_files(
    target: StoreUrl | Path,
    files: Iterable[File],
    *,
    plain_http: bool,
    cancelled: Callable[[], bool],
) -> int:
    """Write files below the target; how many. Durable when it returns.

    `cancelled` is asked just before each is replaced, by several threads. Raises Interrupted soon
    after it says so, and what is wrong with the target otherwise.
    """
    if isinstance(target, Path):
        return _into_directory(target, files, cancelled)
    return _into_store(target, files, plain_http, cancelled)


def _into_store(
    target: StoreUrl, files: Iterable[File], plain_http: bool, cancelled: Callable[[], bool]
) -> int:
    """Small objects beside one another, large ones by themselves in parts."""
    prefix = target.key.strip("/")
    count = 0
    with ThreadPoolExecutor(_BESIDE, "trunkline-egress") as pool:
        waiting: deque[Future[None]] = deque()

        def put(key: str, content: bytes | Iterator[bytes]) -> None:
            if cancelled():
                raise Interrupted
            store_object(target, key, content, plain_http=plain_http)

        try:
            for path, size_bytes, content in files:
                key = f"{prefix}/{path}" if prefix else path
                pieces = _until(content, cancelled)
                if size_bytes <= SMALL_BYTES:
                    waiting.append(pool.submit(put, key, b"".join(pieces)))
                else:
                    put(key, pieces)
                count += 1
                while len(waiting) > _BESIDE:
                    waiting.popleft().result()
            while waiting:
                waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    return count


def _into_directory(target: Path, files: Iterable[File], cancelled: Callable[[], bool]) -> int:
    count = 0
    try:
        for path, _, content in files:
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".", delete=False) as aside:
                try:
                    for piece in _until(content, cancelled):
                        aside.write(piece)
                    aside.flush()
                    os.chmod(aside.name, 0o644)
                    if cancelled():
                        raise Interrupted
                    os.replace(aside.name, place)
                except BaseException:
                    os.unlink(aside.name)
                    raise
            count += 1
    except PermissionError as error:
        raise NotAllowed(f"{error.filename} may not be written") from error
    except OSError as error:
        raise OperationFailed(f"{error.filename or target}: {error.strerror}") from error
    os.sync()  # many files at once; only then may anybody say that they are there
    return count


def _until(content: Iterable[bytes], cancelled: Callable[[], bool]) -> Iterator[bytes]:
    if cancelled():
        raise Interrupted
    for piece in content:
        yield piece
        if cancelled():
            raise Interrupted
