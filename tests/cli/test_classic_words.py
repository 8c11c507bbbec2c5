"""The hyphenated commands of 1.7 ask for the same as today's, in their own words."""

import pytest

from trunkline.api.changes import CopyFile, DeleteFile, PutFile
from trunkline.cli.classic import CLASSIC

RUN = "5c0606144d234fa09d25e682589b0a8b"
SAME = [
    ("garbage-collect", "gc"),
    ("create-repo training -d flowers", "create repo training -d flowers"),
    ("update-repo training --description=flowers", "update repo training -d flowers"),
    ("inspect-repo training", "inspect repo training"),
    ("list-repo", "list repos"),
    ("delete-repo training -f", "delete repo training --force"),
    ("delete-repo --all", "delete repo --all --yes"),
    ("start-commit training master -p x", "start commit training@master --parent x"),
    ("start-commit training", "start commit training"),
    ("finish-commit training master -m done", "finish commit training@master --message done"),
    ("inspect-commit training master^2", "inspect commit training@master^2"),
    ("list-commit training", "list commit training"),
    ("list-commit training master -f x -n 3", "list commits training@master --from x --number 3"),
    ("flush-commit a/master b/x -r out", "flush commit a@master b@x --repos out"),
    ("subscribe-commit training master --new", "subscribe commit training@master --new"),
    (f"delete-commit training {RUN}", f"delete commit training@{RUN}"),
    ("create-branch training master -p raw/x", "create branch training@master -p raw@x"),
    ("create-branch training master --head x", "create branch training@master --head x"),
    ("set-branch training x master", "set branch training@x master"),
    ("inspect-branch training master", "inspect branch training@master"),
    ("list-branch training", "list branches training"),
    ("delete-branch training master -f", "delete branch training@master -f"),
    ("copy-file a x /f b y /g -o", "copy file a@x:/f b@y:/g"),
    ("get-file training master iris.csv", "get file training@master:iris.csv"),
    ("inspect-file training master iris.csv", "inspect file training@master:iris.csv"),
    ("list-file training master", "list file training@master"),
    ("list-file training master dir", "list files training@master:dir"),
    ("glob-file training master /*.csv", "glob file training@master:/*.csv"),
    ("diff-file training master f", "diff file training@master:f"),
    ("diff-file a x f b y g -s", "diff file a@x:f b@y:g --shallow"),
    ("delete-file training master iris.csv", "delete file training@master:iris.csv"),
    ("inspect-pipeline train", "inspect pipeline train"),
    ("list-pipeline", "list pipelines -o json"),
    ("extract-pipeline train", "extract pipeline train"),
    ("delete-pipeline train", "delete pipeline train"),
    ("delete-pipeline --all", "delete pipeline --all --yes"),
    ("start-pipeline train", "start pipeline train"),
    ("stop-pipeline train", "stop pipeline train"),
    (f"inspect-job inference@{RUN} -b", f"inspect job inference@{RUN} --wait"),
    ("list-job -p train", "list jobs --pipeline train"),
    ("list-job -o a/x -i b/y,c/z", "list job --output-commit a@x -i b@y -i c@z"),
    ("list-job --output=a/x", "list job --output-commit a@x"),
    ("flush-job a/master -p train", "flush job a@master --pipeline train"),
    (f"stop-job train@{RUN}", f"stop job train@{RUN}"),
    (f"delete-job train@{RUN}", f"delete job train@{RUN}"),
    (f"list-datum train@{RUN} --pageSize 5", f"list datum train@{RUN} --page-size 5"),
    (f"inspect-datum train@{RUN} 01", f"inspect datum train@{RUN} 01"),
    (f"restart-datum train@{RUN} /a,/b", f"restart datum train@{RUN} /a,/b"),
    ("get-logs --pipeline=train -t 5", "logs --pipeline train --tail 5"),
    ("delete-all --yes", "delete all --yes"),
]  # fmt: skip
ELSEWHERE = {"put-file", "create-pipeline", "update-pipeline", "edit-pipeline"}


@pytest.mark.parametrize(("old", "new"), SAME)
def test_an_old_command_asks_for_the_same_as_its_new_form(cli, stub, old, new):
    assert cli(*old.split()).status in (0, 1)
    asked_by_old = [call for call in stub.calls if call[0] != "list_jobs" or "list" in old]
    stub.calls.clear()

    cli(*new.split(), program="trunkline")

    asked_by_new = [call for call in stub.calls if call[0] != "list_jobs" or "list" in old]
    assert asked_by_old
    assert asked_by_new[: len(asked_by_old)] == asked_by_old


def test_every_old_command_is_tried():
    tried = {old.split()[0] for old, _ in SAME} | ELSEWHERE

    assert tried == set(CLASSIC)


