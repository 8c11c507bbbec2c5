"""Specs that are refused: the whole sentence, with line and caret where there is a text."""

import json
from collections.abc import Callable

import pytest

from trunkline.errors import InvalidSpec
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.spec import read_specs, spec_from_document

Refusal = Callable[..., str]


def test_an_unknown_field_is_shown_in_its_line_with_a_suggestion(refusal: Refusal) -> None:
    text = """{
  "pipeline": {"name": "train"},
  "transform": {
    "image": "x",
    "comand": ["/bin/bash"]
  },
  "input": {"atom": {"repo": "training", "glob": "/*"}}
}"""

    assert refusal(text.replace("comand", "acept_return_code"), "train.json") == (
        "train.json, line 5: unknown field 'acept_return_code' in 'transform'; did you mean "
        "'accept_return_code'?\n"
        '  4 |     "image": "x",\n'
        '  5 |     "acept_return_code": ["/bin/bash"]\n'
        "    |     ^\n"
        "  6 |   },"
    )


def test_a_suggestion_comes_in_the_spelling_of_the_author(refusal: Refusal) -> None:
    said = refusal('{"pipeline": {"name": "a"}, "datumTrys": 1}')

    assert "unknown field 'datumTrys'; did you mean 'datumTries'?" in said


def test_a_field_in_the_wrong_place_is_told_where_it_belongs(refusal: Refusal) -> None:
    assert "unknown field 'cmd'; it belongs in 'transform'" in refusal('{"cmd": ["a"]}')
    assert "unknown field 'glob'; it belongs in a 'pfs' input" in refusal('{"glob": "/"}')


def test_a_missing_comma_is_shown_where_it_is_missed(refusal: Refusal) -> None:
    text = '{\n  "pipeline": {"name": "a"}\n  "transform": {}\n}'

    assert refusal(text, "a.json") == (
        "a.json, line 3: expected ',' or '}', found '\"'\n"
        '  2 |   "pipeline": {"name": "a"}\n'
        '  3 |   "transform": {}\n'
        "    |   ^\n"
        "  4 | }"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": 1,}', "a comma must not stand before '}'"),
        ('{"a": [1,]}', "a comma must not stand before ']'"),
        ('{"a"', "expected ':' behind field 'a', found the end"),
        ('{"a": "b', "this string has no closing quote"),
        ('{"a": "b\nc"}', "this string has a control character or an escape that JSON doesn't"),
        ('{"a": "\\q"}', "a newline is written \\n and a backslash \\\\"),
        ("{'a': 1}", 'expected a field name in double quotes, found "\'"; strings need double'),
        ('{"a": tru}', "expected a value, found 'tru'"),
        ('{"a": NaN}', "expected a value, found 'NaN'"),
        ('{"a": -Infinity}', "expected a value, found '-Infinity'"),
        ('{"a": 01}', "expected a value, found '01'"),
        ('{"pipeline": 1, "pipeline": 2}', "field 'pipeline' is given twice"),
        ('{"pipeline": {"name": "\\u0000"}}', "a string can't hold a NUL character"),
        ('{"pipeline": {"name": "\\ud800"}}', "a string holds half of a surrogate pair"),
        ("null ]", "expected a value, found ']'"),
    ],
)
def test_text_that_is_not_json_is_refused(text: str, sentence: str, refusal: Refusal) -> None:
    said = refusal(text, "a.json")

    assert said.startswith("a.json, line ")
    assert sentence in said
    assert "^" in said


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a: 1\n\tb: 2\n", 2, "this is not valid YAML: found "),
        ("a: b: c\n", 1, "this is not valid YAML: mapping values are not allowed "),
        ("a: [1\nb: 2\n", 2, "this is not valid YAML: "),
        ("pipeline: 1\npipeline: 2\n", 2, "field 'pipeline' is given twice"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tags such as "),
        ("a: !!str x\n", 1, "tags such as 'tag:yaml.org,2002:str' have no place in a spec"),
        ("a: &x 1\nb: {<<: *x}\n", 2, "merging with '<<' is not supported: write the fields out"),
        ("a: *nothing\n", 1, "alias 'nothing' stands for nothing before it"),
        ("a: &a [*a]\n", 1, "alias 'a' stands for nothing before it"),
        ("? [a]\n: b\n", 1, "a field name must be a single word"),
        ('a: "\\0"\n', 1, "a string can't hold a NUL character"),
    ],
)
def test_text_that_is_not_plain_yaml_is_refused(
    text: str, line: int, sentence: str, refusal: Refusal
) -> None:
    said = refusal(text, "a.yaml")

    assert said.startswith(f"a.yaml, line {line}: {sentence}")


