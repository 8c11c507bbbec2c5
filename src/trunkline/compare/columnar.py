"""What is in a Parquet, Arrow or Feather file, by its ends and some rows; needs pyarrow."""

import io
from collections.abc import Iterator
from typing import Any

from trunkline.compare.content import NotComparable
from trunkline.compare.parquet import library, values_of
from trunkline.values import dataclass

FORMATS = {
    "parquet": "Parquet",
    "pq": "Parquet",
    "arrow": "Arrow",
    "arrows": "Arrow",
    "ipc": "Arrow",
    "feather": "Feather",
}
SAMPLE_ROWS = 50
COLUMNS_MAX = 200  # that are described, and of which values are read
GROUPS_MAX = 50
_CHUNKS_MAX = 1000  # of columns in row groups, whose statistics are looked at
VALUE_MAX = 300  # characters of a value
_METADATA_MAX = 4000  # characters of what a file says of itself
_READ_BYTES = 1024 * 1024
_GROUP_BYTES_MAX = 1024 * 1024 * 1024  # unpacked, of a group whose first rows are read
_SAMPLE_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`least`, `most` and `nulls` are those of all row groups that are described, where known."""

    name: str
    type: str
    nulls: int | None = None
    least: str | None = None
    most: str | None = None
    stored_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    rows: int
    size_bytes: int  # unpacked
    codec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columnar:
    columns: tuple[Column, ...]
    columns_total: int
    rows: int | None  # None: only reading all would tell
    groups: tuple[RowGroup, ...]  # or record batches, whose sizes are not known
    groups_total: int | None
    written_by: str
    metadata: tuple[tuple[str, str], ...]
    sample: tuple[tuple[str | None, ...], ...]  # the first rows, cut to what is shown
    note: str  # why there is no sample


def columnar(file: io.BufferedIOBase, kind: str) -> Columnar:
    """Describe a file of that kind (a value of `FORMATS`).

    Raises NotComparable for what can't be read, and where pyarrow is missing.
    """
    pyarrow = library()
    try:
        return _parquet(pyarrow, file) if kind == "Parquet" else _arrow(pyarrow, file)
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        said = str(error).partition("\n")[0][:200]
        raise NotComparable(f"it is no {kind} file that can be read ({said})") from error


def _parquet(pyarrow: Any, file: io.BufferedIOBase) -> Columnar:
    opened = pyarrow.parquet.ParquetFile(
        pyarrow.PythonFile(file, mode="r"), buffer_size=_READ_BYTES, pre_buffer=False
    )
    meta = opened.metadata
    most = max(1, min(GROUPS_MAX, _CHUNKS_MAX // max(1, min(meta.num_columns, COLUMNS_MAX))))
    groups = [meta.row_group(n) for n in range(min(meta.num_row_groups, most))]
    schema = opened.schema_arrow
    chunks: dict[str, list[Any]] = {}  # of the columns that hold no others, by their names
    for group in groups:
        for place in range(min(group.num_columns, COLUMNS_MAX)):
            chunk = group.column(place)
            chunks.setdefault(chunk.path_in_schema, []).append(chunk)
    sample: tuple[tuple[str | None, ...], ...] = ()
    note = ""
    if groups and groups[0].total_byte_size > _GROUP_BYTES_MAX:
        note = "The first row group is too large to read rows of it here."
    elif groups:
        sample, note = _sample(
            opened.iter_batches(batch_size=SAMPLE_ROWS, columns=schema.names[:COLUMNS_MAX])
        )
    return Columnar(
        columns=tuple(
            _described(column.name, str(column.type), chunks.get(column.name, []), len(groups))
            for column in _some(schema)
        ),
        columns_total=len(schema),
        rows=meta.num_rows,
        groups=tuple(
            RowGroup(
                rows=group.num_rows,
                size_bytes=group.total_byte_size,
                codec=group.column(0).compression if group.num_columns else "",
            )
            for group in groups
        ),
        groups_total=meta.num_row_groups,
        written_by=str(meta.created_by or ""),
        metadata=_metadata(meta.metadata),
        sample=sample,
        note=note,
    )


def _some(schema: Any) -> Iterator[Any]:
    return (schema.field(place) for place in range(min(len(schema), COLUMNS_MAX)))


def _described(name: str, kind: str, chunks: list[Any], groups: int) -> Column:
    """A column with what the row groups say of its chunks."""
    if len(chunks) != groups:  # it holds other columns, or shares its name
        return Column(name=name, type=kind)
    statistics = [chunk.statistics for chunk in chunks]
    nulls = [one.null_count for one in statistics if one and one.has_null_count]
    bounds = [(one.min, one.max) for one in statistics if one and one.has_min_max]
    known = bool(bounds) and len(bounds) == len(chunks)
    return Column(
        name=name,
        type=kind,
        nulls=sum(nulls) if nulls and len(nulls) == len(chunks) else None,
        least=_text(min(low for low, _ in bounds)) if known else None,
        most=_text(max(high for _, high in bounds)) if known else None,
        stored_bytes=sum(chunk.total_compressed_size for chunk in chunks) if chunks else None,
    )


def _arrow(pyarrow: Any, file: io.BufferedIOBase) -> Columnar:
    from pyarrow import ipc

    source = pyarrow.PythonFile(file, mode="r")
    total: int | None
    try:
        opened = ipc.open_file(source)
        total = opened.num_record_batches
        batches = (opened.get_batch(n) for n in range(total))
    except pyarrow.ArrowInvalid:  # a stream, then
        file.seek(0)
        opened = ipc.open_stream(pyarrow.PythonFile(file, mode="r"))
        total = None
        batches = iter(opened)
    schema = opened.schema
    sample, note = _sample(batches)
    return Columnar(
        columns=tuple(Column(name=one.name, type=str(one.type)) for one in _some(schema)),
        columns_total=len(schema),
        rows=None,
        groups=(),
        groups_total=total,
        written_by="",
        metadata=_metadata(schema.metadata),
        sample=sample,
        note=note,
    )


def _sample(batches: Iterator[Any]) -> tuple[tuple[tuple[str | None, ...], ...], str]:
    """The first rows of the first batch, and why there are none."""
    batch = next(batches, None)
    if batch is None:
        return (), ""
    batch = batch.slice(0, SAMPLE_ROWS)
    if batch.nbytes > _SAMPLE_BYTES_MAX:
        return (), "The first rows are too large to be shown here."
    places = range(min(batch.num_columns, COLUMNS_MAX))
    columns = [[_text(value) for value in values_of(batch.column(place))] for place in places]
    return tuple(zip(*columns, strict=True)), ""


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= VALUE_MAX else text[:VALUE_MAX] + "…"


def _metadata(given: dict[bytes, bytes] | None) -> tuple[tuple[str, str], ...]:
    """What a file says of itself, but for the copy of its schema that Arrow keeps there."""
    return tuple(
        (key.decode("utf-8", "replace"), value.decode("utf-8", "replace")[:_METADATA_MAX])
        for key, value in (given or {}).items()
        if key != b"ARROW:schema"
    )
