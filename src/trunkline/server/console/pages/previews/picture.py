"""Pictures, in their size and on squares that show what is transparent.

What could hold a script (SVG) is shown as a picture alone, which runs none.
"""

import struct

from trunkline.server.console.media import PICTURES
from trunkline.server.console.preview import Preview, Subject

ORDER = 100


def suits(subject: Subject) -> bool:
    return subject.suffix in PICTURES and subject.file.size_bytes > 0


def preview(subject: Subject) -> Preview:
    measures = _measures(subject)
    context = {"measures": measures}
    return Preview(template="files/picture.html", label="picture", context=context)


def _measures(subject: Subject) -> tuple[int, int] | None:
    """Width and height in pixels, where the beginning of the file says so."""
    start = subject.start
    try:
        if start.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", start, 16)
        if start.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack_from("<HH", start, 6)
        if start.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", start, 18)
            return abs(width), abs(height)
        if start.startswith(b"\xff\xd8"):
            return _of_jpeg(subject.read(0, 256 * 1024))
    except struct.error:
        pass
    return None


def _of_jpeg(content: bytes) -> tuple[int, int] | None:
    """From the frame header, which stands behind what else there is (a small picture, EXIF)."""
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    return None
