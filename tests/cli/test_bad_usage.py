"""Words that are no command, and commands with the wrong words."""

import pytest


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("lst-repo", "there is no command 'lst-repo'; did you mean 'list-repo'?"),
        ("creat-repo x", "there is no command 'creat-repo'; did you mean 'create-repo'?"),
        ("list rpeo", "there is no command 'list rpeo'; did you mean 'list repo'?"),
        ("put flie", "there is no command 'put flie'; did you mean 'put file'?"),
        ("verison", "there is no command 'verison'; did you mean 'version'?"),
        ("repo list", "there is no command 'repo list'; did you mean 'list repo'?"),
        ("repos list", "there is no command 'repos list'; did you mean 'list repo'?"),
        ("frobnicate", "there is no command 'frobnicate'"),
        ("check status", "there is no command 'check'; use `status`"),
        ("debug dump", "there is no command 'debug dump'; use `doctor`"),
        ("restart cluster", "there is no command 'restart cluster'; a local server has none"),
        ("update-dash", "there is no command 'update-dash'; there is no dashboard yet"),
        ("buildinfo", "there is no command 'buildinfo'; use `version`"),
        (
            "list",
            "list what? project, repo, branch, tag, retention, commit, file, pipeline, secret, job",
        ),
        ("extract", "extract what? pipeline; `backup` copies everything there is"),
        ("list repo --rwa", "there is no option '--rwa'; did you mean '--raw'?"),
        ("list-repo --rwa", "there is no option '--rwa'; did you mean '--raw'?"),
        ("list repo -z", "there is no option '-z'"),
        ("list repo -o xml", "Invalid value for '-o' / '--output': 'xml' is not one of"),
        ("create repo", "missing argument 'REPO'"),
        ("create repo a b", "too many arguments: b"),
        ("list commit a -n x", "Invalid value for '-n' / '--number'"),
        ("inspect datum j", "missing argument 'DATUM'"),
        ("flush commit", "missing argument 'COMMIT...'"),
        ("flush-commit", "missing argument 'COMMIT...'"),
    ],
)
def test_bad_words_are_answered_with_a_hint_and_the_usage(cli, line, sentence):
    result = cli(*line.split(), program="trunkline")

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"error: {sentence}")
    assert "\nUsage: trunkline " in result.err
    assert cli.opened == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("delete repo", "either a repo name or the --all flag needs to be provided"),
        ("delete-repo", "either a repo name or the --all flag needs to be provided"),
        ("delete-repo x --all", "cannot use the --all flag with an argument"),
        ("delete pipeline", "either a pipeline name or the --all flag needs to be provided"),
        ("list-commit r -f x", "cannot use `from` commit without `to` commit"),
        ("list commit r@m -n -1", "--number is -1"),
        ("inspect commit training", "does not name a commit"),
        ("finish commit training@master:/x", "does not name a commit"),
        ("create branch training", "does not name a branch"),
        ("create branch a@m --trigger-size 1MB", "a condition needs --trigger BRANCH"),
        ("create branch a@m --trigger x --no-trigger", "exclude each other"),
        ("create branch a@m --trigger x --trigger-commits 0", "must be 1 or more"),
        ("create branch a@m --trigger b@x --trigger-commits 1", "b@x, of another repo"),
        ("create branch a@m --head b@x", "b@x, of another repo"),
        ("subscribe commit a@m --new --from x", "--new and --from exclude each other"),
        ("copy file a@m b@m:/x", "does not name a file"),
        ("glob file a@m", "has no pattern"),
        ("list file :/x", "does not name a repo"),
        ("logs", "whose logs?"),
        ("logs -p a -t -1", "--tail is -1"),
        ("logs -p a --since yesterday", "'yesterday' is not a length of time"),
        ("list job train", "is not the id of a run"),
        ("update pipeline -f x --reprocess --keep-results", "exclude each other"),
        ("extract pipeline", "either a pipeline name or the --all flag needs to be provided"),
        ("create pipeline -f none.json", "there is no file or directory 'none.json'"),
    ],
)
def test_words_that_contradict_each_other_change_nothing(cli, stub, line, sentence):
    result = cli(*line.split())

    assert result.status in (2, 3)
    assert result.out == ""
    assert sentence in result.err
    assert stub.calls == []


def test_what_can_not_name_a_project_is_refused(cli, stub):
    result = cli("list", "repo", "--project", "_other")

    assert result.status == 2
    assert "'_other' is not a project name: it must begin with a letter or digit" in result.err
    assert stub.calls == []


def test_no_words_at_all_show_the_help(cli):
    result = cli(program="trunkline")

    assert result.status == 0
    assert result.out.startswith("Usage: trunkline [OPTIONS] COMMAND [ARGS]...\n")
    assert "create repo training" in result.out


def test_help_and_version_open_no_connection(cli):
    for words in (["--help"], ["--version"], ["list", "--help"], ["put-file", "--help"]):
        assert cli(*words).status == 0

    assert cli.opened == []
