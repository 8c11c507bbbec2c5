"""Rows of CSV, TSV and JSON lines as a grid with the types of its columns.

A page of rows is read from where the one before ended, so a file of any size can be gone through.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from itertools import islice

from trunkline.server.console.preview import Preview, Subject, Unsuitable

ORDER = 100
ROWS = 200  # on a page
COLUMNS_MAX = 200
CELL_MAX = 300  # characters of a value that are shown
_READ_BYTES = 1024 * 1024  # for a page; longer rows are cut
_DELIMITERS = {"csv": ",", "tsv": "\t", "tab": "\t"}
_LINES = ("jsonl", "ndjson")


def suits(subject: Subject) -> bool:
    known = subject.suffix in _DELIMITERS or subject.suffix in _LINES
    return known and subject.file.size_bytes > 0 and b"\0" not in subject.start


def preview(subject: Subject) -> Preview:
    offset = subject.visit.whole_number("offset", 0, most=subject.file.size_bytes)
    first = subject.visit.whole_number("row", 1, most=10**15)
    if subject.suffix in _LINES:
        names, rows, end = _json_page(subject, offset)
    else:
        names, rows, end = _delimited_page(subject, offset)
    context = {
        "columns": [
            (name, _kind([row[place] for row in rows if place < len(row)]))
            for place, name in enumerate(names)
        ],
        "rows": [[_cell(value) for value in row] for row in rows],
        "first": first,
        "next": end if end < subject.file.size_bytes and rows else None,
    }
    return Preview(template="files/table.html", label="table", context=context)


def _delimited_page(subject: Subject, offset: int) -> tuple[list[str], list[list[str]], int]:
    """Names of columns, rows from the offset on, and where the next row begins."""
    delimiter = _delimiter(subject)
    if offset:
        names, _ = _records(subject, 0, 1, delimiter)
        rows, end = _records(subject, offset, ROWS, delimiter)
    else:
        found, end = _records(subject, 0, ROWS + 1, delimiter)
        names, rows = found[:1], found[1:]
    return [name.strip() for name in (names[0] if names else [])][:COLUMNS_MAX], rows, end


def _delimiter(subject: Subject) -> str:
    """What stands between values: of files called CSV it may be a semicolon too."""
    usual = _DELIMITERS[subject.suffix]
    line = subject.start.partition(b"\n")[0].decode("utf-8", "replace")
    return max((usual, ";", "\t", "|"), key=lambda one: (line.count(one), one == usual))


def _records(
    subject: Subject, offset: int, number: int, delimiter: str
) -> tuple[list[list[str]], int]:
    piece = _whole_lines(subject, offset)
    lines = piece.splitlines(keepends=True)
    encoding = "utf-8" if offset else "utf-8-sig"
    texts = (line.decode(encoding, "replace") for line in lines)  # of as many as are shown
    reader = csv.reader(texts, delimiter=delimiter)
    try:
        records = [row[:COLUMNS_MAX] for row in islice(reader, number)]
    except csv.Error as error:
        raise Unsuitable(f"its rows can't be told apart ({error})") from error
    return records, offset + sum(map(len, lines[: reader.line_num]))


def _json_page(subject: Subject, offset: int) -> tuple[list[str], list[list[str]], int]:
    lines = _whole_lines(subject, offset).split(b"\n")[:ROWS]
    end = min(offset + sum(len(line) + 1 for line in lines), subject.file.size_bytes)
    values = [_parsed(line) for line in lines if line.strip()]
    names: dict[str, None] = {}
    for value in values:
        names.update(dict.fromkeys(islice(value, COLUMNS_MAX)))
    columns = list(names)[:COLUMNS_MAX]
    rows = [
        [_as_text(value[name]) if name in value else "" for name in columns] for value in values
    ]
    return columns, rows, end


def _parsed(line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {"(not JSON)": line.decode("utf-8", "replace")}
    return value if isinstance(value, dict) else {"value": value}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _whole_lines(subject: Subject, offset: int) -> bytes:
    piece = subject.read(offset, _READ_BYTES)
    if offset + len(piece) >= subject.file.size_bytes:
        return piece
    return piece[: piece.rfind(b"\n") + 1] or piece


def _kind(values: Sequence[str]) -> str:
    """What the values of a column are, as far as one can tell from a page."""
    present = [value for value in values if value not in ("", "null")]
    if not present:
        return "empty"
    if all(value in ("true", "false", "True", "False") for value in present):
        return "yes or no"
    if _all_fit(int, present):
        return "whole number"
    return "number" if _all_fit(float, present) else "text"


def _all_fit(kind: type[int] | type[float], values: Iterable[str]) -> bool:
    try:
        for value in values:
            kind(value)
    except ValueError:
        return False
    return True


def _cell(value: str) -> tuple[str, str]:
    """What is shown of a value, and all of it where that is less."""
    return (value, "") if len(value) <= CELL_MAX else (value[:CELL_MAX] + "…", value[:4000])
