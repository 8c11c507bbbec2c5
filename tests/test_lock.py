"""The lock file fits `pyproject.toml`, pins by hash and names no host."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements" / "dev.lock").read_text("utf-8")
SERVICES = (ROOT / "requirements" / "services.lock").read_text("utf-8")
PROGRAMS = (ROOT / "requirements" / "programs.lock").read_text("utf-8")
EACH = pytest.mark.parametrize(
    "lock", [LOCK, SERVICES, PROGRAMS], ids=["dev", "services", "programs"]
)
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==([\w.!+]+)", LOCK, flags=re.MULTILINE)
}


def wanted() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lines = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
    ]
    return [Requirement(line) for line in lines]


def test_every_requirement_is_locked_at_a_version_that_it_allows() -> None:
    locked = {need.name: PINS.get(canonicalize_name(need.name)) for need in wanted()}

    assert [name for name, version in locked.items() if version is None] == []
    assert [need for need in wanted() if not need.specifier.contains(locked[need.name] or "")] == []


@EACH
def test_every_locked_package_has_hashes(lock: str) -> None:
    blocks = re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE)[1:]

    assert blocks
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


@EACH
def test_the_lock_names_no_place_to_download_from(lock: str) -> None:
    assert re.findall(r"https?:|--index|--find-links|--extra-index", lock) == []
