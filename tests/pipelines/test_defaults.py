"""A spec lies over defaults as RFC 7386 says; what can't be one is refused where it stands."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.errors import InvalidSpec
from trunkline.pipelines.canonical import canonical
from trunkline.pipelines.defaults import Defaults
from trunkline.pipelines.fields import lower_camel
from trunkline.pipelines.nodes import from_value
from trunkline.pipelines.spec import read_defaults, read_given, spec_from_document

WORDS = st.sampled_from(["", "a", "b"])
NUMBERS = st.none() | st.integers(0, 3)
ENV = st.dictionaries(st.sampled_from(["A", "b_c", "dE"]), st.none() | WORDS, max_size=3)


def some(**fields: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={k: st.none() | v for k, v in fields.items()})


RESOURCES = some(cpu=NUMBERS, memory=st.sampled_from(["1M", "2G"]), gpu=some(number=NUMBERS))
LAYERS = some(
    description=WORDS,
    datum_tries=NUMBERS,
    autoscaling=st.booleans(),
    on_failure=st.just("fail") | some(quarantine=some(max=st.integers(1, 3))),
    transform=some(
        image=WORDS,
        cmd=st.lists(WORDS, max_size=2),
        env=ENV,
        secrets=st.lists(some(name=WORDS, key=WORDS), max_size=2),
    ),
    resource_requests=RESOURCES,
    parallelism_spec=some(constant=NUMBERS, coefficient=NUMBERS),
)


def merge_patch(target: Any, patch: Any) -> Any:
    """The definition in RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merge_patch(target.get(name), value)
    return target


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def camel(value: Any, free: bool = False) -> Any:
    """The same with all field names in the other spelling; those of variables are their own."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k if free else lower_camel(k): camel(v, k == "env") for k, v in value.items()}


ENV_A = {"transform": {"env": {"A": "1", "dE": "2"}, "image": "a"}, "on_failure": "fail"}


@example(ENV_A, {"transform": {"env": {"A": None}}}, {"transform": {"image": None}}, (True,) * 3)
@example(ENV_A, {"transform": None}, {"transform": {"env": {"A": None}}}, (False,) * 3)
@example({}, {}, ENV_A | {"transform": {"env": {"A": None}}}, (True, True, False))
@given(cluster=LAYERS, project=LAYERS, user=LAYERS, spelled=st.tuples(*[st.booleans()] * 3))
def test_a_spec_is_a_merge_patch_to_the_defaults_below_it(cluster, project, user, spelled) -> None:
    layers = (cluster, project, user)
    given_layers = [
        camel(one) if other else one for one, other in zip(layers, spelled, strict=True)
    ]
    defaults = Defaults(cluster=given_layers[0], projects={"p": given_layers[1]})

    found = canonical(defaults.under(from_value(given_layers[2]), "p"), {})
    elsewhere = canonical(defaults.under(from_value(given_layers[2]), "q"), {})

    below = merge_patch(merge_patch({}, cluster), project)
    wanted = without_nulls(merge_patch(below, user))
    assert found == canonical(from_value(wanted), {})
    assert elsewhere == canonical(
        from_value(without_nulls(merge_patch(merge_patch({}, cluster), user))), {}
    )


def read(text: str) -> dict[str, object]:
    return read_defaults(text, source="d", bytes_max=10_000)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"datumTries": "2"}', {"datumTries": "2"}),
        ('{"createPipelineRequest": {"datum_tries": 2}}', {"datum_tries": 2}),
        ('{"create_pipeline_request": {}}', {}),
        ("{}", {}),
        ("datum_tries: 2\ntransform:\n  env: {A: '1'}\n", None),
        ('{"transform": null, "resource_limits": {"cpu": 0.5}}', None),
    ],
)
def test_defaults_are_read_as_they_are_written(text, found) -> None:
    assert found is None or read(text) == found
    assert json.loads(json.dumps(read(text))) == read(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{\n "datum_trys": 2}', "line 2: unknown field 'datum_trys'; did you mean 'datum_tries'"),
        ('{\n\n "input": {}}', "line 3: 'input' can't have a default: each pipeline says"),
        ('{"pipeline": {"name": "x"}}', "line 1: 'pipeline' can't have a default"),
        ('{"specCommit": {}}', "'specCommit' can't have a default"),
        ('{"transform": {\n"code": "x"}}', "line 2: 'transform.code' can't have a default"),
        ('{\n"datum_tries": -1}', "line 2: 'datum_tries' must be a whole number"),
        ('{\n"output_branch": "a b"}', "line 2: "),
        ('{"dry_run": true}', "use `--dry-run`"),
        ('{"tf_job": {"tf_job": "x"}}', "'tf_job' can't have a default"),
        ("3", "line 1: defaults must be an object"),
        ("", "no pipeline spec"),
        ("{} {}", "line 1: defaults are one document"),
        ('{"createPipelineRequest": 3}', "defaults must be an object"),
        ("{", "line 1"),
    ],
)
def test_what_can_not_be_a_default_is_refused_where_it_stands(text, sentence) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read(text)

    assert sentence in str(caught.value)
    assert str(caught.value).startswith("d")


def test_a_fault_that_a_default_makes_is_told_with_the_place_of_the_spec(minimal) -> None:
    defaults = Defaults(cluster={"parallelism_spec": {"constant": 2}})
    text = json.dumps({**minimal, "parallelismSpec": {"coefficient": 1}}, indent=1)

    with pytest.raises(InvalidSpec, match=r"s.json, line \d+: contradictory parallelism"):
        read_given(text, source="s.json", bytes_max=10_000, defaults=defaults)


def test_a_null_takes_a_default_away(minimal) -> None:
    defaults = Defaults(cluster={"datum_tries": 9, "transform": {"env": {"A": "1", "B": "2"}}})
    transform = {**minimal["transform"], "env": {"A": None}}

    spec = spec_from_document(
        {**minimal, "datumTries": None, "transform": transform}, defaults=defaults
    )

    assert (spec.datum_tries, spec.transform.env) == (3, {"B": "2"})


def test_what_was_given_stays_as_it_was_but_for_the_project(minimal) -> None:
    text = json.dumps({**minimal, "datumTries": "4", "autoscaling": None})
    defaults = Defaults(projects={"p": {"description": "of p"}})

    [(given_spec, spec)] = read_given(
        text, source="s.json", bytes_max=10_000, project="p", defaults=defaults
    )

    assert given_spec == {
        **minimal,
        "datumTries": "4",
        "autoscaling": None,
        "pipeline": {"name": "copy", "project": {"name": "p"}},
    }
    assert (spec.name, spec.description, spec.datum_tries) == ("p/copy", "of p", 4)
