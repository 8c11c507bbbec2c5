"""PDF documents: to be saved. No viewer of a browser shows what may not run anything."""

import re

from trunkline.server.console.preview import Preview, Subject

ORDER = 100
_VERSION = re.compile(rb"%PDF-(\d\.\d)")


def suits(subject: Subject) -> bool:
    return _VERSION.match(subject.start) is not None


def preview(subject: Subject) -> Preview:
    found = _VERSION.match(subject.start)
    version = found[1].decode() if found else ""
    return Preview(template="files/pdf.html", label="PDF", context={"format_version": version})
