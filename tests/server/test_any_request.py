"""Any request to a real engine gets a proper answer, and what is refused changes nothing."""

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_server import MemoryServer

from trunkline.api.changes import CopyFile, DeleteFile, PutFile, PutLocal, PutUrl, write_changes
from trunkline.api.operation import Operation
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import TrunklineError
from trunkline.server import auth
from trunkline.server.rest import endpoint
from trunkline.server.rest.routes import PREFIX, declared

OPERATIONS = [
    pytest.param(operation, id=f"{noun}.{operation.name}") for noun, operation in declared()
]
FEW = settings().max_examples // 3  # requests an operation, in the usual profile 20
GIVEN_UP_S = 20.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    directory = tmp_path_factory.mktemp("any")
    environment = {"HOME": str(directory), "PATH": ""}
    engine = Engine(load(environment, home=directory / "home"))
    furnish(engine)
    with MemoryServer(engine, directory) as running:
        yield running
    engine.close()


@pytest.fixture(autouse=True)
def no_incidents(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.ERROR):
        yield
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def furnish(engine: Any) -> None:
    """A little of everything, as far as it is not there."""
    with suppress(TrunklineError):
        engine.repos.create_repo("data")
        engine.branches.create_branch("data", "master")
    with suppress(TrunklineError):
        text = [b"a,b\n1,2\n"]
        files = [PutFile(path="d/f", content=text), PutFile(path="g.csv", content=text)]
        engine.files.modify_files("data", "master", files)
        engine.tags.create_tag("data", "v1", commit="master", force=True)
        engine.branches.create_branch("data", "other", head="master")


def state(engine: Any) -> object:
    """All that can be seen of repos, branches, tags and commits."""
    repos = engine.repos.list_repos()
    return [
        repos,
        [engine.branches.list_branches(repo.name) for repo in repos],
        [engine.tags.list_tags(repo.name) for repo in repos],
        list(engine.commits.list_all_commits()),
        [pipeline.name for pipeline in engine.pipelines.list_pipelines()],
        engine.transactions.list_transactions(),
    ]


# --- what is asked --------------------------------------------------------------------------------

