"""The engine dies before and after each transaction while a clock ticks: every tick comes once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from dying import deaths

from trunkline.config import load
from trunkline.engine import clockwork
from trunkline.engine.engine import Engine
from trunkline.errors import AlreadyExists

START = datetime(2026, 3, 5, 10, 0, tzinfo=UTC)
TICKS = "2026-03-05T11:00:00Z 2026-03-05T12:00:00Z 2026-03-05T13:00:00Z"


def a_session(home: Path, begin: Callable[[], None]) -> list[str]:
    """The clock stands at each of three times in turn, at every start from the first one on.

    A tick that was made twice would be there a second time, under a longer name.
    """
    now = START
    engine = Engine(load(home=home), clock=lambda: now)
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
        begin()
        coming = engine.commits.subscribe_commits("clock_tick", "master", timeout_s=60)
        for hour in (1, 3):
            now = START + timedelta(hours=hour)
            while True:
                commit = next(coming)
                if commit.files >= hour:
                    break
        for job in list(engine.jobs.list_jobs()):
            engine.jobs.inspect_job(f"{job.pipeline}@{job.id}", wait=True, timeout_s=60)
        repos = ("clock_tick", "clock")
        runs = [{c.id for c in engine.commits.list_commits(repo)} for repo in repos]
        found = [f"{len(runs[0])} commits {runs[0] == runs[1]}"]
        for repo in repos:
            found.append(" ".join(i.path for i in engine.files.list_files(repo, "master", "/")))
        found.append(f"{len(engine.admin.fsck().damages)} damages")
    finally:
        engine.close()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_transaction_neither_loses_nor_repeats_a_tick(
    tmp_path: Path, moment: str, tally: Callable[[str, int], None]
) -> None:
    tried = 0
    with mock.patch.object(clockwork, "_LOOK_S", 0.02):  # at a clock that jumps
        for at, _, healed in deaths(a_session, tmp_path, moment=moment):
            assert healed.status == 0, f"after transaction {at}: {healed.errors}"
            assert healed.found == ["2 commits True", TICKS, TICKS, "0 damages"], at
            tried += 1
    assert tried >= 4, f"only {tried} transactions were tried"
    tally("transactions crashed at", tried)