def test_the_caret_counts_characters_and_not_bytes(refusal: Refusal) -> None:
    text = '# ä 🙂\npipeline: {name: a}\ndescription: "🙂🙂", nonsense: 1\n'

    said = refusal(text.replace(", nonsense: 1", "\nä: 1"), "a.yaml")

    assert said.startswith("a.yaml, line 4: unknown field 'ä'\n")
    assert said.endswith("  4 | ä: 1\n    | ^\n  5 |")


def test_a_long_line_is_cut_around_the_caret(refusal: Refusal) -> None:
    text = '{"description": "' + "x" * 5000 + '", "nonsense": 1}'

    lines = refusal(text).splitlines()

    assert max(map(len, lines)) < 120
    assert lines[1][lines[2].index("^") :].startswith('"nonsense"')


@pytest.mark.parametrize("text", ["", "  \n", "---\n---\n", "null", "[]", "# nothing\n", "\ufeff"])
def test_a_text_without_a_spec_is_refused(text: str, refusal: Refusal) -> None:
    assert refusal(text, "x") == "x: there is no pipeline spec in it"


def test_a_spec_of_ten_megabytes_is_refused_by_its_size() -> None:
    text = json.dumps({"description": "x" * 10_000_000})

    with pytest.raises(InvalidSpec) as caught:
        read_specs(text, source="big.json", bytes_max=4_194_304)

    assert str(caught.value) == (
        "big.json has 10,000,019 bytes, more than the 4,194,304 that a pipeline spec may have; "
        "put data into a repo and code into `transform.code`"
    )


@pytest.mark.parametrize("source", ["a.json", "a.yaml"])
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_bottomless_nesting_is_refused(source: str, opening: str, refusal: Refusal) -> None:
    assert "this is nested more than 64 levels deep" in refusal(opening * 20_000, source)


def test_an_avalanche_of_aliases_is_refused(refusal: Refusal) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 30)]

    assert "more than the 100,000 values that a spec may have" in refusal("\n".join(lines))


def test_a_ladder_of_aliases_is_refused(refusal: Refusal) -> None:
    lines = ["- &a0 [x]", *(f"- &a{n} [*a{n - 1}]" for n in range(1, 5000))]

    assert "nested more than 64 levels deep" in refusal("\n".join(lines))


def test_too_many_values_are_refused(refusal: Refusal) -> None:
    assert "more than the 100,000 values" in refusal("[" + "1," * 100_001 + "1]")


def test_half_of_a_surrogate_pair_is_not_text(refusal: Refusal) -> None:
    assert refusal('{"a": "\ud800"}', "x").startswith("x, line 1: this is not valid UTF-8")


