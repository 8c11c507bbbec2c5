"""The commands are of one kind: same words for same things, a help line and an example each."""

import click
import pytest

from trunkline.cli.elsewhere import _INSTEAD
from trunkline.cli.grammar import WORDS, all_spaced, verbs

SPACED = [pytest.param(words, command, id=words) for words, command in all_spaced()]

# Two meanings that Pachyderm gave to one option: of a repo or project and of a commit; of a range
# of commits and of a subscription; how many, and which deletion.
TWO_MEANINGS = {"--description", "--from", "--number"}


@pytest.mark.parametrize(("words", "command"), SPACED)
def test_a_command_says_what_it_does_with_an_example(words: str, command) -> None:
    assert (command.help or "").split("\n")[0].endswith(".")
    assert command.examples
    assert all(example.startswith(words) for example in command.examples)


@pytest.mark.parametrize(("words", "command"), SPACED)
def test_an_option_says_what_it_does(words: str, command) -> None:
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert (option.help or "").endswith("."), f"{words} {option.opts}"


def test_a_long_option_has_one_short_form() -> None:
    forms: dict[str, dict[str, list[str]]] = {}
    for words, command in all_spaced():
        for option in command.params:
            if not isinstance(option, click.Option) or option.hidden:
                continue
            short = next((name for name in option.opts if not name.startswith("--")), "")
            for name in option.opts:
                if name.startswith("--"):
                    forms.setdefault(name, {}).setdefault(short, []).append(words)

    several = {name: found for name, found in forms.items() if len(found) > 1}
    assert {name for name in several if name not in TWO_MEANINGS} == set(), several


def test_what_is_said_to_be_lacking_is_lacking() -> None:
    pairs = {f"{verb} {noun}" for verb, nouns in verbs().items() for noun in nouns}

    assert not {words for words in _INSTEAD if words in pairs or words in WORDS}
