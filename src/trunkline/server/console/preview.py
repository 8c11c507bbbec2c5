"""What a file looks like: what a kind of preview is given, and what it gives.

A kind is a module of `pages/previews/`, found by being there. It has

* `ORDER`, a number: of several that suit a file, the kind with the lowest counts,
* `suits(subject)`, which looks at the name, the size and the first bytes, and
* `preview(subject)`, which gives a template and what that shows, or raises `Unsuitable` where the
  content is not what its name promises; the next kind that suits shows it then.

Nothing is ever run or loaded for a preview, and no more is read than what is shown.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from trunkline.model.versions import FileInfo
from trunkline.server.console.page import Visit

START_BYTES = 8192
_AT_ONCE_BYTES_MAX = 32 * 1024 * 1024  # that a library may ask for, whatever a file says of itself


class Unsuitable(Exception):
    """The content can't be shown in this way; the text says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A template with what it shows."""

    template: str
    label: str  # of the kind, for people: "table", "text"
    context: Mapping[str, object] = field(default_factory=dict)


class Subject:
    """A file of a finished commit."""

    def __init__(self, visit: Visit, file: FileInfo) -> None:
        self.visit = visit
        self.file = file

    @property
    def suffix(self) -> str:
        """The end of the name behind the last dot, in small letters."""
        name = self.file.path.rpartition("/")[2]
        return name.rpartition(".")[2].lower() if "." in name else ""

    @cached_property
    def start(self) -> bytes:
        """The first bytes."""
        return self.read(0, START_BYTES)

    def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """So many bytes from there, or fewer at the end."""
        if offset_bytes >= self.file.size_bytes:
            return b""
        return b"".join(
            self.visit.operations.files.read_file(
                *(self.file.repo, self.file.commit, self.file.path),
                offset_bytes=offset_bytes,
                size_bytes=size_bytes,
            )
        )

    def whole(self, most_bytes: int) -> bytes:
        """All of it; raises Unsuitable for more than that."""
        if self.file.size_bytes > most_bytes:
            raise Unsuitable(f"it is larger than the {most_bytes:,} bytes that are read for that")
        return self.read(0, most_bytes)

    def opened(self) -> io.RawIOBase:
        """The content as a file, of which only what is asked for is read."""
        return _File(self)


class _File(io.RawIOBase):
    """A content as a file. A single read of too much raises Unsuitable."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size_bytes = self._subject.file.size_bytes
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size_bytes}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, view: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        rest = max(0, self._subject.file.size_bytes - self._at)
        wanted = rest if size is None or size < 0 else min(size, rest)
        if wanted > _AT_ONCE_BYTES_MAX:
            raise Unsuitable(f"{wanted:,} bytes of it would have to be read at once")
        data = self._subject.read(self._at, wanted) if wanted else b""
        self._at += len(data)
        return data
