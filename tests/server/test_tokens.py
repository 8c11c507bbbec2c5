"""Named tokens: what each role may, over HTTP and for every operation; and when a token ends."""

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from engine_state import open_engine, without_workers
from memory_server import MemoryServer

from trunkline.api.changes import PutFile, write_changes
from trunkline.api.operation import Operation
from trunkline.api.transactions import STEPS
from trunkline.engine import audit
from trunkline.errors import TokenRefused, Unavailable
from trunkline.model.roles import ADMIN, READER, ROLES, WRITER, allows
from trunkline.model.tokens import TokenInfo
from trunkline.server import callers
from trunkline.server.callers import Callers
from trunkline.server.rest.routes import PREFIX, declared
from trunkline.server.threads import Threads

OPERATIONS = list(declared())
SPEC = {
    "pipeline": {"name": "copy"},
    "input": {"pfs": {"repo": "data", "glob": "/*"}},
    "transform": {"cmd": ["true"]},
}
NAMES = {"pipelines": "copy", "projects": "other", "secrets": "key", "tokens": "reader"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def known(role: str, **more: Any) -> TokenInfo:
    info = {"name": role, "role": role, "created": datetime.now(UTC), "expires": None, "used": None}
    return TokenInfo(**{**info, **more})


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# --- roles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noun", "operation"), OPERATIONS, ids=lambda one: getattr(one, "name", one)
)
def test_an_operation_is_open_to_its_role_and_those_above_it(
    recorder: MemoryServer, noun: str, operation: Operation
) -> None:
    for role in ROLES:
        recorder.operations.known_tokens[digest_of(f"trunkline_{role}")] = known(role)
    target = PREFIX + operation.path.replace("{", "").replace("}", "")
    body = b"".join(write_changes([])) if operation.upload else b"{}"
    recorder.operations.calls.clear()

    answers = {
        role: recorder.ask(operation.method, target, body, bearer(f"trunkline_{role}"), tcp=True)
        for role in ROLES
    }

    open_to = {role for role, answer in answers.items() if answer.status != 403}
    needed = [] if operation.private else [r for r in ROLES if allows(r, operation.role)]
    assert open_to == set(needed)
    assert len(recorder.operations.calls) in (0, len(needed))  # 0: it misses an argument
    for role in ROLES[: ROLES.index(operation.role)]:
        assert answers[role].error["message"] == (
            f"{operation.name} needs the role {operation.role}, and token '{role}' has the role "
            f"{role}: use another token"
        )


