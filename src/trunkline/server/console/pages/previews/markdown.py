"""Markdown as a document; what is HTML in it is shown as text."""

from trunkline.server.console import urls
from trunkline.server.console.markdown import to_html
from trunkline.server.console.paths import beside
from trunkline.server.console.preview import Preview, Subject

ORDER = 200
_BYTES_MAX = 512 * 1024


def suits(subject: Subject) -> bool:
    return subject.suffix in ("md", "markdown") and b"\0" not in subject.start


def preview(subject: Subject) -> Preview:
    text = subject.whole(_BYTES_MAX).decode("utf-8", "replace")
    name, ref, path = subject.file.repo, subject.visit.arguments["ref"], subject.file.path
    document = to_html(
        text,
        page_of=lambda to: urls.files(name, ref, beside(path, to)),
        content_of=lambda to: urls.raw(name, ref, beside(path, to), inline="1"),
    )
    context = {"document": document}
    return Preview(template="files/markdown.html", label="markdown", context=context)
