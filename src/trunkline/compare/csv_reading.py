"""The one door to Python's `csv`, whose limit for the size of a cell holds for the whole process.

It is set here and nowhere else: whoever wants to read less checks that itself.
"""

import csv
from collections.abc import Iterable, Iterator
from typing import Protocol

CELL_CHARACTERS_MAX = 64 * 1024 * 1024
csv.field_size_limit(CELL_CHARACTERS_MAX)

CsvError = csv.Error


class CsvReader(Protocol):
    """Rows, and the number of lines that they took so far."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


def csv_reader(lines: Iterable[str], *, delimiter: str = ",") -> CsvReader:
    """The rows of lines with their ends; reading them raises CsvError for what is no CSV."""
    return csv.reader(lines, delimiter=delimiter)
