"""Notebooks: cells with what they printed and drew. Neither HTML nor scripts of them are shown."""

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from trunkline.server.console import urls
from trunkline.server.console.markdown import to_html
from trunkline.server.console.paths import beside
from trunkline.server.console.preview import Preview, Subject, Unsuitable

ORDER = 200
_BYTES_MAX = 16 * 1024 * 1024
_CELLS_MAX = 200
_TEXT_MAX = 20_000  # characters of a cell or an output
_PICTURES_BYTES_MAX = 8 * 1024 * 1024  # of all that stand in the page
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def suits(subject: Subject) -> bool:
    return subject.suffix == "ipynb"


def preview(subject: Subject) -> Preview:
    try:
        book = json.loads(subject.whole(_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise Unsuitable("it can't be read as JSON") from error
    cells = book.get("cells") if isinstance(book, dict) else None
    if not isinstance(cells, list):
        raise Unsuitable("it has no cells as a notebook of version 4 has")
    reader = _Reader(subject)
    context = {
        "cells": [reader.cell(cell) for cell in cells[:_CELLS_MAX] if isinstance(cell, dict)],
        "total": len(cells),
        "language": _language(book),
    }
    return Preview(template="files/notebook.html", label="notebook", context=context)


def _language(book: dict[str, Any]) -> str:
    found: Any = book
    for name in ("metadata", "language_info", "name"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


@dataclass(slots=True, kw_only=True)
class Output:
    """What came of a cell: a text, or a picture as an address that has it in itself."""

    kind: str  # text, error or picture
    text: str = ""
    address: str = ""
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Cell:
    kind: str  # code, markdown or raw
    number: int | None = None
    text: str = ""
    document: Markup | None = None
    outputs: list[Output] = field(default_factory=list)


class _Reader:
    """Reads cells, as long as there is room for their pictures."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._room_bytes = _PICTURES_BYTES_MAX

    def cell(self, cell: dict[str, Any]) -> Cell:
        text = _joined(cell.get("source"))
        if cell.get("cell_type") == "markdown":
            return Cell(kind="markdown", document=self._document(text))
        number = cell.get("execution_count")
        outputs = cell.get("outputs")
        return Cell(
            kind="code" if cell.get("cell_type") == "code" else "raw",
            number=number if isinstance(number, int) else None,
            text=text,
            outputs=[
                self._output(one)
                for one in (outputs if isinstance(outputs, list) else [])[:_CELLS_MAX]
                if isinstance(one, dict)
            ],
        )

    def _document(self, text: str) -> Markup:
        file, ref = self._subject.file, self._subject.visit.arguments["ref"]
        return to_html(
            text,
            page_of=lambda to: urls.files(file.repo, ref, beside(file.path, to)),
            content_of=lambda to: urls.raw(file.repo, ref, beside(file.path, to), inline="1"),
        )

    def _output(self, output: dict[str, Any]) -> Output:
        if output.get("output_type") == "stream":
            return Output(kind="text", text=_plain(output.get("text")))
        if output.get("output_type") == "error":
            said = _plain(output.get("traceback"), between="\n")
            return Output(kind="error", text=said or _plain(output.get("evalue")))
        data = output.get("data")
        data = data if isinstance(data, dict) else {}
        for media_type in _PICTURES:
            if media_type in data:
                return self._picture(media_type, _joined(data[media_type]))
        note = "Its HTML is not shown." if "text/html" in data else ""
        return Output(kind="text", text=_plain(data.get("text/plain")), note=note)

    def _picture(self, media_type: str, text: str) -> Output:
        try:
            content = base64.b64decode(text)
        except (binascii.Error, ValueError):
            return Output(kind="text", note="Its picture is damaged.")
        self._room_bytes -= len(content)
        if self._room_bytes < 0:
            return Output(kind="text", note="More pictures than are shown on one page.")
        whole = base64.b64encode(content).decode()
        return Output(kind="picture", address=f"data:{media_type};base64,{whole}")


def _joined(value: object, between: str = "") -> str:
    """Text as notebooks have it: in one piece or a list of lines."""
    parts: Iterable[object] = value if isinstance(value, list) else [value]
    text = between.join(part for part in parts if isinstance(part, str))
    return text


def _plain(value: object, between: str = "") -> str:
    """The same, and not too long."""
    text = _joined(value, between)
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "\n…"
