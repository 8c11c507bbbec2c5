"""Where engines of tests have their catalogs and their contents."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from postgres_schemas import KINDS, catalog_schema, needs_postgres
from s3_objects import needs_s3, new_bucket, variables

FILES = "sqlite"  # both are files of this machine
BOTH_CATALOGS = KINDS
EVERYWHERE = [*KINDS, pytest.param("postgres and s3", marks=[needs_postgres.mark, needs_s3.mark])]


@contextmanager
def settings_at(place: str) -> Iterator[Callable[[Path], dict[str, str]]]:
    """Gives the settings for engines at a place, by data directory; what they have goes afterwards.

    `place` is one of `EVERYWHERE`.
    """
    with ExitStack() as stack:
        found: dict[Path, dict[str, str]] = {}

        def settings(home: Path) -> dict[str, str]:
            if place != FILES and home not in found:
                found[home] = {"TRUNKLINE_DATABASE": stack.enter_context(catalog_schema())}
                if "s3" in place:
                    bucket = new_bucket()
                    stack.enter_context(variables(bucket.environment()))
                    found[home] |= {
                        "TRUNKLINE_STORE": f"{bucket.url}/packs",
                        **bucket.environment(),
                    }
            return found.get(home, {})

        yield settings
