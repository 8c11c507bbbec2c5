"""A call of the remote client is a call of the operation, whatever its arguments hold."""

import copy
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_server import MemoryServer
from recording_operations import TEXT, arguments_of, values_of

from trunkline.api.changes import DeleteFile, PutFile, PutUrl
from trunkline.api.connection import NOUNS
from trunkline.api.operation import Operation
from trunkline.client.address import SocketAddress
from trunkline.client.remote import RemoteClient
from trunkline.errors import InvalidInput, NotAllowed, TrunklineError, all_errors
from trunkline.server.rest.routes import declared

OPERATIONS = [pytest.param(noun, op, id=f"{noun}.{op.name}") for noun, op in declared()]
CHANGES = [
    PutFile(path="a", content=[b"x", b"y"]),
    DeleteFile(path="b"),
    PutFile(path="c", content=[]),
]
AS_RECORDED = [("PutFile", "a", b"xy"), ("DeleteFile", "b", b""), ("PutFile", "c", b"")]


@pytest.fixture(scope="module", params=["socket", "tcp"])
def client(request: pytest.FixtureRequest, recorder: MemoryServer) -> RemoteClient:
    return recorder.client(tcp=request.param == "tcp")


def test_what_a_client_has_of_a_noun_can_be_copied(client: RemoteClient) -> None:
    copied = copy.copy(client.repos)

    assert copied.list_repos.__name__ == "list_repos"
    with pytest.raises(AttributeError, match="__nothing__"):
        copied.__nothing__  # noqa: B018


@pytest.mark.parametrize(("noun", "operation"), OPERATIONS)
@settings(max_examples=8)
@given(data=st.data())
def test_arguments_and_result_arrive_as_they_were_sent(
    recorder: MemoryServer,
    client: RemoteClient,
    noun: str,
    operation: Operation,
    data: st.DataObject,
) -> None:
    arguments = data.draw(arguments_of(operation))
    answer = data.draw(values_of(operation.result))
    streams = operation.streams_bytes or operation.streams_values
    if operation.private and not isinstance(client.transport.address, SocketAddress):
        with pytest.raises(NotAllowed, match="only for callers on its private socket"):
            getattr(getattr(client, noun), operation.name)(**arguments)
        return
    if operation.upload:
        arguments[operation.upload] = CHANGES
    recorder.operations.calls.clear()
    recorder.operations.answer = iter(answer) if streams else answer

    result = getattr(getattr(client, noun), operation.name)(**arguments)
    if streams:
        result = list(result)

    if operation.upload:
        arguments[operation.upload] = AS_RECORDED
    sent = {name: v for name, v in arguments.items() if v is not operation.defaults.get(name, ...)}
    [(called_noun, called, received)] = recorder.operations.calls
    assert (called_noun, called) == (noun, operation.name)
    assert operation.defaults | received == operation.defaults | sent
    if operation.streams_bytes:
        assert b"".join(result) == b"".join(answer)
    else:
        assert result == answer


def facts_of(kind: type[TrunklineError]) -> dict[str, Any]:
    """Arguments to make an error with; none for one that takes its sentence."""
    if not inspect.isfunction(kind.__init__):
        return {}
    return {
        p.name: (7 if "status" not in p.name else 404) if p.annotation is int else f"the {p.name}"
        for p in list(inspect.signature(kind.__init__).parameters.values())[1:]
        if p.default is p.empty
    }


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_is_raised_again_as_what_it_was(
    recorder: MemoryServer, client: RemoteClient, kind: type[TrunklineError]
) -> None:
    facts = facts_of(kind)
    error = kind(**facts) if facts else kind("a sentence")
    recorder.operations.answer = error

    with pytest.raises(TrunklineError) as raised:
        client.repos.inspect_repo("r")

    assert type(raised.value) is kind
    assert str(raised.value) == str(error)
    assert raised.value.code == error.code
    assert raised.value.exit_status == error.exit_status
    assert raised.value.http_status == error.http_status