WRONG_TYPES: list[tuple[dict[str, object], str]] = [
    ({"description": 5}, "'description' must be a string, not 5; put it in quotes"),
    ({"description": ["a"]}, "'description' must be a string, not a list"),
    (
        {"transform": {"cmd": ["sh"], "stdin": [{"for a in b": None}]}},
        "'transform.stdin[0]' must be a string, not an object; text with a "
        "colon needs quotes in YAML",
    ),
    (
        {"transform": {"cmd": "cp"}},
        "'transform.cmd' must be a list of strings, not the string 'cp'",
    ),
    (
        {"transform": {"cmd": ["cp", 1]}},
        "'transform.cmd[1]' must be a string, not 1; put it in quotes",
    ),
    (
        {"transform": {"cmd": ["cp"], "env": {"A": True}}},
        "'transform.env.A' must be a string, not true; put it in quotes",
    ),
    (
        {"transform": {"cmd": ["cp", None]}},
        "'transform.cmd[1]' must be a string, not null",
    ),
    (
        {"transform": {"cmd": ["cp"], "env": ["A=1"]}},
        "'transform.env' must be an object with strings, not a list",
    ),
    (
        {"transform": {"cmd": ["cp"], "accept_return_code": 3}},
        "'transform.accept_return_code' must be a list of whole numbers, not 3",
    ),
    ({"input": {"cross": {}}}, "'input.cross' must be a list of objects, not an object"),
    (
        {"parallelism_spec": {"coefficient": "much"}},
        "'parallelism_spec.coefficient' must be a number from 0 to 1,000,000, "
        "not the string 'much'",
    ),
    ({"datum_tries": 2**200}, "a number is far out of range"),
    (
        {"datum_tries": 10**35},
        "'datum_tries' must be a whole number from 0 to 1,000, not "
        "100000000000000000000000000000000000",
    ),
    ({"transform": []}, "'transform' must be an object with fields, not a list"),
    (
        {"datum_tries": "three"},
        "'datum_tries' must be a whole number from 0 to 1,000, not the string 'three'",
    ),
    ({"datum_tries": -1}, "'datum_tries' must be a whole number from 0 to 1,000, not -1"),
    ({"datum_tries": 1.5}, "'datum_tries' must be a whole number from 0 to 1,000, not 1.5"),
    (
        {"max_queue_size": -1},
        "'max_queue_size' must be a whole number of at least 0, not -1",
    ),
    ({"autoscaling": "yes"}, "'autoscaling' must be true or false, not the string 'yes'"),
    (
        {"datum_timeout": 10},
        '\'datum_timeout\' must be a duration such as "10s" or "1h30m", not 10',
    ),
    (
        {"job_timeout": "10 s"},
        "'job_timeout' must be a duration such as \"10s\" or \"1h30m\", not the string '10 s'",
    ),
    (
        {"cache_size": "a lot"},
        "'cache_size' must be an amount such as \"64M\" or \"1Gi\", not the string 'a lot'",
    ),
    (
        {"parallelism_spec": {"coefficient": "1e400"}},
        "'parallelism_spec.coefficient' must be a number from 0 to 1,000,000, "
        "not the string '1e400'",
    ),
    (
        {"output_merge": "concatt"},
        "'output_merge' must be \"error\" or \"concat\", not 'concatt'; did you mean 'concat'?",
    ),
    (
        {"datum_tries": float("nan")},
        "NaN and Infinity are not numbers of a spec",
    ),
    ({"description": {1: 2}}, "a field is named by '1', which is not a string"),
    ({"description": b"x"}, "a value of type bytes has no place in a spec"),
    ({"datumTries": 1, "datum_tries": 2}, "field 'datum_tries' is given twice, in two spellings"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_refused(
    change: dict[str, object], sentence: str, minimal: dict[str, object]
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_from_document(minimal | change)

    assert str(caught.value) == f"pipeline spec: {sentence}"


PFS: dict[str, object] = {"repo": "r", "glob": "/"}

BROKEN_RULES: list[tuple[dict[str, object], str]] = [
    ({"pipeline": {}}, "the pipeline has no name: a spec needs `pipeline.name`"),
    (
        {"pipeline": {"name": "a b"}},
        "'a b' is not a pipeline name: use letters, digits, '_' and '-' only",
    ),
    (
        {"pipeline": {"name": "__spec__"}},
        "'__spec__' is the system's own repo; choose another name",
    ),
    (
        {"pipeline": {"name": "a", "project": {"name": "_x"}}},
        "'_x' is not a project name: it must begin with a letter or digit",
    ),
    ({"transform": None}, "pipeline must specify a transform: a spec needs `transform.cmd`"),
    ({"transform": {}}, "transform must specify a cmd: nothing to run"),
    ({"transform": {"cmd": []}}, "transform must specify a cmd: nothing to run"),
    (
        {"transform": {"image": "x", "runtime": "process"}},
        "transform must specify a cmd: the entry point of an image is run in containers only",
    ),
    (
        {"transform": {"cmd": ["a"], "runtime": "docker"}},
        "transform.runtime is docker, which needs an image",
    ),
    (
        {"transform": {"cmd": ["a"], "env": {"A=B": "c"}}},
        "an environment variable can't have an empty name or '=' in its name",
    ),
    (
        {"transform": {"cmd": ["a"], "secrets": [{"key": "k"}]}},
        "'transform.secrets[0]' has no name",
    ),
    (
        {"transform": {"cmd": ["a"], "secrets": [{"name": "s", "env_var": "S"}]}},
        "'transform.secrets[0]' has env_var set, so it needs a key",
    ),
    *(
        ({"transform": {"cmd": ["a"], "env": {"E": "1"}, "secrets": secrets}}, problem)
        for secrets, problem in (
            (
                [{"name": "s", "key": "k"}],
                "'transform.secrets[0]' has neither mount_path nor env_var: no code would see it",
            ),
            (
                [{"name": "s", "key": "k", "env_var": "A=B"}],
                "'transform.secrets[0]' has an env_var with '=' in its name",
            ),
            (
                [{"name": "s", "key": "k", "env_var": "E"}],
                "'transform.secrets[0]' sets the variable E, which is set already",
            ),
            (
                [{"name": "s", "mount_path": "x"}],
                "'transform.secrets[0]' has the mount_path 'x', which must be absolute and plain",
            ),
            (
                [{"name": "s", "mount_path": "/.."}],
                "'transform.secrets[0]' has the mount_path '/..', which must be absolute and plain",
            ),
            (
                [{"name": "s", "mount_path": "/pfs/s"}],
                "'transform.secrets[0]' has the mount_path /pfs/s, which is taken; try /secrets/s",
            ),
            (
                [{"name": "s", "mount_path": "/x/y"}, {"name": "t", "mount_path": "/x"}],
                "'transform.secrets[1]' has the mount_path /x, which clashes with that of 's'",
            ),
        )
    ),
    (
        {"transform": {"cmd": ["a", "x" * 200_000]}},
        "'transform.cmd[1]' is longer than the 131,072 bytes that the system can pass to a "
        "command; put it into `transform.code` or `stdin`",
    ),
    (
        {"input": None},
        "no input set: a spec needs an `input`, such as a pfs input with repo and glob",
    ),
    (
        {"input": {"cross": [{}]}},
        "no input set: 'input.cross[0]' needs one of pfs, atom, cron, git, cross, union, join, "
        "group",
    ),
    ({"input": {"cross": []}}, "no input set: 'input.cross' is empty"),
    (
        {"input": {"pfs": PFS, "cross": [{"pfs": PFS}]}},
        "multiple input types set: 'input' has pfs, cross; combine them with a cross, a union, a "
        "join or a group",
    ),
    ({"input": {"pfs": {"glob": "/"}}}, "input must specify a repo: 'input.pfs' has none"),
    (
        {"input": {"atom": {"repo": "r"}}},
        "input must specify a glob: 'input.atom' has none; '/' makes the whole tree one datum, "
        "'/*' each file and directory at the top",
    ),
    (
        {"input": {"pfs": PFS | {"name": "out"}}},
        'input cannot be named "out": /pfs/out is where the output goes; give it another `name`',
    ),
    (
        {"input": {"pfs": {"repo": "out", "glob": "/"}}},
        'input cannot be named "out": /pfs/out is where the output goes; give it another `name`',
    ),
    (
        {"input": {"pfs": PFS | {"name": "../etc"}}},
        "'../etc' is not a pfs input name: use letters, digits, '_' and '-' only",
    ),
    (
        {"input": {"pfs": PFS | {"branch": "a/b"}}},
        "'a/b' is not a branch name: use letters, digits, '_' and '-' only",
    ),
    (
        {"input": {"pfs": {"repo": "r", "glob": "/[a"}}},
        "'/[a' is not a glob pattern: a '[' is not closed",
    ),
    (
        {"input": {"pfs": PFS | {"project": "x/y"}}},
        "'x/y' is not a project name: use letters, digits, '_' and '-' only",
    ),
    (
        {"input": {"cross": [{"pfs": PFS}, {"atom": PFS}]}},
        "name r was used more than once: the members of a cross need distinct names",
    ),
    (
        {"input": {"cross": [{"union": [{"pfs": PFS}, {"pfs": PFS}]}, {"pfs": PFS}]}},
        "name r was used more than once: the members of a cross need distinct names",
    ),
    (
        {"input": {"union": [{"pfs": PFS}] * 257}},
        "'input' has 257 inputs, more than the 256 allowed",
    ),
    (
        {"output_branch": "a.b"},
        "'a.b' is not a branch name: use letters, digits, '_' and '-' only",
    ),
    (
        {"parallelism_spec": {"constant": 1, "coefficient": 2}},
        "contradictory parallelism strategies: parallelism_spec has constant and coefficient; "
        "set one",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), BROKEN_RULES)
def test_a_spec_that_breaks_a_rule_is_refused(
    change: dict[str, object], sentence: str, minimal: dict[str, object]
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_from_document(minimal | change)

    assert str(caught.value) == f"pipeline spec: {sentence}"


NOT_YET: list[tuple[dict[str, object], str]] = [
    ({"input": {"pfs": PFS | {"commit": "x"}}}, "'input.pfs.commit' is not supported yet"),
    (
        {"input": {"cross": [{"pfs": PFS}, {"git": {"commit": "x"}}]}},
        "'input.cross[1].git.commit' is not supported yet (a job's spec tells the commit",
    ),
    ({"spout": {"marker": "x"}, "input": None}, "'spout.marker' is not supported yet"),
    ({"dry_run": True}, "'dry_run' is not supported yet (use `validate pipeline`)"),
]


@pytest.mark.parametrize(("change", "sentence"), NOT_YET)
def test_what_has_no_datums_to_run_on_yet_is_refused_and_not_ignored(
    change: dict[str, object], sentence: str, minimal: dict[str, object]
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_from_document(minimal | change)

    assert str(caught.value).startswith(f"pipeline spec: {sentence}")


def test_what_is_not_supported_is_checked_for_its_shape_first(
    minimal: dict[str, object],
) -> None:
    with pytest.raises(InvalidSpec, match="unknown field 'brunch' in 'input.git'.*'branch'"):
        spec_from_document(minimal | {"input": {"git": {"brunch": "x"}}})


def test_a_broken_rule_is_shown_where_it_is_broken(refusal: Refusal) -> None:
    text = """pipeline: {name: a}
transform: {cmd: [a]}
input:
  cross:
    - pfs: {repo: r, glob: /}
    - pfs:
        repo: s
        name: r
        glob: /
"""

    said = refusal(text, "a.yaml")

    assert said.startswith("a.yaml, line 6: name r was used more than once")
    assert "  6 |     - pfs:\n    |       ^\n" in said


def test_the_second_spec_of_a_text_is_the_one_blamed(
    tutorial: dict[str, str], refusal: Refusal, read: Callable[..., list[PipelineSpec]]
) -> None:
    good = tutorial["train"]
    text = good + '{"pipeline": {"name": "b"}}'

    assert len(read(good)) == 1
    assert refusal(text).startswith("spec, line 11: pipeline must specify a transform")


def test_a_quarantine_says_how_much_it_holds_and_has_its_branch_for_itself(
    refusal: Refusal,
) -> None:
    whole = {
        "pipeline": {"name": "a"},
        "transform": {"cmd": ["true"]},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
    }
    unsaid = whole | {"on_failure": {"quarantine": {}}}
    taken = whole | {"on_failure": {"quarantine": {"max": 1}}, "output_branch": "errors"}

    assert "'on_failure.quarantine' has no max: say how many" in refusal(json.dumps(unsaid))
    assert "output_branch can't be 'errors'" in refusal(json.dumps(taken))
    assert "'on_failure' must be \"fail\", not 'ignore'" in refusal(
        json.dumps(whole | {"on_failure": "ignore"})
    )
