"""The engine dies before and after each transaction, and is killed in the middle of a fetch, while
it follows a git repository: every look that was cut short is made up for, once.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dying import deaths
from git_remote import Repository, daemon, served

from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import AlreadyExists


def _config(home: Path):
    environment = {
        "HOME": str(home.parent),
        "PATH": os.environ["PATH"],
        "TRUNKLINE_FETCH_ALLOW": "127.0.0.1",
        "TRUNKLINE_GIT_POLL_S": "0",
    }
    return load(environment, home=home)


def _spec(url: str) -> dict[str, object]:
    return {
        "pipeline": {"name": "build"},
        "transform": {"cmd": ["sh"], "stdin": ["cp -r /pfs/models/. /pfs/out/"]},
        "input": {"git": {"URL": f"{url}/models.git"}},
    }


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_transaction_neither_loses_nor_repeats_a_push(
    tmp_path: Path, moment: str, tally: Callable[[str, int], None]
) -> None:
    code = Repository(tmp_path / "there")
    pushed = [code.push({"train.py": str(number)}, f"No {number}") for number in (1, 2)]
    tried = 0
    with daemon(tmp_path / "there") as url:

        def a_session(home: Path, begin: Callable[[], None]) -> list[str]:
            """The remote is at the first commit until that has been committed."""
            code.git("update-ref", "refs/heads/master", pushed[0], cwd=code.bare)
            engine = Engine(_config(home))
            try:
                try:
                    engine.pipelines.create_pipeline(_spec(url))
                except AlreadyExists:
                    pass
                seen = len(list(engine.commits.list_commits("build_models")))
                begin()
                if seen < 2:
                    engine.pipelines.run_git("build", wait=True)
                code.git("update-ref", "refs/heads/master", pushed[1], cwd=code.bare)
                engine.pipelines.run_git("build", wait=True)
                engine.pipelines.run_git("build", wait=True)
                for job in list(engine.jobs.list_jobs()):
                    engine.jobs.inspect_job(f"{job.pipeline}@{job.id}", wait=True, timeout_s=60)
                told = [info.description for info in engine.commits.list_commits("build_models")]
                content = b"".join(engine.files.read_file("build", "master", "train.py"))
                found = [*told[::-1], content.decode()]
                return [*found, f"{len(engine.admin.fsck().damages)} damages"]
            finally:
                engine.close()

        for at, _, healed in deaths(a_session, tmp_path / "homes", moment=moment):
            assert healed.status == 0, f"after transaction {at}: {healed.errors}"
            told = [f"master {pushed[n - 1]} No {n}" for n in (1, 2)]
            assert healed.found == [*told, "2", "0 damages"], at
            tried += 1
    assert tried >= 3, f"only {tried} transactions were tried"
    tally("transactions crashed at", tried)


_FOLLOWER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {faults!r})
from test_git_crashes import _config, _spec
from trunkline.engine.engine import Engine
engine = Engine(_config(Path({home!r})))
engine.pipelines.create_pipeline(_spec({url!r}))
engine.pipelines.run_git("build", wait=True)
"""


def test_a_server_that_is_killed_while_it_fetches_leaves_nothing_behind(tmp_path: Path) -> None:
    code = Repository(tmp_path / "there")
    commit = code.push({"train.py": "1"}, "One")
    home = tmp_path / "home"
    with served(tmp_path / "there") as server:
        server.held.clear()
        words = _FOLLOWER.format(faults=str(Path(__file__).parent), home=str(home), url=server.url)
        harness = str(Path(__file__).parents[1] / "harness")
        process = subprocess.Popen(
            [sys.executable, "-c", words], env={**os.environ, "PYTHONPATH": harness}
        )
        try:
            while not server.fetches():
                assert process.poll() is None
                time.sleep(0.01)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        orphans = _gits(home)
        engine = Engine(_config(home))
        try:
            left = _gits(home)
            server.held.set()
            run = engine.pipelines.run_git("build", wait=True).run
            told = [info.description for info in engine.commits.list_commits("build_models")]
        finally:
            engine.close()

    assert (len(orphans) > 0, left) == (True, [])
    assert run != ""
    assert told == [f"master {commit} One"]


def _gits(home: Path) -> list[str]:
    """The processes that work for a data directory, by what they were called."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            environment = (place / "environ").read_bytes()
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(f"HOME={home}/cache/git") in environment.split(b"\0"):
            found.append(words.replace(b"\0", b" ").decode())
    return found
