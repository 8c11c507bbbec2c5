"""URLs as sources of `put file`: fetched here, on the machine of the user, as they go out."""

import posixpath
from collections.abc import Callable, Iterator

from trunkline.api.changes import FileChange, PutFile
from trunkline.connect.urls import own_fetcher
from trunkline.errors import InvalidInput
from trunkline.fetch.objects import is_pattern, key_prefix
from trunkline.fetch.urls import StoreUrl, parse_url
from trunkline.model.names import check_path

Advance = Callable[[int], None]


def means_many(url: str, *, recursive: bool) -> bool:
    """Whether a URL stands for all objects below a prefix, or that match a pattern.

    Raises InvalidInput for what can't be fetched, or only with -r.
    """
    parsed = parse_url(url)
    if not isinstance(parsed, StoreUrl):
        return False
    if is_pattern(parsed) or recursive:
        return True
    if not parsed.key or parsed.key.endswith("/"):
        raise InvalidInput(f"{url} names no object; add -r to put all that is below it")
    return False


def own_name(url: str) -> str:
    """The path that a URL brings along: of an object its key, of a prefix what lies above it."""
    parsed = parse_url(url)
    assert isinstance(parsed, StoreUrl), "only stores have keys"
    return "" if is_pattern(parsed) else parsed.key.strip("/")


def changes_of(
    url: str, target: str, *, many: bool, append: bool, advance: Advance
) -> Iterator[FileChange]:
    """The changes that write what is behind a URL to `target`, or below it."""
    fetcher = own_fetcher()
    if not many:
        content = _counted(fetcher.read(url), advance)
        yield PutFile(path=target, content=content, append=append)
        return
    parsed = parse_url(url)
    assert isinstance(parsed, StoreUrl), "only stores can be listed"
    prefix = key_prefix(parsed)
    for key, content in fetcher.read_all(url):
        inside = key[len(prefix) :].lstrip("/") or posixpath.basename(key)
        path = check_path(posixpath.join(target, inside))
        yield PutFile(path=path, content=_counted(content, advance), append=append)


def _counted(pieces: Iterator[bytes], advance: Advance) -> Iterator[bytes]:
    for piece in pieces:
        advance(len(piece))
        yield piece
