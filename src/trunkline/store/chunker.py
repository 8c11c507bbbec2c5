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


def split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a content that arrives in pieces of any size; nothing for an empty one.

    Holds at most two chunks of the largest size and one piece.
    """
    cutter = FastCDC(CHUNK_AVG_BYTES, min_size=CHUNK_MIN_BYTES, max_size=CHUNK_MAX_BYTES)
    waiting: list[bytes] = []
    waiting_bytes = 0
    for piece in pieces:
        waiting.append(piece)
        waiting_bytes += len(piece)
        if waiting_bytes >= _WINDOW_BYTES:
            window = b"".join(waiting)
            start = 0
            for chunk in cutter.cut_buf(window):
                # Nearer to the end of the window the cut could depend on bytes still to come.
                if len(window) - start < CHUNK_MAX_BYTES:
                    break
                yield bytes(chunk.data)
                start += chunk.length
            waiting = [window[start:]]
            waiting_bytes = len(window) - start
    rest = b"".join(waiting)
    if len(rest) <= CHUNK_MIN_BYTES:
        if rest:
            yield rest
        return
    for chunk in cutter.cut_buf(rest):
        yield bytes(chunk.data)
