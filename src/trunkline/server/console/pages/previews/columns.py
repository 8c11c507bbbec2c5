"""Parquet, Arrow and Feather: columns with their types and statistics, row groups, some rows."""

from trunkline.compare.columnar import FORMATS, columnar
from trunkline.compare.content import NotComparable
from trunkline.server.console.preview import Preview, Subject, Unsuitable

ORDER = 100


def suits(subject: Subject) -> bool:
    return subject.suffix in FORMATS and subject.file.size_bytes > 0


def preview(subject: Subject) -> Preview:
    try:
        found = columnar(subject.opened(), FORMATS[subject.suffix])
    except NotComparable as reason:
        raise Unsuitable(str(reason)) from reason
    context = {"found": found}
    return Preview(template="files/columns.html", label=FORMATS[subject.suffix], context=context)
