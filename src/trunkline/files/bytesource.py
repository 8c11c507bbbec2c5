"""Takes exact numbers of bytes off content that arrives in pieces of any size."""

from collections.abc import Callable, Iterable, Iterator

PIECE_BYTES = 1024 * 1024


class BrokeOff(Exception):
    """The content ended before the bytes that were asked for; the caller says what was missing."""


class ByteSource:
    """A content that is read once, in order. Holds one piece and what was asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece = b""
        self._at = 0

    def peek(self, size: int) -> bytes:
        """The next bytes without taking them: fewer than `size` only at the end."""
        if len(self._piece) - self._at < size:
            self._gather(size)
        return self._piece[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes; raises BrokeOff."""
        end = self._at + size
        if end > len(self._piece):
            self._gather(size)
            end = self._at + size
            if end > len(self._piece):
                raise BrokeOff
        taken = self._piece[self._at : end]
        self._at = end
        return taken

    def stream(self, size: int) -> Iterator[bytes]:
        """The same bytes as `take` gives, in pieces, as they come; raises BrokeOff."""
        while size > 0:
            piece = self.some(size)
            if not piece:
                raise BrokeOff
            size -= len(piece)
            yield piece

    def some(self, most: int) -> bytes:
        """What is at hand, at least one byte; nothing at the end."""
        if self._at >= len(self._piece) and not self._next():
            return b""
        taken = self._piece[self._at : self._at + most]
        self._at += len(taken)
        return taken

    def rest(self) -> Iterator[bytes]:
        """All that follows."""
        while piece := self.some(PIECE_BYTES):
            yield piece

    def _gather(self, size: int) -> None:
        parts = [self._piece[self._at :]]
        have = len(parts[0])
        for piece in self._pieces:
            parts.append(piece)
            have += len(piece)
            if have >= size:
                break
        self._piece, self._at = b"".join(parts), 0

    def _next(self) -> bool:
        for piece in self._pieces:
            if piece:
                self._piece, self._at = piece, 0
                return True
        self._piece, self._at = b"", 0
        return False


def pieces_of(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The content behind the `read` of a file, in pieces."""
    while piece := read(PIECE_BYTES):
        yield piece
