"""An old data directory through the real command line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from old_stores import GOLDEN_NUMBER, NUMBERS, old_store


def test_the_first_command_of_a_new_version_upgrades_and_undo_goes_back(
    command: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(home)

    def trunkline(line: str, **more: object):
        return command("trunkline", *line.split(), **more)

    look = trunkline("upgrade --check")
    monkeypatch.setenv("TRUNKLINE_UPGRADE", "never")
    refused = trunkline("list repo", ok=False)
    monkeypatch.delenv("TRUNKLINE_UPGRADE")
    assert trunkline("get file data@master^:/a").stdout == "apple\n"
    busy = trunkline("upgrade --undo --yes", ok=False)
    trunkline("down")
    back = trunkline("upgrade --undo --yes")
    unanswered = trunkline("upgrade", ok=False, stdin="")
    done = trunkline("upgrade --yes")

    assert f"catalog {GOLDEN_NUMBER} (this version: {NUMBERS[-1]})" in look.stdout
    assert "The next command does it by itself" in look.stdout
    assert refused.returncode == 4
    assert refused.stderr.count("\n") == 1
    assert "because TRUNKLINE_UPGRADE says never; see `trunkline upgrade --check`" in refused.stderr
    assert busy.returncode == 4
    assert "`trunkline down` stops a server" in busy.stderr
    assert f"is at {GOLDEN_NUMBER} again" in back.stdout
    assert "nothing was changed; use --yes" in unanswered.stderr
    assert f"from {GOLDEN_NUMBER} to {NUMBERS[-1]}" in done.stdout
    assert trunkline("get file data@master^:/a").stdout == "apple\n"
    assert os.path.exists(home / "before-upgrade" / "catalog.db")


def test_options_that_exclude_each_other_are_refused(command: Callable, home: Path) -> None:
    for line in ("upgrade --check --undo", "upgrade --force --undo", "upgrade --check --force"):
        refused = command("trunkline", *line.split(), ok=False)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    missing = command("trunkline", "upgrade", "--check", ok=False)
    assert missing.returncode == 3
    assert "there is no data directory in" in missing.stderr
