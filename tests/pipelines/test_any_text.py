"""Whatever text comes in, either specs or one InvalidSpec come out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidSpec
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.spec import draft, read_specs, spec_from_document

SOURCES = st.sampled_from(["spec", "a.json", "a.yaml"])
PIECES = ["{", "}", "[", "]", ":", ",", '"', "\\", "\n", "\t", "- ", "&a ", "*a", "!!str ", "|"]
PIECES += [">", "%", "@", "#", "?", "\0", "\ud800", "\ufeff", "1", "NaN", "null", "\x85", "---\n"]
PIECES += ["\u2028", "🙂", "<<: ", "...\n", "\x1b", "0x1", "1:30", "{}", "''", "pipeline", "true"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


def outcome(text: str, source: str) -> list[PipelineSpec] | str:
    try:
        return read_specs(text, source=source, bytes_max=100_000)
    except InvalidSpec as error:
        str(error).encode("utf-8")  # a door must be able to send it
        return str(error)


@given(text=st.text(st.characters()), source=SOURCES)
def test_any_text_is_read_or_refused(text: str, source: str) -> None:
    assert outcome(text, source)


@given(data=st.binary(), source=SOURCES)
def test_any_bytes_are_read_or_refused(data: bytes, source: str) -> None:
    assert outcome(data.decode("utf-8", "surrogateescape"), source)
    assert outcome(data.decode("latin-1"), source)


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=30), source=SOURCES)
def test_any_mix_of_punctuation_is_read_or_refused(pieces: list[str], source: str) -> None:
    assert outcome("".join(pieces), source)


@given(seed=st.integers(), source=SOURCES)
@pytest.mark.parametrize("pipeline", ["pre_process", "inference"])
def test_a_damaged_spec_is_read_or_refused(
    pipeline: str, seed: int, source: str, tutorial: dict[str, str]
) -> None:
    chance = random.Random(seed)
    text = tutorial[pipeline]
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(PIECES) + text[at + chance.randint(0, 5) :]

    assert outcome(text, source)


def outcome_of(document: dict[str, object]) -> str:
    try:
        return draft(spec_from_document(document)).name
    except InvalidSpec as error:
        return str(error)


@given(document=st.dictionaries(st.sampled_from(["pipeline", "input", "transform"]), JSON))
def test_any_document_is_read_or_refused(document: dict[str, object]) -> None:
    assert outcome_of(document)


def test_a_document_without_end_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(InvalidSpec, match="nested more than 64 levels"):
        spec_from_document({"input": endless})
