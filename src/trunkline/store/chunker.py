"""Where large contents are cut, so that an edit in the middle changes few chunks.

Cut points depend on the bytes between the previous cut and the next one only. So the chunks of a
content are a function of its bytes alone (not of the pieces it arrived in), and a content that
grows keeps all its chunks but the last.
"""

from collections.abc import Iterable, Iterator

from pyfastcdc import FastCDC

CHUNK_MIN_BYTES = 1024 * 1024  # contents up to this size are always one chunk
CHUNK_AVG_BYTES = 2 * 1024 * 1024
CHUNK_MAX_BYTES = 8 * 1024 * 1024

_WINDOW_BYTES = 2 * CHUNK_MAX_BYTES  # joined before cutting, so that each byte is copied ~twice


def cuts(window: bytes | memoryview, *, last: bool) -> list[int]:
    """Where the chunks end that begin a part of a content, which begins at a cut itself.

    Unless it is the `last` part, less than `CHUNK_MAX_BYTES` at its end are left to the next one: a
    chunk that reaches the end of the part may go on behind it.
    """
    size = len(window)
    if size <= CHUNK_MIN_BYTES:
        return [size] if size and last else []
    ends: list[int] = []
    at = 0
    cutter = FastCDC(CHUNK_AVG_BYTES, min_size=CHUNK_MIN_BYTES, max_size=CHUNK_MAX_BYTES)
    for chunk in cutter.cut_buf(window):
        at += chunk.length
        if at < size or last or chunk.length == CHUNK_MAX_BYTES:
            ends.append(at)
    return ends


def split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a content that arrives in pieces of any size; nothing for an empty one.

    Holds at most two chunks of the largest size and one piece.
    """
    waiting: list[bytes] = []
    waiting_bytes = 0
    for piece in pieces:
        waiting.append(piece)
        waiting_bytes += len(piece)
        if waiting_bytes >= _WINDOW_BYTES:
            window = b"".join(waiting)
            start = 0
            for end in cuts(window, last=False):
                yield window[start:end]
                start = end
            waiting = [window[start:]]
            waiting_bytes = len(window) - start
    rest = b"".join(waiting)
    start = 0
    for end in cuts(rest, last=True):
        yield rest[start:end]
        start = end
