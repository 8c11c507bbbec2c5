"""Every failure is one sentence on stderr and the exit status of its class, and nothing else."""

import os
import subprocess
import sys

import pytest

from trunkline import errors

CODES = [
    (errors.TrunklineError("it failed"), 1),
    (errors.InvalidInput("this can't be right"), 2),
    (errors.RepoNotFound("x"), 3),
    (errors.AlreadyExists("repo", "x"), 4),
    (errors.NotAllowed("not you"), 5),
    (errors.Unavailable("no answer"), 6),
    (errors.Corrupt("chunk", "a", "b"), 7),
    (errors.NotSupported("not on this machine"), 1),
    (errors.ReportedError(code="new", message="from afar", exit_status=9, http_status=500), 9),
]


@pytest.mark.parametrize(
    ("failure", "status"), [pytest.param(*case, id=case[0].code) for case in CODES]
)
def test_a_failure_is_one_sentence_and_the_status_of_its_class(cli, stub, failure, status):
    stub.failures["list_repos"] = failure

    result = cli("list-repo")

    assert (result.status, result.out, result.err) == (status, "", f"error: {failure}\n")


def test_verbose_adds_the_traceback_before_the_sentence(cli, stub):
    stub.failures["list_repos"] = errors.RepoNotFound("x")

    result = cli("list-repo", "-v")

    assert "Traceback (most recent call last)" in result.err
    assert result.err.endswith("\nerror: there is no repo 'x'\n")


def test_a_failure_after_some_output_keeps_the_output(cli, stub):
    first = stub.answers.commits[0]

    def broken():
        yield first
        raise errors.Unavailable("the server went away")

    stub.answers.commits = broken()

    result = cli("list", "commit", "inference", "--raw")

    assert result.status == 6
    assert '"repo": "inference"' in result.out
    assert result.err == "error: the server went away\n"


def test_an_unforeseen_failure_has_no_traceback_either(cli, stub):
    stub.answers.repos = None

    result = cli("list-repo")

    assert result.status == 1
    assert result.err.startswith("error: TypeError: ")
    assert "Traceback" not in result.err


def test_an_interrupt_is_exit_status_130(cli, stub):
    stub.failures["list_repos"] = KeyboardInterrupt()

    result = cli("list-repo")

    assert result.status == 130
    assert "Traceback" not in result.err


def test_the_connection_is_closed_after_success_and_failure(cli, stub):
    cli("list-repo")
    closed_after_success = stub.closed
    stub.closed = False
    stub.failures["list_repos"] = errors.RepoNotFound("x")
    cli("list-repo")

    assert closed_after_success
    assert stub.closed


def test_a_reader_that_leaves_early_is_no_failure_worth_words():
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(
        [sys.executable, "-m", "trunkline", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)

    assert done.stderr == b""
    assert done.returncode == 141


def test_local_file_errors_name_the_file(cli, stub, tmp_path):
    (tmp_path / "file").touch()

    result = cli("get", "file", "a@b:/c", "-o", str(tmp_path / "file" / "out"))

    assert result.status == 1
    assert f"{tmp_path}/file/out could not be written" in result.err


@pytest.mark.parametrize(
    ("state", "status"), [("success", 0), ("failure", 1), ("killed", 1), ("unrunnable", 1)]
)
def test_waiting_for_a_job_ends_with_its_outcome(cli, stub, make_job, state, status):
    stub.answers.jobs = [make_job("train", state)]

    result = cli("wait", "job", f"train@{stub.answers.jobs[0].id}", "--timeout", "1m30s")

    assert result.status == status
    assert stub.called("inspect_job")[1] == {"wait": True, "timeout_s": 90.0}


def test_waiting_for_a_commit_ends_with_the_outcome_of_its_job(cli, stub, make_commit):
    stub.answers.commits = [make_commit("train", error="job failed: boom")]

    results = [cli("wait", "commit", "train@master"), cli("flush", "commit", "training@master")]

    assert [result.status for result in results] == [1, 1]
    assert all("job failed: boom" in result.err for result in results)


def test_damage_found_by_fsck_is_exit_status_7(cli, stub, make_damage):
    stub.answers.report = make_damage("chunk ab", "is missing", "training@1:/iris.csv")

    result = cli("fsck")

    assert result.status == 7
    assert "chunk ab: is missing\n  training@1:/iris.csv\n" in result.out


def test_a_difference_is_exit_status_10_when_asked_for(cli, stub):
    assert cli("diff", "file", "training@master").status == 0
    assert cli("diff", "file", "training@master", "--exit-code").status == 10

    stub.answers.differences = []

    assert cli("diff", "file", "training@master", "--exit-code").status == 0
