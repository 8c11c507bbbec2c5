"""Commands that were started with a closed input, output or error stream."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_does_without_a_closed_stream(home: Path, closed: str) -> None:
    words = [sys.executable, "-m", "trunkline", "list", "context", "-o", "json"]
    shell = f'exec "$@" {closed}'

    ended = subprocess.run(["sh", "-c", shell, "sh", *words], capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ("local" in ended.stdout) == (">&-" not in closed.replace("2>&-", ""))
