"""A server on a memory model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_operations import MemoryOperations
from memory_server import MemoryServer
from recording_operations import RecordingOperations


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    """A server whose operations are a memory model."""
    with MemoryServer(MemoryOperations(), tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    """A server whose operations note how they are called."""
    with MemoryServer(RecordingOperations(), tmp_path_factory.mktemp("recorder")) as running:
        yield running
