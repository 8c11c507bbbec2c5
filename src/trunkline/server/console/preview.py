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

from trunkline.compare.parts_file import PartsFile
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
        """The content as a file, of which only what is asked for is read.

        A single read of too much raises Unsuitable.
        """

        def part(start: int, end: int) -> bytes:
            if end - start > _AT_ONCE_BYTES_MAX:
                raise Unsuitable(f"{end - start:,} bytes of it would have to be read at once")
            return self.read(start, end - start)

        return PartsFile(self.file.size_bytes, part)
