"""Bytes that nothing else knows: their values, a piece at a time."""

from trunkline.server.console.preview import Preview, Subject

ORDER = 1000
_ROWS = 64
_WIDTH = 16


def suits(_: Subject) -> bool:
    return True


def preview(subject: Subject) -> Preview:
    size_bytes = subject.file.size_bytes
    offset = subject.visit.whole_number("offset", 0, most=size_bytes) // _WIDTH * _WIDTH
    piece = subject.read(offset, _ROWS * _WIDTH)
    rows = [
        (f"{offset + at:08x}", row.hex(" "), "".join(chr(b) if 32 <= b < 127 else "·" for b in row))
        for at in range(0, len(piece), _WIDTH)
        if (row := piece[at : at + _WIDTH])
    ]
    end = offset + len(piece)
    context = {"rows": rows, "next": end if end < size_bytes else None}
    return Preview(template="files/binary.html", label="bytes", context=context)
