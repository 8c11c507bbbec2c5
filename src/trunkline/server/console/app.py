"""The console as an ASGI application: who may in, which view answers, how its answer is sent.

The guard of the server has looked at Host and Origin before. What is new here is the session, a
cookie, which no other door knows.
"""

import asyncio
import contextlib
import logging
from dataclasses import replace
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from starlette.types import Message, Receive, Scope, Send

from trunkline.api.connection import Served
from trunkline.errors import InvalidInput, NotAllowed, TokenRefused, TrunklineError
from trunkline.model.roles import ADMIN, WRITER, allows
from trunkline.server.callers import OWNER, Caller, Callers
from trunkline.server.console import headers
from trunkline.server.console.chores import Chores
from trunkline.server.console.live import Live
from trunkline.server.console.multipart import boundary_of, parts_of
from trunkline.server.console.page import (
    PLACE,
    Answer,
    Begin,
    Content,
    Redirect,
    Route,
    Show,
    View,
    Visit,
)
from trunkline.server.console.render import Renderer
from trunkline.server.console.routes import Table
from trunkline.server.console.session import LASTS_S, Sessions
from trunkline.server.limited import limited
from trunkline.server.reports import described
from trunkline.server.threads import Inflow, Outflow, Threads, feed, hanging_up

FORM_BYTES_MAX = 1024 * 1024
FORM_S = 60.0  # within which the body of a form must have come
DRAIN_S = 30.0  # for which files are still let come that are refused
LOGIN, LOGOUT, LIVE = f"{PLACE}/login", f"{PLACE}/logout", f"{PLACE}/live"
_HTML = b"text/html; charset=utf-8"
_PRIVATE = "private"  # the session of all on the private socket, who need none

log = logging.getLogger("trunkline.server")


class _Request(NamedTuple):
    """What has been read of a request."""

    scope: Scope
    receive: Receive
    send: Send
    headers: dict[str, str]
    query: dict[str, str]
    session: str  # empty: not logged in
    caller: Caller | None  # whose session it is

    @property
    def path(self) -> str:
        path: str = self.scope["path"]
        return path

    @property
    def is_fragment(self) -> bool:
        """Whether a page asks for itself anew."""
        return "x-fragment" in self.headers


