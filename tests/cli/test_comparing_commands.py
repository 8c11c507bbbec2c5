"""What `diff file` and `log` ask for."""

import pytest

from trunkline.model.differences import ContentKind


@pytest.mark.parametrize("kind", [kind.value for kind in ContentKind])
def test_a_kind_of_content_is_named_as_it_is_printed(cli, stub, kind):
    result = cli("diff", "file", "training@master", "--stat", "--as", kind)

    assert result.status == 0
    assert stub.called("diff_contents")[1]["kind"] == kind


def test_a_kind_that_there_is_not_is_answered_with_those_there_are(cli, stub):
    result = cli("diff", "file", "training@master", "--as", "xml")

    assert result.status == 2
    assert "'text', 'csv', 'jsonl', 'json', 'parquet', 'binary'" in result.err
    assert stub.calls == []


def test_a_difference_is_an_exit_status_only_if_asked_for(cli):
    plain = cli("diff", "file", "training@master", "--name-only")
    asked = cli("diff", "file", "training@master", "--name-only", "--exit-code")

    assert (plain.status, asked.status) == (0, 10)


def test_the_history_of_a_path_is_cut_off_as_every_list(cli, stub):
    cli("log", "training@master:/iris.csv", "-n", "3", "--project", "p")
    cli("log", "training@master")
    refused = cli("log", "training@master", "-n", "-1")

    assert stub.all_called("list_file_versions") == [
        (("p/training", "master", "/iris.csv"), {"number": 3}),
        (("training", "master", "/"), {"number": 0}),
    ]
    assert (refused.status, refused.err.splitlines()[0]) == (
        2,
        "error: --number is -1; it must be 0 (all) or more",
    )
