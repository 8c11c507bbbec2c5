"""What a file looks like: what a kind of preview is given, and what it gives.

A kind is a module of `pages/previews/`, found by being there. It has

* `ORDER`, a number: of several that suit a file, the kind with the lowest counts,
* `suits(subject)`, which looks at the name, the size and the first bytes, and
* `preview(subject)`, which gives a template and what that shows.

Nothing is ever run or loaded for a preview, and no more is read than what is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from trunkline.model.versions import FileInfo
from trunkline.server.console.page import Visit

START_BYTES = 8192


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
