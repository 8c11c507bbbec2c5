"""The door for who has an address instead of a token: an object of a cluster that works on a datum.

A request that a signature vouches for is one of an operation, and is passed on as that; see
`model.signed` for the addresses. It is asked for one file, archive or list, or has the content of
one file, and nothing else.
"""

from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.api.changes import framed_data, framed_end, framed_file
from trunkline.errors import InvalidInput, TokenRefused, TrunklineError
from trunkline.model.roles import READER, WRITER
from trunkline.model.signed import OUT, READ, TAR, Signer
from trunkline.server.auth import BELOW
from trunkline.server.callers import STATE, Caller
from trunkline.server.reports import method_not_allowed, report, send_json
from trunkline.server.rest.routes import PREFIX

_ARCHIVE = b"application/x-tar"


class SignedDoor:
    """Everything below its place, as an ASGI application in front of that of the operations."""

    def __init__(self, rest: ASGIApp, signer: Signer | None) -> None:
        """Without a signer nobody gets in."""
        self._rest = rest
        self._signer = signer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            kind, path = self._vouched(scope["raw_path"])
        except TrunklineError as error:
            await send_json(send, *report(error))
            return
        wanted = "PUT" if kind == OUT else "GET"
        if scope["method"] != wanted:
            shown_path = scope["raw_path"].decode("ascii", "replace")
            refused = method_not_allowed(scope["method"], shown_path, [wanted])
            await send_json(send, *refused, headers=[(b"allow", wanted.encode())])
            return
        state = {name: v for name, v in scope.get("state", {}).items() if name != "take_upload"}
        inner = {**scope, "raw_path": path.encode(), "path": path, "query_string": b""}
        caller = Caller(role=WRITER if kind == OUT else READER)
        inner["state"] = {**state, "private": False, STATE: caller}
        if kind == OUT:
            inner["method"] = "POST"
            receive = _framed(receive, unquote(scope["raw_path"].split(b"/", 6)[6].decode()))
        elif kind == TAR:
            send = _typed(send)
        await self._rest(inner, receive, send)

    def _vouched(self, raw: bytes) -> tuple[str, str]:
        """What an address is of, and the path of the operation behind it. Raises TokenRefused."""
        refused = TokenRefused("nobody gave out this address")
        try:
            parts = raw[len(BELOW) :].decode("ascii").split("/", 4)
            signature, kind, words = parts[0], parts[1], [unquote(part) for part in parts[2:]]
        except (UnicodeDecodeError, IndexError):
            raise refused from None
        if self._signer is None or kind not in (READ, TAR, OUT):
            raise refused
        if kind == OUT:
            if len(words) != 3 or not self._signer.knows(signature, OUT, *words[:2]):
                raise refused
            if not words[2]:
                raise InvalidInput("add the path of the file that is put to this address")
            job, datum = (quote(word, safe="") for word in words[:2])
            return kind, f"{PREFIX}/jobs/{job}/datums/{datum}/output"
        path, _, below = parts[4].partition("/") if len(parts) > 4 else ("", "", "")
        words = [*words[:2], unquote(path)]
        if not self._signer.knows(signature, READ, *words):
            raise refused
        repo, commit = (quote(word, safe="") for word in words[:2])
        place = quote(words[2].strip("/"))
        if kind == TAR:
            return kind, f"{PREFIX}/repos/{repo}/tar/{commit}/{place or '/'}"
        _check_below(unquote(below))
        listed = parts[4].endswith("/")
        whole = "/".join(part for part in (place, below.strip("/")) if part)
        return kind, f"{PREFIX}/repos/{repo}/{'paths' if listed else 'content'}/{commit}/{whole}"


def _check_below(path: str) -> None:
    if any(part in ("..", ".") for part in path.split("/")):
        raise InvalidInput("a path below an address can't have .. in it")


def _framed(receive: Receive, path: str) -> Receive:
    """A body that is the content of one file, as a stream of changes that has this file."""
    begun = False

    async def framed() -> Message:
        nonlocal begun
        message = await receive()
        if message["type"] != "http.request":
            return message
        body = b"" if begun else framed_file(path)
        begun = True
        body += framed_data(message.get("body", b""))
        if not message.get("more_body", False):
            body += framed_end()
        return {**message, "body": body}

    return framed


def _typed(send: Send) -> Send:
    """An answer that is an archive, said to be one."""

    async def typed(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            others = [pair for pair in message["headers"] if pair[0] != b"content-type"]
            message = {**message, "headers": [(b"content-type", _ARCHIVE), *others]}
        await send(message)

    return typed
