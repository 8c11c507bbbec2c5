"""How far a put has got: in a line, as JSON, or not at all; and what an interrupted one leaves."""

import json
import threading

import pytest

from trunkline.cli import putting
from trunkline.errors import NotFound
from trunkline.model.versions import PutProgress

MIB = 1024 * 1024


def progress(**given):
    fields = {
        "files": 0, "size_bytes": 0, "known_files": 0, "known_bytes": 0,
        "total_files": None, "total_bytes": None,
    }  # fmt: skip
    return PutProgress(**(fields | given))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"files": 1000, "size_bytes": 20 * MIB}, "1,000 files, 20MiB, 2MiB/s"),
        (
            {"files": 1000, "size_bytes": 20 * MIB, "total_files": 4000, "total_bytes": 80 * MIB},
            "1,000 of 4,000 files, 20MiB of 80MiB, 2MiB/s, 0:30 left",
        ),
        (
            {"files": 1000, "size_bytes": 20 * MIB, "known_files": 500, "known_bytes": 10 * MIB},
            "1,000 files, 20MiB, 1MiB/s, 50 % not changed",
        ),
        ({"size_bytes": 20 * MIB, "total_bytes": 20 * MIB}, "20MiB of 20MiB, 2MiB/s, 0:00 left"),
    ],
)
def test_one_line_tells_how_it_goes_on(given, line):
    assert putting.describe(progress(**given), 10.0) == line


@pytest.mark.parametrize("mode", ["json", "plain", "auto"])
def test_progress_is_shown_while_a_put_lasts(mode, monkeypatch, capsys):
    monkeypatch.setattr(putting, "_FIRST_S", 0.001)
    monkeypatch.setattr(putting, "_EVERY_S", dict.fromkeys(("line", "plain", "json"), 0.001))
    asked, seen = [], threading.Event()

    def ask():
        asked.append(None)
        if len(asked) == 1:
            raise NotFound("no put is going on")
        if len(asked) > 2:
            seen.set()
        return progress(files=7, size_bytes=MIB)

    with putting.watched(mode, ask):
        assert seen.wait(30)

    out, err = capsys.readouterr()
    first = err.splitlines()[0]
    assert out == ""
    assert json.loads(first)["files"] == 7 if mode == "json" else "7 files, 1MiB" in first


def test_none_asks_for_nothing():
    with putting.watched("none", lambda: pytest.fail("asked")):
        pass


def test_an_interrupted_put_says_that_nothing_was_changed(capsys):
    with pytest.raises(KeyboardInterrupt), putting.noting_interruption(resumes=True):
        raise KeyboardInterrupt

    assert "nothing was changed; the same command goes on" in capsys.readouterr().err
