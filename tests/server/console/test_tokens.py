"""Tokens in the console: what a session may is what its token may, and it ends with it."""

import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest
from console_world import ConsoleWorld
from memory_server import Answer

from trunkline.model.roles import ADMIN, READER, ROLES, WRITER, allows
from trunkline.server import callers
from trunkline.server.console.page import Route
from trunkline.server.console.routes import Table

ROUTES = [route for route, _ in Table()._routes]
FORMS = [route for route in ROUTES if route.method == "POST" and not route.streams]
GIVEN = {"project": "default", "repo": "training", "pipeline": "none", "run": "0" * 32}


class Visitor:
    """Somebody who has logged in with a token of his own."""

    def __init__(self, world: ConsoleWorld, secret: str) -> None:
        self._world = world
        body = urlencode({"token": secret}).encode()
        self.let_in = world.server.ask("POST", "/ui/login", body, tcp=True)
        cookie = SimpleCookie(self.let_in.headers.get("set-cookie", ""))
        self._cookie = {"Cookie": "; ".join(f"{name}={m.value}" for name, m in cookie.items())}

    def get(self, target: str) -> Answer:
        return self._world.server.ask("GET", target, headers=self._cookie, tcp=True)

    def page(self, target: str) -> str:
        answer = self.get(target)
        assert answer.status == 200, answer.body.decode()
        return answer.body.decode()

    def post(self, target: str, **form: str) -> Answer:
        key = re.search('name="form-key" content="(.*?)"', self.page("/ui/"))
        assert key is not None
        body = urlencode({"form_key": key[1], **form}).encode()
        return self._world.server.ask("POST", target, body, self._cookie, tcp=True)


@pytest.fixture(scope="module")
def visitors(world: ConsoleWorld) -> dict[str, Visitor]:
    tokens = {role: world.engine.tokens.create_token(f"a-{role}", role=role) for role in ROLES}
    return {role: Visitor(world, token.secret) for role, token in tokens.items()}


@pytest.mark.parametrize("role", [READER, WRITER])
@pytest.mark.parametrize("route", FORMS, ids=lambda route: route.path)
def test_a_form_is_taken_from_whom_it_is_for(
    visitors: dict[str, Visitor], route: Route, role: str
) -> None:
    target = "/ui" + re.sub(r"\{(\w+)\}", lambda m: GIVEN.get(m[1], "x"), route.path)

    answer = visitors[role].post(target)

    refused = b"<h1>You may not do this</h1>" in answer.body and b"needs the role" in answer.body
    assert refused == (answer.status == 403) == (not allows(role, route.needs))


def test_a_reader_sees_all_pages_and_no_form_that_would_be_refused(
    world: ConsoleWorld, visitors: dict[str, Visitor]
) -> None:
    plain = [r for r in ROUTES if r.method == "GET" and "{" not in r.path]
    targets = [f"/ui{route.path}" for route in plain if allows(READER, route.needs)]

    for target in [*targets, "/ui/projects/default/repos/training"]:
        page = visitors[READER].page(target) if target not in ("/ui/search",) else ""
        posted = re.findall(r'method="post"[^>]*action="([^"]+)"', page)
        assert set(posted) <= {"/ui/logout", "/ui/storage/measure"}, target
        assert "New pipeline" not in page
    assert visitors[READER].get("/ui/new/pipeline").status == 403
    assert visitors[WRITER].get("/ui/new/pipeline").status == 200
    assert 'id="upload"' in visitors[WRITER].page("/ui/projects/default/repos/training")
    assert 'id="tokens"' not in visitors[WRITER].page("/ui/settings")


def test_an_upload_of_a_reader_is_refused_and_changes_nothing(
    world: ConsoleWorld, visitors: dict[str, Visitor]
) -> None:
    page = visitors[READER].page("/ui/")
    key = page.partition('name="form-key" content="')[2].partition('"')[0]
    before = world.engine.branches.inspect_branch("training", "master").head
    parts = (
        f'--b\r\nContent-Disposition: form-data; name="form_key"\r\n\r\n{key}\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
    )
    sent = {**visitors[READER]._cookie, "Content-Type": "multipart/form-data; boundary=b"}

    answer = world.server.ask(
        "POST", "/ui/projects/default/repos/training/upload", parts.encode(), sent, tcp=True
    )

    assert answer.status == 403
    assert b"modify_files needs the role writer" in answer.body
    assert world.engine.branches.inspect_branch("training", "master").head == before


def test_a_secret_is_shown_once_and_the_session_ends_with_its_token(
    visitors: dict[str, Visitor], world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "FRESH_S", 0.0)
    admin = visitors[ADMIN]

    made = admin.post("/ui/settings/tokens", name="guest", role="writer", days="30")

    [secret] = set(re.findall(r"trunkline_[A-Za-z0-9]{43}", made.body.decode()))
    assert (made.status, made.headers["cache-control"]) == (200, "no-store")
    settings = admin.page("/ui/settings")
    assert "guest" in settings
    assert secret not in settings
    guest = Visitor(world, secret)
    assert "guest" in guest.page("/ui/")
    gone = admin.post("/ui/settings/tokens/guest/delete")
    assert (gone.status, gone.headers["location"]) == (303, "/ui/settings#tokens")
    log = admin.page("/ui/settings/audit")
    noted = [log.index(what) for what in ("delete_token", "create_token", "a-admin", "console")]
    assert noted[0] < noted[1]
    assert secret not in log
    assert visitors[WRITER].get("/ui/settings/audit").status == 403
    assert guest.get("/ui/repos").headers["location"] == "/ui/login?next=%2Fui%2Frepos"
    assert b"it was deleted" in Visitor(world, secret).let_in.body
    again = admin.post("/ui/settings/tokens", name="no good", role="writer", days="30")
    assert (again.status, b"is not a token name" in again.body) == (400, True)


def test_a_login_with_a_token_that_has_expired_says_so(world: ConsoleWorld) -> None:
    secret = world.engine.tokens.create_token("brief", role=ADMIN, lasts_s=1e-6).secret

    refused = Visitor(world, secret).let_in

    assert refused.status == 403
    assert b"expired on 20" in refused.body
    assert "set-cookie" not in refused.headers
