"""Bytes that nothing else knows: their values, from the beginning."""

from trunkline.server.console.preview import Preview, Subject

ORDER = 1000
_ROWS = 32
_WIDTH = 16


def suits(_: Subject) -> bool:
    return True


def preview(subject: Subject) -> Preview:
    start = subject.start[: _ROWS * _WIDTH]
    rows = [
        (f"{at:08x}", row.hex(" "), "".join(chr(b) if 32 <= b < 127 else "·" for b in row))
        for at in range(0, len(start), _WIDTH)
        if (row := start[at : at + _WIDTH])
    ]
    context = {"rows": rows, "shown": len(start)}
    return Preview(template="files/binary.html", label="bytes", context=context)
