"""The engine dies before and after each of its transactions: every time it converges.

Not at a lucky moment but at all of them: the n-th transaction for n = 1, 2, … until a whole run
gets through.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from dying import deaths

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import AlreadyExists


def a_session(home: Path, begin: Callable[[], None]) -> list[str]:
    """What one person does, from an empty disk on."""
    begin()
    engine = Engine(load(home=home))
    found = []
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
            "egress": {"URL": f"file://{home}-copied"},
        }
        try:
            engine.pipelines.create_pipeline(spec)
        except AlreadyExists:
            pass
        for job in list(engine.jobs.list_jobs()):
            job = engine.jobs.inspect_job(f"{job.pipeline}@{job.id}", wait=True, timeout_s=60)
            found.append(f"{job.state} {job.reason}")
        for info in engine.files.list_files("copy", "master", "/"):
            content = b"".join(engine.files.read_file("copy", "master", info.path))
            found.append(f"{info.path} {content.decode()}")
        found.append(f"{len(engine.admin.fsck().damages)} damages")
    finally:
        engine.close()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_transaction_is_healed_by_the_next_start(
    tmp_path: Path, moment: str, tally: Callable[[str, int], None]
) -> None:
    tried = 0
    for at, home, healed in deaths(a_session, tmp_path, moment=moment):
        assert healed.status == 0, f"after transaction {at}: {healed.errors}"
        lines = healed.found
        assert lines[-3:] == ["a a", "b b", "0 damages"], f"after transaction {at}: {lines}"
        assert set(lines[:-3]) == {"success "}, f"after transaction {at}: {lines}"
        copied = {file.name: file.read_text() for file in Path(f"{home}-copied").iterdir()}
        assert copied == {"a": "a", "b": "b"}, f"after transaction {at}: {copied}"
        tried += 1
    assert tried >= 8, f"only {tried} transactions were tried"
    tally("transactions crashed at", tried)
