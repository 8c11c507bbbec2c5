"""Transactions, squash and undelete through the real command line."""

import json
from collections.abc import Callable
from pathlib import Path

SPEC = {
    "pipeline": {"name": "upper"},
    "input": {"pfs": {"repo": "data", "glob": "/*"}},
    "transform": {"cmd": ["/bin/sh"], "stdin": ["tr a-z A-Z < $data > /pfs/out/$(basename $data)"]},
}


def test_a_day_with_transactions(command: Callable, tmp_path: Path) -> None:
    (tmp_path / "upper.json").write_text(json.dumps(SPEC))
    (tmp_path / "a").write_text("apple\n")

    def trunkline(line: str, **more: object):
        return command("trunkline", *line.split(), cwd=tmp_path, **more)

    # everything from nothing in one run
    transaction = trunkline("start transaction -m first").stdout.strip()
    trunkline("create repo data")
    trunkline("put file data@master:/a -f a")
    trunkline("create pipeline -f upper.json")
    waiting = trunkline("list repo").stdout
    steps = trunkline("inspect transaction").stdout
    twice = trunkline("start transaction", ok=False)
    done = trunkline("finish transaction").stdout
    trunkline(f"wait commit {transaction}")

    assert len(waiting.splitlines()) == 1
    assert steps.splitlines()[-4:] == [
        *("Steps: 3", "  1. create repo data"),
        *("  2. put file data@master", "  3. create pipeline upper"),
    ]
    assert (twice.returncode, "is active already" in twice.stderr) == (2, True)
    assert f"Jobs: upper@{transaction}" in done
    assert trunkline("get file upper@master:/a").stdout == "APPLE\n"

    # left, taken up again, given up
    second = trunkline("start transaction").stdout.strip()
    started = trunkline("start commit data@master").stdout.strip()
    trunkline("stop transaction")
    trunkline("create repo at_once")
    listed = trunkline("list transaction").stdout.splitlines()
    trunkline(f"resume transaction {second}")
    refused = trunkline("create repo at_once", ok=False)
    trunkline("delete transaction")

    assert started == second
    assert (listed[1].split()[0], listed[1].split()[-1]) == (second, "1")
    assert refused.returncode == 4
    assert refused.stderr.startswith("error: step 2 (create repo at_once): ")
    assert [row.split()[1] for row in trunkline("list repo").stdout.splitlines()[1:]] == [
        *("at_once", "upper", "data")
    ]
    assert trunkline("finish transaction", ok=False).returncode == 2

    # shorter history, and back
    runs = [transaction]
    for number in range(2):
        (tmp_path / "a").write_text(f"apple {number}\n")
        trunkline("put file data@master:/a -f a")
        runs.append(json.loads(trunkline("inspect commit data@master --raw").stdout)["id"])
        trunkline(f"wait commit {runs[-1]}")
    undo = trunkline(f"squash commit {runs[1]}").stderr.strip().rpartition(": trunkline ")[2]
    shorter = json.loads(trunkline("list commit upper@master -o json").stdout)
    trunkline(undo)
    whole = json.loads(trunkline("list commit upper@master -o json").stdout)
    trunkline(f"drop commit {runs[2]}")

    assert [c["id"] for c in shorter] == [runs[2], runs[0]]
    assert [c["id"] for c in whole] == runs[::-1]
    assert trunkline("get file upper@master:/a").stdout == "APPLE 0\n"
    assert trunkline("list deleted").stdout.splitlines()[1].split()[1:3] == ["commit", runs[2]]
