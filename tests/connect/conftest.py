"""A server on a memory model, in a thread or as the local server of a private home."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_operations import MemoryOperations
from memory_server import MemoryServer

from trunkline.connect.connection import Connection

MODELS = Path(__file__).resolve().parent.parent / "models"


@pytest.fixture
def serve_command() -> list[str]:
    """The command that starts a local server on a memory model."""
    return [sys.executable, str(MODELS / "serve_memory.py")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(MemoryOperations(), tmp_path) as running:
        yield running


@pytest.fixture(params=["socket", "tcp"])
def connection(request: pytest.FixtureRequest, server: MemoryServer) -> Connection:
    """A connection to a server, each way there is."""
    return Connection(server.client(tcp=request.param == "tcp"))
