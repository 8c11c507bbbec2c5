"""Each operation of the API is everywhere where a user may look for it.

One row per operation: the embedded engine and the remote client have it with the declared
arguments, the server has its route, a command uses it, the reference describes it.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trunkline import config
from trunkline.api.connection import NOUNS
from trunkline.api.operation import Operation, operations_of
from trunkline.api.transactions import BESIDE, NEVER, STEPS

ROOT = Path(__file__).resolve().parent.parent
OPERATIONS = [
    pytest.param(noun, operation, id=f"{noun}.{operation.name}")
    for noun, protocol in NOUNS.items()
    for operation in operations_of(protocol)
]
GRID = pytest.mark.parametrize(("noun", "operation"), OPERATIONS)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from trunkline.engine.engine import Engine

    directory = tmp_path_factory.mktemp("grid")
    opened = Engine(config.load({"HOME": str(directory)}, home=directory / "home"))
    yield opened
    opened.close()


def declared(noun: str, operation: Operation) -> list[tuple[str, Any]]:
    function = getattr(NOUNS[noun], operation.name)
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()][1:]


def test_there_are_operations_to_check() -> None:
    assert len(OPERATIONS) >= 35


@GRID
def test_the_engine_has_the_operation_as_declared(
    engine: Any, noun: str, operation: Operation
) -> None:
    function = getattr(getattr(engine, noun), operation.name)

    given = [(p.name, p.default) for p in inspect.signature(function).parameters.values()]
    assert given == declared(noun, operation)


@GRID
def test_the_remote_client_has_the_operation(noun: str, operation: Operation) -> None:
    from trunkline.client.remote import RemoteClient

    client: Any = RemoteClient(SimpleNamespace(close=lambda: None))  # type: ignore[arg-type]

    assert callable(getattr(getattr(client, noun), operation.name))


@GRID
def test_the_reference_describes_the_operation(noun: str, operation: Operation) -> None:
    text = (ROOT / "docs" / "reference" / "operations.md").read_text("utf-8")

    assert f"### {noun}.{operation.name}\n" in text


@GRID
def test_the_server_has_its_route(noun: str, operation: Operation) -> None:
    from trunkline.server.rest.openapi import document

    paths = document("test")["paths"]

    assert operation.method.lower() in paths[f"/api/v1{operation.path}"]


@GRID
def test_what_a_transaction_makes_of_the_operation_is_said(noun: str, operation: Operation) -> None:
    sets = [STEPS | {"modify_files"}, BESIDE, NEVER]

    listed = sum(operation.name in names for names in sets)
    assert listed == (operation.method != "GET"), "in exactly one, unless it only reads"


@GRID
def test_a_command_or_the_connection_uses_the_operation(noun: str, operation: Operation) -> None:
    rooms = [ROOT / "src" / "trunkline" / room for room in ("cli", "connect")]
    sources = [path.read_text("utf-8") for room in rooms for path in sorted(room.rglob("*.py"))]

    assert any(f".{operation.name}(" in text for text in sources)
