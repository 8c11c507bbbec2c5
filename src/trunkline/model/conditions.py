"""Questions to an object of a cluster, such as `status.conditions[type=Ready].status == True`.

A place is names with dots between them; `[2]` takes an item of a list, `[type=Ready]` the first one
whose field has that value. What is not there is nothing, which equals no value. Values are compared
as they are written: `True`, `true` and `"true"` are one. A value that begins with `status.`,
`spec.` or `metadata.` is a place too.
"""

import re
from collections.abc import Mapping
from typing import Any

from trunkline.errors import InvalidInput, shown
from trunkline.values import dataclass

_STEP = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|\[(?P<number>[0-9]{1,4})\]"
    r"|\[(?P<key>[A-Za-z_][A-Za-z0-9_.-]*)=(?P<value>[^\]\s]{1,100})\]"
)
_QUESTION = re.compile(r"(?P<place>\S+)\s*(?P<relation>==|!=)\s*(?P<value>\S.*)")
_PLACES = ("status.", "spec.", "metadata.")
_EXAMPLE = "status.conditions[type=Ready].status == True"
_LETTERS_MAX = 500

Step = str | int | tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One that is true or false of an object."""

    text: str
    place: tuple[Step, ...]
    equal: bool
    value: str | tuple[Step, ...]

    def holds(self, document: Mapping[str, Any]) -> bool:
        """Whether it is true; nothing that is missing makes it so, but for `!=`."""
        there = spelled(found_at(document, self.place))
        wanted = (
            self.value if isinstance(self.value, str) else spelled(found_at(document, self.value))
        )
        same = there is not None and wanted is not None and there == wanted
        return same if self.equal else there is not None and not same


def parse_question(text: str) -> Question:
    """Raises InvalidInput."""
    match = _QUESTION.fullmatch(text.strip()) if len(text) <= _LETTERS_MAX else None
    if match is None:
        raise InvalidInput(f"{shown(text)} is no question to an object; write it as {_EXAMPLE}")
    value = match["value"]
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    plain = value[1:-1] if quoted else value
    return Question(
        text=text.strip(),
        place=parse_place(match["place"]),
        equal=match["relation"] == "==",
        value=parse_place(value) if value.startswith(_PLACES) else _cased(plain),
    )


def parse_place(text: str) -> tuple[Step, ...]:
    """Raises InvalidInput."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        if steps and text[at] == ".":
            at += 1
        match = _STEP.match(text, at)
        named = match is not None and match["name"] is not None
        if match is None or (named and steps and text[at - 1] != ".") or (not named and not steps):
            break
        at = match.end()
        if named:
            steps.append(match["name"])
        elif match["number"] is not None:
            steps.append(int(match["number"]))
        else:
            steps.append((match["key"], match["value"]))
    if at < len(text) or not steps or len(text) > _LETTERS_MAX:
        raise InvalidInput(
            f"{shown(text)} is no place in an object; write it as status.conditions[type=Ready]"
        )
    return tuple(steps)


def found_at(document: Any, place: tuple[Step, ...]) -> Any:
    """What is there; None if nothing is."""
    at = document
    for step in place:
        match step:
            case str():
                at = at.get(step) if isinstance(at, Mapping) else None
            case int():
                at = at[step] if isinstance(at, list) and step < len(at) else None
            case key, value:
                items = at if isinstance(at, list) else []
                at = next(
                    (
                        one
                        for one in items
                        if isinstance(one, Mapping) and spelled(one.get(key)) == _cased(value)
                    ),
                    None,
                )
    return at


def spelled(value: Any) -> str | None:
    """A plain value as it is compared; None for nothing, and for what is no plain value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _cased(str(value)) if isinstance(value, str | int | float) else None


def _cased(text: str) -> str:
    """Kubernetes writes "True" where others write true."""
    return text.lower() if text.lower() in ("true", "false") else text
