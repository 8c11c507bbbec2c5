"""The guide to the Python API does what it says, on a real local server."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.config import load
from trunkline.connect.local import stop_server

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "python.md"


@pytest.fixture
def directory(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place to work in, next to a private home whose server is stopped at the end."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    yield place
    stop_server(load())


@pytest.mark.skipif(sys.platform != "linux", reason="user code in the guide uses /pfs")
def test_the_blocks_of_the_guide_run_from_top_to_bottom(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
    names: dict[str, object] = {}

    monkeypatch.syspath_prepend(directory)
    for block in blocks:
        file = re.match(r"# (\w+\.py)\n", block)  # a block that is a file of its own
        if file:
            (directory / file[1]).write_text(block)
        else:
            exec(compile(block, str(GUIDE), "exec"), names)

    assert len(blocks) == 12
    sys.modules.pop("flow")
    assert (directory / "copy" / "iris.csv").read_text().count("\n") == 2
    names["c"].close()  # type: ignore[attr-defined]
