"""Programs of others that tests run where they are there; `make services` installs them.

Each has a variable that says where it is (`.ci/run` sets them), and tests that want it are skipped
elsewhere.
"""

import os

import pytest


def program(variable: str) -> str:
    """The path of a program."""
    found = os.environ.get(variable, "")
    if not found:
        pytest.skip(f"{variable} names no program")
    return found
