"""Reads Parquet files as tables; needs the extra `parquet` (pyarrow)."""

from collections.abc import Hashable, Iterator
from typing import Any

from trunkline.compare.content import Content, NotComparable
from trunkline.compare.tables import Side, Tables, column_changes

FILE_BYTES_MAX = 1024 * 1024 * 1024
_BATCH_ROWS = 10_000


def parquet_tables(old: Content, new: Content) -> Tables:
    """Both sides, row group by row group; raises NotComparable for what can't be read as Parquet.

    Rows are compared by the columns that both sides have, by value: a change of a column's type
    alone is a change of the schema.
    """
    files = [_opened(content) if content.size_bytes else None for content in (old, new)]
    schemas = [
        {} if file is None else {f.name: str(f.type) for f in file.schema_arrow} for file in files
    ]
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
    """The rows of a Parquet file, each with its values by column; raises NotComparable."""
    pyarrow = _library()
    try:
        with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(pyarrow.py_buffer(data))) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _unreadable(error) from error


def _library() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NotComparable(
            "reading Parquet files needs pyarrow: pip install 'trunkline[parquet]'"
        ) from error
    return pyarrow


def _opened(content: Content) -> Any:
    pyarrow = _library()
    if content.size_bytes > FILE_BYTES_MAX:
        raise NotComparable(f"Parquet files above {FILE_BYTES_MAX:,} bytes are not read")
    data = pyarrow.py_buffer(content.part(0, content.size_bytes))
    try:
        return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> NotComparable:
    return NotComparable(f"it is no Parquet file that can be read ({error})")


def _side(file: Any, wanted: list[str]) -> Side:
    groups = () if file is None else range(file.metadata.num_row_groups)

    def rows() -> Iterator[tuple[Any, ...]]:
        import pyarrow

        if file is None or not wanted:
            return
        try:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                columns = [batch.column(name).to_pylist() for name in wanted]
                yield from zip(*columns, strict=True)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise _unreadable(error) from error

    def cells(row: tuple[Any, ...]) -> dict[str, str]:
        return {
            name: str(value) for name, value in zip(wanted, row, strict=True) if value is not None
        }

    def identity(row: tuple[Any, ...]) -> Hashable:
        return repr(row)

    return Side(
        size_bytes=sum(file.metadata.row_group(n).total_byte_size for n in groups),
        rows=rows,
        cells=cells,
        identity=identity,
    )
