"""The engine dies before and after each of its transactions: every time it converges.

Not at a lucky moment but at all of them: the n-th transaction for n = 1, 2, … until a whole run
gets through.
"""

import os
from pathlib import Path

import pytest
from dying import KILLED, run_dying

# One person's session, which can be repeated after a crash at any point of it.
SESSION = """
import sys
from pathlib import Path

from dying import die_at

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import AlreadyExists

die_at(int(sys.argv[2]), sys.argv[3])
engine = Engine(load(home=Path(sys.argv[1])))
try:
    try:
        engine.repos.create_repo("data")
    except AlreadyExists:
        pass
    changes = [PutFile(path=name, content=[name.encode()]) for name in ("a", "b")]
    engine.files.modify_files("data", "master", changes)
    spec = {
        "pipeline": {"name": "copy"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["cp $data /pfs/out/"]},
        "egress": {"URL": f"file://{sys.argv[1]}-copied"},
    }
    try:
        engine.pipelines.create_pipeline(spec)
    except AlreadyExists:
        pass
    for job in list(engine.jobs.list_jobs()):
        job = engine.jobs.inspect_job(f"{job.pipeline}@{job.id}", wait=True, timeout_s=60)
        print(job.state, job.reason)
    for info in engine.files.list_files("copy", "master", "/"):
        print(info.path, b"".join(engine.files.read_file("copy", "master", info.path)).decode())
    print(len(engine.admin.fsck().damages), "damages")
finally:
    engine.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_transaction_is_healed_by_the_next_start(
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
        lines = healed.stdout.splitlines()
        assert lines[-3:] == ["a a", "b b", "0 damages"], f"after transaction {crash_at}: {lines}"
        assert set(lines[:-3]) == {"success "}, f"after transaction {crash_at}: {lines}"
        copied = {file.name: file.read_text() for file in Path(f"{home}-copied").iterdir()}
        assert copied == {"a": "a", "b": "b"}, f"after transaction {crash_at}: {copied}"
        crash_at += 1
    assert crash_at > 15, f"only {crash_at} transactions were tried (pid {os.getpid()})"
