"""A skipped test is always listed with its reason, and fails the session where all is required."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = """
import pytest

def test_that_runs():
    assert True

@pytest.mark.skipif(True, reason="this machine has no moon")
def test_that_needs_the_moon():
    assert True
"""


def session(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_moon.py").write_text(SKIPPING)
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "TRUNKLINE"))}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            *environment.pop("words").split(),
        ],
        cwd=tmp_path,
        env=kept | environment | {"PYTHONPATH": str(Path(__file__).parent / "harness")},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("words", ["-q", "-q -n 2"])
def test_a_skip_is_listed_with_its_reason(tmp_path: Path, words: str) -> None:
    done = session(tmp_path, words=words)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_that_needs_the_moon: this machine has no moon" in done.stdout


@pytest.mark.parametrize("words", ["-q", "-q -n 2"])
def test_a_skip_fails_the_session_where_everything_is_required(tmp_path: Path, words: str) -> None:
    done = session(tmp_path, words=words, TRUNKLINE_REQUIRE_ALL="1")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "skipped tests count as failed" in done.stdout
