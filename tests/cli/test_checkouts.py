"""`checkout` and `status`, as a user types them."""

from dataclasses import replace

import pytest
from blake3 import blake3


@pytest.fixture
def small(stub, make_file):
    content = stub.answers.content
    stub.answers.files = [
        replace(make_file(path), digest=blake3(content).hexdigest(), size_bytes=len(content))
        for path in ("a.csv", "dir/b.csv")
    ]
    return stub


def test_a_checkout_says_what_it_did_and_status_what_was_changed(cli, small, tmp_path):
    place = tmp_path / "data"

    done = cli("checkout", "training@master", str(place))
    same = cli("status", str(place), "--exit-code")
    (place / "a.csv").write_text("changed")
    (place / "new").write_text("new")
    (place / "dir" / "b.csv").unlink()
    changed = cli("status", str(place), "--exit-code")

    assert (done.status, done.out) == (0, "")
    assert "2 files written, 0 deleted, 0 unchanged" in done.err
    assert (same.status, same.out) == (0, "")
    assert "nothing was changed" in same.err
    assert changed.status == 10
    assert [line.split() for line in changed.out.splitlines()] == [
        ["OP", "NAME"],
        ["M", "a.csv"],
        ["D", "dir/b.csv"],
        ["A", "new"],
    ]


def test_status_outside_of_a_checkout_shows_the_server(cli, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert "Server: " in cli("status").out
    assert "Server: " in cli("status", "--server").out


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("status", "--exit-code"), 2, "is in no checkout"),
        (("status", "x", "--server"), 2, "--server shows the server"),
        (("status", "x"), 3, "x is no checkout"),
        (("checkout", "training", "x"), 2, "does not say which branch"),
    ],
)
def test_bad_words_are_told(cli, small, tmp_path, monkeypatch, words, status, sentence):
    monkeypatch.chdir(tmp_path)

    result = cli(*words)

    assert result.status == status
    assert sentence in result.err
    assert list(tmp_path.iterdir()) == []


def test_local_changes_are_named(cli, small, tmp_path):
    (tmp_path / "a.csv").write_text("mine")

    result = cli("checkout", "training@master", str(tmp_path))

    assert result.status == 4
    assert "'a.csv'" in result.err
    assert "--force" in result.err
    assert (tmp_path / "a.csv").read_text() == "mine"
