"""The sentences of errors are safe to print, whatever they quote."""

import pytest

from trunkline.errors import (
    InvalidInput,
    InvalidSpec,
    RepoNotFound,
    from_report,
)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202etxt", "\\u202etxt"),
        ("\ud800", "\\ud800"),
        ("\u2028\x9b", "\\u2028\\x9b"),
        ("prüfung 数据 😀", "prüfung 数据 😀"),
    ],
)
def test_a_sentence_shows_what_a_terminal_would_obey(name: str, printed: str) -> None:
    assert str(RepoNotFound(name)) == f"there is no repo '{printed}'"
    assert str(InvalidInput(name)) == printed


def test_an_excerpt_of_a_spec_keeps_its_lines() -> None:
    assert str(InvalidSpec("line 1: no\n  {\x1b\n  ^")) == "line 1: no\n  {\\x1b\n  ^"


def test_what_a_server_reported_is_printed_as_safely() -> None:
    told = from_report(code="in-use", message="\x1b]0;x", exit_status=4, http_status=409)

    assert str(told) == "\\x1b]0;x"
