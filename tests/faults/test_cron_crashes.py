"""The engine dies before and after each transaction while a clock ticks: every tick comes once."""

import os
from pathlib import Path

import pytest
from dying import KILLED, run_dying

# The clock stands at each of three times in turn, at every start from the first one on. A tick that
# was made twice would be there a second time, under a longer name.
SESSION = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dying import die_at

from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import AlreadyExists

START = datetime(2026, 3, 5, 10, 0, tzinfo=UTC)
now = START
engine = Engine(load(home=Path(sys.argv[1])), clock=lambda: now)
try:
    spec = {
        "pipeline": {"name": "clock"},
        "input": {"cron": {"name": "tick", "spec": "@hourly"}},
        "transform": {"cmd": ["sh"], "stdin": ["cp $tick /pfs/out/"]},
    }
    try:
        engine.pipelines.create_pipeline(spec)
    except AlreadyExists:
        pass
    die_at(int(sys.argv[2]), sys.argv[3])
    coming = engine.commits.subscribe_commits("clock_tick", "master", timeout_s=60)
    for hour in (1, 3):
        now = START + timedelta(hours=hour)
        while True:
            commit = next(coming)
            if commit.files >= hour:
                break
    for job in list(engine.jobs.list_jobs()):
        engine.jobs.inspect_job(f"{job.pipeline}@{job.id}", wait=True, timeout_s=60)
    runs = [{c.id for c in engine.commits.list_commits(repo)} for repo in ("clock_tick", "clock")]
    print(len(runs[0]), "commits", runs[0] == runs[1])
    for repo in ("clock_tick", "clock"):
        print(*(info.path for info in engine.files.list_files(repo, "master", "/")))
    print(len(engine.admin.fsck().damages), "damages")
finally:
    engine.close()
"""
TICKS = "2026-03-05T11:00:00Z 2026-03-05T12:00:00Z 2026-03-05T13:00:00Z"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_transaction_neither_loses_nor_repeats_a_tick(
    tmp_path: Path, moment: str
) -> None:
    crash_at = 1
    while True:
        home = tmp_path / f"home-{crash_at}"

        crashed = run_dying(SESSION, home, crash_at=crash_at, moment=moment)
        if crashed.returncode == 0:
            break
        assert crashed.returncode == KILLED, crashed.stderr
        healed = run_dying(SESSION, home, crash_at=0, moment=moment)

        assert healed.returncode == 0, f"after transaction {crash_at}: {healed.stderr}"
        assert healed.stdout.splitlines() == ["2 commits True", TICKS, TICKS, "0 damages"], crash_at
        crash_at += 1
    assert crash_at > 7, f"only {crash_at} transactions were tried (pid {os.getpid()})"
