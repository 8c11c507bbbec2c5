"""Every operation has its route, and a request that fits none is told what would."""

import json
from urllib.parse import quote

import pytest
from memory_server import SPEC_BYTES_MAX, MemoryServer

from trunkline.api.changes import write_changes
from trunkline.api.operation import Operation
from trunkline.server.rest.routes import PREFIX, declared, pattern_of

OPERATIONS = [pytest.param(noun, op, id=f"{noun}.{op.name}") for noun, op in declared()]


def target_of(operation: Operation) -> str:
    path = operation.path
    for name in operation.arguments:
        path = path.replace(f"{{{name}}}", f"some-{name}")
    return PREFIX + path


@pytest.mark.parametrize(("noun", "operation"), OPERATIONS)
def test_a_path_leads_to_one_operation_only(noun: str, operation: Operation) -> None:
    below = target_of(operation)[len(PREFIX) + 1 :].encode()

    matching = [
        other.name
        for _, other in declared()
        if other.method == operation.method and pattern_of(other.path).match(below) is not None
    ]

    assert matching == [operation.name]


@pytest.mark.parametrize(("noun", "operation"), OPERATIONS)
def test_every_operation_answers_on_its_route(
    recorder: MemoryServer, noun: str, operation: Operation
) -> None:
    recorder.operations.calls.clear()

    body = b"".join(write_changes([])) if operation.upload else b"{}"
    answer = recorder.ask(operation.method, target_of(operation), body)

    # Either it was called, or it is the operation itself that misses an argument of its own.
    called = [(n, name) for n, name, _ in recorder.operations.calls]
    assert called == [(noun, operation.name)] or operation.name in answer.error["message"]
    assert answer.status != 404


def test_the_last_argument_takes_slashes_and_an_empty_rest() -> None:
    pattern = pattern_of("/repos/{repo}/list/{commit}/{path}")

    assert pattern.match(b"repos/r/list/c/a//b/") == {
        "repo": b"r",
        "commit": b"c",
        "path": b"a//b/",
    }
    assert pattern.match(b"repos/r/list/c/") == {"repo": b"r", "commit": b"c", "path": b""}
    assert pattern.match(b"repos/r/list/c") is None


def test_an_encoded_slash_stays_inside_its_argument(recorder: MemoryServer) -> None:
    recorder.operations.calls.clear()

    recorder.ask("GET", f"{PREFIX}/jobs/{quote('pipe/0f', safe='')}")

    assert recorder.operations.calls == [("jobs", "inspect_job", {"job": "pipe/0f"})]


@pytest.mark.parametrize(
    "target", ["//", "/nothing", "/api/v1/nothing", "/api/v2/repos", "/api/v1"]
)
def test_an_unknown_route_is_a_404_in_the_common_shape(server: MemoryServer, target: str) -> None:
    answer = server.ask("GET", target)

    assert answer.status == 404
    assert answer.error["code"] == "no-such-route"
    assert target in answer.error["message"]


def test_a_known_path_with_another_method_says_which_methods_it_has(server: MemoryServer) -> None:
    answer = server.ask("PATCH", f"{PREFIX}/repos")

    assert answer.status == 405
    assert answer.headers["allow"] == "POST, GET"
    assert answer.error["message"].endswith("only with POST or GET")


def test_an_unknown_argument_is_refused_with_what_was_probably_meant(server: MemoryServer) -> None:
    in_query = server.ask("DELETE", f"{PREFIX}/repos/r?forse=true")
    in_body = server.ask("POST", f"{PREFIX}/repos", b'{"nam":"r"}')

    assert in_query.status == in_body.status == 400
    assert in_query.error["message"] == (
        "delete_repo has no argument 'forse'; did you mean 'force'?"
    )
    assert "did you mean 'name'?" in in_body.error["message"]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("/repos/r?force=yes", "'force' is 'yes'; it must be true or false"),
        ("/repos/r?force=true&force=true", "given twice"),
        ("/repos/r?force=%ff", "can't be read"),
        ("/repos/%ff", "is not UTF-8"),
    ],
)
def test_a_malformed_query_is_refused(server: MemoryServer, target: str, sentence: str) -> None:
    server.operations.repos.create_repo("r")

    answer = server.ask("DELETE", PREFIX + target)

    assert answer.status == 400
    assert sentence in answer.error["message"]
    assert list(server.operations.trees) == ["r"]


@pytest.mark.parametrize("number", ["1.5", "", "1e3", "0x1", " 1", str(2**63)])
def test_a_whole_number_is_only_digits_that_fit(server: MemoryServer, number: str) -> None:
    answer = server.ask("GET", f"{PREFIX}/runs?number={quote(number)}")

    assert answer.status == 400
    assert "a whole number" in answer.error["message"]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "soon", ""])
def test_a_number_of_seconds_is_finite(server: MemoryServer, number: str) -> None:
    answer = server.ask("GET", f"{PREFIX}/jobs/j?timeout_s={number}")

    assert answer.status == 400
    assert "must be a number" in answer.error["message"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "needs the argument 'name'"),
        (b"{}", "needs the argument 'name'"),
        (b"[1]", "must be a JSON object"),
        (b"{", "is not JSON"),
        (b'{"name":"\xff"}', "is not JSON"),
        (b'{"name":1}', "the argument 'name': Expected `str`, got `int`"),
        (b'{"name":"r","update":"yes"}', "the argument 'update': Expected `bool`"),
        (b'{"name":"r","update":1}', "the argument 'update': Expected `bool`"),
        (b"[" * 60_000, "nested too deeply"),
    ],
)
def test_a_malformed_body_is_refused(server: MemoryServer, body: bytes, sentence: str) -> None:
    answer = server.ask("POST", f"{PREFIX}/repos", body)

    assert answer.status == 400
    assert sentence in answer.error["message"]
    assert server.operations.trees == {}


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_refused(server: MemoryServer, announced: bool) -> None:
    size = 2 * SPEC_BYTES_MAX + 1024 * 1024 + 1
    body = json.dumps({"name": "x" * size}).encode()
    connection = server.connect()

    connection.request(
        "POST",
        f"{PREFIX}/repos",
        body if announced else iter([body]),
        encode_chunked=not announced,
        headers={} if announced else {"Transfer-Encoding": "chunked"},
    )
    answer = connection.getresponse()
    message = json.loads(answer.read())["error"]["message"]
    connection.close()

    assert answer.status == 400
    assert "larger than" in message


def test_a_query_on_an_operation_with_a_body_is_refused(server: MemoryServer) -> None:
    answer = server.ask("POST", f"{PREFIX}/repos?name=r", b"{}")

    assert answer.status == 400
    assert "in a JSON body" in answer.error["message"]


def test_a_bug_is_a_500_with_a_number_and_no_traceback(
    server: MemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.operations.trees["r"] = {}  # without a description: the model fails with a KeyError

    answer = server.ask("GET", f"{PREFIX}/repos/r")

    assert answer.status == 500
    assert answer.error["code"] == "incident"
    assert "Traceback" not in answer.body.decode()
    assert "KeyError" not in answer.body.decode()
    incident = answer.error["message"].split("incident ")[1][:8]
    assert f"incident {incident}" in caplog.text
    assert "KeyError" in caplog.text
