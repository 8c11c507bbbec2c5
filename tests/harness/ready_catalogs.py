"""New catalogs that are copies of one, which all migrations have made.

That takes most of the processor time of opening an engine for the first time, and tests open
thousands. What is done with the file before it is the catalog stays as it is.
"""

import functools
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock


@contextmanager
def ready_catalogs() -> Iterator[None]:
    """Have the engines of this process, and of its forks, fill new catalogs that way."""
    if "trunkline.engine.engine" not in sys.modules:  # nobody opens one
        yield
        return
    from trunkline.engine import new_catalog

    _pages()
    with mock.patch.object(new_catalog, "fill", fill_catalog):
        yield


def fill_catalog(path: Path) -> None:
    """Make a file with all tables of a catalog and nothing in them."""
    path.write_bytes(_pages())


@functools.cache
def _pages() -> bytes:
    from trunkline.engine import new_catalog

    with tempfile.TemporaryDirectory(prefix="trunkline-catalog-") as place:
        made = Path(place) / "catalog.db"
        new_catalog.fill(made)
        return made.read_bytes()
