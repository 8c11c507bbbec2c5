"""Text and logs, a piece at a time: a file of any size is read where one looks.

The number of a line is known as long as one came there piece by piece from the beginning.
"""

from trunkline.server.console.preview import Preview, Subject

ORDER = 900  # behind all kinds that know more of a format
PIECE_BYTES = 64 * 1024


def suits(subject: Subject) -> bool:
    start = subject.start
    return b"\0" not in start and len(start) - len(_whole_characters(start)) < 4


def _whole_characters(piece: bytes) -> bytes:
    """The beginning of it that is UTF-8; a character may be cut in two at the end."""
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError as error:
        return piece[: error.start]
    return piece


def preview(subject: Subject) -> Preview:
    size_bytes = subject.file.size_bytes
    offset = subject.visit.whole_number("offset", 0, most=size_bytes)
    line = subject.visit.whole_number("line", 0 if offset else 1, most=10**15)
    if offset and "jump" in subject.visit.query:
        # To anywhere: from the next line that begins there, if one does soon.
        offset += subject.read(offset, PIECE_BYTES // 2).find(b"\n") + 1
        line = 0
    piece = _cut(subject.read(offset, PIECE_BYTES), is_last=offset + PIECE_BYTES >= size_bytes)
    end = offset + len(piece)
    ends = piece.count(b"\n")
    count = ends + (not piece.endswith(b"\n"))
    context = {
        "offset": offset,
        "end": end,
        "line": line,
        "text": piece.decode("utf-8", "replace"),
        "numbers": "\n".join(map(str, range(line, line + count))) if line else "",
        "lines": count,
        "before": _before(subject, offset, line) if offset else None,
        "next": {"offset": end, "line": line + ends if line else 0} if end < size_bytes else None,
        "last": max(0, size_bytes - PIECE_BYTES),
    }
    return Preview(template="files/text.html", label="text", context=context)


def _cut(piece: bytes, *, is_last: bool) -> bytes:
    """The piece up to the end of its last line, or where it has none, of its last character."""
    if is_last:
        return piece
    end = piece.rfind(b"\n") + 1
    if not end:
        whole = _whole_characters(piece)
        end = len(whole) if len(piece) - len(whole) < 4 else len(piece)
    return piece[:end]


def _before(subject: Subject, offset: int, line: int) -> dict[str, int]:
    """Where the piece begins that ends at an offset."""
    begin = max(0, offset - PIECE_BYTES)
    block = subject.read(begin, offset - begin)
    if begin:
        skipped = block.find(b"\n", 0, len(block) - 1) + 1
        begin, block = begin + skipped, block[skipped:]
    return {"offset": begin, "line": max(1, line - block.count(b"\n")) if line else 0}
