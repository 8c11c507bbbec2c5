"""Text and logs, a piece at a time: a file of any size is read where one looks."""

from trunkline.server.console.preview import Preview, Subject

ORDER = 900  # behind all kinds that know more of a format
PIECE_BYTES = 64 * 1024


def suits(subject: Subject) -> bool:
    start = subject.start
    if b"\0" in start:
        return False
    # A character of UTF-8 may be cut in two at the end of what was read.
    return any(_is_text(start[: len(start) - cut]) for cut in range(min(4, len(start) + 1)))


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def preview(subject: Subject) -> Preview:
    offset = subject.visit.whole_number("offset", 0, most=subject.file.size_bytes)
    piece = subject.read(offset, PIECE_BYTES)
    end = offset + len(piece)
    if end < subject.file.size_bytes:
        whole = piece.rfind(b"\n") + 1 or len(piece)
        piece, end = piece[:whole], offset + whole
    context = {
        "offset": offset,
        "text": piece.decode("utf-8", "replace"),
        "next": end if end < subject.file.size_bytes else None,
    }
    return Preview(template="files/text.html", label="text", context=context)