KNOWN = ["data", "master", "other", "v1", "d/f", "g.csv", "d", "/", "data@master", "data@v1"]
ODD = [
    *(
        "",
        ".",
        "..",
        "a/../b",
        "//",
        "\0",
        "a\0b",
        "\n",
        "é",
        "e\u0301",
        "\u202e",
        "😀",
        "%",
        "%00",
    ),
    *("@", "data@", "@master", "master^", "master^^^^", "master^99999999999999999999", "master^-1"),
    *("data@master:/x", "^", "~", "*", "{a,b", "[", "[]", "[z-a]", "**", "{{{{", "(((", "\\", "!("),
    *("true", "false", "-1", "0", "1", "nan", "1e400", str(2**63), "9" * 400, "0x10", "٣"),
    *(
        "default",
        "_other",
        "__spec__",
        "default/data",
        "a/b",
        "-",
        "--force",
        "x" * 256,
        "y" * 5000,
    ),
    *("0" * 32, "f" * 64, "null", "[]", "{}", "; drop table repos", "' or 1=1", "AUTO", "COMMIT"),
]
TEXTS = st.one_of(st.sampled_from(KNOWN), st.sampled_from(ODD), st.text(max_size=12))
RAW = st.one_of(
    TEXTS.map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="")),
    TEXTS.map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="/@:^*+")),
    st.binary(min_size=1, max_size=6).map(quote_from_bytes),
    st.sampled_from(["%ff", "%C0%80", "%ED%A0%80", "%", "%2", "%zz", "a%00b", "%2e%2e", "+", ";"]),
)
WAITS_S = st.sampled_from(["0", "0.01", "-1", "nan", "inf", "1e400", "soon", ""])
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        TEXTS.filter(lambda text: text.isprintable()),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["pipeline", "name", "source", "size", "cron", "all", "input", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@st.composite
def targets(draw: st.DrawFn, operation: Operation) -> str:
    path = operation.path
    for name in operation.arguments:
        path = path.replace(f"{{{name}}}", draw(RAW))
    if operation.method in ("POST", "PUT") and operation.upload is None:
        return PREFIX + path
    names = [name for name in operation.arguments if f"{{{name}}}" not in operation.path]
    pairs = []
    for name in names:
        if name == "timeout_s":
            pairs.append((name, draw(WAITS_S)))
        elif draw(st.booleans()):
            pairs.append((name, draw(RAW)))
    if draw(st.integers(0, 9)) == 0:
        pairs.append((draw(RAW), draw(RAW)))
    return f"{PREFIX}{path}?{'&'.join(f'{name}={value}' for name, value in pairs)}"


CHANGES = st.lists(
    st.one_of(
        st.builds(
            PutFile, path=TEXTS, content=st.lists(st.binary(max_size=9)), append=st.booleans()
        ),
        st.builds(DeleteFile, path=TEXTS),
        st.builds(CopyFile, path=TEXTS, source_repo=TEXTS, source_commit=TEXTS, source_path=TEXTS),
        st.builds(
            PutUrl, path=TEXTS, url=TEXTS | TEXTS.map(lambda text: f"http://127.0.0.1/{text}")
        ),
        st.builds(
            PutLocal,
            path=TEXTS,
            source=TEXTS | st.just("/dev/zero"),
            device=st.integers(-1, 2**64),
            inode=st.integers(-1, 2**64),
        ),
    ),
    max_size=3,
)


def changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with a few changed, cut off, or none of it."""
    blob = bytearray(whole)
    for _ in range(draw(st.integers(0, 2))):
        if blob:
            at = draw(st.integers(0, len(blob) - 1))
            blob[at : at + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(blob[: draw(st.integers(0, len(blob)))]) if draw(st.booleans()) else bytes(blob)


@st.composite
def bodies(draw: st.DrawFn, operation: Operation) -> bytes:
    if operation.upload is not None:
        return changed(draw, b"".join(write_changes(draw(CHANGES))))
    if operation.method not in ("POST", "PUT"):
        return draw(st.sampled_from([b"", b"x"]))
    names = [name for name in operation.arguments if f"{{{name}}}" not in operation.path]
    document = {}
    for name in names:
        if draw(st.booleans()) or name not in operation.defaults:
            kind = operation.arguments[name]
            document[name] = draw(TEXTS if kind is str and draw(st.booleans()) else JSON)
    return changed(draw, json.dumps(document).encode())


# --- what is answered -----------------------------------------------------------------------------


def exchange(server: MemoryServer, request: bytes, *, ends: bool = False) -> bytes:
    """What comes back until the server hangs up; `ends`: no more is sent, and that is said."""
    came = b""
    with server.connect().sock as link:
        link.settimeout(GIVEN_UP_S)
        with suppress(OSError):
            link.sendall(request)
            if ends:
                link.shutdown(socket.SHUT_WR)
            while len(came) < 100_000 and (piece := link.recv(65536)):
                came += piece
    return came


def check(came: bytes) -> int:
    """The status of an answer, which must be a proper one."""
    head, _, body = came.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    assert status < 500 or status in (501, 503, 504, 507), came
    assert b"Traceback" not in came, came
    assert b'"incident"' not in came, came
    if status >= 400 and b"application/json" in head:
        error = json.loads(body)["error"]
        assert error["message"].strip()
        assert "\n" not in error["message"] or error["code"] == "invalid-spec", error
    return status


def request_of(method: str, target: str, body: bytes, *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "connection: close", *headers]
    if not any(line.lower().startswith("host:") for line in headers):
        lines.append("host: localhost")
    if not any(line.lower().startswith(("content-length:", "transfer-")) for line in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=FEW)
@given(data=st.data())
def test_any_arguments_are_taken_or_refused_with_a_sentence(
    served: MemoryServer, operation: Operation, data: st.DataObject
) -> None:
    target = data.draw(targets(operation))
    body = data.draw(bodies(operation))
    before = state(served.operations)

    status = check(exchange(served, request_of(operation.method, target, body)))

    after = state(served.operations)
    if status >= 400 or operation.method == "GET":
        assert after == before
    elif after != before:
        furnish(served.operations)


# --- what is no proper request --------------------------------------------------------------------

CREATE = f"{PREFIX}/repos"
BAD_HEADERS = [
    ["content-length: -1"],
    ["content-length: 1e3"],
    ["content-length: ٣"],
    ["content-length: 0x10"],
    ["content-length: 99999999999999999999999999"],
    ["content-length: 14", "content-length: 15"],
    ["content-length: 14", "transfer-encoding: chunked"],
    ["transfer-encoding: gzip"],
    ["transfer-encoding: chunked, chunked"],
    ["transfer-encoding: chunked", "transfer-encoding: identity"],
    ["host: a", "host: b"],
    ["host:"],
    ["x" * 70_000 + ": y"],
    ["a: " + "b" * 70_000],
    ["no colon"],
    ["na me: x"],
    ["nul: \0"],
    ["expect: 200-ok"],
    ["upgrade: websocket", "connection: upgrade"],
    ["upgrade: h2c", "connection: upgrade, http2-settings", "http2-settings: AAMAAABk"],
    ["content-encoding: gzip"],
    ["content-type: multipart/form-data; boundary=x"],
    ["content-type: \xff"],
]


@pytest.mark.parametrize("headers", BAD_HEADERS, ids=lambda headers: headers[0][:30])
def test_headers_that_nobody_should_send_hurt_nobody(
    served: MemoryServer, headers: list[str]
) -> None:
    before = state(served.operations)

    came = exchange(served, request_of("POST", CREATE, b'{"name":"~"}  ', *headers) + b"\r\n")

    assert 400 <= check(came) < 500
    assert state(served.operations) == before
    assert served.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "chunks",
    [
        *(b"zz\r\n", b"-1\r\nx\r\n", b"5;" + b"x" * 70_000, b"0x5\r\nhello\r\n0\r\n\r\n"),
        *(b"ffffffffffffffffffffffff\r\n", b"5\r\nhelloworld\r\n0\r\n\r\n", b"5\nhello\n0\n\n\r\n"),
        b"0\r\n" + b"trailer: x\r\n" * 9_000 + b"\r\n",
    ],
)
def test_chunks_that_are_none_hurt_nobody(served: MemoryServer, chunks: bytes) -> None:
    before = state(served.operations)

    for target in (CREATE, f"{PREFIX}/repos/data/files/master"):
        came = exchange(served, request_of("POST", target, chunks, "transfer-encoding: chunked"))

        assert 400 <= check(came) < 500
        assert state(served.operations) == before
    assert served.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "line",
    [
        *("", "GET", "GET /", "GET /nothing HTTP/9.9", "GET  / HTTP/1.1", "get /healthz HTTP/1.1"),
        *("GET http:// HTTP/1.1", "CONNECT example.com:80 HTTP/1.1", "OPTIONS * HTTP/1.1"),
        *("TRACE /healthz HTTP/1.1", f"GET {'/a' * 40_000} HTTP/1.1", "GET /\xff HTTP/1.1"),
        *("GET /api/v1/../../etc/passwd HTTP/1.1", "GET //api//v1//repos HTTP/1.1"),
        *(
            f"{'X' * 70_000} / HTTP/1.1",
            "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
            "PRI * HTTP/2.0",
        ),
    ],
    ids=lambda line: line[:40],
)
def test_a_first_line_that_is_none_is_refused(served: MemoryServer, line: str) -> None:
    came = exchange(
        served, f"{line}\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode("latin-1")
    )

    assert not came or 400 <= check(came) < 500
    assert served.ask("GET", "/healthz").status == 200


@given(data=st.data())
def test_any_bytes_are_answered_properly_or_not_at_all(
    served: MemoryServer, data: st.DataObject
) -> None:
    upload = b"".join(write_changes([PutFile(path="x", content=[b"abc"])]))
    whole = data.draw(
        st.sampled_from(
            [
                request_of("GET", f"{PREFIX}/repos/data/list/master/?recursive=true", b""),
                request_of("POST", CREATE, b'{"name":"~"}'),
                request_of("POST", f"{PREFIX}/repos/none/files/master", upload),
                b"\x80" * 100,
            ]
        )
    )
    before = state(served.operations)

    came = exchange(served, data.draw(st.composite(changed)(whole)), ends=True)

    assert not came or check(came) < 500
    assert state(served.operations) == before


@pytest.mark.parametrize("begun", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\na: b\r\n"])
def test_who_does_not_finish_the_head_of_a_request_is_hung_up_on(
    served: MemoryServer, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "HEAD_S", 0.1)

    assert exchange(served, begun) == b""


def test_nor_is_the_head_of_a_second_request_waited_for(
    served: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "HEAD_S", 0.1)

    with served.connect().sock as link:
        link.settimeout(GIVEN_UP_S)
        link.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        came = b""
        while b'"ok"' not in came:
            came += link.recv(65536)
        link.sendall(b"GET /h")
        with suppress(ConnectionError):
            assert link.recv(65536) == b""

    assert came.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_body_that_does_not_come_is_not_waited_for(
    served: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "BODY_S", 0.1)

    came = exchange(served, request_of("POST", CREATE, b'{"na', "content-length: 100"))

    assert check(came) == 400
    assert b"did not come within" in came
