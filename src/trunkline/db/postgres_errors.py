"""What PostgreSQL and its driver say, as our errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from trunkline.errors import Corrupt, StorageFull, TrunklineError, Unavailable, plain

_FULL = ("53100",)  # disk_full
_DAMAGED = ("XX001", "XX002", "42P01", "42703", "22021")  # all statements of ours fit the schema
# Connections, authorization, missing databases, conflicts of transactions, resources, limits,
# operators, and input and output; read-only transactions, locks that were waited for too long.
_PASSES = ("08", "28", "3D", "40", "53", "57", "58")
_PASSES_TOO = ("25006", "25P03", "55P03", "42501")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn the driver's errors into ours, so that no caller needs to know the driver."""
    try:
        yield
    except TrunklineError:
        raise
    except psycopg.Error as error:
        state = error.sqlstate or ""
        said = plain(str(error).strip().split("\n")[0]) or type(error).__name__
        if state in _FULL:
            raise StorageFull(name) from error
        if state in _DAMAGED:
            raise Corrupt(name, "the tables of Trunkline", said) from error
        lost = not state and isinstance(error, psycopg.OperationalError)
        if lost or state.startswith(_PASSES) or state in _PASSES_TOO:
            raise Unavailable(f"{name} can't be used now: {said}") from error
        raise
