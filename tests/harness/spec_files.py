"""The specs of `tests/specs` as files: which there are, and which fields they set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from trunkline.pipelines.field_types import Either, ListOf, Message, Use
from trunkline.pipelines.fields import spellings

PLACE = Path(__file__).parents[1] / "specs"
SPECS = sorted(
    path
    for path in PLACE.iterdir()
    if path.suffix in (".json", ".yaml") and path.stem not in ("expected", "trees", "effects")
)
EFFECTS: dict[str, str] = yaml.safe_load((PLACE / "effects.yaml").read_text("utf-8"))


def document_of(spec: Path) -> dict[str, Any]:
    found = yaml.safe_load(spec.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def fields_in(document: object, message: str = "spec") -> Iterator[tuple[str, str]]:
    """(message, field) of all that a document sets, by the table of fields alone."""
    assert isinstance(document, dict)
    for spelling, value in document.items():
        field = spellings(message).get(spelling)
        if field is None:
            continue  # a spec that is misspelt on purpose
        yield message, field.name
        kind = field.type
        values = [value]
        if isinstance(kind, ListOf):
            kind, values = kind.item, value
        if isinstance(kind, Either):
            kind = kind.message
        if isinstance(kind, Message):
            for inner in values:
                if isinstance(inner, dict):
                    yield from fields_in(inner, kind.name)


def use_of(dotted: str) -> Use:
    """What the table says of a field that is named as warnings do it: `input.cross.pfs.lazy`."""
    message, use = "spec", Use.USED
    for name in dotted.split("."):
        field = spellings(message)[name]
        use = field.use
        kind = field.type.item if isinstance(field.type, ListOf) else field.type
        kind = kind.message if isinstance(kind, Either) else kind
        message = kind.name if isinstance(kind, Message) else ""
    return use
