"""Who may see the console, and whom it takes a form from."""

import http.client

import pytest
from console_world import ConsoleWorld

from trunkline.server.console.session import CODE_LASTS_S, LASTS_S, Sessions


def test_a_page_without_a_session_leads_to_the_login_and_back(world: ConsoleWorld) -> None:
    answer = world.server.ask("GET", "/ui/repos?project=default", tcp=True)

    assert answer.status == 303
    assert answer.headers["location"] == "/ui/login?next=%2Fui%2Frepos%3Fproject%3Ddefault"


def test_the_token_begins_a_session_that_scripts_and_other_sites_do_not_get(
    world: ConsoleWorld,
) -> None:
    answer = world.server.ask(
        "POST", "/ui/login?next=/ui/repos", f"token={world.server.token}".encode(), tcp=True
    )

    assert (answer.status, answer.headers["location"]) == (303, "/ui/repos")
    attributes = answer.headers["set-cookie"].split("; ")[1:]
    assert {"HttpOnly", "SameSite=Strict", "Path=/ui"} <= set(attributes)


def test_another_token_begins_none(world: ConsoleWorld) -> None:
    answer = world.server.ask("POST", "/ui/login", b"token=wrong", tcp=True)

    assert answer.status == 403
    assert "set-cookie" not in answer.headers
    assert b"The server does not accept this token." in answer.body


@pytest.mark.parametrize(
    "elsewhere", ["https://example.com/", "//example.com/", "/\\example.com", "/api/v1/version"]
)
def test_a_login_leads_to_the_console_alone(world: ConsoleWorld, elsewhere: str) -> None:
    answer = world.server.ask(
        "POST", f"/ui/login?next={elsewhere}", f"token={world.server.token}".encode(), tcp=True
    )

    assert answer.headers["location"] == "/ui/"


def test_an_address_for_one_login_is_good_once(world: ConsoleWorld) -> None:
    address = world.server.client().console_address()
    target = "/ui/login/" + address.rpartition("/")[2]

    first = world.server.ask("GET", target, tcp=True)
    second = world.server.ask("GET", target, tcp=True)

    assert (first.status, first.headers["location"]) == (303, "/ui/")
    assert "set-cookie" in first.headers
    assert second.status == 403
    assert "set-cookie" not in second.headers


def test_who_has_the_token_gets_such_an_address_over_tcp_and_nobody_else(
    world: ConsoleWorld,
) -> None:
    address = world.server.client(tcp=True).console_address()
    without = world.server.ask("POST", "/api/v1/console", tcp=True)

    assert address.startswith(f"{world.origin}/ui/login/")
    assert without.status == 401


def test_a_cookie_that_nobody_signed_is_no_session(world: ConsoleWorld) -> None:
    name, _, value = world.cookie.partition("=")
    forged = [f"{name}={value[:-1]}0", f"{name}={value}0", f"{name}=", f"{name}=a.b.c", "x=y"]

    asked = [
        world.server.ask("GET", "/ui/", headers={"Cookie": cookie}, tcp=True).status
        for cookie in forged
    ]

    assert set(asked) <= {303, 200}
    assert asked.count(200) <= (1 if value.endswith("0") else 0)


def test_sessions_and_codes_end_and_another_key_knows_neither() -> None:
    now = 1_000_000.0
    sessions = Sessions(b"key", clock=lambda: now)
    cookie, code, own = sessions.begin("d1"), sessions.new_code("d2"), sessions.new_code("")

    assert sessions.holder(cookie) == "d1"
    assert sessions.holder(sessions.begin("")) == ""
    assert sessions.holder(cookie.replace("d1", "")) is None
    assert Sessions(b"other", clock=lambda: now).holder(cookie) is None
    assert (sessions.redeem(own), sessions.redeem(own)) == ("", None)
    now += CODE_LASTS_S
    assert sessions.redeem(code) is None
    now += LASTS_S
    assert sessions.holder(cookie) is None


def test_the_session_opens_no_operation_of_the_api(world: ConsoleWorld) -> None:
    assert world.get("/api/v1/repos").status == 401


def test_a_form_that_does_not_show_what_only_a_page_knows_is_refused(world: ConsoleWorld) -> None:
    answer = world.post("/ui/logout", {"form_key": "guessed"})

    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_a_form_of_the_page_itself_is_taken(world: ConsoleWorld) -> None:
    page = world.page("/ui/")
    key = page.partition('name="form-key" content="')[2].partition('"')[0]

    answer = world.post("/ui/logout", {"form_key": key}, Origin=world.origin)

    assert (answer.status, answer.headers["location"]) == (303, "/ui/login")
    assert "Max-Age=0" in answer.headers["set-cookie"]


def test_a_form_of_another_site_is_refused_even_with_the_session(world: ConsoleWorld) -> None:
    page = world.page("/ui/")
    key = page.partition('name="form-key" content="')[2].partition('"')[0]

    by_origin = world.post("/ui/logout", {"form_key": key}, Origin="http://example.com")
    by_fetch = world.post("/ui/logout", {"form_key": key}, **{"Sec-Fetch-Site": "cross-site"})

    assert (by_origin.status, by_fetch.status) == (403, 403)


def test_a_name_that_was_bound_to_this_address_is_refused(world: ConsoleWorld) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=20)
    connection.putrequest("GET", "/ui/", skip_host=True)
    connection.putheader("Host", "rebound.example.com")
    connection.putheader("Cookie", world.cookie)
    connection.endheaders()

    status = connection.getresponse().status
    connection.close()

    assert status == 403


def test_who_follows_a_link_from_elsewhere_is_asked_again_by_our_own_page(
    world: ConsoleWorld,
) -> None:
    answer = world.server.ask(
        "GET", "/ui/repos", headers={"Sec-Fetch-Site": "cross-site"}, tcp=True
    )

    assert answer.status == 200
    assert b'http-equiv="refresh"' in answer.body
    assert b"training" not in answer.body


def test_the_root_of_the_server_leads_to_the_console(world: ConsoleWorld) -> None:
    answer = world.server.ask("GET", "/", tcp=True)

    assert (answer.status, answer.headers["location"]) == (303, "/ui/")


def test_the_private_socket_needs_no_session(world: ConsoleWorld) -> None:
    assert world.server.ask("GET", "/ui/").status == 200
