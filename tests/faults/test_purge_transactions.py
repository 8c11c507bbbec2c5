"""The engine dies before and after each transaction of a purge with pipelines: all ends well.

Not at a lucky moment but at all of them: the n-th transaction for n = 1, 2, … until a whole purge
gets through. Those of the scratch databases count too.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dying import KILLED, run_dying
from engine_state import damages, open_engine, tree, without_workers
from stored_bytes import places_of

from trunkline.api.changes import PutFile
from trunkline.engine.engine import Engine

SECRET = "jane-doe-4711"
EVERY = int(os.environ.get("TRUNKLINE_FAULT_EVERY", "7"))  # try each n-th transaction only


def the_purge(home: Path, begin: Callable[[], None]) -> list[str]:
    with without_workers():
        engine = open_engine(home)
        begin()
        engine.purges.purge(["data:/jane*"], forget_names=True, rerun=False)
    return []


def prepared(home: Path) -> dict[str, list[str]]:
    """A data directory with a chain of two pipelines; returns the commits of each repo."""
    engine = open_engine(home)
    engine.repos.create_repo("data")
    for n in range(3):
        texts = {"a": f"{n}", SECRET: f"{SECRET}-{n // 2}"}
        changes = [PutFile(path=path, content=[text.encode()]) for path, text in texts.items()]
        engine.files.modify_files("data", "master", changes)
        for name, source in (("up", "data"), ("down", "up")) if not n else ():
            script = f"cat ${source}; cp ${source} /pfs/out/"
            engine.pipelines.create_pipeline(
                {
                    "pipeline": {"name": name},
                    "input": {"pfs": {"repo": source, "glob": "/*"}},
                    "transform": {"cmd": ["sh"], "stdin": [script]},
                }
            )
        for job in list(engine.jobs.list_jobs()):
            engine.jobs.inspect_job(f"{job.pipeline}@{job.id}", wait=True, timeout_s=60)
    repos = ("data", "up", "down")
    commits = {r: [c.id for c in engine.commits.list_commits(r)] for r in repos}
    assert tree(engine, "down", "master") == {"a": b"2", SECRET: f"{SECRET}-1".encode()}
    engine.close()
    return commits


def ended(engine: Engine) -> bool:
    return all(purge.state == "done" for purge in engine.purges.list_purges())


@pytest.mark.slow
def test_a_crash_at_any_transaction_of_a_purge_is_healed_by_the_next_start(
    tmp_path: Path, tally: Callable[..., None]
) -> None:
    commits = prepared(tmp_path / "home")
    crash_at, tried, purges = 1, 0, 0
    while True:
        home = tmp_path / "again"
        shutil.copytree(tmp_path / "home", home, ignore=shutil.ignore_patterns("*.sock"))
        moment = ("before", "after")[crash_at // EVERY % 2]

        crashed = run_dying(the_purge, home, crash_at=crash_at, moment=moment)
        assert crashed.status in (0, KILLED), crashed.errors
        with without_workers():
            engine = open_engine(home)
            deadline = time.monotonic() + 60
            while not ended(engine):
                assert time.monotonic() < deadline, f"{moment} {crash_at}: it does not end"
                time.sleep(0.01)
            found = engine.purges.list_purges()
            purges += len(found)
            if not found:  # died before it was written down: nothing happened, so it is said again
                engine.purges.purge(["data:/jane*"], forget_names=True, rerun=False)
            for repo, ids in commits.items():
                assert [c.id for c in engine.commits.list_commits(repo)] == ids
                for n, commit in enumerate(reversed(ids)):
                    assert tree(engine, repo, commit) == {"a": f"{n}".encode()}
            assert damages(engine) == []
            engine.close()
        assert places_of(home, SECRET) == [], f"{moment} transaction {crash_at}"
        shutil.rmtree(home)
        tried += 1
        if crashed.status == 0:
            break
        crash_at += EVERY
    tally("transactions of a purge crashed at", tried)
    assert tried > 5
    assert purges >= tried - 1
