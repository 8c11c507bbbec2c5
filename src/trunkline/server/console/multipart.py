"""The parts of a form with files, one after the other, as they come (RFC 7578).

Names are as browsers write them: UTF-8, of which a quote and line ends alone are escaped.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trunkline.errors import InvalidInput

_TYPE = re.compile(
    r'multipart/form-data\s*;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*', re.I
)
_NAMES = re.compile(rb'[;\s](name|filename)="([^"]*)"', re.I)
_HEAD_BYTES_MAX = 16 * 1024
_TEXT_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A field, or a file where there is a `file_name`; its content is read once, in order."""

    name: str
    file_name: str | None
    content: Iterator[bytes]

    def text(self) -> str:
        """What a field says; raises InvalidInput if that is very long."""
        held = b""
        for piece in self.content:
            held += piece
            if len(held) > _TEXT_BYTES_MAX:
                raise InvalidInput(f"the field {self.name} of this form is too long")
        return held.decode("utf-8", "replace")


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts of a body; raises InvalidInput for one without parts."""
    found = _TYPE.fullmatch(content_type.strip())
    if found is None:
        raise InvalidInput("files are sent by a form of type multipart/form-data")
    return (found[1] or found[2]).encode("latin-1")


def parts_of(pieces: Iterable[bytes], boundary: bytes) -> Iterator[Part]:
    """The parts of a body that comes in pieces of any size.

    What is not read of a part is skipped when the next one is asked for. Raises InvalidInput for
    a body that is malformed or ends before its end.
    """
    body = _Body(pieces)
    mark = b"\r\n--" + boundary
    for _ in body.until(mark):
        raise InvalidInput("this form does not begin with a part")
    while True:
        behind = body.take(2)
        if behind == b"--":
            return
        if behind != b"\r\n":
            raise InvalidInput("this form has a part that begins with something else")
        head = b""
        for piece in body.until(b"\r\n\r\n"):
            head += piece
            if len(head) > _HEAD_BYTES_MAX:
                raise InvalidInput("this form has a part with too long a head")
        content = body.until(mark)
        yield _part(head, content)
        for _ in content:
            pass


def _part(head: bytes, content: Iterator[bytes]) -> Part:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            found = {key.lower(): _named(text) for key, text in _NAMES.findall(value)}
            if b"name" in found:
                return Part(name=found[b"name"], file_name=found.get(b"filename"), content=content)
    raise InvalidInput("this form has a part without a name")


def _named(text: bytes) -> str:
    try:
        name = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("this form has a name that is not UTF-8") from error
    return name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


class _Body:
    """What has come and is not read yet."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b"\r\n"  # as if a line ended before the first mark

    def until(self, mark: bytes) -> Iterator[bytes]:
        """What comes before a mark, behind which it goes on then."""
        kept = len(mark) - 1  # bytes that may be the beginning of one
        while True:
            at = self._held.find(mark)
            if at >= 0:
                data, self._held = self._held[:at], self._held[at + len(mark) :]
                if data:
                    yield data
                return
            if len(self._held) > kept:
                data, self._held = self._held[:-kept], self._held[-kept:]
                yield data
            self._fetch()

    def take(self, size: int) -> bytes:
        while len(self._held) < size:
            self._fetch()
        data, self._held = self._held[:size], self._held[size:]
        return data

    def _fetch(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise InvalidInput("the upload broke off before its end; nothing was changed")
        self._held += piece
