"""Archives: what is in them, by name and size. Nothing is unpacked."""

import bz2
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from trunkline.server.console.preview import Preview, Subject, Unsuitable

ORDER = 100
_ROWS = 500
_PACKED_BYTES_MAX = 64 * 1024 * 1024  # of a compressed archive that are unpacked to find names
_ZIP = ("zip", "jar", "whl", "npz", "egg", "docx", "xlsx", "pptx", "kmz")
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError),
    *(ValueError, NotImplementedError, RuntimeError),
)


class Member(NamedTuple):
    name: str
    kind: str  # file, directory, link or other
    size_bytes: int
    packed_bytes: int | None  # None where they are packed together
    changed: str


def suits(subject: Subject) -> bool:
    name = subject.file.path.lower()
    tar = subject.suffix in ("tar", "tgz") or name.endswith((".tar.gz", ".tar.bz2"))
    return (tar or subject.suffix in _ZIP) and subject.file.size_bytes > 0


def preview(subject: Subject) -> Preview:
    members: list[Member] = []
    cut = ""
    try:
        found = _zip(subject) if subject.suffix in _ZIP else _tar(subject)
        members.extend(islice(found, _ROWS + 1))
    except _Enough:
        cut = f"Looked for in the first {_PACKED_BYTES_MAX:,} bytes of what is packed."
    except _BROKEN as error:
        if not members:
            raise Unsuitable("it is no archive that can be read") from error
        cut = "The archive is damaged behind these."
    if len(members) > _ROWS:
        cut = f"The first {_ROWS} of them."
    context = {"members": members[:_ROWS], "cut": cut}
    return Preview(template="files/archive.html", label="archive", context=context)


def _zip(subject: Subject) -> Iterator[Member]:
    with zipfile.ZipFile(io.BufferedReader(subject.opened())) as archive:
        for one in archive.infolist():
            year, month, day, hour, minute, _ = one.date_time
            yield Member(
                name=one.filename,
                kind="directory" if one.is_dir() else "file",
                size_bytes=one.file_size,
                packed_bytes=one.compress_size,
                changed=f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}",
            )


def _tar(subject: Subject) -> Iterator[Member]:
    plain = io.BufferedReader(subject.opened())
    with _opened_tar(subject.suffix, plain) as archive:
        for one in archive:
            yield Member(
                name=one.name,
                kind=_kind(one),
                size_bytes=one.size,
                packed_bytes=None,
                changed=_time(one.mtime),
            )


def _opened_tar(suffix: str, file: "io.BufferedReader[io.RawIOBase]") -> tarfile.TarFile:
    if suffix in ("gz", "tgz"):
        return tarfile.open(fileobj=_Some(gzip.GzipFile(fileobj=file)), mode="r|")
    if suffix == "bz2":
        return tarfile.open(fileobj=_Some(bz2.BZ2File(file)), mode="r|")
    return tarfile.open(fileobj=file, mode="r:")


def _kind(one: tarfile.TarInfo) -> str:
    if one.issym() or one.islnk():
        return "link"
    return "file" if one.isfile() else "directory" if one.isdir() else "other"


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return ""


class _Enough(Exception):
    """So much was unpacked that no more is."""


class _Some(io.RawIOBase):
    """What is unpacked, as far as it is not too much."""

    def __init__(self, file: gzip.GzipFile | bz2.BZ2File) -> None:
        self._file = file
        self._left_bytes = _PACKED_BYTES_MAX

    def read(self, size: int | None = -1) -> bytes:
        if self._left_bytes <= 0:
            raise _Enough
        data = self._file.read(min(self._left_bytes, 1024 * 1024 if size is None else size))
        self._left_bytes -= len(data)
        return data