def test_a_transaction_carries_out_nothing_that_its_steps_could_not_be_asked_for() -> None:
    roles = {operation.name: operation.role for _, operation in OPERATIONS}

    assert {roles[name] for name in (*STEPS, "modify_files")} == {WRITER}
    assert {roles[name] for name in ("add_step", "add_files", "finish_transaction")} == {WRITER}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A server on an engine, with data, a pipeline and a job that was stopped, and three tokens."""
    home = tmp_path_factory.mktemp("tokens")
    with without_workers(), contextlib.closing(open_engine(home / "home")) as engine:
        engine.repos.create_repo("data")
        engine.projects.create_project("other")
        engine.files.modify_files("data", "master", [PutFile(path="/a", content=[b"1"])])
        engine.tags.create_tag("data", "v1", commit="master")
        engine.secrets.create_secret("key", data={"k": "c2VjcmV0"})
        engine.pipelines.create_pipeline(SPEC)
        [job] = engine.jobs.list_jobs()
        engine.jobs.stop_job(f"copy@{job.id}")
        engine.pipelines.stop_pipeline("copy")
        made = {role: engine.tokens.create_token(role, role=role).secret for role in ROLES}
        with MemoryServer(engine, home) as server:
            yield SimpleNamespace(
                engine=engine, server=server, secrets=made, home=home / "home", run=job.id
            )


def status_of(real: SimpleNamespace, noun: str, operation: Operation, secret: str) -> int:
    """What becomes of an operation that is asked for with arguments that it can work with."""
    given: dict[str, Any] = {
        "repo": "data",
        "name": NAMES.get(noun, "data"),
        "branch": "master",
        "commit": "master",
        "commits": ["data@master"],
        "path": "a",
        "job": f"copy@{real.run}",
        "run": real.run,
        "tag": "v1",
        "pattern": "/*",
        "spec": SPEC,
        "text": json.dumps(SPEC),
        "role": ADMIN,
        "timeout_s": 0.1,
        "targets": ["data"],
        "data": {"k": "bmV3"},
    }
    wanted = [name for name in operation.arguments if name != operation.upload]
    arguments = {name: given[name] for name in wanted if name in given}
    target = PREFIX + operation.path
    for name in [name for name in arguments if f"{{{name}}}" in target]:
        target = target.replace(f"{{{name}}}", str(arguments.pop(name)))
    body = b"".join(write_changes([PutFile(path="/b", content=[b"2"])]))
    if operation.upload is None and operation.method not in ("GET", "DELETE"):
        body = json.dumps(arguments).encode()
    elif arguments:
        target += f"?{urlencode(arguments, doseq=True)}"
    link = real.server.connect(tcp=True)
    link.request(operation.method, target, body, bearer(secret))
    status = link.getresponse().status  # of a stream without end too, which is given up here
    link.close()
    return status


def catalog(home: Path) -> list[str]:
    """All rows but those of tokens, which say when they were used."""
    with contextlib.closing(sqlite3.connect(home / "catalog.db")) as database:
        return [row for row in database.iterdump() if not row.startswith('INSERT INTO "token"')]


def test_a_reader_changes_nothing_whatever_he_asks_for(real: SimpleNamespace) -> None:
    before = catalog(real.home)

    seen = {
        operation.name: status_of(real, noun, operation, real.secrets[READER])
        for noun, operation in OPERATIONS
    }

    assert catalog(real.home) == before
    assert {name for name, status in seen.items() if status == 403} == {
        operation.name for _, operation in OPERATIONS if operation.role != READER
    }
    told = [name for name, status in seen.items() if status not in (200, 403)]
    assert len(told) < 20, told  # the others had arguments that they could work with


# --- the end of a token ---------------------------------------------------------------------------


def test_a_token_is_good_until_it_is_deleted_and_its_connection_no_longer(
    real: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "FRESH_S", 0.05)
    monkeypatch.setattr(callers, "LOOK_S", 0.05)
    secret = real.engine.tokens.create_token("brief", role=READER).secret
    link = real.server.connect(tcp=True)
    link.request("GET", f"{PREFIX}/repos/data/subscribe/master", headers=bearer(secret))
    answer = link.getresponse()
    assert answer.readline().startswith(b"{")

    real.engine.tokens.delete_token("brief")

    with contextlib.suppress(OSError):  # it is broken off, in the midst of a chunk or not
        while answer.readline():
            pass
    link.close()
    refused = real.server.ask("GET", f"{PREFIX}/repos", headers=bearer(secret), tcp=True)
    assert refused.status == 401
    assert refused.error["message"] == (
        "the server does not accept this token: it was deleted, or is one of another server"
    )


def test_one_that_has_expired_says_so_and_is_not_in_use(real: SimpleNamespace) -> None:
    made = real.engine.tokens.create_token("old", role=ADMIN, lasts_s=1e-6)

    answer = real.server.ask("GET", f"{PREFIX}/repos", headers=bearer(made.secret), tcp=True)

    assert (answer.status, answer.error["code"]) == (401, "token-refused")
    assert answer.error["message"].startswith("token 'old' expired on 20")
    assert real.engine.tokens.inspect_token("old").used is None


class _Asked:
    """Knows one token, until it does not answer any more."""

    def __init__(self, token: TokenInfo) -> None:
        self.token: TokenInfo | None = token
        self.asked = 0
        self.away = False

    def find_token(self, _: str) -> TokenInfo | None:
        self.asked += 1
        if self.away:
            raise Unavailable("the catalog is away")
        return self.token


def test_what_is_known_of_a_token_counts_for_a_second() -> None:
    now, asked, threads = 100.0, _Asked(known(WRITER)), Threads()
    door = Callers(asked, threads, None, clock=lambda: now)  # type: ignore[arg-type]

    async def ask() -> int:
        nonlocal now
        for _ in range(50):
            assert (await door.by_secret(b"trunkline_x")).role == WRITER
        assert asked.asked == 1
        now += 1.5
        asked.away = True
        with pytest.raises(Unavailable):
            await door.by_secret(b"trunkline_x")
        asked.away, asked.token = False, None
        with pytest.raises(TokenRefused):
            await door.by_secret(b"trunkline_x")
        count = asked.asked
        for other in (b"trunkline", b"x", b"trunkline_" + b"x" * 1000, b""):
            with pytest.raises(TokenRefused):
                await door.by_secret(other)
        return asked.asked - count

    assert asyncio.run(ask()) == 0, "what can't be a token costs no look into the catalog"
    threads.stop()


def test_the_end_that_is_known_counts_before_the_next_look(recorder: MemoryServer) -> None:
    soon = known(READER, expires=datetime.now(UTC) - timedelta(microseconds=1))
    recorder.operations.known_tokens[digest_of("trunkline_soon")] = soon

    answer = recorder.ask("GET", f"{PREFIX}/repos", headers=bearer("trunkline_soon"), tcp=True)

    assert answer.status == 401


def test_a_reader_gets_no_session_of_more_than_a_reader(real: SimpleNamespace) -> None:
    secret = real.secrets[READER]
    answer = real.server.ask("POST", f"{PREFIX}/console", headers=bearer(secret), tcp=True)
    address = json.loads(answer.body)["address"]

    let_in = real.server.ask("GET", address, tcp=True)

    cookie = let_in.headers["set-cookie"].partition(";")[0]
    page = real.server.ask("GET", "/ui/storage", headers={"Cookie": cookie}, tcp=True)
    key = page.body.decode().partition('name="form-key" content="')[2].partition('"')[0]
    form = urlencode({"form_key": key}).encode()
    asked = real.server.ask("POST", "/ui/runs/x/stop", form, {"Cookie": cookie}, tcp=True)
    assert (page.status, asked.status) == (200, 403)
    assert b"needs the role writer" in asked.body


# --- the audit log --------------------------------------------------------------------------------


def asked(real: SimpleNamespace, role: str, method: str, target: str, body: object = None) -> int:
    sent = None if body is None else json.dumps(body).encode()
    return real.server.ask(
        method, PREFIX + target, sent, bearer(real.secrets[role]), tcp=True
    ).status


def test_what_is_changed_over_tcp_is_noted_with_whose_token_it_was_and_nothing_else(
    real: SimpleNamespace,
) -> None:
    [*before] = real.engine.audit.list_audit(number=1)
    server = real.server
    assert asked(real, READER, "GET", "/repos") == 200
    assert asked(real, ADMIN, "GET", "/tokens") == 200
    assert asked(real, WRITER, "POST", "/plans/repos/data/deletion") in (200, 409)
    assert asked(real, READER, "POST", "/repos", {"name": "no"}) == 403
    assert asked(real, WRITER, "POST", "/repos", {"name": "noted"}) == 200
    assert asked(real, WRITER, "POST", "/repos", {"name": "noted"}) == 409
    value = {"k": "dmVyeS1zZWNyZXQ="}
    assert asked(real, ADMIN, "POST", "/secrets", {"name": "pass", "data": value}) == 200
    server.client(tcp=True).files.modify_files(
        "noted", "master", [PutFile(path="/f", content=[b"x" * 100_000])]
    )
    server.client().repos.delete_repo("noted")  # over the private socket

    found = real.engine.audit.list_audit()
    noted = [one for one in found if not before or one.number > before[0].number]

    assert [(one.token, one.door, one.operation, one.target, one.outcome) for one in noted] == [
        ("", "http", "modify_files", "noted master", "ok"),
        ("admin", "http", "create_secret", "pass", "ok"),
        ("writer", "http", "create_repo", "noted", "already-exists"),
        ("writer", "http", "create_repo", "noted", "ok"),
    ]
    assert real.engine.audit.list_audit(number=1, before=noted[0].number) == [noted[1]]
    assert "very-secret" not in str(found)
    assert value["k"] not in str(found)


def test_the_audit_log_is_for_admins_and_of_bounded_length(
    real: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_KEPT", 3)
    entry = {"token": "t", "door": "http", "operation": "o", "outcome": "ok"}
    for number in range(5):
        real.engine.note_change(**entry, target=str(number))

    assert [one.target for one in real.engine.audit.list_audit()] == ["4", "3", "2"]
    assert asked(real, WRITER, "GET", "/audit") == 403
    assert asked(real, ADMIN, "GET", "/audit") == 200


def test_entries_that_wait_are_written_down_at_the_end(tmp_path: Path) -> None:
    with without_workers():
        with contextlib.closing(open_engine(tmp_path)) as engine:
            engine.note_change(token="t", door="http", operation="o", target="x", outcome="ok")
        with contextlib.closing(open_engine(tmp_path)) as engine:
            [entry] = engine.audit.list_audit()

    assert (entry.token, entry.target) == ("t", "x")
