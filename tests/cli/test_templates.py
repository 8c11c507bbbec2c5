"""Specs from templates on the command line."""

import pytest


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "t.jsonnet"
    path.write_text("function(name) {pipeline: {name: name}}")
    return str(path)


@pytest.mark.parametrize("verb", ["create", "update", "validate"])
def test_what_a_template_makes_is_sent_as_a_spec(cli, stub, template, verb):
    pytest.importorskip("_jsonnet", reason="needs the extra 'jsonnet'")
    stub.answers.drafts = []

    result = cli(verb, "pipeline", "--jsonnet", template, "--arg", "name=a=b")

    assert (result.status, result.err) == (0, "")
    (text,), given = stub.called("validate_specs")
    assert '"name": "a=b"' in text
    assert given == {"source": f"{template} as evaluated", "project": "default"}


def test_a_mistake_in_a_template_ends_the_command_with_its_place(cli, stub, tmp_path):
    pytest.importorskip("_jsonnet", reason="needs the extra 'jsonnet'")
    path = tmp_path / "t.jsonnet"
    path.write_text("{\n a: b }")

    result = cli("create", "pipeline", "--jsonnet", str(path))

    assert result.status == 2
    assert result.err == f"error: {path}, line 2: Unknown variable: b\n"
    assert stub.calls == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--arg", "a=1"], "name it with --jsonnet"),
        (["-f", "x.json", "--jsonnet", "t"], "-f and --jsonnet exclude each other"),
        (["--jsonnet", "t", "--arg", "a"], "write NAME=VALUE"),
        (["--jsonnet", "t", "--arg", "1=2"], "write NAME=VALUE"),
        (["--jsonnet", "t", "--arg", "a=1", "--arg", "a=2"], "--arg a is given twice"),
        (["--jsonnet", "gone.jsonnet"], "there is no file or directory 'gone.jsonnet'"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(cli, stub, words, sentence):
    for verb in ("create", "update", "validate"):
        result = cli(verb, "pipeline", *words)

        assert result.status != 0
        assert sentence in result.err
    assert stub.calls == []
