"""Reads CSV files as tables, from the first row that differs to the last."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, repeat

from trunkline.compare.content import (
    BOM,
    Content,
    Cutter,
    Middle,
    NotComparable,
    lines_of,
    middle,
    whole_records,
)
from trunkline.compare.csv_reading import CsvError, csv_reader
from trunkline.compare.tables import Side, Tables, column_changes, packed, unpacked

_ROW_BYTES_MAX = 1024 * 1024
_DELIMITERS = ",;\t|"


def csv_tables(old: Content, new: Content, *, tabs: bool) -> Tables:
    """The rows of both sides that can differ; raises NotComparable for what is no CSV.

    The first row is the header if its cells are unique, not empty and no numbers. Rows are compared
    by the columns that both sides have.
    """
    delimiter = "\t" if tabs else _delimiter(new if new.size_bytes else old)
    first_old, first_new = _first_record(old, delimiter), _first_record(new, delimiter)
    header_old, skip_old = _header(first_old, delimiter)
    header_new, skip_new = _header(first_new, delimiter)
    if bool(skip_old) != bool(skip_new) and old.size_bytes and new.size_bytes:
        skip_old = skip_new = 0  # one of them has no header: every row is data on both
        header_old = header_new = _numbered(max(len(header_old), len(header_new)))
    found = whole_records(old, new, middle(old, new), delimiter=delimiter)
    has_header = bool(skip_old or skip_new)
    known = set(header_old)
    common = [name for name in header_new if name in known]
    sides = []
    for content, header, skip in ((old, header_old, skip_old), (new, header_new, skip_new)):
        start = max(found.middle.start, skip)
        part = Middle(start=start, tail=min(found.middle.tail, content.size_bytes - start))
        before = found.before - has_header if start > skip else 0
        wanted = common if old.size_bytes and new.size_bytes else list(header)
        sides.append(_side(content, part, header, wanted, delimiter, first=max(before, 0) + 1))
    return Tables(
        columns=column_changes(dict.fromkeys(header_old, ""), dict.fromkeys(header_new, ""))
        if old.size_bytes and new.size_bytes
        else (),
        header=tuple(header_new or header_old),
        old=sides[0],
        new=sides[1],
    )


def _first_record(content: Content, delimiters: str) -> bytes:
    """The bytes of the first record, with its end; raises NotComparable for one without end."""
    data = content.part(0, min(content.size_bytes, _ROW_BYTES_MAX))
    cutter = Cutter(delimiters)
    at = 0
    while at < len(data) and not cutter.count:
        end = data.find(b"\n", at) + 1 or len(data)
        cutter.read(data[at:end])
        at = end
    if not cutter.count and len(data) < content.size_bytes:
        raise _too_long()
    return data[:at]


def _delimiter(content: Content) -> str:
    first = _first_record(content, _DELIMITERS)
    return max(_DELIMITERS, key=lambda char: first.count(char.encode()))


def _header(first: bytes, delimiter: str) -> tuple[list[str], int]:
    """The names of the columns, and how many bytes they take (0: there is no header)."""
    rows = list(_parsed(_texts([first], bom=True), delimiter))
    cells = rows[0] if rows else []
    if cells and all(cells) and len(set(cells)) == len(cells) and not any(map(_is_number, cells)):
        return cells, len(first)
    return _numbered(len(cells)), 0


def _numbered(count: int) -> list[str]:
    return [f"column {number}" for number in range(1, count + 1)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _side(
    content: Content,
    part: Middle,
    header: Sequence[str],
    wanted: Sequence[str],
    delimiter: str,
    *,
    first: int,
) -> Side:
    at = {name: place for place, name in enumerate(header)}
    places = [at[name] for name in wanted]
    in_order = places == list(range(len(header)))
    size = part.size_in(content)

    def rows() -> Iterator[bytes]:
        pieces = content.read(part.start, size) if size else ()
        lines = _texts(lines_of(pieces, most=_ROW_BYTES_MAX), bom=part.start == 0)
        for row in _parsed(lines, delimiter):
            if row and in_order:
                yield packed((*row, *repeat(None, len(header) - len(row))))
            elif row:
                found = (row[p] if p < len(row) else None for p in places)
                yield packed((*found, *row[len(header) :]))

    def cells(row: bytes) -> dict[str, str]:
        values = unpacked(row)
        names = chain(wanted, map("column {}".format, count(len(header) + 1)))
        return {
            name: value for name, value in zip(names, values, strict=False) if value is not None
        }

    return Side(size_bytes=size, rows=rows, cells=cells, identity=bytes, first=first)


def _parsed(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    size = 0  # characters of the row that is being read

    def counted() -> Iterator[str]:
        nonlocal size
        for line in lines:
            size += len(line)
            if size > _ROW_BYTES_MAX:
                raise _too_long()
            yield line

    try:
        for row in csv_reader(counted(), delimiter=delimiter):
            size = 0
            yield row
    except CsvError as error:
        raise NotComparable(f"it is no CSV file that can be read ({error})") from error


def _too_long() -> NotComparable:
    return NotComparable(f"it has a row above the {_ROW_BYTES_MAX:,} bytes that are read as CSV")


def _texts(lines: Iterable[bytes], *, bom: bool) -> Iterator[str]:
    """Lines as text; with `bom`, the first of them may begin with a mark that is none of it."""
    for line in lines:
        text = line.removeprefix(BOM) if bom else line
        yield text.decode("utf-8", "backslashreplace")
        bom = False
