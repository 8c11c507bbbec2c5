"""One world for all tests of pages that only look at it."""

from collections.abc import Iterator

import pytest
from console_world import ConsoleWorld, console_world, fill_with_hostility, fill_with_iris
from engine_state import without_workers


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    with without_workers(), console_world(tmp_path_factory.mktemp("console")) as filled:
        fill_with_iris(filled)
        fill_with_hostility(filled)
        yield filled
