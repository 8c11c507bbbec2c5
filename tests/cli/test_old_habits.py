"""What users of Pachyderm type and read without thinking: help, TAB, -o json, what is gone."""

import json

import pytest
import yaml

from trunkline.cli.classic import CLASSIC

RUN = "5c0606144d234fa09d25e682589b0a8b"


def examples(text: str) -> list[str]:
    _, _, shown = text.partition("Examples:\n")
    return [line.strip().removeprefix("pachctl ") for line in shown.splitlines()]


@pytest.mark.parametrize("name", CLASSIC)
def test_the_examples_of_an_old_command_are_in_its_own_words(cli, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    for example in examples(cli(name, "--help").out):
        assert example.startswith(name)
        words = [word.strip("'") for word in example.split() if word != "…"]
        assert "expected" not in cli(*words, stdin=b"{}").err


def test_help_tells_the_default_of_the_words_that_were_used(cli):
    old = " ".join(cli("put-file", "--help").out.split())
    new = " ".join(cli("put", "file", "--help").out.split())

    assert "Add to a file (default). -o, --overwrite Replace a file. " in old
    assert "Add to a file. -o, --overwrite Replace a file (default). " in new
    assert "put-file training master iris.csv -f iris.csv" in old


def test_help_is_a_word_too(cli):
    assert cli("help").out == cli("--help").out
    assert cli("help", "put-file").out == cli("put-file", "--help").out
    assert cli("help", "list", "job").out == cli("list", "job", "--help").out


def test_a_shell_completes_options_and_files_of_old_commands(cli, monkeypatch):
    monkeypatch.setenv("_PACHCTL_COMPLETE", "bash_complete")
    for typed, count, found in (
        ("pachctl list-file --ra", 2, "plain,--raw\n"),
        ("pachctl put-file training master -f ir", 5, "file,ir\n"),
        ("pachctl create pipeline -f x", 4, "file,x\n"),
    ):
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(count))

        result = cli()

        assert (result.out, result.err) == (found, "")


def test_list_job_reads_a_format_or_a_commit_behind_o(cli, stub):
    assert json.loads(cli("list-job", "-o", "json").out)
    assert cli("list-job", "-o", "train/master").status == 0

    formats, commits = stub.all_called("list_jobs")

    assert formats[1]["output"] is None
    assert commits[1]["output"] == "train@master"


@pytest.mark.parametrize(
    "line", ["flush-commit training/master", "flush-job training/master", f"inspect-job {RUN}"]
)
def test_several_answers_are_one_document(cli, line):
    array = json.loads(cli(*line.split(), "-o", "json").out)

    assert len(array) > 1
    assert yaml.safe_load(cli(*line.split(), "-o", "yaml").out) == array


def test_versions_are_shown_in_each_shape(cli):
    versions = json.loads(cli("version", "-o", "json").out)

    assert list(versions) == ["pachctl", "pachd"]
    assert yaml.safe_load(cli("version", "-o", "yaml").out) == versions
    assert json.loads(cli("version", "--raw").out) == versions


def test_a_number_that_no_listing_reaches_lists_all(cli):
    result = cli("list-commit", "inference", "-n", "9" * 30)

    assert (result.status, result.out) == (0, cli("list-commit", "inference").out)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("port-forward", "`connect ADDRESS` uses a remote one"),
        ("inspect-cluster", "use `status`"),
        ("run pipeline x", "use `rerun pipeline`"),
        ("mount", "not supported yet"),
        ("draw-pipeline", "not supported yet"),
        ("list foo", "there is no command 'list foo'\n"),
        ("list repo --all", "there is no option '--all'\n"),
    ],
)
def test_what_there_is_not_is_not_taken_for_something_else(cli, line, sentence):
    result = cli(*line.split())

    assert result.status == 2
    assert sentence in result.err
    assert "did you mean" not in result.err
