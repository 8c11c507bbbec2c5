"""Content that users hand over, held until it is sent: in memory while small, else on disk."""

import tempfile
from collections.abc import Iterator
from io import BytesIO
from os import PathLike
from typing import Protocol, TypeAlias, runtime_checkable

from trunkline.errors import InvalidInput, shown
from trunkline.values import dataclass

MEMORY_BYTES_MAX = 16 * 1024 * 1024  # of one commit; what is more goes to a temporary file
PIECE_BYTES = 1024 * 1024


@runtime_checkable
class Readable(Protocol):
    """A file object, binary or text."""

    def read(self, size: int = ..., /) -> bytes | str: ...


@runtime_checkable
class PandasTable(Protocol):
    """What is used of a pandas DataFrame."""

    def to_csv(self, **_options: object) -> str: ...
    def to_json(self, **_options: object) -> str: ...
    def to_parquet(self, path: BytesIO, /) -> object: ...


@runtime_checkable
class PolarsTable(Protocol):
    """What is used of a polars DataFrame."""

    def write_csv(self, **_options: object) -> str: ...
    def write_json(self) -> str: ...
    def write_ndjson(self) -> str: ...
    def write_parquet(self, file: BytesIO, /) -> object: ...


Content: TypeAlias = (
    bytes | bytearray | memoryview | str | PathLike[str] | Readable | PandasTable | PolarsTable
)


class Spool:
    """Content taken so far, one piece behind the other."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX)  # noqa: SIM115
        self._size_bytes = 0

    def take(self, path: str, content: Content) -> "Spooled":
        """Take content now; `path` tells how a table is to be written."""
        start = self._size_bytes
        if isinstance(content, str):
            self._write(content.encode("utf-8"))
        elif isinstance(content, bytes | bytearray | memoryview):
            self._write(content)
        elif isinstance(content, PandasTable | PolarsTable):
            self._write(_rendered(path, content))
        elif isinstance(content, Readable):
            while piece := content.read(PIECE_BYTES):
                self._write(piece.encode("utf-8") if isinstance(piece, str) else piece)
        else:
            raise InvalidInput(
                f"{path}: can't store a {type(content).__name__}; give bytes, text, a file object, "
                "a pathlib.Path or a table"
            )
        return Spooled(spool=self, start=start, size_bytes=self._size_bytes - start)

    def read(self, start: int, size_bytes: int) -> bytes:
        self._file.seek(start)
        return self._file.read(size_bytes)

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        self._file.seek(self._size_bytes)
        self._file.write(data)
        self._size_bytes += data.nbytes if isinstance(data, memoryview) else len(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """One content in a spool; may be read any number of times."""

    spool: Spool
    start: int
    size_bytes: int

    def __iter__(self) -> Iterator[bytes]:
        for offset in range(0, self.size_bytes, PIECE_BYTES):
            size = min(PIECE_BYTES, self.size_bytes - offset)
            yield self.spool.read(self.start + offset, size)


def _rendered(path: str, table: PandasTable | PolarsTable) -> bytes:
    ending = path.rpartition("/")[2].rpartition(".")[2].lower()
    if ending == "parquet":
        buffer = BytesIO()
        if isinstance(table, PandasTable):
            table.to_parquet(buffer)
        else:
            table.write_parquet(buffer)
        return buffer.getvalue()
    if ending in ("csv", "tsv", "json", "jsonl", "ndjson"):
        return _text(ending, table).encode("utf-8")
    raise InvalidInput(
        f"{shown(path)} does not say how to store a table: "
        "let it end in .csv, .tsv, .json, .jsonl or .parquet"
    )


def _text(ending: str, table: PandasTable | PolarsTable) -> str:
    separator = "\t" if ending == "tsv" else ","
    if isinstance(table, PandasTable):
        if ending in ("csv", "tsv"):
            return table.to_csv(sep=separator, index=False)
        return table.to_json(orient="records", lines=ending != "json")
    if ending in ("csv", "tsv"):
        return table.write_csv(separator=separator)
    return table.write_json() if ending == "json" else table.write_ndjson()
