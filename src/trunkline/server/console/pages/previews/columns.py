"""Parquet, Arrow and Feather: columns with their types and statistics, row groups, some rows."""

import io

from trunkline.compare.columnar import FORMATS, columnar
from trunkline.compare.content import NotComparable
from trunkline.server.console.preview import Preview, Subject, Unsuitable

ORDER = 100
_READ_BYTES = 1024 * 1024


def suits(subject: Subject) -> bool:
    return subject.suffix in FORMATS and subject.file.size_bytes > 0


def preview(subject: Subject) -> Preview:
    try:
        # Columns lie beside each other: those of a small row group come with one read.
        file = io.BufferedReader(subject.opened(), _READ_BYTES)
        found = columnar(file, FORMATS[subject.suffix])
    except NotComparable as reason:
        raise Unsuitable(str(reason)) from reason
    context = {"found": found}
    return Preview(template="files/columns.html", label=FORMATS[subject.suffix], context=context)
