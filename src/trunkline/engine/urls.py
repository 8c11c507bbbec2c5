"""Fetches the content of http(s) URLs for a put.

Only reached by callers that may act for the server's user: the doors refuse it to all others, since
the server may reach places that they can't.
"""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from trunkline.errors import InvalidInput, NotFound, OperationFailed

_PIECE_BYTES = 1024 * 1024
_TIMEOUT_S = 60.0


def fetch(url: str) -> Iterator[bytes]:
    """The content behind a URL, in pieces; redirects are followed to http(s) only.

    Raises InvalidInput for another scheme, NotFound, OperationFailed when it breaks off.
    """
    if urllib.parse.urlsplit(url).scheme.lower() not in ("http", "https"):
        raise InvalidInput(f"can't fetch {url!r}: only http and https URLs can be put for now")
    request = urllib.request.Request(url, headers={"User-Agent": "trunkline"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            expected = answer.headers.get("Content-Length")
            received = 0
            while piece := answer.read(_PIECE_BYTES):
                received += len(piece)
                yield piece
            if expected is not None and received < int(expected):
                raise OperationFailed(f"fetching {url} broke off after {received:,} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            raise NotFound(f"there is nothing at {url} (404)") from error
        raise OperationFailed(f"fetching {url} failed: {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise OperationFailed(f"fetching {url} failed: {reason}") from error
