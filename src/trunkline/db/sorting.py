"""Rows in the order of their keys, of which there may be more than memory holds.

They are in a temporary database of their own, which SQLite keeps in its directory for temporary
files (`SQLITE_TMPDIR`, `TMPDIR`, else /var/tmp) and which is gone when it is closed. Memory is
bounded by `_CACHE_BYTES`, whatever the number of rows.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from trunkline.db.sqlite import translated

_CACHE_BYTES = 8 * 1024 * 1024
_PLACE = Path("temporary files")

Row = tuple[str, int, str]  # key, part, value


class SortedRows:
    """Rows by key (bytes of UTF-8), then by part, then as they came. For one thread."""

    def __init__(self, rows: Iterable[Row]) -> None:
        """Take in all rows; raises StorageFull."""
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            with translated(_PLACE):
                self._fill(rows)
        except BaseException:
            self._connection.close()
            raise

    def _fill(self, rows: Iterable[Row]) -> None:
        execute = self._connection.execute
        execute(f"PRAGMA cache_size={-_CACHE_BYTES // 1024}")
        execute("PRAGMA temp_store=FILE")
        execute("PRAGMA journal_mode=OFF")
        execute("PRAGMA synchronous=OFF")
        execute("CREATE TABLE sorted (number INTEGER PRIMARY KEY, key TEXT, part INT, value TEXT)")
        execute("BEGIN")
        self._connection.executemany("INSERT INTO sorted (key, part, value) VALUES (?, ?, ?)", rows)
        # Afterwards, and so in one merge sort instead of a search for each row.
        execute("CREATE INDEX sorted_by_key ON sorted (key, part)")
        execute("COMMIT")

    def tallies(self) -> Iterator[tuple[str, dict[int, int]]]:
        """Each key, with how many rows each of its parts has."""
        with translated(_PLACE):
            counted = self._connection.execute(
                "SELECT key, part, COUNT(*) FROM sorted GROUP BY key, part ORDER BY key, part"
            )
            for key, parts in groupby(counted, key=lambda row: str(row[0])):
                yield key, {int(part): int(count) for _, part, count in parts}

    def singles(self) -> Iterator[tuple[str, dict[int, str | None]]]:
        """Each key, with the value of each of its parts that has one row, and None for others."""
        with translated(_PLACE):
            counted = self._connection.execute(
                "SELECT key, part, COUNT(*), value FROM sorted"
                " GROUP BY key, part ORDER BY key, part"
            )
            for key, parts in groupby(counted, key=lambda row: str(row[0])):
                yield key, {int(p): value if count == 1 else None for _, p, count, value in parts}

    def values(self, key: str, part: int) -> Iterator[str]:
        """The values of a part of a key, as they came."""
        with translated(_PLACE):
            found = self._connection.execute(
                "SELECT value FROM sorted WHERE key = ? AND part = ? ORDER BY number", (key, part)
            )
            for (value,) in found:
                yield value

    def close(self) -> None:
        """Give the space back."""
        self._connection.close()
