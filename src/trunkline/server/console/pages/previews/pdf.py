"""PDF documents, shown by the viewer of the browser.

The content keeps the headers of all contents (`sandbox`): viewers that don't go by them stand apart
from pages anyway, and one that refuses leaves the download.
"""

import re

from trunkline.server.console.media import DOCUMENTS
from trunkline.server.console.preview import Preview, Subject

ORDER = 100
_VERSION = re.compile(rb"%PDF-(\d\.\d)")


def suits(subject: Subject) -> bool:
    return _VERSION.match(subject.start) is not None


def preview(subject: Subject) -> Preview:
    found = _VERSION.match(subject.start)
    version = found[1].decode() if found else ""
    return Preview(
        template="files/pdf.html",
        label="PDF",
        context={"format_version": version, "viewed": subject.suffix in DOCUMENTS},
    )
