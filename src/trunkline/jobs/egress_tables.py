"""The files of an output as rows of tables: the first directory of a path names the table."""

import io
import json
import re
from collections.abc import Iterable, Iterator

from trunkline.compare.content import NotComparable
from trunkline.compare.csv_reading import CsvError, csv_reader
from trunkline.compare.parquet import rows_of
from trunkline.db.foreign import ForeignRow
from trunkline.errors import InvalidInput

CSV, JSON, PARQUET = "CSV", "JSON", "PARQUET"
_MARKS = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*"')  # a string does not go over several lines
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}

Files = Iterable[tuple[str, int, Iterable[bytes]]]  # path, bytes, content


def tables_of(
    files: Files, kind: str, columns: tuple[str, ...]
) -> Iterator[tuple[str, Iterator[ForeignRow]]]:
    """(table, rows) of each file, in order; the rows are to be read before the next file.

    CSV: in the order of the table's columns, without a header; with `columns`, of which each file's
    header names at least all. JSON: one object after the other. Raises InvalidInput.
    """
    for path, _, content in files:
        table, slash, _ = path.partition("/")
        if not slash:
            raise InvalidInput(
                f"the file '{path}' is in no directory; the first directory names the table"
            )
        yield table, _rows(path, content, kind, columns)


def _rows(
    path: str, content: Iterable[bytes], kind: str, columns: tuple[str, ...]
) -> Iterator[ForeignRow]:
    if kind == PARQUET:
        found: Iterable[tuple[int, dict[str, object]]] = _parquet(path, content)
    elif kind == JSON:
        found = _objects(path, content)
    else:
        yield from _csv(path, content, columns)
        return
    for number, row in found:
        chosen = {name: row.get(name) for name in columns} if columns else row
        yield ForeignRow(where=f"{path}, row {number}", values=chosen)


def _csv(path: str, content: Iterable[bytes], columns: tuple[str, ...]) -> Iterator[ForeignRow]:
    reader = csv_reader(_text(content))
    try:
        header = next(reader, None) if columns else None
        if header is not None:
            missing = [name for name in columns if name not in header]
            if missing:
                raise InvalidInput(f"{path}: its header has no column '{missing[0]}'")
        places = [header.index(name) for name in columns] if header is not None else []
        for row in reader:
            if not row:
                continue
            where = f"{path}, line {reader.line_num}"
            if not places:
                yield ForeignRow(where=where, values=row)
            elif len(row) <= max(places):
                raise InvalidInput(f"{where}: there are only {len(row)} values")
            else:
                values = {name: row[at] for name, at in zip(columns, places, strict=True)}
                yield ForeignRow(where=where, values=values)
    except (CsvError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} can't be read as CSV: {error}") from error


def _parquet(path: str, content: Iterable[bytes]) -> Iterator[tuple[int, dict[str, object]]]:
    try:
        yield from enumerate(rows_of(b"".join(content)), 1)
    except NotComparable as error:
        raise InvalidInput(f"{path} can't be read as Parquet: {error}") from error


def _objects(path: str, content: Iterable[bytes]) -> Iterator[tuple[int, dict[str, object]]]:
    """JSON lines, or a whole text of objects one after the other or in an array."""
    parts: list[str] = []
    depth = number = 0
    try:
        for line in _text(content):
            parts.append(line)
            depth += sum(_DEPTH.get(mark, 0) for mark in _MARKS.findall(line))
            if depth > 0:
                continue  # an object may go over several lines
            text, parts = "".join(parts).strip(), []
            if not text:
                continue
            found = json.loads(text)
            for row in found if isinstance(found, list) else [found]:
                number += 1
                if not isinstance(row, dict):
                    raise InvalidInput(f"{path}, row {number}: it is no object")
                yield number, row
    except ValueError as error:
        raise InvalidInput(f"{path} can't be read as JSON at row {number + 1}: {error}") from error
    if parts:
        raise InvalidInput(f"{path} can't be read as JSON: row {number + 1} does not end")


def _text(content: Iterable[bytes]) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(_Pieces(content)), encoding="utf-8-sig", newline="")


class _Pieces(io.RawIOBase):
    """A content that comes in pieces, as a file to read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        taken = self._left[: len(view)]
        view[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)
