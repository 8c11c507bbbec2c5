"""The core installation stays light: what `pip install trunkline` brings, in bytes on disk."""

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BUDGET_MB = 24.0  # beside Python itself; measured 19.4 MB in 20 packages (November 2026)
PACKAGES_MAX = 20


def core_closure() -> dict[str, float]:
    """The installed packages that the core needs, with their size in MB (compiled files apart)."""
    sizes: dict[str, float] = {}
    waiting = ["trunkline"]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in sizes:
            continue
        package = distribution(name)
        files = [Path(file.locate()) for file in package.files or [] if file.suffix != ".pyc"]
        sizes[name] = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
        needs = [Requirement(text) for text in package.requires or []]
        waiting += [n.name for n in needs if not n.marker or n.marker.evaluate({"extra": ""})]
    del sizes["trunkline"]
    return sizes


def test_the_core_installation_stays_within_its_budget() -> None:
    sizes = core_closure()

    assert sum(sizes.values()) <= BUDGET_MB, sizes
    assert len(sizes) <= PACKAGES_MAX, sorted(sizes)
