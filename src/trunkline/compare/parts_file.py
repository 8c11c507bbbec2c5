"""Contents for libraries that want a file, of which they read what they need."""

import io
from collections.abc import Callable


class PartsFile(io.RawIOBase):
    """A content as a file, of which only what is asked for is read.

    `part` gives the bytes from one offset to before another; what it raises comes out of `read`.
    """

    def __init__(self, size_bytes: int, part: Callable[[int, int], bytes]) -> None:
        self._size_bytes = size_bytes
        self._part = part
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
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
        rest = max(0, self._size_bytes - self._at)
        wanted = rest if size is None or size < 0 else min(size, rest)
        data = self._part(self._at, self._at + wanted) if wanted else b""
        self._at += len(data)
        return data
