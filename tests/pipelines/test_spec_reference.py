"""The reference page lists every field that specs may have, as the table of fields has it."""

from pathlib import Path

import pytest

from trunkline.pipelines.field_types import (
    Decimal,
    Duration,
    Either,
    Field,
    Free,
    ListOf,
    Message,
    Quantity,
    Text,
    TextMap,
    Truth,
    Type,
    Use,
    Whole,
)
from trunkline.pipelines.fields import MESSAGES, lower_camel, spellings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pipeline-spec.md"
HERE = {Use.USED: "yes", Use.KEPT: "kept", Use.REFUSED: "refused"}


def type_name(wanted: Type) -> str:
    match wanted:
        case Text():
            return " or ".join(f"`{choice}`" for choice in wanted.choices) or "string"
        case Truth():
            return "boolean"
        case Whole():
            return "integer"
        case Decimal():
            return "number"
        case Duration():
            return "duration"
        case Quantity():
            return "quantity"
        case TextMap():
            return "strings by name"
        case Free():
            return "object or string"
        case ListOf():
            return f"list of {type_name(wanted.item)}"
        case Message():
            return f"[{wanted.name}](#{wanted.name})"
        case Either():
            return f"{type_name(wanted.plain)} or {type_name(wanted.message)}"


def row(field: Field) -> str:
    cells = [f"`{field.name}`", type_name(field.type), field.default, field.era]
    return f"| {' | '.join(cells)} | {HERE[field.use]} | {field.meaning} |"


def section(message: str) -> str:
    head = "| field | type | default | from | here now | what it does |\n|---|---|---|---|---|---|"
    return "\n".join([f"### {message}", "", head, *(row(field) for field in MESSAGES[message])])


@pytest.mark.parametrize("message", MESSAGES)
def test_the_page_has_the_table_of_every_message(message: str) -> None:
    page = PAGE.read_text("utf-8")

    assert section(message) + "\n" in page


def test_the_page_has_no_table_of_something_else() -> None:
    headings = [
        line.removeprefix("### ")
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("### ")
    ]

    assert headings == list(MESSAGES)


def test_every_message_is_reached_from_the_spec() -> None:
    reached = {"spec"}
    pending = ["spec"]
    while pending:
        for field in MESSAGES[pending.pop()]:
            kind = field.type.item if isinstance(field.type, ListOf) else field.type
            kind = kind.message if isinstance(kind, Either) else kind
            if isinstance(kind, Message) and kind.name not in reached:
                reached.add(kind.name)
                pending.append(kind.name)

    assert reached == set(MESSAGES)


def test_each_field_is_accepted_in_snake_and_in_camel_case() -> None:
    for message, fields in MESSAGES.items():
        for field in fields:
            assert spellings(message)[field.name] is field
            assert spellings(message)[lower_camel(field.name)] is field
