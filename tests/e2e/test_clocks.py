"""A clock through the real command line and its server."""

import json
from collections.abc import Callable
from pathlib import Path

SPEC = {
    "pipeline": {"name": "clock"},
    "transform": {"cmd": ["/bin/sh"], "stdin": ["cp $tick /pfs/out/"]},
    "input": {"cron": {"name": "tick", "spec": "TZ=Europe/Berlin 0 3 * * *"}},
}


def test_a_clock_through_the_command_line(command: Callable, tmp_path: Path) -> None:
    def trunkline(line: str, **more: object):
        return command("trunkline", *line.split(), cwd=tmp_path, **more)

    (tmp_path / "clock.json").write_text(json.dumps(SPEC))
    created = trunkline("create pipeline -f clock.json")
    run = trunkline("run cron clock").stdout.strip()
    waited = trunkline(f"wait run {run}")

    assert created.stderr == ""
    assert f"Run: {run}\nState: success" in waited.stdout
    assert "clock_tick" in waited.stdout
    assert "tick:TZ=Europe/Berlin 0 3 * * *" in trunkline("list pipeline").stdout
    ticks = trunkline("list file clock_tick@master --name-only").stdout
    assert ticks.count("\n") == 1
    assert ticks.endswith("Z\n")
    assert trunkline("list file clock@master --name-only").stdout == ticks

    (tmp_path / "bad.json").write_text(json.dumps(SPEC).replace("0 3 * * *", "0 3 * *"))
    for line, status, sentence in (
        ("run cron nowhere", 3, "there is no pipeline 'nowhere'"),
        ("run cron", 2, "PIPELINE"),
        ("create pipeline -f bad.json", 2, "error parsing cron-spec: 'TZ=Europe/Berlin 0 3 * *'"),
        ("delete repo clock_tick --force", 4, "holds the ticks of pipeline 'clock'"),
    ):
        refused = trunkline(line, ok=False)
        assert (refused.returncode, sentence in refused.stderr) == (status, True), refused.stderr
