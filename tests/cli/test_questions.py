"""Asking before everything is deleted."""

import pytest


@pytest.mark.parametrize("answer", [b"y\n", b"Y\n", b"yes\n", b" y \n"])
def test_delete_all_goes_on_after_a_yes(cli, stub, answer):
    result = cli("delete-all", stdin=answer)

    assert (result.status, result.out) == (0, "")
    assert "Are you sure? yN" in result.err
    assert stub.called("delete_all") == ((), {})


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"no yes\n"])
def test_delete_all_stops_after_any_other_answer(cli, stub, answer):
    result = cli("delete-all", stdin=answer)

    assert result.status == 1
    assert "Nothing was deleted." in result.err
    assert stub.calls == []


def test_delete_all_without_anybody_to_ask_needs_the_flag(cli, stub):
    refused = cli("delete", "all")
    done = cli("delete", "all", "--yes")

    assert refused.status == 2
    assert "use --yes" in refused.err
    assert (done.status, done.err) == (0, "")
    assert len(stub.all_called("delete_all")) == 1


@pytest.mark.parametrize("noun", ["repo", "pipeline"])
def test_deleting_all_of_a_kind_asks_in_the_new_words_only(cli, stub, noun):
    spaced = cli("delete", noun, "--all")
    hyphenated = cli(f"delete-{noun}", "--all")

    assert spaced.status == 2
    assert hyphenated.status == 0
    assert stub.all_called(f"delete_{noun}")


def test_one_thing_is_deleted_without_a_question(cli, stub):
    result = cli("delete-repo", "training")

    assert (result.status, result.out, result.err) == (0, "", "")
    assert stub.called("delete_repo") == (("training",), {"force": False})
