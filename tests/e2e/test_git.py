"""A git input through the real command line and its server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from git_remote import Repository, served


def test_a_push_through_the_command_line(
    command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUNKLINE_FETCH_ALLOW", "127.0.0.1")
    monkeypatch.setenv("TRUNKLINE_GIT_POLL_S", "0")

    def trunkline(line: str, **more: object):
        return command("trunkline", *line.split(), cwd=tmp_path, **more)

    code = Repository(tmp_path / "there")
    commit = code.push({"run.sh": "echo done > /pfs/out/done"}, "First")
    with served(tmp_path / "there") as server:
        url = f"{server.url}/models.git"
        spec = {
            "pipeline": {"name": "build"},
            "transform": {"cmd": ["/bin/sh", "/pfs/models/run.sh"]},
            "input": {"git": {"URL": url}},
        }
        (tmp_path / "build.json").write_text(json.dumps(spec))
        trunkline("create pipeline -f build.json")
        before = trunkline("inspect pipeline build").stdout
        run = trunkline("run git build").stdout.strip()
        waited = trunkline(f"wait run {run}").stdout
        again = trunkline("run git build")
        after = trunkline("inspect pipeline build").stdout

        assert f"Follows: branch master of {url} in build_models, at no commit yet" in before
        assert f"Run: {run}\nState: success" in waited
        assert (again.stdout, commit in again.stderr) == ("", True)
        assert "nothing is new: branch master of" in again.stderr
        assert f"in build_models, at {commit}, looked at" in after
        assert "models:master" in trunkline("list pipeline").stdout
        assert f"master {commit} First" in trunkline("inspect commit build_models@master").stdout
        code.delete("master")
        for line, status, sentence in (
            ("run git build", 3, f"{url} has no branch 'master'"),
            ("run git nowhere", 3, "there is no pipeline 'nowhere'"),
            ("run git", 2, "PIPELINE"),
            ("delete repo build_models --force", 4, "holds the checkouts of pipeline 'build'"),
        ):
            refused = trunkline(line, ok=False)
            assert (refused.returncode, sentence in refused.stderr) == (status, True), line
        assert "has no branch 'master'" in trunkline("explain pipeline build").stdout
