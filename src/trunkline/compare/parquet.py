"""Reads Parquet files as tables; needs the extra `parquet` (pyarrow)."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from trunkline.compare.content import Content, NotComparable
from trunkline.compare.parts_file import PartsFile
from trunkline.compare.tables import ROWS_MAX, Side, Tables, column_changes, packed, unpacked

FILE_BYTES_MAX = 1024 * 1024 * 1024
_BATCH_ROWS = 1000
_READ_BYTES = 1024 * 1024
_CELL_BYTES = 10  # of a short value as text


def parquet_tables(old: Content, new: Content) -> Tables:
    """Both sides, row group by row group; raises NotComparable for what can't be read as Parquet.

    Rows are compared by the columns that both sides have, by value as text: a change of a column's
    type alone is a change of the schema. Of columns of one name, the second is called `name (2)`.
    """
    files = [
        _opened(PartsFile(content.size_bytes, content.part)) if content.size_bytes else None
        for content in (old, new)
    ]
    schemas = [{} if file is None else _schema(file) for file in files]
    both = all(file is not None for file in files)
    common = [name for name in schemas[1] if name in schemas[0]]
    sides = [
        _side(file, common if both else list(schema))
        for file, schema in zip(files, schemas, strict=True)
    ]
    return Tables(
        columns=column_changes(*schemas) if both else (),
        header=tuple(schemas[1] or schemas[0]),
        old=sides[0],
        new=sides[1],
    )


def rows_of(data: bytes) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, each with its values by column; raises NotComparable.

    A date, time or text that Python has no value for comes as the number or bytes that it is.
    """
    file = _opened(io.BytesIO(data))
    for name, times in Counter(file.schema_arrow.names).items():
        if times > 1:
            raise NotComparable(f"{times} of its columns are called '{name}'")
    names = list(_schema(file))
    return (dict(zip(names, row, strict=True)) for row in _rows(file, names))


def library() -> Any:
    """The library pyarrow; raises NotComparable where it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NotComparable(
            "reading Parquet files needs pyarrow: pip install 'trunkline[parquet]'"
        ) from error
    return pyarrow


def _opened(file: io.IOBase) -> Any:
    pyarrow = library()
    size_bytes = file.seek(0, io.SEEK_END)
    if size_bytes > FILE_BYTES_MAX:
        raise NotComparable(f"Parquet files above {FILE_BYTES_MAX:,} bytes are not read")
    file.seek(0)
    try:
        return pyarrow.parquet.ParquetFile(
            pyarrow.PythonFile(file, mode="r"), buffer_size=_READ_BYTES, pre_buffer=False
        )
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _unreadable(error) from error


def _unreadable(error: object) -> NotComparable:
    return NotComparable(f"it is no Parquet file that can be read ({error})")


def _schema(file: Any) -> dict[str, str]:
    """The types of columns by names that are unique, in the order of the file."""
    found: dict[str, str] = {}
    for column in file.schema_arrow:
        name, number = column.name, 2
        while name in found:
            name, number = f"{column.name} ({number})", number + 1
        found[name] = str(column.type)
    return found


def _rows(file: Any, wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    pyarrow = library()
    at = {name: place for place, name in enumerate(_schema(file))}
    places = [at[name] for name in wanted]
    try:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            yield from zip(*(values_of(batch.column(place)) for place in places), strict=True)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _unreadable(error) from error


def values_of(column: Any) -> list[Any]:
    """The values of a column as Python has them, or as they are stored."""
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, OSError, ValueError):
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: Any) -> Any:
    """A value; one that Python has none for as it is stored: a number of days, of seconds, …"""
    pyarrow = library()
    try:
        return scalar.as_py()
    except (OverflowError, OSError, ValueError):
        if isinstance(scalar, pyarrow.StructScalar):
            return {name: _value(part) for name, part in scalar.items()}
        if isinstance(scalar, pyarrow.ListScalar):
            return values_of(scalar.values)
        if isinstance(scalar, pyarrow.StringScalar):
            return scalar.as_buffer().to_pybytes().decode("utf-8", "backslashreplace")
        return getattr(scalar, "value", f"a {scalar.type} that can't be read")


def _side(file: Any, wanted: list[str]) -> Side:
    size_bytes = 0 if file is None else _size_bytes(file, len(wanted))

    def rows() -> Iterator[bytes]:
        if file is not None and wanted:
            for row in _rows(file, wanted):
                yield packed(None if value is None else str(value) for value in row)

    def cells(row: bytes) -> dict[str, str]:
        values = zip(wanted, unpacked(row), strict=True)
        return {name: value for name, value in values if value is not None}

    return Side(size_bytes=size_bytes, rows=rows, cells=cells, identity=bytes)


def _size_bytes(file: Any, columns: int) -> int:
    """About what the rows take as text. Equal values are stored once, so bytes alone say little."""
    meta = file.metadata
    sizes: list[int] = [meta.row_group(n).total_byte_size for n in range(meta.num_row_groups)]
    if meta.num_rows < 0 or min(sizes, default=0) < 0:
        raise _unreadable("it says that it has less than nothing")
    if meta.num_rows > ROWS_MAX:
        raise NotComparable(
            f"it has {meta.num_rows:,} rows; at most {ROWS_MAX:,} are compared row by row"
        )
    row_bytes: int = meta.num_rows * columns * _CELL_BYTES
    return max(sum(sizes), row_bytes)
