"""Two projects through the real command line: made, used, told apart, and deleted."""

import json
from collections.abc import Callable
from pathlib import Path

SPEC = {
    "pipeline": {"name": "upper"},
    "input": {"pfs": {"repo": "data", "glob": "/*"}},
    "transform": {"cmd": ["/bin/sh"], "stdin": ["tr a-z A-Z < $data > /pfs/out/$(basename $data)"]},
}


def test_a_day_with_two_projects(command: Callable, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "upper.json").write_text(json.dumps(SPEC))
    (tmp_path / "a").write_text("apple\n")
    here = {"cwd": tmp_path}

    def trunkline(line: str, **more: object):
        return command("trunkline", *line.split(), **here, **more)

    # the same words in two projects, by option and by context
    trunkline("create project vision -d scenes")
    trunkline("create repo data")
    trunkline("put file data@master:/a -f a")
    trunkline("create repo data --project vision")
    trunkline("put file vision/data@master:/b -f a")
    trunkline("create pipeline -f upper.json --project vision")
    trunkline("wait commit vision/upper@master")
    before = trunkline("list project").stdout
    trunkline("config set project vision")
    after = trunkline("list project").stdout
    upper = trunkline("get file upper@master:/b").stdout
    hyphenated = command("pachctl", "get-file", "upper", "master", "b").stdout
    unknown = trunkline("config set project visoin", ok=False)

    assert [line.split()[0] for line in before.splitlines()[1:]] == ["vision", "*"]
    assert after.splitlines()[1].split()[:2] == ["*", "vision"]
    assert upper == hyphenated == "APPLE\n"
    assert (unknown.returncode, unknown.stderr) == (
        3,
        "error: there is no project 'visoin'; did you mean 'vision'?\n",
    )

    # what is shown: the project in force, or all
    repos = trunkline("list repo").stdout
    everywhere = trunkline("list repo -A").stdout
    jobs = json.loads(trunkline("list job -o json").stdout)
    none = json.loads(trunkline("list job --project default -o json").stdout)
    monkeypatch.setenv("TRUNKLINE_PROJECT", "default")
    plain = command("pachctl", "list-repo").stdout

    assert [line.split()[:2] for line in repos.splitlines()[1:]] == [
        ["vision", "upper"],
        ["vision", "data"],
    ]
    assert everywhere.splitlines()[-1].split()[:2] == ["default", "data"]
    assert ([job["pipeline"] for job in jobs], none) == (["vision/upper"], [])
    assert [line.split()[0] for line in plain.splitlines()] == ["NAME", "data"]

    # the end of it
    refused = trunkline("delete project vision", ok=False)
    trunkline("delete project vision -f")
    gone = trunkline("list repo --project vision", ok=False)
    kept = trunkline("delete project default -f", ok=False)

    assert refused.returncode == 4
    assert "has the pipelines vision/upper and the repos vision/data" in refused.stderr
    assert gone.returncode == 3
    assert gone.stderr == "error: there is no project 'vision'; there is only default\n"
    assert "'default' always exists" in kept.stderr
    assert trunkline("get file data@master:/a").stdout == "apple\n"
