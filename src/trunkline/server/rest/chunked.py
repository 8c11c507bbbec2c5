"""Reads a chunked body off a connection, by the letter of HTTP/1.1 and no more.

Who reads a body in another way than the next one on the same connection opens a door for requests
hidden in it. So nothing is taken that two readers could understand in two ways: a size is digits
and nothing else (no sign, space or extension), lines end with CRLF, and no trailers come behind
the last chunk. After anything else the reader is `broken`, and so must be the connection.

No thread of its own and no socket: it asks a function for bytes. For one thread at a time.
"""

import re
from collections.abc import Callable, Iterator

from trunkline.errors import InvalidInput

BUFFER_BYTES = 128 * 1024  # read ahead where chunks or what is wanted of them are small
LARGE_BYTES = 32 * 1024  # wanted of one chunk: read to where it is wanted
SURPLUS_BYTES = 512  # read behind such a piece: where the next one begins

_DIGITS_MAX = 16
_LINE_END = b"\r\n"
_LINE = re.compile(rb"([0-9a-fA-F]*)(\r\n|\r?\Z)")  # or how one can begin

Receive = Callable[[list[memoryview]], int]  # fills them in order; 0 once nothing comes any more


class ChunkedReader:
    """One body. It is `complete` when its last chunk was read, and `broken` when it can't be."""

    def __init__(self, receive: Receive, begin: bytes) -> None:
        """`begin` is what came before all that `receive` will give."""
        self.complete = False
        self.broken = False
        self._receive = receive
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._raw = memoryview(begin)  # has come, and was not looked at
        self._left = 0  # bytes of a chunk that were not given yet
        self._begun = False  # a chunk was read, whose line end is still to come

    def pieces(self) -> Iterator[bytes]:
        """The rest of the body as it comes; may be left and taken up again at any time.

        Ends early where the connection does: then the reader is broken. Raises InvalidInput.
        """
        while self._at_content():
            if not self._raw and not self._more():
                return
            piece = bytes(self._raw[: self._left])
            self._raw = self._raw[len(piece) :]
            self._left -= len(piece)
            yield piece

    def readinto(self, view: memoryview) -> int:
        """Some of the next bytes, straight to where they are wanted; 0 as `pieces` ends."""
        if not self._at_content():
            return 0
        count = min(len(view), self._left)
        if not self._raw and count >= LARGE_BYTES:
            came = self._receive([view[:count], self._buffer[:SURPLUS_BYTES]])
            self.broken = not came
            self._raw = self._buffer[: max(0, came - count)]
            came = min(came, count)
        else:
            if not self._raw and not self._more():
                return 0
            came = min(count, len(self._raw))
            view[:came] = self._raw[:came]
            self._raw = self._raw[came:]
        self._left -= came
        return came

    def unread(self) -> bytes:
        """What another reader, at the beginning of a body, is to be given before all that comes.

        It has the same end for both. What was read already is not told again.
        """
        assert not self.broken
        if self.complete:
            begin = b"0\r\n\r\n"
        elif self._left:
            begin = b"%x\r\n" % self._left
        elif self._begun:
            begin = b"1\r\n-"  # a chunk of whatever, to go before the line end
        else:
            begin = b""
        return begin + bytes(self._raw)

    def _at_content(self) -> bool:
        """Whether bytes of a chunk come next, having read the head of one where that is next."""
        if self._left:
            return True
        if self.complete or self.broken:
            return False
        self.broken = True  # whatever happens in the middle of it
        if self._begun and self._digits(0) is None:
            return False
        digits = self._digits(_DIGITS_MAX)
        if digits is None:
            return False
        if not digits:
            raise _malformed("the size of a chunk")
        self._left = int(digits, 16)
        if not self._left:
            if self._digits(0) is None:
                return False
            self.complete = True
        self._begun = True
        self.broken = False
        return not self.complete

    def _digits(self, most: int) -> bytes | None:
        """The next line, which is at most so many digits; None when it does not come."""
        while True:
            seen = bytes(self._raw[: most + len(_LINE_END)])
            line = _LINE.match(seen)
            if line is None or len(line[1]) > most:
                raise _malformed("the size of a chunk" if most else "the end of a line")
            if line[2] == _LINE_END:
                self._raw = self._raw[line.end() :]
                return line[1]
            if not self._more():
                return None

    def _more(self) -> bool:
        """Read on, keeping what has not been looked at; false when nothing comes."""
        kept = bytes(self._raw)
        came = self._receive([self._buffer[len(kept) :]])
        self._buffer[: len(kept)] = kept
        self._raw = self._buffer[: len(kept) + came]
        self.broken = self.broken or not came
        return came > 0


def _malformed(wanted: str) -> InvalidInput:
    return InvalidInput(
        "the body of the request is not in chunks as this server reads them: something else came "
        f"where {wanted} was due; nothing was changed"
    )
