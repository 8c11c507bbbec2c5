"""The generated pages of the reference fit the code."""

import re
import subprocess
import sys
from pathlib import Path

from trunkline.errors import all_errors

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


def test_the_reference_is_as_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, f"run `make docs`:\n{done.stdout}{done.stderr}"


def test_every_error_code_is_described() -> None:
    text = (REFERENCE / "errors.md").read_text("utf-8")

    assert [kind.code for kind in all_errors() if f"| `{kind.code}` |" not in text] == []


def test_every_variable_of_the_environment_is_described() -> None:
    source = (ROOT / "src" / "trunkline" / "config.py").read_text("utf-8")
    text = (REFERENCE / "settings.md").read_text("utf-8")

    read = set(re.findall(r'"(TRUNKLINE_[A-Z_]+)"', source))
    assert read
    assert [name for name in sorted(read) if name not in text] == []
