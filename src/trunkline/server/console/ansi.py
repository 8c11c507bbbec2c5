"""What code printed: colours of terminals become classes, all other codes of terminals go.

No code reaches a page, and no style is written into one: a span has classes out of a fixed set,
whose colours are those of the theme. Where a colour has no class, the nearest one stands for it;
any background is one that all colours can be read on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup, escape

_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_CODE = re.compile(
    r"(?:\x1b\[|\x9b)(?P<values>[0-?]*)[ -/]*(?P<last>[@-~])"  # colours are among these
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # titles, links and the like, with what they say
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)


@dataclass(frozen=True, slots=True)
class _Look:
    """How text is printed from some place on."""

    colour: str = ""
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underlined: bool = False
    marked: bool = False  # has a background

    @property
    def classes(self) -> str:
        has = ("bold", "dim", "italic", "underlined", "marked")
        names = [self.colour, *(name for name in has if getattr(self, name))]
        return " ".join(f"c-{name}" for name in names if name)


def parts(text: str) -> Iterator[tuple[str, str]]:
    """Pieces of the text with the classes that each has, without any code."""
    look, begin = _Look(), 0
    for code in _CODE.finditer(text):
        if code.start() > begin:
            yield look.classes, text[begin : code.start()]
        begin = code.end()
        if code["last"] == "m":
            look = _changed(look, code["values"])
    if begin < len(text):
        yield look.classes, text[begin:]


def coloured(text: str) -> Markup:
    """The text as HTML; what it has of that itself is escaped."""
    span = Markup('<span class="{}">{}</span>')
    return Markup("").join(
        span.format(classes, piece) if classes else escape(piece) for classes, piece in parts(text)
    )


def plain(text: object) -> str:
    """The text without colours and other codes."""
    return _CODE.sub("", str(text))


_SWITCHES: dict[int, tuple[str, Any]] = {
    1: ("bold", True),
    2: ("dim", True),
    3: ("italic", True),
    4: ("underlined", True),
    7: ("marked", True),
    21: ("underlined", True),
    23: ("italic", False),
    24: ("underlined", False),
    27: ("marked", False),
    49: ("marked", False),
    39: ("colour", ""),
}


def _changed(look: _Look, values: str) -> _Look:
    """The look behind a code that has these values."""
    # Parts of a value stand behind colons; of those that matter here there is the first alone.
    numbers = iter([int(one) if one.isdecimal() else 0 for one in _values(values)])
    for number in numbers:
        if number == 0:
            look = _Look()
        elif number == 22:
            look = replace(look, bold=False, dim=False)
        elif number in _SWITCHES:
            name, value = _SWITCHES[number]
            look = replace(look, **{name: value})
        elif 30 <= number <= 37 or 90 <= number <= 97:
            look = replace(look, colour=_COLOURS[number % 10])
        elif number == 38:
            look = replace(look, colour=_nearest(numbers))
        elif 40 <= number <= 48 or 100 <= number <= 107:
            if number == 48:
                _nearest(numbers)
            look = replace(look, marked=True)
    return look


def _values(text: str) -> list[str]:
    return [one.partition(":")[0][:4] for one in text.split(";")]


def _nearest(numbers: Iterator[int]) -> str:
    """The colour that is nearest to the one that the next numbers tell; none for greys."""
    if next(numbers, 0) == 2:
        levels = [min(255, next(numbers, 0)) for _ in range(3)]
    else:
        number = next(numbers, 0)
        if number < 16:
            return _COLOURS[number % 8]
        if number > 231:
            return ""
        levels = [(number - 16) // step % 6 * 51 for step in (36, 6, 1)]
    middle = (max(levels) + min(levels)) / 2
    if max(levels) - min(levels) < 40:
        return ""
    return _COLOURS[sum(1 << place for place, level in enumerate(levels) if level > middle)]