def test_every_noun_of_the_api_is_an_attribute() -> None:
    client: Any = RemoteClient(None)  # type: ignore[arg-type]

    assert {noun: repr(getattr(client, noun)) for noun in NOUNS} == {
        noun: f"<{noun} of a server>" for noun in NOUNS
    }


@pytest.mark.parametrize(("noun", "operation"), OPERATIONS)
def test_a_method_shows_the_declared_signature(
    client: RemoteClient, noun: str, operation: Operation
) -> None:
    method = getattr(getattr(client, noun), operation.name)
    declared_function = getattr(NOUNS[noun], operation.name)

    shown = [str(p) for p in inspect.signature(method).parameters.values()]
    assert shown == [str(p) for p in inspect.signature(declared_function).parameters.values()][1:]
    assert inspect.getdoc(method) == inspect.getdoc(declared_function)


def test_a_wrong_argument_is_a_type_error_as_with_any_function(client: RemoteClient) -> None:
    untyped: Any = client.repos

    with pytest.raises(TypeError, match="unexpected keyword argument 'forse'"):
        untyped.delete_repo("r", forse=True)
    with pytest.raises(TypeError, match="missing a required argument"):
        untyped.delete_repo()
    with pytest.raises(TypeError, match="a str is needed"):
        untyped.delete_repo(3)


@pytest.mark.parametrize("value", ["\ud800", "a\udcffb"])
def test_what_is_not_utf_8_is_refused_before_it_is_sent(client: RemoteClient, value: str) -> None:
    with pytest.raises(InvalidInput, match="not valid UTF-8"):
        client.repos.inspect_repo(value)
    with pytest.raises(InvalidInput, match="not valid UTF-8"):
        list(client.jobs.list_jobs(pipeline=value))
    with pytest.raises(InvalidInput, match="not valid UTF-8"):
        client.repos.create_repo(value)


def test_a_query_that_no_server_would_read_is_refused(client: RemoteClient) -> None:
    with pytest.raises(InvalidInput, match="too long for one request"):
        list(client.commits.flush_commits(["x" * 100] * 1000))


def test_a_stream_asks_when_its_first_value_is_wanted(recorder: MemoryServer) -> None:
    client = recorder.client()
    recorder.operations.calls.clear()
    recorder.operations.answer = iter([])

    values = client.jobs.list_jobs()
    before = list(recorder.operations.calls)
    list(values)

    assert before == []
    assert len(recorder.operations.calls) == 1


@given(path=TEXT)
def test_any_path_comes_through(recorder: MemoryServer, path: str) -> None:
    client = recorder.client()
    recorder.operations.calls.clear()
    recorder.operations.answer = iter([b"content"])

    content = b"".join(client.files.read_file("r", "master", path))
    client.close()

    assert recorder.operations.calls[0][2]["path"] == path
    assert content == b"content"


@pytest.mark.parametrize(
    "name", ["#", "?", "%", "%2F", "^", "~", " ", "+", "&a=b", "ü", "e\u0301", "日本", "a;b", ".."]
)
@pytest.mark.parametrize("tcp", [False, True])
def test_names_that_mean_something_in_urls_are_plain_names(
    recorder: MemoryServer, name: str, tcp: bool
) -> None:
    client = recorder.client(tcp=tcp)
    recorder.operations.calls.clear()
    recorder.operations.answer = iter([])

    list(client.files.diff_files(name, name, f"{name}/{name}", old_path=name))
    client.close()

    assert recorder.operations.calls == [
        (
            "files",
            "diff_files",
            {"repo": name, "commit": name, "path": f"{name}/{name}", "old_path": name},
        )
    ]


def test_headers_of_changes_carry_any_text(recorder: MemoryServer) -> None:
    client = recorder.client()
    recorder.operations.calls.clear()
    recorder.operations.answer = None

    def changes() -> Iterator[PutUrl]:
        yield PutUrl(path="ü\n%", url="http://example.com/ü?a=b#c")

    with pytest.raises(TrunklineError, match="does not understand"):  # None is no CommitInfo
        client.files.modify_files("r", "c", changes())
    client.close()

    assert recorder.operations.calls[0][2]["changes"] == [("PutUrl", "ü\n%", b"")]
