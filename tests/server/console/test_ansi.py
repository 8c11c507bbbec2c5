"""Colours of terminals, as pages show them."""

import re
from html import unescape

from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.server.console.ansi import coloured, parts, plain

# Codes and their pieces more often than chance would have them, and what HTML is made of.
_PRINTED = st.text(
    st.sampled_from([*"\x1b\x9b[];:m0123489<>&\"'\x07\\ab \n"]) | st.characters(), max_size=60
)
_SPAN = re.compile(r'<span class="c-[a-z]+(?: c-[a-z]+)*">|</span>')


@given(_PRINTED)
@example('\x1b[31;1m<b onclick="x">\x1b[0m&')
@example("\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07")
@example("\x1b[38;2;" + "9" * 5000 + "m.")
def test_nothing_of_what_was_printed_is_html(printed: str) -> None:
    shown = str(coloured(printed))

    text = _SPAN.sub("", shown)
    assert set(text) & set("<>\"'") == set()
    assert unescape(text) == plain(printed) == "".join(piece for _, piece in parts(printed))
    assert "\x1b" not in shown


def test_colours_become_classes_and_other_codes_go() -> None:
    printed = "\x1b]0;title\x07\x1b[1;31mbad\x1b[22m still\x1b[0m \x1b[2Kdone \x1b[38;5;46mgo\x1b[m"

    assert list(parts(printed)) == [
        ("c-red c-bold", "bad"),
        ("c-red", " still"),
        ("", " "),
        ("", "done "),
        ("c-green", "go"),
    ]
