"""Specs as people write them, in both dialects: what each comes to, through the public API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from spec_files import EFFECTS, PLACE, SPECS, document_of, fields_in, use_of
from spec_world import SpecWorld, spec_world

from trunkline.pipelines.field_types import Use
from trunkline.pipelines.fields import MESSAGES

EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((PLACE / "expected.yaml").read_text("utf-8"))
UNORDERED = {"join", "group"}  # their order is their own affair, as long as it is one


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpecWorld]:
    with spec_world(tmp_path_factory.mktemp("specs") / "home") as opened:
        yield opened


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.name)
def test_a_spec_has_the_warnings_and_datums_that_are_written_beside_it(
    spec: Path, world: SpecWorld
) -> None:
    must = EXPECTED[spec.name]

    outcome = world.outcome(spec)

    refused = str(must.get("refused", ""))
    if refused and (" " in refused or use_of(refused) is Use.REFUSED):
        sentence = refused if " " in refused else f"'{refused}' is not supported yet"
        assert outcome.get("refused", "").startswith(sentence)
        return
    assert "refused" not in outcome
    kept = set(outcome["kept"])
    assert {name for name in must.get("kept", ()) if use_of(name) is Use.KEPT} <= kept
    assert {use_of(name) for name in kept} <= {Use.KEPT}
    assert outcome["warnings"] == must.get("warnings", [])
    if "while_kept" in must and use_of(must["while_kept"]) is not Use.KEPT:
        return
    if UNORDERED & document_of(spec).get("input", {}).keys():
        assert sorted(outcome["datums"]) == sorted(must["datums"])
    else:
        assert outcome["datums"] == must["datums"]


def test_there_are_sixty_specs_or_more_and_something_is_said_of_each() -> None:
    assert len(SPECS) >= 60
    assert {spec.name for spec in SPECS} == EXPECTED.keys()


def test_every_field_is_in_a_spec() -> None:
    there = {field for spec in SPECS for field in fields_in(document_of(spec))}

    missing = [
        f"{message}.{field.name}"
        for message, fields in MESSAGES.items()
        for field in fields
        if (message, field.name) not in there
    ]
    assert missing == []


def test_both_spellings_and_both_languages_are_there() -> None:
    texts = {spec: spec.read_text("utf-8") for spec in SPECS}

    assert {spec.suffix for spec in SPECS} == {".json", ".yaml"}
    for word in ("parallelism_spec", "parallelismSpec", "datum_timeout", "datumTimeout", '"atom"'):
        assert any(word in text for text in texts.values()), word


def test_most_fields_that_are_used_have_a_test_that_shows_its_effect() -> None:
    """The page `docs/reference/spec-coverage.md` tells which."""
    used = {
        f"{message}.{field.name}"
        for message, fields in MESSAGES.items()
        for field in fields
        if field.use is Use.USED
    }

    assert len(used & EFFECTS.keys()) >= 0.75 * len(used), sorted(used - EFFECTS.keys())


def test_the_tests_that_show_effects_are_there() -> None:
    for field, test in EFFECTS.items():
        path, _, name = test.partition("::")
        text = (PLACE.parents[1] / path).read_text("utf-8")
        assert f"def {name}(" in text, f"{field}: there is no {test}"
