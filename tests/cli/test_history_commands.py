"""list commit, squash, drop, undelete and waits: what is asked, what is printed, how it ends."""

from datetime import timedelta

import pytest

from trunkline.errors import TimedOut
from trunkline.model.versions import DeletedInfo, UndeletedInfo

RUN = "5c0606144d234fa09d25e682589b0a8b"


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["training@a..b"], {"to": "b", "after": "a"}),
        (["training@b", "--from", "a"], {"to": "b", "after": "a"}),
        (["training", "--from", "a", "--to", "b"], {"to": "b", "after": "a"}),
        (["training", "--origin", "USER"], {"to": None, "origin": "user"}),
    ],
)
def test_ranges_can_be_written_in_more_than_one_way(cli, stub, words, given) -> None:
    assert cli("list", "commit", *words).status == 0

    asked = stub.called("list_commits")[1]
    assert {name: asked[name] for name in given} == given


@pytest.mark.parametrize(
    "words", [["training@a..b", "--to", "c"], ["training@..b"], ["training@a", "--to", "b"], []]
)
def test_what_is_no_range_is_refused(cli, words) -> None:
    result = cli("list", "commit", *words, *([] if words else ["--from", "x"]))

    assert (result.status, result.out) == (2, "")


def test_a_deletion_says_how_to_undo_it(cli, stub) -> None:
    now = stub.answers.commits[0].started
    stub.answers.deleted = DeletedInfo(
        number=7,
        kind="commit",
        name=RUN,
        how=f"squash commit {RUN}",
        deleted=now,
        expires=now + timedelta(days=7),
        commits=2,
    )

    result = cli("squash", "commit", RUN, program="trunkline")

    assert stub.called("squash_run") == ((RUN,), {"recursive": False})
    assert result.out == ""
    assert result.err == f"for 7 days, this brings it back: trunkline undelete commit {RUN}\n"


def test_a_single_commit_is_squashed_in_the_words_of_2_x(cli, stub) -> None:
    assert cli("squash", "commitV2", "training@master", "-r").status == 0

    assert stub.called("squash_commit") == (("training", "master"), {"recursive": True})


def test_undelete_warns_of_what_is_not_as_it_was(cli, stub) -> None:
    stub.answers.undeleted = UndeletedInfo(
        kind="repo", name="training", commits=1, notes=("branch training@master stays",)
    )

    result = cli("undelete", "repo", "training")

    assert stub.called("undelete") == (("repo", "training"), {"number": None})
    assert (result.status, result.err) == (0, "warning: branch training@master stays\n")


def test_a_flush_shows_the_jobs_that_ended_before_the_time_was_over(cli, stub, make_job) -> None:
    def ended(operation, args, given, inner=stub.answer):
        if operation != "flush_jobs":
            return inner(operation, args, given)
        assert given["timeout_s"] == 5
        return late()

    def late():
        yield make_job("train", "success")
        raise TimedOut("waited 5 s")

    stub.answer = ended

    result = cli("flush", "job", "training@master", "--timeout", "5s")

    assert (result.status, result.err) == (6, "error: waited 5 s\n")
    assert [line.split()[1] for line in result.out.splitlines()] == ["OUTPUT", f"train/{RUN}"]


def test_a_wait_for_a_run_that_takes_too_long_ends_with_6(cli, stub) -> None:
    stub.failures["inspect_run"] = TimedOut("waited 5 s")

    assert cli("wait", "commit", RUN, "--timeout", "5s").status == 6
    assert cli("wait", "run", RUN, "--timeout", "5s").status == 6
