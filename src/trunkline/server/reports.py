"""How results and errors look on the wire."""

import logging
import secrets
from http import HTTPStatus

import msgspec
from starlette.types import Send

from trunkline.errors import TrunklineError

JSON = "application/json"
LINES = "application/x-ndjson"
OCTETS = "application/octet-stream"

log = logging.getLogger("trunkline.server")


def described(error: BaseException) -> tuple[int, str, str]:
    """HTTP status, code and sentence of an error.

    What is not one of Trunkline's own errors is a bug: it goes to the log with its traceback, and
    the caller is told only the number under which to find it there.
    """
    if not isinstance(error, TrunklineError):
        incident = secrets.token_hex(4)
        log.error("incident %s", incident, exc_info=error)
        sentence = (
            f"the server failed in a way it should not (incident {incident}); "
            "its log says more, under that number"
        )
        return 500, "incident", sentence
    # An error that another server reported carries what that one said.
    status = error.http_status if 400 <= error.http_status < 600 else 500
    return status, error.code, str(error)


def report(error: BaseException) -> tuple[int, bytes]:
    """HTTP status and JSON body for an error, without a line end."""
    status, code, sentence = described(error)
    if not isinstance(error, TrunklineError):
        return status, _body(code, sentence, 1, status)
    return status, _body(code, sentence, error.exit_status, error.http_status)


def no_such_route(method: str, path: str) -> tuple[int, bytes]:
    """The report for a request that no route answers."""
    sentence = f"this server has no {method} {path}; GET /api/v1/openapi.json lists what it has"
    return 404, _body("no-such-route", sentence, 1, 404)


def method_not_allowed(method: str, path: str, allowed: list[str]) -> tuple[int, bytes]:
    """The report for a route that is there, under other methods."""
    sentence = f"{path} can't be asked for with {method}, only with {' or '.join(allowed)}"
    return 405, _body("method-not-allowed", sentence, 1, 405)


def encode(value: object) -> bytes:
    """A result as JSON."""
    return msgspec.json.encode(value)


def whole_answer(status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """An answer in HTTP/1.1, as `send_json` has the HTTP library make it; with further headers."""
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode("ascii"))]
    lines += [b"%s: %s" % header for header in headers + _headers_of(body)]
    return b"\r\n".join([*lines, b"", body])


async def send_json(
    send: Send, status: int, body: bytes, *, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Send a whole response."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*_headers_of(body), *(headers or [])],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _headers_of(body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", JSON.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]


def _body(code: str, message: str, exit_status: int, http_status: int) -> bytes:
    # A sentence may quote what can't be encoded, such as half of a surrogate pair in a name.
    readable = message.encode("utf-8", "backslashreplace").decode("utf-8")
    return msgspec.json.encode(
        {
            "error": {
                "code": code,
                "message": readable,
                "exit_status": exit_status,
                "http_status": http_status,
            }
        }
    )
