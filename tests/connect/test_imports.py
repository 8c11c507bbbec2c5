"""A command that lists something must not pay for what it does not use."""

import subprocess
import sys

HEAVY = (
    "starlette", "uvicorn", "anyio", "asyncio", "rich", "yaml", "sqlite3", "blake3", "tempfile",
    "subprocess", "tomllib", "importlib.metadata", "concurrent.futures", "logging",
    "trunkline.engine", "trunkline.server", "trunkline.store", "trunkline.db",
    "trunkline.model.pipelines", "trunkline.model.jobs",
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_of_it() -> None:
    assert {m for m in loaded_by("import trunkline") if m.startswith("trunkline")} == {"trunkline"}


def test_a_client_is_light() -> None:
    code = """
from trunkline.config import load
from trunkline.connect.opening import open_client
open_client(load({"HOME": "/nowhere"})).repos
"""

    assert loaded_by(code) & set(HEAVY) == set()
