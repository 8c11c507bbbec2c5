"""Nobody gets past the doors without the right to; the cases are made from the route table."""

from pathlib import Path

import pytest
from memory_operations import MemoryOperations
from memory_server import MemoryServer

from trunkline.errors import Unavailable
from trunkline.server.app import build_app
from trunkline.server.rest.routes import PREFIX, declared

ROUTES = sorted(
    {(op.method, PREFIX + op.path.replace("{", "").replace("}", "")) for _, op in declared()}
    | {("GET", f"{PREFIX}/openapi.json"), ("GET", "/no/such/route")}
    | {("POST", f"{PREFIX}/{word}") for word in ("shutdown", "console")}
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_route_of_the_application_is_among_the_cases() -> None:
    app = build_app(MemoryOperations(), spec_bytes_max=1)

    assert set(app.others) - {path for _, path in ROUTES} == {"/", "/healthz", "/readyz"}


@pytest.mark.parametrize(("method", "target"), ROUTES)
def test_no_route_on_tcp_answers_without_the_token(
    recorder: MemoryServer, method: str, target: str
) -> None:
    recorder.operations.calls.clear()
    attempts = {
        "nothing": recorder.ask(method, target, tcp=True),
        "another token": recorder.ask(method, target, headers=bearer("x" * 22), tcp=True),
        "a beginning": recorder.ask(method, target, headers=bearer(recorder.token[:-1]), tcp=True),
        "a longer one": recorder.ask(
            method, target, headers=bearer(recorder.token + "x"), tcp=True
        ),
        "an empty one": recorder.ask(method, target, headers=bearer(""), tcp=True),
        "not ASCII": recorder.ask(method, target, headers=bearer("é"), tcp=True),
        "another scheme": recorder.ask(
            method, target, headers={"Authorization": f"Basic {recorder.token}"}, tcp=True
        ),
        "in the query": recorder.ask(method, f"{target}?token={recorder.token}", tcp=True),
        "in a cookie": recorder.ask(
            method, target, headers={"Cookie": f"token={recorder.token}"}, tcp=True
        ),
    }

    assert {name: answer.status for name, answer in attempts.items()} == dict.fromkeys(
        attempts, 401
    )
    assert {answer.error["code"] for answer in attempts.values()} == {"token-refused"}
    assert {answer.headers["www-authenticate"] for answer in attempts.values()} == {"Bearer"}
    assert recorder.operations.calls == []


def test_the_token_opens_and_its_scheme_may_be_written_in_any_case(server: MemoryServer) -> None:
    usual = server.ask("GET", f"{PREFIX}/repos", headers=bearer(server.token), tcp=True)
    lower = server.ask(
        "GET", f"{PREFIX}/repos", headers={"authorization": f"bearer {server.token}"}, tcp=True
    )

    assert (usual.status, lower.status) == (200, 200)


def test_two_authorization_headers_are_refused_even_if_one_is_right(server: MemoryServer) -> None:
    connection = server.connect(tcp=True)
    connection.putrequest("GET", f"{PREFIX}/repos")
    connection.putheader("Authorization", f"Bearer {server.token}")
    connection.putheader("Authorization", "Bearer other")
    connection.endheaders()

    status = connection.getresponse().status
    connection.close()

    assert status == 403


def test_a_header_that_claims_to_be_the_private_socket_changes_nothing(
    server: MemoryServer,
) -> None:
    claims = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "unix", "private": "true"}

    answer = server.ask("GET", f"{PREFIX}/repos", headers=claims, tcp=True)

    assert answer.status == 401


def test_the_health_check_needs_no_token(server: MemoryServer) -> None:
    assert server.ask("GET", "/healthz", tcp=True).status == 200
    assert server.ask("GET", "/readyz", tcp=True).status == 200


def test_a_server_whose_catalog_does_not_answer_is_well_but_not_ready(
    recorder: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged() -> None:
        raise Unavailable("the catalog can't be read")

    monkeypatch.setattr(recorder.operations.projects, "list_projects", damaged, raising=False)

    answer = recorder.ask("GET", "/readyz", tcp=True)

    assert (answer.status, answer.error["message"]) == (503, "the catalog can't be read")
    assert recorder.ask("GET", "/healthz", tcp=True).status == 200


def test_a_server_that_stops_is_not_ready(server: MemoryServer) -> None:
    link = server.connect(tcp=True)
    link.request("GET", "/readyz")
    assert link.getresponse().read() == b'{"status":"ok"}'

    server.app.threads.stop()
    link.request("GET", "/readyz")

    assert link.getresponse().status == 503
    link.close()


def test_the_private_socket_needs_no_token(server: MemoryServer) -> None:
    assert server.ask("GET", f"{PREFIX}/repos").status == 200


@pytest.mark.parametrize("host", ["evil.example.com", "localhost.evil.example.com", "", "a b"])
def test_a_host_that_was_rebound_by_dns_is_refused_even_with_the_token(
    server: MemoryServer, host: str
) -> None:
    headers = {"Host": host, **bearer(server.token)}

    answer = server.ask("GET", f"{PREFIX}/repos", headers=headers, tcp=True)

    assert answer.status in (400, 403)


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:30650", "[::1]:1", "10.1.2.3"])
def test_addresses_and_localhost_are_names_of_the_server(server: MemoryServer, host: str) -> None:
    headers = {"Host": host, **bearer(server.token)}

    assert server.ask("GET", f"{PREFIX}/repos", headers=headers, tcp=True).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example.com", "null", "https://localhost", ""])
def test_a_request_from_a_page_of_another_site_is_refused(
    server: MemoryServer, origin: str
) -> None:
    headers = {"Host": "localhost:5", "Origin": origin, **bearer(server.token)}

    assert server.ask("POST", f"{PREFIX}/repos", b"{}", headers, tcp=True).status == 403


def test_a_request_from_a_page_of_the_server_itself_is_not(server: MemoryServer) -> None:
    headers = {"Host": "localhost:5", "Origin": "http://localhost:5", **bearer(server.token)}

    assert server.ask("GET", f"{PREFIX}/repos", None, headers, tcp=True).status == 200


def test_a_server_may_be_given_further_names(tmp_path: Path) -> None:
    with MemoryServer(MemoryOperations(), tmp_path, hosts=["data.example.com"]) as server:
        headers = {"Host": "Data.example.com:80", **bearer(server.token)}

        assert server.ask("GET", f"{PREFIX}/repos", headers=headers, tcp=True).status == 200


def test_a_caller_on_tcp_may_not_end_the_server(server: MemoryServer) -> None:
    answer = server.ask("POST", f"{PREFIX}/shutdown", headers=bearer(server.token), tcp=True)

    assert answer.status == 403
    assert server.ask("GET", f"{PREFIX}/repos").status == 200


def test_a_caller_on_the_private_socket_may(server: MemoryServer) -> None:
    assert server.ask("POST", f"{PREFIX}/shutdown").status == 200

    server.thread.join(20)
    assert not server.thread.is_alive()


def test_headers_without_end_are_cut_off(server: MemoryServer) -> None:
    connection = server.connect(tcp=True)
    connection.connect()
    connection.sock.sendall(b"GET / HTTP/1.1\r\nX: ")

    with pytest.raises(ConnectionError):  # long before 100 MB
        connection.sock.sendall(b"x" * 100_000_000)
    connection.close()
