"""Datums of a spec on the command line."""

import json

import pytest

from trunkline.model.pipelines import PipelineDraft


@pytest.fixture
def spec(tmp_path, stub):
    path = tmp_path / "infer.json"
    path.write_text("{}")
    stub.answers.drafts = [PipelineDraft(name="i", spec={"n": 1}, code="", warnings=())]
    return str(path)


def test_the_datums_of_a_spec_are_listed_without_making_anything(cli, stub, spec):
    shown = cli("list", "datum", "-f", spec, "-n", "5")
    paged = cli("list", "datum", "-f", spec, "--page", "2", "--page-size", "7", "--raw")

    assert [call[0] for call in stub.calls] == ["validate_specs", "preview_datums"] * 2
    assert [given for _, given in stub.all_called("preview_datums")] == [
        {"page": 0, "page_size": 5},
        {"page": 2, "page_size": 7},
    ]
    assert stub.all_called("preview_datums")[0][0] == ({"n": 1},)
    assert shown.out.split()[:4] == ["ID", "FILES", "STATUS", "TIME"]
    assert json.loads(paged.out.split("\n}\n")[0] + "}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name either a job, or a spec"),
        (["j@1", "-f", "x"], "name either a job, or a spec"),
        (["-f", "x", "--jsonnet", "y"], "exclude each other"),
        (["-f", "x", "--arg", "a=1"], "name it with --jsonnet"),
        (["j@1", "-n", "1", "--page-size", "2"], "exclude each other"),
        (["j@1", "-n", "-1"], "must be 0"),
    ],
)
def test_words_that_do_not_fit_together_are_refused(cli, stub, words, sentence):
    result = cli("list", "datum", *words)

    assert result.status == 2
    assert sentence in result.err
    assert stub.calls == []


def test_a_text_of_two_pipelines_is_refused(cli, stub, spec):
    stub.answers.drafts = stub.answers.drafts * 2

    result = cli("list", "datum", "-f", spec)

    assert (result.status, stub.all_called("preview_datums")) == (2, [])
