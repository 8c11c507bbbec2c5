"""What differs inside of files: lines of text, rows of tables, values of JSON documents."""

from enum import StrEnum

from trunkline.values import dataclass


class ContentKind(StrEnum):
    """How two contents were compared."""

    TEXT = "text"  # line by line
    CSV = "csv"  # row by row
    JSONL = "jsonl"  # a row is a JSON value on a line of its own
    JSON = "json"  # value by value
    PARQUET = "parquet"  # row by row
    BINARY = "binary"  # only whether they differ


class Op(StrEnum):
    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """A column that came, went or changed its type; a CSV file has no types."""

    op: Op
    name: str
    old_type: str = ""
    new_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChange:
    """A value of a row, as text; None where that side has no such value."""

    column: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """A row or JSON value that came, went or changed.

    `place` is `row 7` (counted from 1, without the header, on the new side if it is there), the
    key of the row (`id=7`), or a JSON pointer. `cells` are all values of a row that came or went,
    and those that differ of one that changed.
    """

    op: Op
    place: str
    cells: tuple[CellChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentDifference:
    """What differs between two versions of a file.

    `added`, `removed` and `changed` count lines, rows or JSON values, all of them, whatever part
    of them is listed; they are None where that could not be found out (`note` says why). Text
    has `lines`, in the form of a unified diff; everything else has `columns` and `rows`.
    """

    path: str
    op: Op
    kind: ContentKind
    old_size_bytes: int | None  # None: the file is not there
    new_size_bytes: int | None
    added: int | None = None
    removed: int | None = None
    changed: int | None = None
    key: tuple[str, ...] = ()  # the columns by which rows were paired
    columns: tuple[ColumnChange, ...] = ()
    rows: tuple[RowChange, ...] = ()
    lines: tuple[str, ...] = ()
    truncated: bool = False  # more differs than is listed
    note: str = ""
