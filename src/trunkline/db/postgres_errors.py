"""What PostgreSQL and its driver say, as our errors."""

from functools import partial

import psycopg

from trunkline.db.translation import Translation
from trunkline.errors import Corrupt, StorageFull, TrunklineError, Unavailable, plain

_FULL = ("53100",)  # disk_full
_DAMAGED = ("XX001", "XX002", "42P01", "42703", "22021")  # all statements of ours fit the schema
# Connections, authorization, missing databases, conflicts of transactions, resources, limits,
# operators, and input and output; read-only transactions, locks that were waited for too long.
_PASSES = ("08", "28", "3D", "40", "53", "57", "58")
_PASSES_TOO = ("25006", "25P03", "55P03", "42501")


def translated(name: str) -> Translation:
    """Around what the driver does with the database of a name."""
    return Translation(partial(_ours, name))


def _ours(name: str, error: BaseException) -> TrunklineError | None:
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    said = plain(str(error).strip().split("\n")[0]) or type(error).__name__
    if state in _FULL:
        return StorageFull(name)
    if state in _DAMAGED:
        return Corrupt(name, "the tables of Trunkline", said)
    lost = not state and isinstance(error, psycopg.OperationalError)
    if lost or state.startswith(_PASSES) or state in _PASSES_TOO:
        return Unavailable(f"{name} can't be used now: {said}")
    return None
