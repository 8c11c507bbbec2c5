"""The commands that erase files from all history: what they ask, what they say, how they end."""

import dataclasses
import json
from pathlib import Path

import pytest


def test_the_report_says_what_is_gone_and_what_is_kept_elsewhere(cli, stub) -> None:
    result = cli("purge", "data:/x", "--reason", "request 17", "--yes", program="trunkline")

    assert result.status == 0
    assert "data: 3 files in 2 commits, 4KiB together" in result.out
    assert "Erased: 1 of 2 pieces of content, 2KiB given back" in result.out
    assert "in 1 other file; kept there:" in result.out
    assert f"b@{stub.answers.purge.id}:/y, in 2 commits" in result.out
    assert "Note: say so to whoever has a copy" in result.out
    [(words, named)] = stub.all_called("purge")
    assert (words, named["reason"]) == ((["data:/x"],), "request 17")


def test_without_yes_it_says_first_what_would_go_and_asks(cli, stub) -> None:
    no = cli("purge", "data:/x", stdin=b"n\n", program="trunkline")
    yes = cli("purge", "data:/x", stdin=b"y\n", program="trunkline")

    assert (no.status, yes.status) == (1, 0)
    assert "This erases it for good. Are you sure? yN" in no.err
    calls = [named.get("dry_run", False) for _, named in stub.all_called("purge")]
    assert calls == [True, True, False]


def test_patterns_come_from_files_too_and_the_report_goes_into_one(
    cli, stub, tmp_path: Path
) -> None:
    names, report = tmp_path / "names", tmp_path / "report.json"
    names.write_text("# request 17\ndata:/a\n\n other:/b\n")

    result = cli(
        *("purge", "data:/x", "--from", str(names), "--yes", "--report", str(report)),
        program="trunkline",
    )

    assert result.status == 0
    [(words, _)] = stub.all_called("purge")
    assert words == (["data:/x", "data:/a", "other:/b"],)
    assert json.loads(report.read_text())["contents_erased"] == 1
    assert report.stat().st_mode & 0o077 == 0


def test_what_goes_on_by_itself_has_a_status_of_its_own(cli, stub) -> None:
    stub.answers.purge = dataclasses.replace(stub.answers.purge, state="erasing")

    result = cli("purge", "data:/x", "--yes", program="trunkline")

    assert result.status == 6
    assert "it goes on by itself" in result.err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["purge", "--yes"], 2, "name what is to be purged, as REPO:/GLOB"),
        (["purge", "data", "--yes"], 2, "write REPO:/GLOB"),
        (["purge", "data@master:/x", "--yes"], 2, "all branches and commits"),
        (["purge", "--from", "/no/such/file", "--yes"], 3, "/no/such/file"),
        (["purge", "data:/x", "--yes", "--report", "/no/such/file"], 1, "nothing was purged"),
    ],
)
def test_what_can_t_be_meant_is_refused_before_anything_is_done(
    cli, stub, words: list[str], status: int, sentence: str
) -> None:
    result = cli(*words, program="trunkline")

    assert result.status == status
    assert sentence in result.err
    assert stub.all_called("purge") == []