class Console:
    """Everything below its place."""

    def __init__(
        self,
        operations: Served,
        threads: Threads,
        sessions: Sessions,
        callers: Callers,
    ) -> None:
        self._operations = operations
        self._threads = threads
        self._sessions = sessions
        self._callers = callers
        self._table = Table()
        self._renderer = Renderer(self._table, version=operations.admin.version().version)
        self._live = Live(operations, threads)
        self._chores = Chores(threads, lambda: self._live.tell("upkeep"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        request = _read(scope, receive, noting_send)
        try:
            request = await self._with_session(request)
            with self._callers.held(request.caller or OWNER, scope):
                await self._answer(request)
        except Exception as error:
            if started or isinstance(error, ConnectionError):
                # Too late for a page: leaving without a last piece breaks the connection off.
                log.warning("%s broke off: %s", request.path, described(error)[2])
                return
            await self._send_error(request, error)

    async def _with_session(self, request: _Request) -> _Request:
        """The request with whose session it is, if that has not ended, nor its token."""
        if request.scope.get("state", {}).get("private"):
            return request._replace(session=_PRIVATE, caller=OWNER)
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")).get(self._sessions.cookie)
        except CookieError:
            return request
        digest = None if cookie is None else self._sessions.holder(cookie.value)
        if cookie is None or digest is None:
            return request
        try:
            caller = await self._callers.by_digest(digest) if digest else OWNER
        except TokenRefused:
            return request
        return request._replace(session=cookie.value, caller=caller)

    async def _answer(self, request: _Request) -> None:
        method, path = request.scope["method"], request.path
        found = self._renderer.assets.find(path)
        if found is not None and method in ("GET", "HEAD"):
            kept = [*headers.static_headers(), (b"content-type", found[0].encode())]
            await _send_whole(request, 200, found[1], kept)
        elif path == LOGIN or path.startswith(f"{LOGIN}/"):
            await self._log_in(request)
        elif request.caller is None:
            await self._ask_to_log_in(request)
        elif path == LIVE and method == "GET":
            topics = frozenset(request.query.get("topics", "").split())
            await self._live.serve(topics, request.receive, request.send)
        elif path == LOGOUT and method == "POST":
            await self._form(request)
            await _redirect(request, LOGIN, cookie=self._cookie("", 0, request))
        elif path == PLACE:
            await _redirect(request, f"{PLACE}/")
        else:
            await self._answer_page(request, request.caller)

    async def _answer_page(self, request: _Request, caller: Caller) -> None:
        method = "GET" if request.scope["method"] == "HEAD" else request.scope["method"]
        found = self._table.find(method, request.path)
        if found is None:
            allowed = self._table.methods(request.path)
            status = 405 if allowed else 404
            sentence = (
                f"This address can only be asked for with {' or '.join(allowed)}."
                if allowed
                else "There is no such page. What it showed may have been renamed or deleted."
            )
            await self._send_page(request, _problem(status, sentence))
            return
        route, arguments = found
        if not route.streams:  # else the operation is what refuses, once the form is let go by
            _check_role(route, caller)
        reads_form = method == "POST" and not route.streams
        visit = Visit(
            operations=limited(self._operations, caller),
            role=caller.role,
            arguments=arguments,
            query=request.query,
            form=await self._form(request) if reads_form else {},
            headers=request.headers,
            now=datetime.now(UTC),
            origin=f"{request.scope['scheme']}://{request.headers.get('host', '')}",
            chores=self._chores,
        )
        if route.streams:
            await self._take_files(request, route.view, visit)
        else:
            await self._send(request, route.view, visit)

    async def _take_files(self, request: _Request, view: View, visit: Visit) -> None:
        """Let a view read the parts of a large form in a thread of its own, as they come."""
        _check_site(request)
        inflow = Inflow(asyncio.get_running_loop())
        parts = parts_of(inflow, boundary_of(request.headers.get("content-type", "")))
        answers: list[Answer] = []

        def work(_: Outflow) -> None:
            first = next(parts, None)
            shown = first.text() if first is not None and first.name == "form_key" else ""
            if not self._sessions.shows(request.session, shown):
                raise _foreign_form()
            answers.append(view(replace(visit, parts=parts)))

        outflow = self._threads.start(work, patient=False)
        feeding = asyncio.create_task(feed(request.receive, inflow, outflow))
        try:
            await outflow.take()
        except TrunklineError:
            # Who is still sending does not look for an answer: what is left is let go by.
            inflow.ignore()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await inflow.ended()
            raise
        finally:
            feeding.cancel()
            inflow.end()
        answer = answers[0]
        assert isinstance(answer, Redirect), "a view that takes files leads on to a page"
        await _redirect(request, answer.to)

    async def _send(self, request: _Request, view: View, visit: Visit) -> None:
        def work() -> tuple[Answer, bytes]:
            answer = view(visit)
            return answer, self._rendered(request, answer) if isinstance(answer, Show) else b""

        answer, body = await self._threads.short(work)
        match answer:
            case Show():
                await _send_html(request, answer.status, body)
            case Redirect():
                await _redirect(request, answer.to)
            case Begin():
                self._chores.begin(answer.name, answer.work)
                await _redirect(request, answer.to)
            case Content():
                await self._send_content(request, answer)

    async def _send_page(self, request: _Request, page: Show) -> None:
        await _send_html(request, page.status, self._rendered(request, page))

    def _rendered(self, request: _Request, page: Show) -> bytes:
        layout = "fragment.html" if request.is_fragment else "base.html"
        if not request.session:
            layout = "bare.html"
        form_key = self._sessions.form_key(request.session) if request.session else ""
        below = {
            "layout": layout,
            "title": page.title,
            "live": " ".join(page.live),
            "noun": _noun(request.path),
            "form_key": form_key,
            "by_token": request.session != _PRIVATE,
            **_rights(request.caller),
        }
        return self._renderer.render(page.template, {**page.context, **below}).encode()

    async def _send_content(self, request: _Request, content: Content) -> None:
        def work(out: Outflow) -> None:
            for piece in content.pieces():
                out.put(piece)

        outflow = self._threads.start(work, patient=False)
        with hanging_up(request.receive, outflow):
            pieces = await outflow.take()  # an error before the first byte has a page of its own
            sent = [
                *headers.content_headers(),
                (b"content-type", content.media_type.encode()),
                *((key.encode(), value.encode()) for key, value in content.headers),
            ]
            start = {"type": "http.response.start", "status": content.status, "headers": sent}
            await request.send(start)
            while pieces is not None:
                body = b"".join(pieces)
                await request.send({"type": "http.response.body", "body": body, "more_body": True})
                pieces = await outflow.take()
            await request.send({"type": "http.response.body", "body": b""})

    async def _send_error(self, request: _Request, error: Exception) -> None:
        status, _, sentence = described(error)
        await self._send_page(request, _problem(status, sentence))

    # --- who is it --------------------------------------------------------------------------------

    async def _log_in(self, request: _Request) -> None:
        method, code = request.scope["method"], request.path.removeprefix(LOGIN).strip("/")
        then = _within(request.query.get("next", ""))
        if code:
            if method != "GET":
                raise InvalidInput("open this address in a browser")
            digest = self._sessions.redeem(code)
            if digest is None:
                sentence = "This address was used before, or is too old: say trunkline ui again."
                await self._send_page(request, _login(then, sentence, status=403))
                return
            await self._let_in(request, digest, then)
        elif method == "POST":
            form = await _read_form(request)
            try:
                caller = await self._callers.by_secret(form.get("token", "").strip().encode())
            except TokenRefused as error:
                await self._send_page(request, _login(then, _told(error), status=403))
                return
            if caller.repo is not None:
                sentence = "This token is for the code of a pipeline, and opens no page."
                await self._send_page(request, _login(then, sentence, status=403))
                return
            await self._let_in(request, caller.digest, then)
        else:
            await self._send_page(request, _login(then))

    async def _let_in(self, request: _Request, digest: str, then: str) -> None:
        cookie = self._cookie(self._sessions.begin(digest), LASTS_S, request)
        await _redirect(request, then, cookie=cookie)

    async def _ask_to_log_in(self, request: _Request) -> None:
        if request.is_fragment or request.scope["method"] not in ("GET", "HEAD"):
            raise TokenRefused("your session has ended: load the page again to log in")
        if request.headers.get("sec-fetch-site") == "cross-site":
            # The browser keeps the cookie back from who follows a link from elsewhere. Asked
            # again by a page of ours, it sends it.
            await self._send_page(request, Show(template="again.html", title="Opening"))
            return
        query = request.scope["query_string"].decode("latin-1")
        here = quote(request.path) + (f"?{query}" if query else "")
        await _redirect(request, f"{LOGIN}?next={quote(here, safe='')}")

    async def _form(self, request: _Request) -> dict[str, str]:
        """What a form of this session says. Raises NotAllowed where it is not from one."""
        form = await _read_form(request)
        shown = form.pop("form_key", "") or request.headers.get("x-form-key", "")
        if not self._sessions.shows(request.session, shown):
            raise _foreign_form()
        return form

    def _cookie(self, value: str, lasts_s: int, request: _Request) -> str:
        secure = "; Secure" if request.scope["scheme"] == "https" else ""
        return (
            f"{self._sessions.cookie}={value}; Path={PLACE}; Max-Age={lasts_s}; HttpOnly; "
            f"SameSite=Strict{secure}"
        )


def _read(scope: Scope, receive: Receive, send: Send) -> _Request:
    named = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    return _Request(scope, receive, send, named, query, "", None)


def _check_role(route: Route, caller: Caller) -> None:
    if not allows(caller.role, route.needs):
        raise NotAllowed(
            f"this needs the role {route.needs}, and token '{caller.name}', with which you are "
            f"logged in, has the role {caller.role}"
        )


def _rights(caller: Caller | None) -> dict[str, object]:
    """What templates know of who looks: they leave out what would be refused."""
    role = "" if caller is None else caller.role
    return {
        "role": role,
        "caller": "" if caller is None else caller.name,
        "may_write": allows(role, WRITER),
        "may_manage": allows(role, ADMIN),
    }


def _told(error: TokenRefused) -> str:
    """What an error says, as a sentence of a page."""
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}."


def _problem(status: int, sentence: str) -> Show:
    context = {"status": status, "sentence": sentence}
    return Show(template="problem.html", title="Not so", context=context, status=status)


def _login(then: str, problem: str = "", *, status: int = 200) -> Show:
    context = {"then": then, "problem": problem}
    return Show(template="login.html", title="Log in", context=context, status=status)


def _noun(path: str) -> str:
    """What a page is about, as the navigation has it: /repos for each page of a repo."""
    parts = path.split("/")[2:]
    if parts[:1] == ["new"]:
        return f"/{parts[-1]}s"
    place = 2 if parts[:1] == ["projects"] else 0
    return "/" + "".join(parts[place : place + 1]).partition("@")[0]


def _within(address: str) -> str:
    """An address to go to after a login: one of the console, whatever was asked for."""
    if address.startswith(f"{PLACE}/") and "\\" not in address and address.isprintable():
        return address
    return f"{PLACE}/"


def _foreign_form() -> NotAllowed:
    return NotAllowed("this form is not from a page of your session: load the page again")


def _check_site(request: _Request) -> None:
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none"):
        raise NotAllowed("forms on pages of other sites are refused")


async def _read_form(request: _Request) -> dict[str, str]:
    _check_site(request)
    body = b""
    async with asyncio.timeout(FORM_S):
        more = True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > FORM_BYTES_MAX:
                raise InvalidInput("this form is too long")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


async def _redirect(request: _Request, to: str, *, cookie: str = "") -> None:
    sent = [*headers.page_headers(), (b"location", to.encode("ascii", "replace"))]
    if cookie:
        sent.append((b"set-cookie", cookie.encode()))
    await _send_whole(request, 303, b"", sent)


async def _send_html(request: _Request, status: int, body: bytes) -> None:
    # What a form leads to by itself may be a secret, and is kept nowhere.
    kept = request.scope["method"] in ("GET", "HEAD")
    sent = [*headers.page_headers(kept=kept), (b"content-type", _HTML)]
    await _send_whole(request, status, body, sent)


async def _send_whole(request: _Request, status: int, body: bytes, sent: headers.Headers) -> None:
    sent = [*sent, (b"content-length", b"%d" % len(body))]
    await request.send({"type": "http.response.start", "status": status, "headers": sent})
    await request.send({"type": "http.response.body", "body": body})