def test_put_file_appends_as_it_did_in_1_7_unless_told_to_overwrite(cli, stub):
    cli("put-file", "training", "master", "x", "-c", stdin=b"1")
    cli("put-file", "training", "master", "x", "-o", stdin=b"2")
    cli("put", "file", "training@master:/x", stdin=b"3")
    cli("put", "file", "training@master:/x", "-a", stdin=b"4")

    put = [args[2][0] for args, _ in stub.all_called("modify_files")]

    assert put == [
        PutFile(path="x", content=[b"1"], append=True),
        PutFile(path="x", content=[b"2"], append=False),
        PutFile(path="x", content=[b"3"], append=False),
        PutFile(path="x", content=[b"4"], append=True),
    ]


def test_copy_file_appends_as_it_did_in_1_7_unless_told_to_overwrite(cli, stub):
    cli("copy-file", "a", "x", "f", "b", "master", "g")
    cli("copy", "file", "a@x:f", "b@master:g")

    (old, _), (new, _) = stub.all_called("modify_files")

    change = CopyFile(path="g", source_repo="a", source_commit="x", source_path="f", append=True)
    assert old == ("b", "master", [change])
    assert new[2][0].append is False


def test_short_options_may_be_written_together_and_with_their_value(cli, stub, tmp_path):
    (tmp_path / "iris.csv").write_bytes(b"5.1\n")
    source = f"{tmp_path}/iris.csv"
    spellings = [
        ("-co", "-f", source),
        ("-cof", source),
        ("-co", f"-f{source}"),
        ("-co", f"--file={source}"),
        ("-c=true", "-o", "-f", source),
        ("--commit", "--overwrite", "--file", source),
        ("--commit=true", "--overwrite=true", "--append=false", "-f", source),
    ]

    results = [cli("put-file", "training", "master", "iris.csv", *words) for words in spellings]

    assert [(result.status, result.err) for result in results] == [(0, "")] * len(spellings)
    sent = [args for args, _ in stub.all_called("modify_files")]
    assert len(sent) == len(spellings)
    assert all(args == sent[0] for args in sent)
    assert sent[0][2][0].append is False


def test_words_behind_a_double_dash_are_no_options(cli, stub):
    cli("delete-file", "training", "master", "--", "-strange")

    args, _ = stub.called("modify_files")

    assert args == ("training", "master", [DeleteFile(path="-strange")])


@pytest.mark.parametrize(
    "line",
    [
        "list-file tr:aining master",
        "put-file a@b master x -f y",
        "put-file a/b/c master x -f y",
        "put-file _a/b master x -f y",
        "put-file training ma:ster x -f y",
    ],
)
def test_a_name_that_would_move_the_borders_of_an_address_is_refused(cli, stub, line):
    result = cli(*line.split())

    assert result.status == 2
    assert result.err.startswith("error: ")
    assert not stub.calls


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("create-repo", "expected 1 argument, got 0"),
        ("create-repo a b", "expected 1 argument, got 2"),
        ("list-repo x", "expected 0 arguments, got 1"),
        ("put-file training", "expected 2 to 3 arguments, got 1"),
        ("diff-file a b c d", "expected either 3 or 6 arguments, got 4"),
        ("copy-file a b c", "expected 6 arguments, got 3"),
        ("inspect-datum job", "expected 2 arguments, got 1"),
    ],
)
def test_a_wrong_number_of_words_is_bad_usage(cli, line, sentence):
    result = cli(*line.split())

    assert result.status == 2
    assert result.out == ""
    assert f"error: {sentence}\nUsage: pachctl {line.split()[0]} [OPTIONS]" in result.err


def test_help_of_an_old_command_shows_its_own_words(cli):
    result = cli("put-file", "--help")

    assert result.status == 0
    assert result.out.startswith("Usage: pachctl put-file [OPTIONS] REPO BRANCH [PATH]\n")


def test_flags_may_stand_before_behind_and_between_the_words(cli, stub):
    results = [
        cli("-v", "--no-metrics", "list-branch", "training"),
        cli("list-branch", "--raw", "training", "--no-color"),
        cli("list", "branch", "-v", "training", "--project", "default"),
    ]

    assert [result.status for result in results] == [0, 0, 0]
    assert len(stub.all_called("list_branches")) == 3


@pytest.mark.parametrize(
    ("hyphenated", "spaced"),
    [
        ("list-worker", "list worker"),
        ("list-workers --pipeline train", "list workers --pipeline train"),
        (f"inspect-run {RUN}", f"inspect run {RUN}"),
    ],
)
def test_what_came_after_1_7_may_be_hyphenated_too(cli, stub, hyphenated, spaced):
    cli(*hyphenated.split())
    by_hyphenated = list(stub.calls)
    stub.calls.clear()

    cli(*spaced.split())

    assert by_hyphenated == stub.calls != []
