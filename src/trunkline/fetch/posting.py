"""Sends a body to a URL that whoever runs the server chose (POST); follows no redirect."""

import http.client
from collections.abc import Mapping

from trunkline.errors import OperationFailed, Unavailable
from trunkline.fetch.urls import WebUrl

_ANSWER_BYTES = 64 * 1024  # of which nothing is used
_REFUSED = 300


def post(url: WebUrl, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> None:
    """Raises Unavailable where nobody takes it, OperationFailed for an answer that is no success.

    `timeout_s` is for each wait: for the connection, and for the answer.
    """
    kind = http.client.HTTPSConnection if url.secure else http.client.HTTPConnection
    connection = kind(url.host, url.port, timeout=timeout_s)
    try:
        connection.request("POST", url.target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        answer.read(_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{url.host} can't be told: {error}") from error
    finally:
        connection.close()
    if not 200 <= answer.status < _REFUSED:
        raise OperationFailed(f"{url.host} answers {answer.status} {answer.reason}")
