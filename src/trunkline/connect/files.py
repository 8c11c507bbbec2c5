"""Handles on files and directories of commits."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.api.connection import Operations
from trunkline.errors import InvalidInput, NotFound, OperationFailed
from trunkline.model.names import check_path
from trunkline.model.versions import FileInfo, FileType

if TYPE_CHECKING:
    import pandas  # type: ignore[import-not-found, import-untyped, unused-ignore]

    from trunkline.model.lineage import DatumReason, ImpactStep, WhyStep

READ_BYTES = 1024 * 1024  # fetched at a time when a file object is read in small steps


class FileHandle:
    """A file or directory of a commit: `connection["repo@ref:/path"]`.

    While `ref` is a branch, each method looks at the branch's head anew.
    """

    def __init__(self, operations: Operations, repo: str, ref: str, path: str) -> None:
        self._operations = operations
        self.repo = repo
        self.ref = ref
        self.path = check_path(path, root_allowed=True)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    def __truediv__(self, name: str) -> FileHandle:
        """A handle on something inside this directory."""
        path = f"{self.path}/{name}" if self.path else name
        return FileHandle(self._operations, self.repo, self.ref, path)

    @property
    def info(self) -> FileInfo:
        """What the server says of it; raises FileNotFoundInCommit."""
        return self._operations.files.inspect_file(self.repo, self.ref, self.path or "/")

    def exists(self) -> bool:
        try:
            self.info  # noqa: B018  the question is whether it raises
        except NotFound:
            return False
        return True

    def list(self) -> Iterator[FileHandle]:
        """The entries of this directory, by name."""
        for entry in self._operations.files.list_files(self.repo, self.ref, self.path or "/"):
            yield FileHandle(self._operations, self.repo, self.ref, entry.path)

    def read_bytes(self) -> bytes:
        """The whole content."""
        return b"".join(self._operations.files.read_file(self.repo, self.ref, self.path))

    def read_text(self, encoding: str = "utf-8") -> str:
        """The whole content as text."""
        return self.read_bytes().decode(encoding)

    def open(self) -> io.BufferedReader:
        """A binary, seekable file object that fetches only what is read.

        It stays at the commit that the handle meant when it was opened.
        """
        info = self.info
        if info.type is FileType.DIR:
            raise InvalidInput(f"{self} is a directory; open one of its files")
        return io.BufferedReader(_RangedReader(self._operations, info), READ_BYTES)

    def download(self, to: str | os.PathLike[str]) -> Path:
        """Write the file, or the directory with all below it, to a local path; returns the path.

        A file appears under its name only once it is whole.
        """
        target = Path(to)
        info = self.info
        if info.type is FileType.FILE:
            self._download_one(info, target)
            return target
        target.mkdir(parents=True, exist_ok=True)
        inside = f"{info.path}/" if info.path else ""
        found = self._operations.files.list_files(
            self.repo, info.commit, info.path or "/", recursive=True
        )
        for entry in found:
            # Names are checked again: this is where a hostile server could leave the directory.
            relative = check_path(entry.path.removeprefix(inside))
            if entry.type is FileType.FILE:
                self._download_one(entry, target / relative)
        return target

    def why(self, *, depth: int = 0) -> Iterator[WhyStep]:
        """Where this file came from, down to puts; see `Lineage.why_file`."""
        return self._operations.lineage.why_file(self.repo, self.ref, self.path, depth=depth)

    def impact(self, *, depth: int = 0, files: bool = False) -> Iterator[ImpactStep]:
        """What came of this file; see `Lineage.impact_of_file`."""
        return self._operations.lineage.impact_of_file(
            self.repo, self.ref, self.path, depth=depth, files=files
        )

    def explain(self) -> Sequence[DatumReason]:
        """Why the datums that wrote this file were run or skipped."""
        return self._operations.lineage.explain_file(self.repo, self.ref, self.path)

    def pandas(self, **options: Any) -> pandas.DataFrame:
        """The content as a pandas DataFrame, read as its name ends (.csv, .parquet, …).

        `options` go to the reading function of pandas.
        """
        import pandas

        kinds = {
            "csv": pandas.read_csv,
            "tsv": pandas.read_csv,
            "json": pandas.read_json,
            "jsonl": pandas.read_json,
            "ndjson": pandas.read_json,
            "parquet": pandas.read_parquet,
        }
        ending = self.name.rpartition(".")[2].lower()
        if ending not in kinds:
            raise InvalidInput(
                f"{self} does not say what it holds; read .open() with a function of pandas"
            )
        if ending == "tsv":
            options.setdefault("sep", "\t")
        if ending in ("jsonl", "ndjson"):
            options.setdefault("lines", True)
        with self.open() as file:
            return kinds[ending](file, **options)

    def _download_one(self, info: FileInfo, target: Path) -> None:
        from trunkline.connect.materialise import write_whole

        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OperationFailed(f"can't write {target}: {error.strerror}") from error
        pieces = self._operations.files.read_file(info.repo, info.commit, info.path)
        write_whole(target, pieces, lambda _: None)

    def __str__(self) -> str:
        return f"{self.repo}@{self.ref}:/{self.path}"

    def __repr__(self) -> str:
        return f"<{self}>"


class _RangedReader(io.RawIOBase):
    """Reads ranges of one file of one commit as they are asked for."""

    def __init__(self, operations: Operations, info: FileInfo) -> None:
        super().__init__()
        self._operations = operations
        self._info = info
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size_bytes}
        if whence not in start:
            raise ValueError(f"invalid whence ({whence})")
        if start[whence] + offset < 0:
            raise ValueError("negative seek position")
        self._position = start[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._info.size_bytes - self._position)
        if wanted <= 0:
            return 0
        filled = 0
        for piece in self._read(wanted):
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        self._position += filled
        return filled

    def readall(self) -> bytes:
        left = self._info.size_bytes - self._position
        content = b"".join(self._read(left)) if left > 0 else b""
        self._position += len(content)
        return content

    def _read(self, size_bytes: int) -> Iterator[bytes]:
        return self._operations.files.read_file(
            self._info.repo,
            self._info.commit,
            self._info.path,
            offset_bytes=self._position,
            size_bytes=size_bytes,
        )
